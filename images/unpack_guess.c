/*
 * Guesses: layers unpack side by side, and one whose archive leaves directories out (`usr/share/doc/x`, but no `usr/`) would
 * have to wait for all below to see what these are there. So it is guessed that each is a directory, or nothing, and they
 * are made plainly; once the layers below are there, which is asked for in the end or when something else needs them, each
 * gets the attributes of the one below. A guess is wrong when there is something else (a link that the path should have
 * followed): then the caller unpacks the layer again, and waits.
 *
 * The result is the same as without guesses: what a path means below does not depend on what this layer adds beside it,
 * but for its whiteouts and opaque marks, and before one is made all guesses are settled (unpack.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "images/unpack_private.h"

enum { GUESSES_MAX = 256 /* each directory that is described is compared with all */ };

bool unpack_may_guess(const struct unpack *u)
{
    return u->options->may_guess && u->options->below && !u->result->depends && u->n_guesses < GUESSES_MAX;
}

int unpack_guess(struct unpack *u, const char *path, int directory, struct error *err)
{
    struct unpack_guess *g;
    struct stat st;

    if (!u->options->below || u->result->depends)
        return 0;
    if (fstat(directory, &st) < 0)
        return error_set(err, errno, "look at the directory %s", path);
    g = arena_new(&u->arena, struct unpack_guess);
    *g = (struct unpack_guess){.path = arena_strdup(&u->arena, path), .inode = st.st_ino};
    *u->end_of_guesses = g;
    u->end_of_guesses = &g->next;
    u->n_guesses++;
    return 0;
}

void unpack_described(struct unpack *u, const struct stat *st)
{
    for (struct unpack_guess *g = u->guesses; g; g = g->next)
        if (g->inode == st->st_ino)
            g->described = true;
}

/* What the layers below have there, as far as they shine through. Their trees are those in @below. */
static int look_below(const struct unpack *u, const char *path, struct stack *below,
                      struct stack_entry *found, struct error *err)
{
    char parent[PATH_MAX], *slash;
    int rc = 0;

    strcpy(parent, path);
    slash = strrchr(parent, '/');
    *(slash ? slash : parent) = '\0';
    below->n = 0;
    found->st.st_mode = 0;
    if (stack_lookup(&u->stack, parent, false, found, err) == 0 && found->tree == 0 &&
        S_ISDIR(found->st.st_mode))
        below->n = found->last_tree;
    memcpy(below->trees, u->stack.trees + 1, below->n * sizeof(below->trees[0]));
    found->st.st_mode = 0;
    if (below->n)
        rc = stack_lookup(below, path, false, found, err);
    if (rc < 0 && err->code != ENOENT)
        return -1;
    if (rc < 0)
        found->st.st_mode = 0;
    error_clear(err);
    return 0;
}

static int settle(struct unpack *u, const struct unpack_guess *g, struct error *err)
{
    struct stack below;
    struct stack_entry found;
    struct stat st;

    if (look_below(u, g->path, &below, &found, err) < 0)
        return -1;
    if (!found.st.st_mode)
        return 0;
    if (!S_ISDIR(found.st.st_mode)) {
        u->result->guessed_wrong = true;
        return error_set(err, ENOTDIR, "%s, which was taken for a directory of a layer below", g->path);
    }
    _cleanup_(fd_closep) int to = path_open(u->tree, g->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (g->described || to < 0 || fstat(to, &st) < 0 || st.st_ino != g->inode)
        return 0; /* described, or replaced, since */
    _cleanup_(fd_closep) int from = stack_open(&below, &found, O_RDONLY | O_DIRECTORY);
    if (from < 0)
        return error_set(err, errno, "open the directory %s of a layer below", g->path);
    return unpack_copy_attributes(from, &found.st, to, err) < 0
               ? -1
               : unpack_remember_time(u, g->path, found.st.st_mtim, err);
}

int unpack_settle_guesses(struct unpack *u, struct error *err)
{
    for (const struct unpack_guess *g = u->guesses; g; g = g->next)
        if (settle(u, g, err) < 0)
            return -1;
    u->guesses = NULL;
    u->end_of_guesses = &u->guesses;
    return 0;
}
