/* See copy_tree.h. Mode and times of a directory come last, when all that is in it is there. */
#include "base/copy_tree.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"

enum { DEPTH_MAX = 256, XATTR_BYTES = 64 << 10, CHUNK = 1 << 30 };

/* A file with several names: where the first of them was made, below the target. */
struct first_name {
    dev_t device;
    ino_t inode;
    const char *path;
    struct first_name *next;
};

enum { BUCKETS = 1024 };

struct copy {
    struct arena arena;
    int top; /* the target */
    const struct copy_owners *owners;
    struct first_name *links[BUCKETS];
};

static int copy_directories(struct copy *c, int from, int to, const char *path, unsigned depth,
                            struct error *err);

/* Capabilities are those of a user namespace's root: of the new one (struct vfs_ns_cap_data). */
static ssize_t give_capabilities(const struct copy *c, char *value, ssize_t length)
{
    struct vfs_ns_cap_data data = {0};

    if (length != XATTR_CAPS_SZ_2 && length != XATTR_CAPS_SZ_3)
        return length;
    memcpy(&data, value, (size_t)length);
    data.magic_etc = htole32((le32toh(data.magic_etc) & VFS_CAP_FLAGS_EFFECTIVE) | VFS_CAP_REVISION_3);
    data.rootid = htole32(c->owners->uid(c->owners->argument, 0));
    memcpy(value, &data, sizeof(data));
    return (ssize_t)sizeof(data);
}

/* Attributes that the target file system or our rights do not allow are left out. */
static int copy_xattrs(const struct copy *c, int from, int to)
{
    _cleanup_(freep) char *names = malloc(XATTR_BYTES);
    _cleanup_(freep) char *value = malloc(XATTR_BYTES);

    if (!names || !value)
        return -1;
    ssize_t n = flistxattr(from, names, XATTR_BYTES);
    for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
        ssize_t length = fgetxattr(from, name, value, XATTR_BYTES);
        if (length >= 0 && c->owners && strcmp(name, "security.capability") == 0)
            length = give_capabilities(c, value, length);
        if (length < 0 || fsetxattr(to, name, value, (size_t)length, 0) == 0)
            continue;
        if (errno != EOPNOTSUPP && errno != EPERM && errno != EINVAL)
            return -1;
    }
    return 0;
}

/* An owner that the user namespace does not map cannot be given; the file then stays ours. Mode last: chown
 * clears set-id bits. */
int copy_metadata(int to, const struct stat *st)
{
    const struct timespec times[] = {st->st_atim, st->st_mtim};

    if (fchown(to, st->st_uid, st->st_gid) < 0 && errno != EINVAL && errno != EPERM)
        return -1;
    if (fchmod(to, st->st_mode & 07777) < 0)
        return -1;
    return futimens(to, times);
}

static void own(const struct copy *c, struct stat *st)
{
    if (!c->owners)
        return;
    st->st_uid = c->owners->uid(c->owners->argument, st->st_uid);
    st->st_gid = c->owners->gid(c->owners->argument, st->st_gid);
}

/* [@at, @end) */
static int copy_range(int from, int to, off_t at, off_t end)
{
    if (lseek(to, at, SEEK_SET) < 0)
        return -1;
    while (at < end) {
        ssize_t n = sendfile(to, from, &at, (size_t)(end - at < CHUNK ? end - at : CHUNK));

        if (n <= 0)
            return (int)n;
    }
    return 0;
}

/* Shared where the file system can; else holes stay holes. #syscalls: ioctl sendfile ftruncate lseek */
int copy_content(int from, int to, off_t size)
{
    off_t at = 0, end;

    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0 && (end = lseek(from, at, SEEK_HOLE)) >= 0) {
        if (copy_range(from, to, at, end) < 0)
            return -1;
        at = end;
    }
    return ftruncate(to, size);
}

static int copy_file(const struct copy *c, int from_dir, int to_dir, const char *name)
{
    struct stat st;
    _cleanup_(fd_closep) int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (from < 0 || fstat(from, &st) < 0)
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = ESTALE;
        return -1;
    }
    _cleanup_(fd_closep) int to =
        openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    off_t size = st.st_size;
    own(c, &st);
    if (to < 0 || copy_content(from, to, size) < 0 || copy_metadata(to, &st) < 0 ||
        copy_xattrs(c, from, to) < 0)
        return -1;
    return 0;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

    if (n < 0)
        return -1;
    target[n] = '\0';
    if (symlinkat(target, to_dir, name) < 0)
        return -1;
    if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EINVAL &&
        errno != EPERM)
        return -1;
    return 0;
}

static int copy_node(int to_dir, const char *name, const struct stat *st)
{
    if (S_ISSOCK(st->st_mode)) /* nobody listens on a copy */
        return 0;
    if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0)
        return errno == EPERM ? 0 : -1; /* devices, in a user namespace */
    if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EINVAL &&
        errno != EPERM)
        return -1;
    return fchmodat(to_dir, name, st->st_mode & 07777, 0);
}

/* 1: it was copied under another name, and is a link to that now. */
static int link_again(struct copy *c, const struct stat *st, int to, const char *path, const char *name)
{
    struct first_name **bucket = &c->links[st->st_ino % BUCKETS], *f = *bucket;

    if (st->st_nlink < 2)
        return 0;
    while (f && (f->inode != st->st_ino || f->device != st->st_dev))
        f = f->next;
    if (f)
        return linkat(c->top, f->path, to, name, 0) < 0 ? -1 : 1;
    f = arena_new(&c->arena, struct first_name);
    *f = (struct first_name){st->st_dev, st->st_ino, path, *bucket};
    *bucket = f;
    return 0;
}

static int copy_directory(struct copy *c, int from_dir, int to_dir, const char *name, const char *path,
                          unsigned depth, struct error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;

    if (mkdirat(to_dir, name, 0700) < 0)
        return error_set(err, errno, "make directory %s", path);
    _cleanup_(fd_closep) int from = openat(from_dir, name, flags);
    _cleanup_(fd_closep) int to = openat(to_dir, name, flags);
    if (from < 0 || to < 0)
        return error_set(err, errno, "open %s", path);
    if (copy_directories(c, from, to, path, depth, err) < 0)
        return -1;
    int rc = fstat(from, &st);
    own(c, &st);
    if (rc < 0 || copy_metadata(to, &st) < 0 || copy_xattrs(c, from, to) < 0)
        return error_set(err, errno, "copy the attributes of %s", path);
    return 0;
}

static int copy_entry(struct copy *c, int from, int to, const char *name, const char *above, unsigned depth,
                      struct error *err)
{
    const char *path = arena_printf(&c->arena, "%s%s%s", above, *above ? "/" : "", name);
    struct stat st;
    int result;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "look at %s", path);
    if (S_ISDIR(st.st_mode))
        return copy_directory(c, from, to, name, path, depth, err);
    own(c, &st);
    result = link_again(c, &st, to, path, name);
    if (result == 0)
        result = S_ISREG(st.st_mode)   ? copy_file(c, from, to, name)
                 : S_ISLNK(st.st_mode) ? copy_link(from, to, name, &st)
                                       : copy_node(to, name, &st);
    return result < 0 ? error_set(err, errno, "copy %s", path) : 0;
}

static int copy_directories(struct copy *c, int from, int to, const char *path, unsigned depth,
                            struct error *err)
{
    struct dirent *e;

    if (depth == DEPTH_MAX)
        return error_set(err, ELOOP, "%s: more than %d directories deep", path, DEPTH_MAX);
    int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0)
        return error_set(err, errno, "open directory %s", path);
    _cleanup_(closedirp) DIR *dir = fdopendir(again);
    if (!dir) {
        close(again);
        return error_set(err, errno, "read directory %s", path);
    }
    while (errno = 0, (e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            copy_entry(c, from, to, e->d_name, path, depth + 1, err) < 0)
            return -1;
    return errno ? error_set(err, errno, "read directory %s", path) : 0;
}

int copy_tree(int from, int to, struct error *err)
{
    return copy_tree_as(from, to, NULL, err);
}

int copy_tree_as(int from, int to, const struct copy_owners *owners, struct error *err)
{
    struct copy c = {.top = to, .owners = owners};
    int result = copy_directories(&c, from, to, "", 0, err);

    arena_free(&c.arena);
    return result;
}

static int chown_below(int dir, uid_t uid, gid_t gid, unsigned depth, struct error *err)
{
    _cleanup_(closedirp) DIR *d = fdopendir(dir);
    struct dirent *e;

    if (!d)
        return close(dir), error_set(err, errno, "read a directory");
    if (depth == DEPTH_MAX)
        return error_set(err, ELOOP, "more than %d directories deep", DEPTH_MAX);
    while (errno = 0, (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (fchownat(dirfd(d), e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
            return error_set(err, errno, "give %s to user %u, group %u", e->d_name, uid, gid);
        int below = e->d_type == DT_DIR || e->d_type == DT_UNKNOWN
                        ? openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                        : -1;
        if (below >= 0 && chown_below(below, uid, gid, depth + 1, err) < 0)
            return error_wrap(err, "%s", e->d_name);
    }
    return errno ? error_set(err, errno, "read a directory") : 0;
}

int chown_tree(int dirfd, const char *path, uid_t uid, gid_t gid, struct error *err)
{
    int dir;

    if (fchownat(dirfd, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "give %s to user %u, group %u", path, uid, gid);
    dir = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOTDIR || errno == ELOOP ? 0 : error_set(err, errno, "open %s", path);
    return chown_below(dir, uid, gid, 0, err) < 0 ? error_wrap(err, "%s", path) : 0;
}
