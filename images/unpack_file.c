/*
 * Regular files and hard links. Content comes from libarchive a block at a time, with the holes that the archive knows; runs of
 * zeros become holes as well. Files are made anew (O_EXCL), so that nothing that was there is written through.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/path.h"
#include "images/unpack_private.h"

enum { HOLE = 4096, COPY_BLOCK = 1 << 20 };

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

/* Leave whole pages of zeros out. The count of bytes written, or -1. */
static ssize_t write_sparse(int fd, const char *data, size_t length, off_t offset, struct error *err)
{
    size_t written = 0, begin = 0, at = 0;

    while (at < length) {
        size_t piece = HOLE - (size_t)((uint64_t)(offset + (off_t)at) % HOLE);
        if (piece > length - at)
            piece = length - at;
        if (piece == HOLE && is_zero(data + at, piece)) {
            if (write_at(fd, data + begin, at - begin, offset + (off_t)begin, err) < 0)
                return -1;
            written += at - begin;
            begin = at + piece;
        }
        at += piece;
    }
    if (write_at(fd, data + begin, at - begin, offset + (off_t)begin, err) < 0)
        return -1;
    return (ssize_t)(written + (at - begin));
}

static int write_content(struct unpack *u, const struct unpack_entry *e, int fd, struct error *err)
{
    const void *data;
    size_t length;
    la_int64_t offset;
    int rc;

    while ((rc = archive_read_data_block(u->archive, &data, &length, &offset)) == ARCHIVE_OK) {
        ssize_t written = length ? write_sparse(fd, data, length, (off_t)offset, err) : 0;
        if (written < 0)
            return -1;
        u->result->bytes += (uint64_t)written;
    }
    if (rc != ARCHIVE_EOF)
        return error_set(err, 0, "its content cannot be read: %s",
                         archive_error_string(u->archive) ? archive_error_string(u->archive) : "damaged");
    if (archive_entry_size(e->archive) > 0 && ftruncate(fd, (off_t)archive_entry_size(e->archive)) < 0)
        return error_set(err, errno, "give it its size");
    return 0;
}

int unpack_regular(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    _cleanup_(fd_closep) int fd = openat(e->parent, e->name, flags, 0600);

    if (fd < 0 && errno == EEXIST) {
        if (unpack_make_room(e, false, err) < 0)
            return -1;
        fd = openat(e->parent, e->name, flags, 0600);
    }
    if (fd < 0)
        return error_set(err, errno, "make the file");
    return write_content(u, e, fd, err) < 0 ? -1 : unpack_attributes(e, fd, err);
}

/* --- hard links ---------------------------------------------------------------------------------------------------- */

static int copy_content(int from, int to, off_t size, struct error *err)
{
    off_t at = 0;

    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    while (at < size) {
        off_t data = lseek(from, at, SEEK_DATA), hole;
        if (data < 0)
            break; /* ENXIO: a hole to the end */
        hole = lseek(from, data, SEEK_HOLE);
        for (loff_t in = data, out = data; in < hole;) {
            ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(hole - in), 0);
            if (n <= 0)
                return error_set(err, n ? errno : EIO, "copy it from a layer below");
        }
        at = hole;
    }
    return ftruncate(to, size) < 0 ? error_set(err, errno, "give it its size") : 0;
}

int unpack_copy_up(int from, const struct stat *st, int parent, const char *name, struct error *err)
{
    _cleanup_(fd_closep) int to =
        openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (to < 0)
        return error_set(err, errno, "copy %s from a layer below", name);
    return copy_content(from, to, st->st_size, err) < 0 ? -1 : unpack_copy_attributes(from, st, to, err);
}

/* The link's target stands in a layer below: have it here, too. */
static int fetch_target(struct unpack *u, const char *target, struct error *err)
{
    struct stack_entry below;
    char parent_path[PATH_MAX], *slash;

    if (unpack_need_below(u, err) < 0 || stack_lookup(&u->stack, target, false, &below, err) < 0)
        return -1;
    if (!S_ISREG(below.st.st_mode))
        return error_set(err, below.st.st_mode ? 0 : ENOENT, "a hard link to \"%s\"%s", target,
                         below.st.st_mode ? ", which is no regular file of a layer below" : "");
    strcpy(parent_path, below.path);
    slash = strrchr(parent_path, '/');
    *(slash ? slash : parent_path) = '\0';
    _cleanup_(fd_closep) int parent = unpack_make_path(u, parent_path, err);
    _cleanup_(fd_closep) int from = stack_open(&u->stack, &below, O_RDONLY);
    if (parent < 0)
        return -1;
    if (from < 0)
        return error_set(err, errno, "open %s of a layer below", target);
    const char *name = strrchr(below.path, '/');
    return unpack_copy_up(from, &below.st, parent, name ? name + 1 : below.path, err);
}

static int link_to(struct unpack *u, const struct unpack_entry *e, const char *target)
{
    char parent_path[PATH_MAX], *slash;

    strcpy(parent_path, target);
    slash = strrchr(parent_path, '/');
    *(slash ? slash : parent_path) = '\0';
    _cleanup_(fd_closep) int parent =
        path_open(u->tree, *parent_path ? parent_path : ".", O_PATH | O_DIRECTORY, 0);
    return parent < 0
               ? -1
               : linkat(parent, slash ? target + (slash - parent_path) + 1 : target, e->parent, e->name, 0);
}

int unpack_hardlink(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    char target[PATH_MAX];

    if (unpack_clean_path(archive_entry_hardlink(e->archive), target, err) < 0)
        return error_wrap(err, "a hard link to \"%.300s\"", archive_entry_hardlink(e->archive));
    if (!*target)
        return error_set(err, 0, "a hard link to the root");
    if (strcmp(target, e->path) == 0)
        return 0;
    if (link_to(u, e, target) == 0)
        return 0;
    if (errno == EEXIST) {
        if (unpack_make_room(e, false, err) < 0)
            return -1;
        if (link_to(u, e, target) == 0)
            return 0;
    }
    if (errno == ENOENT && fetch_target(u, target, err) < 0)
        return -1;
    if (link_to(u, e, target) < 0)
        return error_set(err, errno, "a hard link to \"%.300s\"", target);
    return 0;
}
