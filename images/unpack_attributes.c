/*
 * Owner, extended attributes, mode and time, in this order: a change of owner takes set-id bits and security.capability away,
 * so these come after it; the time comes last, as all else changes it.
 *
 * Attributes in overlayfs's own name space would make overlayfs show something else than the layer's files: refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "images/unpack_private.h"

static bool is_overlays(const char *name)
{
    return strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0;
}

/* An O_PATH descriptor has no fsetxattr(2); its link in /proc leads to the file itself, links included. */
static int set_xattr(int fd, bool path_only, const char *name, const void *value, size_t size)
{
    char link[64];

    if (!path_only)
        return fsetxattr(fd, name, value, size, 0);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return setxattr(link, name, value, size, 0);
}

/* Not to be had on this file system, or not for us, is not this layer's fault: podman and containerd leave these out too. */
static bool may_be_left_out(const char *name, int code)
{
    return code == ENOTSUP || (code == EPERM && strncmp(name, "security.capability", 19) != 0);
}

static int set_xattrs(const struct unpack_entry *e, int fd, bool path_only, struct error *err)
{
    const char *name;
    const void *value;
    size_t size;

    if (archive_entry_xattr_reset(e->archive) == 0)
        return 0;
    while (archive_entry_xattr_next(e->archive, &name, &value, &size) == ARCHIVE_OK) {
        if (!name)
            continue;
        if (is_overlays(name))
            return error_set(err, 0, "the attribute %s, which is overlayfs's own", name);
        if (set_xattr(fd, path_only, name, value, size) < 0 && !may_be_left_out(name, errno))
            return error_set(err, errno, "set the attribute %s", name);
    }
    return 0;
}

/* libarchive 3.6 reads "-1.25" as -1 s and +0.25 s: before 1970 the parts of a second count backwards. ("-0.25" it reads
 * as "0.25", which nothing tells from what it says.) */
struct timespec unpack_mtime(const struct unpack_entry *e)
{
    time_t seconds = archive_entry_mtime(e->archive);
    long nanoseconds = archive_entry_mtime_nsec(e->archive);

    if (seconds < 0 && nanoseconds > 0) {
        seconds--;
        nanoseconds = 1000000000 - nanoseconds;
    }
    return (struct timespec){.tv_sec = seconds, .tv_nsec = nanoseconds};
}

static int owner_refused(const struct unpack_entry *e, struct error *err)
{
    bool unmapped = errno == EINVAL;

    return error_set(
        err, errno, "give it to %lld:%lld%s", (long long)archive_entry_uid(e->archive),
        (long long)archive_entry_gid(e->archive),
        unmapped ? " (not mapped in this user namespace: widen the range in /etc/subuid and /etc/subgid)"
                 : "");
}

int unpack_attributes(const struct unpack_entry *e, int fd, struct error *err)
{
    bool by_name = fd < 0, is_link = archive_entry_filetype(e->archive) == AE_IFLNK;
    int dir = by_name ? e->parent : fd, flags = by_name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
    const char *name = by_name ? e->name : "";
    mode_t mode = archive_entry_perm(e->archive) & 07777;
    struct timespec times[2] = {unpack_mtime(e), unpack_mtime(e)};
    int64_t uid = archive_entry_uid(e->archive), gid = archive_entry_gid(e->archive);
    struct stat st;

    if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return error_set(err, 0, "the owner %lld:%lld, who cannot be", (long long)uid, (long long)gid);
    /* Most of what was made a moment ago is as it has to be: one call, in place of two. */
    bool known = !by_name && fstat(fd, &st) == 0, right = known && st.st_uid == uid && st.st_gid == gid;
    if (!right && fchownat(dir, name, (uid_t)uid, (gid_t)gid, flags) < 0)
        return owner_refused(e, err);
    right = right && (st.st_mode & 07777) == mode && archive_entry_xattr_count(e->archive) == 0;
    if (archive_entry_xattr_count(e->archive) > 0) {
        _cleanup_(fd_closep) int opened =
            by_name ? openat(e->parent, e->name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (by_name && opened < 0)
            return error_set(err, errno, "open it again");
        if (set_xattrs(e, by_name ? opened : fd, by_name, err) < 0)
            return -1;
    }
    /* Not a link, whose mode nobody looks at: what is here was made by us a moment ago, in a tree of ours. */
    if (!is_link && !right && (by_name ? fchmodat(dir, name, mode, 0) : fchmod(fd, mode)) < 0)
        return error_set(err, errno, "set its mode");
    if ((by_name ? utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) : futimens(fd, times)) < 0)
        return error_set(err, errno, "set its time");
    return 0;
}

static int copy_xattrs(int from, int to, struct error *err)
{
    char names[64 << 10], value[64 << 10];
    ssize_t length = flistxattr(from, names, sizeof(names));

    for (char *name = names; name < names + length; name += strlen(name) + 1) {
        ssize_t size = is_overlays(name) ? -1 : fgetxattr(from, name, value, sizeof(value));
        if (size >= 0 && fsetxattr(to, name, value, (size_t)size, 0) < 0 && !may_be_left_out(name, errno))
            return error_set(err, errno, "set the attribute %s", name);
    }
    return 0;
}

int unpack_copy_attributes(int from, const struct stat *st, int to, struct error *err)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};

    if (fchown(to, st->st_uid, st->st_gid) < 0)
        return error_set(err, errno, "give it to %u:%u", st->st_uid, st->st_gid);
    if (copy_xattrs(from, to, err) < 0)
        return -1;
    if (fchmod(to, st->st_mode & 07777) < 0 || futimens(to, times) < 0)
        return error_set(err, errno, "set its mode and time");
    return 0;
}

int unpack_set_opaque(const struct unpack *u, int directory, struct error *err)
{
    const char *name = u->options->user_namespace ? "user.overlay.opaque" : "trusted.overlay.opaque";

    if (fsetxattr(directory, name, "y", 1, 0) < 0)
        return error_set(err, errno, "mark the directory opaque (%s)", name);
    return 0;
}
