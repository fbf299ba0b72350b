/*
 * Where an entry goes. The parent directory is opened inside the tree: links of this layer are followed as the container
 * would. What is missing on the way is looked for in the layers below: a directory there is made here with the same
 * attributes (as overlayfs copies one up), a link there is followed, so that bin/ of a layer lands in usr/bin where below
 * bin is a link; what is nowhere is made plainly.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "images/unpack_private.h"

static int too_deep(struct error *err)
{
    return error_set(err, 0, "more than %d directories in each other", UNPACK_MAX_DEPTH);
}

int unpack_clean_path(const char *path, char out[4096], struct error *err)
{
    size_t n = 0, depth = 0;

    for (const char *c = path; *c;) {
        size_t length = strcspn(c, "/");

        if (length == 2 && memcmp(c, "..", 2) == 0)
            return error_set(err, 0, "\"..\" in the path: it may lead out of the layer");
        if (length > NAME_MAX)
            return error_set(err, ENAMETOOLONG, "a name of %zu bytes", length);
        if (length > 0 && !(length == 1 && *c == '.')) {
            if (++depth > UNPACK_MAX_DEPTH)
                return too_deep(err);
            if (n + length + 2 > PATH_MAX)
                return error_set(err, ENAMETOOLONG, "the path");
            if (n)
                out[n++] = '/';
            memcpy(out + n, c, length);
            n += length;
        }
        c += length;
        c += strspn(c, "/");
    }
    out[n] = '\0';
    return 0;
}

void unpack_forget_parent(struct unpack *u)
{
    if (u->parent >= 0 && u->parent != u->tree)
        close(u->parent);
    u->parent = -1;
}

int unpack_need_below(struct unpack *u, struct error *err)
{
    if (u->result->depends || !u->options->below)
        return 0;
    u->result->depends = true;
    return u->options->below(u->options->context, &u->stack, err) < 0 ? -1 : unpack_settle_guesses(u, err);
}

/* Where @path is once the layers are laid over each other: free of links. What is missing has its place all the same. 1: it
 * is there, a directory; 0: it is not there. */
static int resolve(struct unpack *u, const char *path, char out[static PATH_MAX], struct error *err)
{
    struct stack_entry e;
    bool there = true;

    out[0] = '\0';
    for (const char *c = path; *c; c += strspn(c, "/")) {
        char next[PATH_MAX];
        int length = (int)strcspn(c, "/");

        if ((size_t)snprintf(next, sizeof(next), "%s%s%.*s", out, *out ? "/" : "", length, c) >= sizeof(next))
            return error_set(err, ENAMETOOLONG, "the path");
        c += length;
        if (there && stack_lookup(&u->stack, next, true, &e, err) < 0)
            return -1;
        if (there && e.st.st_mode && !S_ISDIR(e.st.st_mode))
            return error_set(err, ENOTDIR, "%s", e.path);
        memcpy(out, there ? e.path : next, PATH_MAX);
        there = there && e.st.st_mode;
    }
    return there;
}

/* Make the directory @name in @parent, like the one at @path below if there is one. Where this layer has a whiteout, it
 * begins anew. */
static int make_implicit(struct unpack *u, const char *path, int parent, const char *name, struct error *err)
{
    struct stack_entry below;
    struct stat st;
    bool whiteout = fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0;

    if (stack_lookup(&u->stack, path, false, &below, err) < 0)
        return -1;
    if (whiteout && (!stat_is_whiteout(&st) || unlinkat(parent, name, 0) < 0))
        return error_set(err, ENOTDIR, "%s", path);
    if (mkdirat(parent, name, 0755) < 0)
        return error_set(err, errno, "make the directory %s", path);
    _cleanup_(fd_closep) int to = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (to < 0)
        return error_set(err, errno, "open the directory %s", path);
    if (fchmod(to, 0755) < 0) /* whatever the umask */
        return error_set(err, errno, "set the mode of the directory %s", path);
    if (whiteout)
        return unpack_set_opaque(u, to, err);
    if (!S_ISDIR(below.st.st_mode))
        return unpack_guess(u, path, to, err);
    _cleanup_(fd_closep) int from = stack_open(&u->stack, &below, O_RDONLY | O_DIRECTORY);
    if (from < 0)
        return error_set(err, errno, "open the directory %s of a layer below", path);
    return unpack_copy_attributes(from, &below.st, to, err) < 0
               ? -1
               : unpack_remember_time(u, path, below.st.st_mtim, err);
}

/* Every directory of @path, which is free of links, exists in this layer afterwards. The last one's descriptor. */
int unpack_make_path(struct unpack *u, const char *path, struct error *err)
{
    _cleanup_(fd_closep) int at = openat(u->tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    unsigned depth = 0;

    if (at < 0)
        return error_set(err, errno, "open the layer's root");
    for (const char *c = path; *c; c += strspn(c, "/")) {
        char prefix[PATH_MAX], name[NAME_MAX + 1];
        size_t length = strcspn(c, "/");

        if (++depth > UNPACK_MAX_DEPTH)
            return too_deep(err);
        snprintf(name, sizeof(name), "%.*s", (int)length, c);
        c += length;
        snprintf(prefix, sizeof(prefix), "%.*s", (int)(c - path), path);
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0) {
            if (make_implicit(u, prefix, at, name, err) < 0)
                return -1;
            next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (next < 0)
            return error_set(err, errno, "open the directory %s", prefix);
        close(at);
        at = next;
    }
    return steal_fd(&at);
}

/* The entry's parent as this layer has it, or through the layers below. */
static int open_parent(struct unpack *u, const char *path, bool make, int *parent, struct error *err)
{
    char *place = u->parent_place;

    strcpy(place, path);
    *parent = path_open(u->tree, path, O_RDONLY | O_DIRECTORY, 0);
    if (*parent >= 0)
        return 1;
    if (errno != ENOENT && errno != ENOTDIR)
        return error_set(err, errno, "open its directory %s", path);
    int there = make && unpack_may_guess(u) ? resolve(u, path, place, err) : -1;
    if (there < 0) { /* no guess: what cannot be resolved in this layer alone may lead through those below */
        error_clear(err);
        if (unpack_need_below(u, err) < 0)
            return -1;
        there = resolve(u, path, place, err);
    }
    if (there < 0 && !make && err->code == ENOTDIR) { /* nothing can be in it that a whiteout could hide */
        error_clear(err);
        return 0;
    }
    if (there < 0 || (!there && !make))
        return there;
    *parent = unpack_make_path(u, place, err);
    return *parent < 0 ? -1 : 1;
}

/* A whiteout has nothing in it; aufs kept its own files below names that begin with two of the prefix: passed over. */
static int below_marker(const char *marker, struct error *err)
{
    if (strncmp(marker, WHITEOUT_PREFIX WHITEOUT_PREFIX, 2 * strlen(WHITEOUT_PREFIX)) == 0)
        return 0;
    return error_set(err, 0, "it is below a whiteout, which marks what is removed");
}

int unpack_locate(struct unpack *u, struct unpack_entry *e, struct error *err)
{
    const char *path = e->path, *slash;

    if (unpack_clean_path(archive_entry_pathname(e->archive), e->path, err) < 0)
        return -1;
    const char *marker = strncmp(path, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0
                             ? path
                             : strstr(path, "/" WHITEOUT_PREFIX);
    if (marker && strchr(marker + 1, '/'))
        return below_marker(marker + (*marker == '/'), err);
    slash = strrchr(path, '/');
    e->name = slash ? slash + 1 : path;
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (u->parent >= 0 && strlen(u->parent_path) == length && memcmp(u->parent_path, path, length) == 0) {
        e->parent = u->parent;
        return 1;
    }
    unpack_forget_parent(u);
    memcpy(u->parent_path, path, length);
    u->parent_path[length] = '\0';
    bool whiteout = strncmp(e->name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0;
    int found = length ? open_parent(u, u->parent_path, !whiteout, &u->parent, err) : 1;
    if (length == 0) {
        u->parent = u->tree;
        u->parent_place[0] = '\0';
    }
    if (found <= 0)
        u->parent = -1;
    e->parent = u->parent;
    return found;
}

int unpack_make_room(struct unpack *u, const struct unpack_entry *e, bool directory, struct error *err)
{
    struct stat st;

    if (fstatat(e->parent, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "look at what is there");
    if (directory && S_ISDIR(st.st_mode))
        return 1;
    if (directory && stat_is_whiteout(&st))
        return 0; /* for the caller, who has to know of it */
    if (u->skeleton)
        skeleton_replaced(u->skeleton, e->parent, e->name, &st);
    if (!S_ISDIR(st.st_mode))
        return unlinkat(e->parent, e->name, 0) < 0 ? error_set(err, errno, "replace what is there") : 0;
    return file_remove_tree(e->parent, e->name, err);
}
