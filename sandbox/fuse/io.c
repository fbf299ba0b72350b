/*
 * Moving a file's bytes: preadv2 and pwritev2 straight between the client's memory and the file, one system call a
 * request. How much is moved is bounded by what the request has room for, whatever it says.
 */
/* #syscalls(fs): preadv2 pwritev2 fallocate lseek copy_file_range */
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sandbox/fuse/internal.h"

/* The part of @v from @offset on, at most @length bytes of it, in s->iov. How many vectors. */
static int slice(struct fuse_server *s, const struct iovec *v, size_t n, size_t offset, size_t length)
{
    int count = 0;

    for (size_t i = 0; i < n && length > 0 && count < VIRTQUEUE_MAX_CHAIN; i++) {
        if (offset >= v[i].iov_len) {
            offset -= v[i].iov_len;
            continue;
        }
        size_t part = v[i].iov_len - offset;
        if (part > length)
            part = length;
        s->iov[count++] = (struct iovec){(char *)v[i].iov_base + offset, part};
        length -= part;
        offset = 0;
    }
    return count;
}

int fuse_op_read(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_read_in *in = r->args;
    const struct fuse_handle *h = fuse_handle_get(s, in->fh, false);
    size_t length = in->size < r->room ? in->size : r->room;

    if (!h)
        return -EBADF;
    if (in->offset > INT64_MAX)
        return -EINVAL;
    int n = slice(s, r->out, r->n_out, sizeof(struct fuse_out_header), length);
    ssize_t got = preadv2(h->fd, s->iov, n, (off_t)in->offset, 0);
    r->in_place = true;
    return got < 0 ? -errno : (int)got;
}

int fuse_op_write(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_write_in *in = r->args;
    struct fuse_write_out *out = (void *)s->reply;
    const struct fuse_handle *h = fuse_handle_get(s, in->fh, false);

    if (!h)
        return -EBADF;
    if (in->size > r->data_length || in->offset > INT64_MAX)
        return -EINVAL;
    if (in->write_flags & FUSE_WRITE_KILL_SUIDGID) {
        int rc = fuse_kill_suidgid(h->fd);
        if (rc < 0)
            return rc;
    }
    /* With a write-back cache the client alone knows where the end is. */
    bool append = in->flags & O_APPEND && !(in->write_flags & FUSE_WRITE_CACHE) &&
                  !(s->features & FUSE_WRITEBACK_CACHE);
    int n = slice(s, r->in, r->n_in, r->data_offset, in->size);
    ssize_t put = pwritev2(h->fd, s->iov, n, (off_t)in->offset, append ? RWF_APPEND : 0);
    if (put < 0)
        return -errno;
    *out = (struct fuse_write_out){.size = (uint32_t)put};
    return sizeof(*out);
}

int fuse_op_fallocate(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_fallocate_in *in = r->args;
    const struct fuse_handle *h = fuse_handle_get(s, in->fh, false);

    if (!h)
        return -EBADF;
    if (in->offset > INT64_MAX || in->length > INT64_MAX)
        return -EINVAL;
    return fallocate(h->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? -errno : 0;
}

/* Holes and data; the rest a client knows by itself. */
int fuse_op_lseek(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_lseek_in *in = r->args;
    struct fuse_lseek_out *out = (void *)s->reply;
    const struct fuse_handle *h = fuse_handle_get(s, in->fh, false);

    if (!h)
        return -EBADF;
    if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || in->offset > INT64_MAX)
        return -EINVAL;
    off_t at = lseek(h->fd, (off_t)in->offset, (int)in->whence);
    if (at < 0)
        return -errno;
    *out = (struct fuse_lseek_out){.offset = (uint64_t)at};
    return sizeof(*out);
}

int fuse_op_copy_file_range(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_copy_file_range_in *in = r->args;
    struct fuse_write_out *out = (void *)s->reply;
    const struct fuse_handle *from = fuse_handle_get(s, in->fh_in, false);
    const struct fuse_handle *to = fuse_handle_get(s, in->fh_out, false);

    if (!from || !to)
        return -EBADF;
    if (in->off_in > INT64_MAX || in->off_out > INT64_MAX || in->flags != 0)
        return -EINVAL;
    off_t off_in = (off_t)in->off_in, off_out = (off_t)in->off_out;
    size_t length = in->len < FUSE_COPY_MAX ? in->len : FUSE_COPY_MAX;
    ssize_t n = copy_file_range(from->fd, &off_in, to->fd, &off_out, length, 0);
    if (n < 0)
        return -errno;
    *out = (struct fuse_write_out){.size = (uint32_t)n};
    return sizeof(*out);
}
