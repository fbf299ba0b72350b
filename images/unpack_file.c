/*
 * Regular files and hard links. Content comes from libarchive a block at a time, with the holes that the archive knows; runs of
 * zeros become holes as well. Files are made anew (O_EXCL), so that nothing that was there is written through.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/copy_tree.h"
#include "base/path.h"
#include "images/unpack_private.h"

enum { HOLE = 4096 };

static bool is_zero(const char *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static int write_at(int fd, const char *data, size_t length, off_t offset, struct error *err)
{
    while (length) {
        ssize_t n = pwrite(fd, data, length, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, errno, "write it");
        data += n;
        offset += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Leave pages of zeros out, or what of them is in this block: the file is new. The count of bytes written, or -1;
 * *end: where the last of them ends. */
static ssize_t write_sparse(int fd, const char *data, size_t length, off_t offset, off_t *end,
                            struct error *err)
{
    size_t written = 0, begin = 0, at = 0;

    while (at < length) {
        size_t piece = HOLE - (size_t)((uint64_t)(offset + (off_t)at) % HOLE);
        if (piece > length - at)
            piece = length - at;
        if (is_zero(data + at, piece)) {
            if (write_at(fd, data + begin, at - begin, offset + (off_t)begin, err) < 0)
                return -1;
            if (at > begin)
                *end = offset + (off_t)at;
            written += at - begin;
            begin = at + piece;
        }
        at += piece;
    }
    if (write_at(fd, data + begin, at - begin, offset + (off_t)begin, err) < 0)
        return -1;
    if (at > begin)
        *end = offset + (off_t)at;
    return (ssize_t)(written + (at - begin));
}

static int write_content(struct unpack *u, const struct unpack_entry *e, int fd, struct error *err)
{
    const void *data;
    size_t length;
    la_int64_t offset;
    const uint64_t size = (uint64_t)archive_entry_size(e->archive);
    off_t end = 0; /* of what was written */
    int rc;

    if (size > DECOMPRESS_MAX)
        return error_set(err, 0, "a size of %llu MiB, and Hull's limit for one file is %llu",
                         (unsigned long long)size >> 20, DECOMPRESS_MAX >> 20);
    while ((rc = archive_read_data_block(u->archive, &data, &length, &offset)) == ARCHIVE_OK) {
        if (offset < 0 || (uint64_t)offset > size || length > size - (uint64_t)offset)
            return error_set(err, 0, "content beyond its size of %llu bytes: its map of holes is wrong",
                             (unsigned long long)size);
        if (u->skeleton && length &&
            skeleton_content(u->skeleton, (uint64_t)archive_filter_bytes(u->archive, 0), length,
                             (uint64_t)offset, err) < 0)
            return -1;
        ssize_t written = length ? write_sparse(fd, data, length, (off_t)offset, &end, err) : 0;
        if (written < 0)
            return -1;
        u->result->bytes += (uint64_t)written;
    }
    if (rc != ARCHIVE_EOF)
        return error_set(err, 0, "its content cannot be read: %s", unpack_archive_error(u));
    if ((off_t)size > end && ftruncate(fd, (off_t)size) < 0)
        return error_set(err, errno, "give it its size");
    return 0;
}

int unpack_regular(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const mode_t mode = archive_entry_perm(e->archive) & 0777; /* nobody else sees the tree yet */
    _cleanup_(fd_closep) int fd = openat(e->parent, e->name, flags, mode);

    if (fd < 0 && errno == EEXIST) {
        if (unpack_make_room(u, e, false, err) < 0)
            return -1;
        fd = openat(e->parent, e->name, flags, mode);
    }
    if (fd < 0)
        return error_set(err, errno, "make the file");
    if (u->skeleton && skeleton_file(u->skeleton, fd, u->parent_place, e->name, err) < 0)
        return -1;
    return write_content(u, e, fd, err) < 0 ? -1 : unpack_attributes(e, fd, err);
}

/* --- hard links ---------------------------------------------------------------------------------------------------- */

static int copy_link(int from, int parent, const char *name, struct error *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from, "", target, sizeof(target) - 1);

    if (n < 0)
        return error_set(err, errno, "read the link %s", name);
    target[n] = '\0';
    return symlinkat(target, parent, name) < 0 ? error_set(err, errno, "make the link %s", name) : 0;
}

/* What is no file with content: owner, mode, time by name, in a directory of ours. */
static int copy_special(int from, const struct stat *st, int parent, const char *name, struct error *err)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    bool link = S_ISLNK(st->st_mode);

    if (link && copy_link(from, parent, name, err) < 0)
        return -1;
    if (!link && mknodat(parent, name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0)
        return error_set(err, errno, "make the device or fifo %s", name);
    if (fchownat(parent, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!link && fchmodat(parent, name, st->st_mode & 07777, 0) < 0) ||
        utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "set the owner, mode and time of %s", name);
    return 0;
}

int unpack_copy_up(int from, const struct stat *st, int parent, const char *name, struct error *err)
{
    if (!S_ISREG(st->st_mode))
        return copy_special(from, st, parent, name, err);
    _cleanup_(fd_closep) int to =
        openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (to < 0)
        return error_set(err, errno, "copy %s from a layer below", name);
    if (copy_content(from, to, st->st_size) < 0)
        return error_set(err, errno, "copy %s from a layer below", name);
    return unpack_copy_attributes(from, st, to, err);
}

static int open_parent_of(struct unpack *u, const char *path, const char **name)
{
    char parent[PATH_MAX], *slash;

    strcpy(parent, path);
    slash = strrchr(parent, '/');
    *name = slash ? path + (slash - parent) + 1 : path;
    *(slash ? slash : parent) = '\0';
    return path_open(u->tree, *parent ? parent : ".", O_PATH | O_DIRECTORY, 0);
}

/* Link to @target as this tree has it. errno ENOENT: it does not, or has only its whiteout. */
static int link_to(struct unpack *u, const struct unpack_entry *e, const char *target)
{
    const char *name;
    struct stat st;
    _cleanup_(fd_closep) int parent = open_parent_of(u, target, &name);

    if (parent < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (stat_is_whiteout(&st)) {
        errno = ENOENT;
        return -1;
    }
    return linkat(parent, name, e->parent, e->name, 0);
}

/* Is @e's place taken by @target itself, perhaps by another path? */
static bool is_same(struct unpack *u, const struct unpack_entry *e, const char *target)
{
    const char *name;
    struct stat a, b;
    _cleanup_(fd_closep) int parent = open_parent_of(u, target, &name);

    return parent >= 0 && fstatat(parent, name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(e->parent, e->name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino;
}

static int link_replacing(struct unpack *u, const struct unpack_entry *e, const char *target,
                          struct error *err)
{
    if (link_to(u, e, target) == 0)
        return 0;
    if (errno != EEXIST)
        return error_set(err, errno, "a hard link to \"%.300s\"", target);
    if (is_same(u, e, target))
        return 0;
    if (unpack_make_room(u, e, false, err) < 0)
        return -1;
    return link_to(u, e, target) < 0 ? error_set(err, errno, "a hard link to \"%.300s\"", target) : 0;
}

/* The link's target stands in a layer below, or in this one by way of a link below: have it here, at @place. */
static int fetch_target(struct unpack *u, const char *target, struct stack_entry *place, struct error *err)
{
    char parent_path[PATH_MAX], *slash;

    if (unpack_need_below(u, err) < 0 || stack_lookup(&u->stack, target, false, place, err) < 0)
        return -1;
    if (place->st.st_mode && place->tree == 0)
        return 0;
    if (!place->st.st_mode || S_ISDIR(place->st.st_mode))
        return error_set(err, place->st.st_mode ? 0 : ENOENT, "\"%.300s\"%s", target,
                         place->st.st_mode ? " is a directory of a layer below" : "");
    strcpy(parent_path, place->path);
    slash = strrchr(parent_path, '/');
    *(slash ? slash : parent_path) = '\0';
    _cleanup_(fd_closep) int parent = unpack_make_path(u, parent_path, err);
    _cleanup_(fd_closep) int from =
        stack_open(&u->stack, place, S_ISREG(place->st.st_mode) ? O_RDONLY : O_PATH);
    if (parent < 0)
        return -1;
    if (from < 0)
        return error_set(err, errno, "open %.300s of a layer below", target);
    const char *name = strrchr(place->path, '/');
    return unpack_copy_up(from, &place->st, parent, name ? name + 1 : place->path, err);
}

int unpack_hardlink(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    const char *said = archive_entry_hardlink(e->archive);
    struct stack_entry place;
    char target[PATH_MAX];

    if (unpack_clean_path(said, target, err) < 0)
        return error_wrap(err, "a hard link to \"%.300s\"", said);
    if (!*target)
        return error_set(err, 0, "a hard link to the root");
    if (strcmp(target, e->path) == 0)
        return 0;
    if (link_replacing(u, e, target, err) == 0)
        return 0;
    if (err->code != ENOENT)
        return -1;
    error_clear(err);
    if (fetch_target(u, target, &place, err) < 0) {
        if (err->code != ENOENT || !u->devices_left_out)
            return error_wrap(err, "a hard link");
        error_clear(err); /* to a device, it seems, which could not be made */
        u->devices_left_out++;
        return 0;
    }
    return link_replacing(u, e, place.path, err);
}
