/*
 * Reading directories. A handle's descriptor stands where its last entry that fitted ended; the host's cookies are the
 * client's offsets. One getdents64 a request, of about as many entries as the reply will hold; READDIRPLUS gives a
 * lookup with each (not with "." and ".."), which only counts when its entry went into the reply.
 */
/* #syscalls(fs): getdents64 lseek fsync fdatasync */
#include <dirent.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/fuse/internal.h"

/* What getdents64 fills in (struct dirent of a 64-bit glibc, less its fixed array). */
struct kernel_dirent {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

enum { NAME_OFFSET = offsetof(struct kernel_dirent, name), LEAST_DENTS = 512, PLUS_RATIO = 4 };

int fuse_op_opendir(struct fuse_server *s, struct fuse_request *r)
{
    struct fuse_open_out *out = (void *)s->reply;
    int fd = fuse_node_open(s, r->node, O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        return fd;
    *out = (struct fuse_open_out){0};
    if (s->options.cache == FUSE_CACHE_ALWAYS)
        out->open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
    int rc = fuse_handle_add(s, fd, true, &out->fh);
    return rc < 0 ? rc : (int)sizeof(*out);
}

/* The entry's bytes at @to, or 0 when they are more than @room. */
static size_t put_entry(struct fuse_server *s, const struct fuse_request *r, const struct kernel_dirent *d,
                        unsigned char *to, size_t room)
{
    bool plus = r->h.opcode == FUSE_READDIRPLUS;
    size_t length = strlen(d->name), before = plus ? sizeof(struct fuse_entry_out) : 0;
    size_t size = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + length);
    bool dot = strcmp(d->name, ".") == 0, dotdot = strcmp(d->name, "..") == 0;

    if (size > room)
        return 0;
    struct fuse_dirent *out = (void *)(to + before);
    memset(to, 0, before);
    *out = (struct fuse_dirent){
        .ino = d->ino,
        .off = (uint64_t)d->off,
        .namelen = (uint32_t)length,
        .type = d->type,
    };
    /* What is above the root is nobody's business. */
    if (dotdot && r->h.nodeid == FUSE_ROOT_ID)
        out->ino = r->node->inode;
    memcpy(out->name, d->name, length);
    memset(out->name + length, 0, size - before - FUSE_NAME_OFFSET - length);
    /* Without a node (gone meanwhile, no descriptor left, too many) it is an entry without a lookup: node id 0. */
    if (plus && !dot && !dotdot && !fuse_nodes_are_many(s) &&
        fuse_node_lookup(s, r->node, d->name, d->ino, (void *)to) < 0)
        memset(to, 0, before);
    return size;
}

int fuse_op_readdir(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_read_in *in = r->args;
    struct fuse_handle *h = fuse_handle_get(s, in->fh, true);
    size_t room = in->size < r->room ? in->size : r->room, used = 0;

    if (!h)
        return -EBADF;
    if (room > FUSE_REPLY_SIZE)
        room = FUSE_REPLY_SIZE;
    if (h->position != in->offset && lseek(h->fd, (off_t)in->offset, SEEK_SET) < 0)
        return -errno;
    h->position = UINT64_MAX; /* anywhere, should this fail */
    size_t ask = r->h.opcode == FUSE_READDIRPLUS ? room / PLUS_RATIO : room;
    ask = ask > FUSE_DENTS_SIZE ? FUSE_DENTS_SIZE : ask < LEAST_DENTS ? LEAST_DENTS : ask;
    ssize_t n = getdents64(h->fd, (void *)s->dents, ask);
    if (n < 0)
        return -errno;
    uint64_t last = in->offset;
    for (ssize_t at = 0; at < n;) {
        const struct kernel_dirent *d = (const void *)(s->dents + at);
        size_t size = put_entry(s, r, d, s->reply + used, room - used);
        if (size == 0) /* the descriptor is beyond: the next request seeks back */
            return used > 0 ? (int)used : -EINVAL;
        used += size;
        at += d->reclen;
        last = (uint64_t)d->off;
    }
    h->position = last;
    return (int)used;
}

int fuse_op_releasedir(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_release_in *in = r->args;

    return fuse_handle_close(s, in->fh, true);
}

int fuse_op_fsyncdir(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_fsync_in *in = r->args;
    struct fuse_handle *h = fuse_handle_get(s, in->fh, true);

    if (!h)
        return -EBADF;
    return (in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0;
}
