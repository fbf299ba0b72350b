/*
 * tmpcopyup: what the image has below a tmpfs's mount point is copied into it (runc's extension; podman uses
 * it). Both sides are descriptors: `from` was opened before the mount and still names the covered directory.
 * Owner and mode of the mount are those of the image's directory too, unless options name others (the mode is among
 * the mount's options either way). Nothing is followed; content is opened only after a look that it is a regular file, and looked at again
 * once it is open.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "namespaces/rootfs_private.h"

enum { DEPTH_MAX = 256, XATTR_BYTES = 64 << 10, CHUNK = 1 << 30 };

static int copy_tree(int from, int to, unsigned depth, struct error *err);

/* Attributes that the target file system or our rights do not allow are left out. */
static int copy_xattrs(int from, int to)
{
    _cleanup_(freep) char *names = malloc(XATTR_BYTES);
    _cleanup_(freep) char *value = malloc(XATTR_BYTES);

    if (!names || !value)
        return -1;
    ssize_t n = flistxattr(from, names, XATTR_BYTES);
    for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
        ssize_t length = fgetxattr(from, name, value, XATTR_BYTES);
        if (length < 0 || fsetxattr(to, name, value, (size_t)length, 0) == 0)
            continue;
        if (errno != EOPNOTSUPP && errno != EPERM && errno != EINVAL)
            return -1;
    }
    return 0;
}

/* An owner that the user namespace does not map cannot be given; the file then stays ours. Mode last: chown
 * clears set-id bits. */
static int copy_metadata(int to, const struct stat *st)
{
    const struct timespec times[] = {st->st_atim, st->st_mtim};

    if (fchown(to, st->st_uid, st->st_gid) < 0 && errno != EINVAL && errno != EPERM)
        return -1;
    if (fchmod(to, st->st_mode & 07777) < 0)
        return -1;
    return futimens(to, times);
}

static int copy_content(int from, int to)
{
    ssize_t n;

    while ((n = sendfile(to, from, NULL, CHUNK)) > 0)
        ;
    return (int)n;
}

static int copy_file(int from_dir, int to_dir, const char *name)
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
    if (to < 0 || copy_content(from, to) < 0 || copy_metadata(to, &st) < 0 || copy_xattrs(from, to) < 0)
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

static int copy_directory(int from_dir, int to_dir, const char *name, unsigned depth, struct error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;

    if (mkdirat(to_dir, name, 0700) < 0)
        return error_set(err, errno, "tmpcopyup: make %s", name);
    _cleanup_(fd_closep) int from = openat(from_dir, name, flags);
    _cleanup_(fd_closep) int to = openat(to_dir, name, flags);
    if (from < 0 || to < 0)
        return error_set(err, errno, "tmpcopyup: open %s", name);
    if (copy_tree(from, to, depth, err) < 0)
        return error_wrap(err, "%s", name);
    if (fstat(from, &st) < 0 || copy_xattrs(from, to) < 0 || copy_metadata(to, &st) < 0)
        return error_set(err, errno, "tmpcopyup: copy the attributes of %s", name);
    return 0;
}

static int copy_entry(int from, int to, const char *name, unsigned depth, struct error *err)
{
    struct stat st;
    int result;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "tmpcopyup: look at %s", name);
    if (S_ISDIR(st.st_mode))
        return copy_directory(from, to, name, depth, err);
    result = S_ISREG(st.st_mode)   ? copy_file(from, to, name)
             : S_ISLNK(st.st_mode) ? copy_link(from, to, name, &st)
                                   : copy_node(to, name, &st);
    return result < 0 ? error_set(err, errno, "tmpcopyup: copy %s", name) : 0;
}

static int copy_tree(int from, int to, unsigned depth, struct error *err)
{
    struct dirent *e;

    if (depth == DEPTH_MAX)
        return error_set(err, ELOOP, "tmpcopyup: more than %d directories deep", DEPTH_MAX);
    int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0)
        return error_set(err, errno, "tmpcopyup: open the image's directory");
    _cleanup_(closedirp) DIR *dir = fdopendir(again);
    if (!dir) {
        close(again);
        return error_set(err, errno, "tmpcopyup: read the image's directory");
    }
    while (errno = 0, (e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            copy_entry(from, to, e->d_name, depth + 1, err) < 0)
            return -1;
    return errno ? error_set(err, errno, "tmpcopyup: read the image's directory") : 0;
}

int tmpcopyup(int from, int to, const char *data, struct error *err)
{
    struct stat st, made;

    if (copy_tree(from, to, 0, err) < 0)
        return -1;
    if (fstat(from, &st) < 0 || fstat(to, &made) < 0)
        return error_set(err, errno, "tmpcopyup: read the owner and mode");
    st.st_mode = made.st_mode;
    if (data && strstr(data, "uid="))
        st.st_uid = made.st_uid;
    if (data && strstr(data, "gid="))
        st.st_gid = made.st_gid;
    if (copy_metadata(to, &st) < 0)
        return error_set(err, errno, "tmpcopyup: copy the owner and mode");
    return 0;
}
