/*
 * The merged tree is walked by the stack's own look-up, a directory at a time: the names of all trees that can add to it,
 * sorted, each once. A directory gets its attributes when all that is in it is there.
 *
 * Every file is opened below its layer's descriptor without following links, and made with O_EXCL in a directory of ours.
 */
#include "images/merge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "images/unpack_private.h"

enum { DEPTH_MAX = 500 };

/* A file with several names: where the first of them was made. */
struct first_name {
    size_t tree;
    ino_t inode;
    char *path; /* below the target */
};

struct merge {
    struct stack *stack;
    struct arena arena;
    int to;
    bool user_namespace;
    struct first_name *links; /* a hash table, open addressing; n < room / 2 */
    size_t n, room;
    unsigned devices_left_out;
};

struct names {
    char **v;
    size_t n, room;
};

/* --- names --------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_names(struct merge *m, int fd, struct names *names, struct error *err)
{
    _cleanup_(closedirp) DIR *d = fdopendir(fd);

    if (!d) {
        fd_closep(&fd);
        return error_set(err, errno, "read the directory");
    }
    for (struct dirent *e; errno = 0, (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (names->n == names->room) {
            size_t room = names->room ? 2 * names->room : 64;

            names->v = arena_grow(&m->arena, names->v, names->room * sizeof(char *), room * sizeof(char *));
            names->room = room;
        }
        names->v[names->n++] = arena_strdup(&m->arena, e->d_name);
    }
    return errno ? error_set(err, errno, "read the directory") : 0;
}

/* Of all trees that add to the directory @at, sorted, each once. */
static int list(struct merge *m, const struct stack_entry *at, struct names *names, struct error *err)
{
    size_t kept = 0;

    for (size_t tree = at->tree; tree <= at->last_tree; tree++) {
        struct stack_entry one = *at;

        one.tree = tree;
        int fd = stack_open(m->stack, &one, O_RDONLY | O_DIRECTORY);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
            continue;
        if (fd < 0)
            return error_set(err, errno, "open it");
        if (add_names(m, fd, names, err) < 0)
            return -1;
    }
    if (names->n)
        qsort(names->v, names->n, sizeof(*names->v), compare);
    for (size_t i = 0; i < names->n; i++)
        if (i == 0 || strcmp(names->v[i], names->v[kept - 1]) != 0)
            names->v[kept++] = names->v[i];
    names->n = kept;
    return 0;
}

/* --- hard links ---------------------------------------------------------------------------------------------------- */

static struct first_name *find_slot(struct first_name *links, size_t room, size_t tree, ino_t inode)
{
    size_t i = (size_t)(inode * 0x9e3779b97f4a7c15ULL >> 16) & (room - 1);

    while (links[i].path && (links[i].tree != tree || links[i].inode != inode))
        i = (i + 1) & (room - 1);
    return &links[i];
}

static struct first_name *first_name(struct merge *m, size_t tree, ino_t inode)
{
    if (2 * m->n >= m->room) {
        size_t room = m->room ? 2 * m->room : 1024;
        struct first_name *links = arena_new_n(&m->arena, room, struct first_name);

        for (size_t i = 0; i < m->room; i++)
            if (m->links[i].path)
                *find_slot(links, room, m->links[i].tree, m->links[i].inode) = m->links[i];
        m->links = links;
        m->room = room;
    }
    return find_slot(m->links, m->room, tree, inode);
}

/* 1: it is a link to what was made before. */
static int link_again(struct merge *m, const struct stack_entry *e, int parent, const char *name,
                      struct error *err)
{
    struct first_name *first;

    if (e->st.st_nlink < 2)
        return 0;
    first = first_name(m, e->tree, e->st.st_ino);
    if (!first->path) {
        *first = (struct first_name){e->tree, e->st.st_ino, arena_strdup(&m->arena, e->path)};
        m->n++;
        return 0;
    }
    return linkat(m->to, first->path, parent, name, 0) < 0
               ? error_set(err, errno, "link it to %s", first->path)
               : 1;
}

/* --- making -------------------------------------------------------------------------------------------------------- */

static int make_file(struct merge *m, const struct stack_entry *e, int parent, const char *name,
                     struct error *err)
{
    int linked;

    if ((S_ISCHR(e->st.st_mode) || S_ISBLK(e->st.st_mode)) && m->user_namespace) {
        m->devices_left_out++;
        return 0;
    }
    linked = link_again(m, e, parent, name, err);
    if (linked != 0)
        return linked < 0 ? -1 : 0;
    _cleanup_(fd_closep) int from = stack_open(m->stack, e, S_ISREG(e->st.st_mode) ? O_RDONLY : O_PATH);
    return from < 0 ? error_set(err, errno, "open it") : unpack_copy_up(from, &e->st, parent, name, err);
}

static int merge_directory(struct merge *m, const struct stack_entry *at, int to, int depth,
                           struct error *err);

static int merge_child(struct merge *m, const struct stack_entry *at, const char *name, int to, int depth,
                       struct error *err)
{
    struct stack_entry *e = arena_new(&m->arena, struct stack_entry);
    const char *path = arena_printf(&m->arena, "%s%s%s", at->path, *at->path ? "/" : "", name);

    if (stack_lookup(m->stack, path, false, e, err) < 0)
        return -1;
    if (!e->st.st_mode) /* a whiteout */
        return 0;
    if (!S_ISDIR(e->st.st_mode))
        return make_file(m, e, to, name, err) < 0 ? error_wrap(err, "%s", path) : 0;
    if (mkdirat(to, name, 0700) < 0)
        return error_set(err, errno, "make directory %s", path);
    _cleanup_(fd_closep) int fd = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "open directory %s", path);
    return merge_directory(m, e, fd, depth + 1, err);
}

static int merge_directory(struct merge *m, const struct stack_entry *at, int to, int depth,
                           struct error *err)
{
    struct names names = {0};

    if (depth > DEPTH_MAX)
        return error_set(err, 0, "%s: more than %d directories in each other", at->path, DEPTH_MAX);
    if (list(m, at, &names, err) < 0)
        return error_wrap(err, "%s", *at->path ? at->path : "the root");
    for (size_t i = 0; i < names.n; i++)
        if (merge_child(m, at, names.v[i], to, depth, err) < 0)
            return -1;
    _cleanup_(fd_closep) int from = stack_open(m->stack, at, O_RDONLY | O_DIRECTORY);
    return from < 0 ? error_set(err, errno, "open %s", at->path)
                    : unpack_copy_attributes(from, &at->st, to, err);
}

int merge_layers(struct stack *s, int to, bool user_namespace, struct error *err)
{
    struct merge m = {.stack = s, .to = to, .user_namespace = user_namespace};
    struct stack_entry root;
    int rc = stack_lookup(s, "", false, &root, err);

    if (rc == 0)
        rc = merge_directory(&m, &root, to, 0, err);
    if (rc == 0 && m.devices_left_out)
        log_warning("%u device nodes left out: they cannot be made in a user namespace", m.devices_left_out);
    arena_free(&m.arena);
    return rc;
}
