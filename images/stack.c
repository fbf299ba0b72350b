/*
 * The walk, a component at a time. At each directory it is known which trees can add to it: from the first that has it down
 * to the first that is opaque there, or has something else in its place.
 */
#include "images/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/syscalls.h"

enum { MAX_LINKS = 40 };

/* Nothing on the way is a link or a mount that leads out; the last is not followed. */
static int tree_open(int tree, const char *path, int flags)
{
    const struct open_how how = {.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};

    return sys_openat2(tree, *path ? path : ".", &how);
}

bool directory_is_opaque(int fd)
{
    static const char *const names[] = {"trusted.overlay.opaque", "user.overlay.opaque"};
    char value;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (fgetxattr(fd, names[i], &value, 1) == 1 && value == 'y')
            return true;
    return false;
}

static bool is_opaque_at(int tree, const char *path)
{
    _cleanup_(fd_closep) int fd = tree_open(tree, path, O_RDONLY | O_DIRECTORY);

    return fd >= 0 && directory_is_opaque(fd);
}

/* Find e->path among the trees [first, last]. */
static void find(const struct stack *s, size_t first, size_t last, struct stack_entry *e)
{
    bool found = false;

    e->st.st_mode = 0;
    e->last_tree = last;
    for (size_t i = first; i <= last; i++) {
        _cleanup_(fd_closep) int fd = tree_open(s->trees[i], e->path, O_PATH);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
            continue;
        if (found && !S_ISDIR(st.st_mode)) {
            e->last_tree = i - 1;
            return;
        }
        if (!found && stat_is_whiteout(&st))
            return;
        if (!found) {
            e->st = st;
            e->tree = i;
            found = true;
        }
        if (!S_ISDIR(st.st_mode))
            return;
        if (is_opaque_at(s->trees[i], e->path)) {
            e->last_tree = i;
            return;
        }
    }
}

static int read_link(const struct stack *s, const struct stack_entry *e, char target[PATH_MAX])
{
    _cleanup_(fd_closep) int fd = stack_open(s, e, O_PATH);
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, PATH_MAX - 1);

    if (n >= 0)
        target[n] = '\0';
    return n < 0 ? -1 : 0;
}

static void to_parent(char *path)
{
    char *slash = strrchr(path, '/');

    *(slash ? slash : path) = '\0';
}

/* The walk's state: where it stands, and what is still to go. */
struct walk {
    const struct stack *s;
    struct stack_entry *at;
    char rest[2 * PATH_MAX];
    unsigned links;
    const char *asked;
};

static void stand_at_root(struct walk *w)
{
    w->at->path[0] = '\0';
    find(w->s, 0, w->s->n - 1, w->at);
}

/* Go back up: what was known below does not help. */
static int go_up(struct walk *w)
{
    char path[sizeof(w->at->path)];
    struct stack_entry *at = w->at;
    size_t length;

    to_parent(at->path);
    memcpy(path, at->path, sizeof(path));
    length = strlen(path);
    stand_at_root(w);
    for (size_t i = 1; i <= length; i++)
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(at->path, path, i);
            at->path[i] = '\0';
            find(w->s, at->tree, at->last_tree, at);
        }
    return 0;
}

/* The end of @rest is kept behind the link's target. */
static int follow_link(struct walk *w, char *rest, struct error *err)
{
    char target[PATH_MAX], joined[sizeof(w->rest)];

    if (++w->links > MAX_LINKS)
        return error_set(err, ELOOP, "%s", w->asked);
    if (read_link(w->s, w->at, target) < 0)
        return error_set(err, errno, "%s: read the link %s", w->asked, w->at->path);
    if ((size_t)snprintf(joined, sizeof(joined), "%s/%s", target, rest) >= sizeof(joined))
        return error_set(err, ENAMETOOLONG, "%s", w->asked);
    if (target[0] == '/')
        stand_at_root(w);
    else
        go_up(w);
    memcpy(w->rest, joined, sizeof(joined));
    return 0;
}

static int step_down(struct walk *w, const char *name, struct error *err)
{
    struct stack_entry *at = w->at;
    size_t length = strlen(at->path), more = strlen(name);

    if (length + 1 + more >= sizeof(at->path))
        return error_set(err, ENAMETOOLONG, "%s", w->asked);
    if (length)
        at->path[length++] = '/';
    memcpy(at->path + length, name, more + 1);
    find(w->s, at->tree, at->last_tree, at);
    return 0;
}

int stack_lookup(const struct stack *s, const char *path, bool follow, struct stack_entry *out,
                 struct error *err)
{
    struct walk w = {.s = s, .at = out, .asked = path};

    if ((size_t)snprintf(w.rest, sizeof(w.rest), "%s", path) >= PATH_MAX)
        return error_set(err, ENAMETOOLONG, "%.200s...", path);
    stand_at_root(&w);
    for (;;) {
        char *name = w.rest + strspn(w.rest, "/"), *end = name + strcspn(name, "/");
        char component[NAME_MAX + 1];

        if (!*name)
            return 0;
        if (end - name > NAME_MAX)
            return error_set(err, ENAMETOOLONG, "%s", path);
        memcpy(component, name, (size_t)(end - name));
        component[end - name] = '\0';
        memmove(w.rest, end, strlen(end) + 1);
        if (strcmp(component, ".") == 0)
            continue;
        if (!S_ISDIR(out->st.st_mode))
            return error_set(err, out->st.st_mode ? ENOTDIR : ENOENT, "%s: %s", path, out->path);
        if (strcmp(component, "..") == 0) {
            go_up(&w);
            continue;
        }
        if (step_down(&w, component, err) < 0)
            return -1;
        bool last = w.rest[strspn(w.rest, "/")] == '\0';
        if (S_ISLNK(out->st.st_mode) && (follow || !last) && follow_link(&w, w.rest, err) < 0)
            return -1;
    }
}

int stack_open(const struct stack *s, const struct stack_entry *e, int flags)
{
    return tree_open(s->trees[e->tree], e->path, flags);
}
