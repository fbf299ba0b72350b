/*
 * Mount targets: a destination of config.json -> a descriptor inside the root, made when it is missing.
 *
 * The usual destination has no symlink on its way and is opened in one call that would refuse one. Only when
 * there is a symlink are links followed (inside the root), and then the place they lead to is looked at: not
 * the root itself, and not inside a procfs - plan.c has checked the words, this checks where they lead. For
 * proc and sysfs links are refused altogether (CVE-2019-19921, CVE-2023-27561).
 *
 * What is missing is made below the descriptor of its parent and opened O_NOFOLLOW, so a name that changes
 * under our hands gives an error, never another place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/path.h"
#include "namespaces/rootfs_private.h"

enum { DIRECTORY_MODE = 0755, FILE_MODE = 0755 };

static int check_followed(const struct rootfs *r, int fd, struct error *err)
{
    struct statfs fs;
    struct stat st, root;

    if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0 || fstat(r->root, &root) < 0)
        return error_set(err, errno, "look at the target");
    if (fs.f_type == PROC_SUPER_MAGIC)
        return error_set(err, 0, "cannot be mounted because a symbolic link leads it inside /proc");
    if (st.st_dev == root.st_dev && st.st_ino == root.st_ino)
        return error_set(err, 0, "cannot be mounted because a symbolic link leads it to the root itself");
    return 0;
}

static int not_ordinary(const struct mount_step *s, struct error *err)
{
    return error_set(err, 0,
                     "%s must be mounted on ordinary directory, and in the root file system it is not one",
                     s->type);
}

/* 1 when it is to be a directory, 0 a file, -1 with *err. */
static int wants_directory(enum target_kind kind, int like, struct error *err)
{
    struct stat st;

    if (kind != TARGET_LIKE)
        return 1;
    if (fstat(like, &st) < 0)
        return error_set(err, errno, "look at the bind's source");
    return S_ISDIR(st.st_mode);
}

/* Make the last component below its parent, all without following links. -1 with errno: ENOENT when the
 * parent is missing. */
static int make_last(struct rootfs *r, const char *dest, bool directory)
{
    char parent[PATH_MAX];
    struct stat st;
    const char *name = strrchr(dest, '/') + 1;
    size_t n = (size_t)(name - dest);

    if (n >= sizeof(parent)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(parent, dest, n);
    parent[n] = '\0';
    int dir = path_open_nofollow(r->root, parent, O_PATH | O_DIRECTORY, 0), fd = -1;
    if (dir < 0)
        return -1;
    int made = directory ? mkdirat(dir, name, DIRECTORY_MODE) : mknodat(dir, name, S_IFREG | FILE_MODE, 0);
    if (made == 0 || errno == EEXIST)
        fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | (directory ? O_DIRECTORY : 0));
    fd_batch_add(&r->batch, dir);
    if (fd >= 0 && !directory && fstat(fd, &st) == 0 &&
        S_ISLNK(st.st_mode)) { /* a link that leads nowhere yet */
        close(fd);
        errno = ELOOP;
        return -1;
    }
    return fd;
}

static int make(struct rootfs *r, const struct mount_step *s, enum target_kind kind, int like, int *out,
                struct error *err)
{
    int directory = wants_directory(kind, like, err);

    if (directory < 0)
        return -1;
    _cleanup_(fd_closep) int fd = make_last(r, s->dest, directory);
    if (fd >= 0) {
        *out = steal_fd(&fd);
        return 0;
    }
    if (errno != ENOENT && errno != ELOOP && errno != ENOTDIR)
        return error_set(err, errno, "create the target");

    /* parents are missing, or links are on the way */
    if ((directory ? path_mkdirs(r->root, s->dest, DIRECTORY_MODE, &fd, err)
                   : path_mkfile(r->root, s->dest, FILE_MODE, &fd, err)) < 0)
        return error_wrap(err, "create the target");
    if (check_followed(r, fd, err) < 0)
        return -1;
    if (kind == TARGET_STRICT) {
        fd_closep(&fd);
        fd = path_open_nofollow(r->root, s->dest, O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
            return not_ordinary(s, err);
    }
    *out = steal_fd(&fd);
    return 0;
}

int target_open(struct rootfs *r, const struct mount_step *s, enum target_kind kind, int like, int *out,
                bool *created, struct error *err)
{
    const int flags = O_PATH | (kind == TARGET_LIKE ? 0 : O_DIRECTORY);

    if (created)
        *created = false;
    _cleanup_(fd_closep) int fd = path_open_nofollow(r->root, s->dest, flags, 0);
    if (fd < 0 && errno == ELOOP && kind == TARGET_STRICT)
        return not_ordinary(s, err);
    if (fd < 0 && errno == ELOOP) {
        bool stay = s->o.extensions & MOUNT_EXT_DEST_NOFOLLOW;
        fd = path_open(r->root, s->dest, flags | (stay ? O_NOFOLLOW : 0), 0);
        if (fd >= 0 && check_followed(r, fd, err) < 0)
            return -1;
    }
    if (fd >= 0) {
        *out = steal_fd(&fd);
        return 0;
    }
    if (errno == ENOTDIR && kind != TARGET_LIKE)
        return not_ordinary(s, err);
    if (errno != ENOENT)
        return error_set(err, errno, "open the target");
    if (created)
        *created = true;
    return make(r, s, kind, like, out, err);
}

int target_reopen(struct rootfs *r, const struct mount_step *s, int flags)
{
    int fd = path_open_nofollow(r->root, s->dest, flags, 0);
    if (fd < 0 && errno == ELOOP)
        fd = path_open(r->root, s->dest, flags, 0);
    return fd;
}
