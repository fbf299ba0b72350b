/*
 * Paths below a root descriptor.
 *
 * openat2 answers path_open() in one call. Everything else - kernels before 5.6, seccomp profiles that do not
 * know openat2, a tree that keeps being renamed (EAGAIN), and the making of what is missing - is a walk: one
 * component at a time, each opened O_NOFOLLOW below the descriptor of the one before, symlinks read and put
 * in front of what is left.
 *
 * Invariants of the walk: `at` is the directory that `done` names below the root, and `done` holds neither
 * links nor dots. ".." is never passed to the kernel, because a directory that is renamed out of the root
 * meanwhile would have its parent outside: the last name of `done` is dropped and the rest walked again. See
 * path_resolution(7), openat2(2).
 */
#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/arena.h"
#include "base/path_private.h"
#include "base/syscalls.h"

enum {
    MAX_LINKS = 40,      /* the kernel's MAXSYMLINKS */
    MAX_STEPS = 1 << 16, /* opens in one walk: "a/../a/../..." may not keep us busy for ever */
    MAX_RETRIES = 32,    /* of an openat2 that says EAGAIN, before we walk */
    BUFFER = 2 * PATH_MAX,
};

enum goal { GOAL_OPEN, GOAL_DIRECTORY, GOAL_FILE };

struct walk {
    int root, at; /* at: -1 stands for the root itself */
    enum goal goal;
    int flags; /* GOAL_OPEN: what the last component is opened with */
    mode_t mode;
    mode_t parents_mode; /* GOAL_DIRECTORY, GOAL_FILE: of missing directories */
    unsigned links, max_links, steps;
    char done[BUFFER], todo[BUFFER];
};

static bool no_openat2;

void path_pretend_no_openat2(bool pretend)
{
    no_openat2 = pretend;
}

static int fail(int code)
{
    errno = code;
    return -1;
}

static int at_fd(const struct walk *w)
{
    return w->at < 0 ? w->root : w->at;
}

static void move_to(struct walk *w, int fd)
{
    fd_closep(&w->at);
    w->at = fd;
}

static int append_done(struct walk *w, const char *name)
{
    size_t used = strlen(w->done), more = strlen(name);
    if (used + 1 + more >= sizeof(w->done))
        return fail(ENAMETOOLONG);
    w->done[used] = '/';
    memcpy(w->done + used + 1, name, more + 1);
    return 0;
}

static int open_step(struct walk *w, int dir, const char *name, int flags)
{
    if (++w->steps > MAX_STEPS)
        return fail(ELOOP);
    return openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC);
}

static int go_up(struct walk *w)
{
    char *last = strrchr(w->done, '/');
    if (!last)
        return 0; /* ".." in the root is the root */
    *last = '\0';

    _cleanup_(fd_closep) int fd = -1;
    for (const char *p = w->done; *p;) {
        char name[NAME_MAX + 1];
        size_t n = strcspn(++p, "/");
        memcpy(name, p, n);
        name[n] = '\0';
        p += n;

        int next = open_step(w, fd < 0 ? w->root : fd, name, O_PATH | O_DIRECTORY);
        if (next < 0)
            return -1;
        fd_closep(&fd);
        fd = next;
    }
    move_to(w, steal_fd(&fd));
    return 0;
}

/* procfs's magic links (exe, cwd, fd/1) read as absolute paths or as "pipe:[1]"; its honest ones (self,
 * mounts) are relative. The kernel would say ELOOP to the former. */
static bool is_magic(int dir, const char *target)
{
    struct statfs fs;
    return (target[0] == '/' || strpbrk(target, ":(")) && fstatfs(dir, &fs) == 0 &&
           fs.f_type == PROC_SUPER_MAGIC;
}

/* Put the link's target in front of @rest. 1 if @name is a link, 0 if not, -1 with errno. */
static int follow(struct walk *w, const char *name, const char *rest)
{
    char text[BUFFER];
    ssize_t n = readlinkat(at_fd(w), name, text, PATH_MAX);
    if (n < 0)
        return errno == EINVAL ? 0 : -1;
    if (n == 0)
        return fail(ENOENT);
    if (++w->links > w->max_links)
        return fail(ELOOP);
    size_t more = strlen(rest) + 1;
    if ((size_t)n + more > sizeof(text))
        return fail(ENAMETOOLONG);
    text[n] = '\0';
    if (is_magic(at_fd(w), text))
        return fail(ELOOP);

    memcpy(text + n, rest, more);
    memcpy(w->todo, text, (size_t)n + more);
    if (text[0] == '/') {
        move_to(w, -1);
        w->done[0] = '\0';
    }
    return 1;
}

/* A component that has to be a directory. */
static int enter(struct walk *w, const char *name, const char *rest)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        memmove(w->todo, rest, strlen(rest) + 1);
        return name[1] ? go_up(w) : 0;
    }
    int fd = open_step(w, at_fd(w), name, O_PATH | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT && w->goal != GOAL_OPEN) {
        if (mkdirat(at_fd(w), name, w->parents_mode) && errno != EEXIST)
            return -1;
        fd = open_step(w, at_fd(w), name, O_PATH | O_DIRECTORY);
    }
    if (fd >= 0) {
        move_to(w, fd);
        if (append_done(w, name))
            return -1;
        memmove(w->todo, rest, strlen(rest) + 1);
        return 0;
    }
    if (errno != ENOTDIR && errno != ELOOP)
        return -1;
    int code = errno, link = follow(w, name, rest);
    return link > 0 ? 0 : link < 0 ? -1 : fail(code);
}

/* Open the last component without following it. */
static int open_last(struct walk *w, const char *name)
{
    if (++w->steps > MAX_STEPS)
        return fail(ELOOP);
    if (w->goal == GOAL_OPEN)
        return openat(at_fd(w), name, w->flags | O_NOFOLLOW | O_CLOEXEC, w->mode);

    const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(at_fd(w), name, flags);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (mknodat(at_fd(w), name, S_IFREG | w->mode, 0) && errno != EEXIST)
        return -1;
    return openat(at_fd(w), name, flags);
}

/* The last component. The descriptor; -1 with errno; or -2: it was a link, and the walk goes on. */
static int finish(struct walk *w, const char *name)
{
    bool exclusive = (w->flags & O_CREAT) && (w->flags & O_EXCL);
    bool may_follow = w->goal != GOAL_OPEN || !((w->flags & O_NOFOLLOW) || exclusive);
    bool path_only = w->goal != GOAL_OPEN || (w->flags & O_PATH);

    _cleanup_(fd_closep) int fd = open_last(w, name);
    if (!may_follow || (fd < 0 && errno != ELOOP && errno != ENOTDIR))
        return steal_fd(&fd);
    if (fd >= 0) {
        /* O_PATH | O_NOFOLLOW opens a link itself. */
        struct stat st;
        if (!path_only)
            return steal_fd(&fd);
        if (fstat(fd, &st))
            return -1;
        if (!S_ISLNK(st.st_mode))
            return steal_fd(&fd);
    }
    int code = fd < 0 ? errno : ELOOP, link = follow(w, name, "");
    return link > 0 ? -2 : link < 0 ? -1 : fail(code);
}

/* The path ended in a directory that is open already: "/", "a/", "a/..". */
static int finish_directory(struct walk *w)
{
    if (w->goal == GOAL_FILE || (w->goal == GOAL_OPEN && (w->flags & O_CREAT)))
        return fail(w->flags & O_EXCL ? EEXIST : EISDIR);
    if (w->goal == GOAL_DIRECTORY && w->at >= 0)
        return steal_fd(&w->at);
    int flags = w->goal == GOAL_OPEN ? w->flags & ~O_NOFOLLOW : O_PATH | O_DIRECTORY;
    return openat(at_fd(w), ".", flags | O_CLOEXEC, w->mode);
}

static int walk(struct walk *w, const char *path)
{
    size_t length = strlen(path);
    if (length == 0)
        return fail(ENOENT);
    if (length >= PATH_MAX)
        return fail(ENAMETOOLONG);
    memcpy(w->todo, path, length + 1);

    for (;;) {
        char name[NAME_MAX + 1];
        const char *p = w->todo + strspn(w->todo, "/");
        size_t n = strcspn(p, "/");
        if (n == 0)
            return finish_directory(w);
        if (n > NAME_MAX)
            return fail(ENAMETOOLONG);
        memcpy(name, p, n);
        name[n] = '\0';

        bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
        if (p[n] || dots || w->goal == GOAL_DIRECTORY) {
            if (enter(w, name, p + n))
                return -1;
            continue;
        }
        int fd = finish(w, name);
        if (fd != -2)
            return fd;
    }
}

static int walk_path(int root, const char *path, enum goal goal, int flags, mode_t mode, mode_t parents_mode,
                     unsigned max_links)
{
    struct walk w;
    w.root = root;
    w.at = -1;
    w.goal = goal;
    w.flags = flags;
    w.mode = mode;
    w.parents_mode = parents_mode;
    w.links = w.steps = 0;
    w.max_links = max_links;
    w.done[0] = '\0';

    int fd = walk(&w, path);
    fd_closep(&w.at);
    return fd;
}

static int open_below(int root, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    mode = creates ? mode & 07777 : 0;
    const struct open_how how = {
        .flags = (unsigned)flags | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE_IN_ROOT | resolve,
    };
    int fd = -1;
    errno = ENOSYS;
    for (int i = 0; !no_openat2 && i < MAX_RETRIES; i++) {
        fd = sys_openat2(root, path, &how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    /* EPERM: either the file's, and the walk will say so again, or a seccomp profile's that is older than
     * openat2. */
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EAGAIN))
        return fd;
    return walk_path(root, path, GOAL_OPEN, flags, mode, 0, resolve & RESOLVE_NO_SYMLINKS ? 0 : MAX_LINKS);
}

int path_open(int root, const char *path, int flags, mode_t mode)
{
    return open_below(root, path, flags, mode, RESOLVE_NO_MAGICLINKS);
}

int path_open_nofollow(int root, const char *path, int flags, mode_t mode)
{
    /* Without O_NOFOLLOW: beside O_PATH it would open a link at the end instead of refusing it. */
    return open_below(root, path, flags & ~O_NOFOLLOW, mode, RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

int path_mkdirs(int root, const char *path, mode_t mode, int *fd, struct error *err)
{
    int got = path_open(root, path, O_PATH | O_DIRECTORY, 0);
    if (got < 0 && errno == ENOENT)
        got = walk_path(root, path, GOAL_DIRECTORY, 0, mode, mode, MAX_LINKS);
    if (got < 0)
        return error_set(err, errno, "make directory %s", path);
    *fd = got;
    return 0;
}

int path_mkfile(int root, const char *path, mode_t mode, int *fd, struct error *err)
{
    enum { PARENTS_MODE = 0755 };
    _cleanup_(fd_closep) int got = path_open(root, path, O_PATH, 0);
    if (got < 0 && errno == ENOENT)
        got = walk_path(root, path, GOAL_FILE, 0, mode & 07777, PARENTS_MODE, MAX_LINKS);

    struct stat st;
    if (got < 0 || fstat(got, &st))
        return error_set(err, errno, "make file %s", path);
    if (S_ISDIR(st.st_mode))
        return error_set(err, EISDIR, "make file %s", path);
    *fd = steal_fd(&got);
    return 0;
}

int path_open_parent(int root, const char *path, mode_t mode, int *parent, const char **name,
                     struct error *err)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    size_t n = (size_t)(last - path);

    if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return error_set(err, 0, "\"%s\" does not end in the name of a file", path);
    if (n >= sizeof(directory))
        return error_set(err, ENAMETOOLONG, "make directory of %s", path);
    memcpy(directory, path, n);
    directory[n] = '\0';
    if (path_mkdirs(root, n ? directory : "/", mode, parent, err))
        return -1;
    *name = last;
    return 0;
}

/* Drop "." components and spare slashes in place. ".." stays: where it leads is for the kernel to say. */
static char *drop_dots(char *path)
{
    char *out = path;

    for (const char *in = path; *in;) {
        size_t n = strcspn(in, "/");
        if (n > 0 && !(n == 1 && *in == '.')) {
            *out++ = '/';
            memmove(out, in, n);
            out += n;
        }
        in += n + strspn(in + n, "/");
    }
    if (out == path)
        *out++ = '/';
    *out = '\0';
    return path;
}

char *path_absolute(struct arena *a, const char *path)
{
    char cwd[PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(cwd, sizeof(cwd)))
        return NULL;
    return drop_dots(arena_printf(a, "%s/%s", cwd, path));
}

bool path_has_dotdot(const char *path)
{
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            return true;
        p += n;
        p += strspn(p, "/");
    }
    return false;
}
