/*
 * Opening, making and closing files. A client's open flags are cut down to those that mean something for a regular
 * file of the host's. O_APPEND is not among them: it is honoured by each write (io.c), because a client may turn it on
 * and off, and writes from its page cache must land where they belong.
 *
 * A file is made with O_EXCL, so what the descriptor then is was made by us; what was there already is opened by its
 * node, which is known to be no device and no symlink.
 */
/* #syscalls(fs): openat fsync fdatasync statx */
#include <string.h>
#include <unistd.h>

#include "sandbox/fuse/internal.h"

enum { FLAGS_KEPT = O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME | O_LARGEFILE };

/* The flags for the host, or a negative errno. */
static int open_flags(const struct fuse_server *s, uint32_t flags)
{
    int f = (int)flags & FLAGS_KEPT;

    if ((f & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    if (s->options.read_only && ((f & O_ACCMODE) != O_RDONLY || f & O_TRUNC))
        return -EROFS;
    /* To write a part of a page back, the client first has to read the page. */
    if (s->features & FUSE_WRITEBACK_CACHE && (f & O_ACCMODE) == O_WRONLY)
        f = (f & ~O_ACCMODE) | O_RDWR;
    return f;
}

/* Has nobody changed the file since the client last opened it? Then its cache of it is good. */
static bool unchanged(struct fuse_node *node, int fd)
{
    struct statx stx;

    if (fuse_statx(fd, "", &stx) < 0)
        return false;
    uint64_t seen = (uint64_t)stx.stx_ctime.tv_sec * 1000000000ULL + stx.stx_ctime.tv_nsec + stx.stx_size;
    bool same = node->seen == seen;
    node->seen = seen;
    return same;
}

static int reply_open(struct fuse_server *s, struct fuse_node *node, int fd, struct fuse_open_out *out)
{
    *out = (struct fuse_open_out){0};
    if (s->options.cache == FUSE_CACHE_ALWAYS || unchanged(node, fd))
        out->open_flags = FOPEN_KEEP_CACHE;
    return fuse_handle_add(s, fd, false, &out->fh);
}

static int open_node(struct fuse_server *s, const struct fuse_node *node, int flags, uint32_t more)
{
    if (node->type != S_IFREG)
        return node->type == S_IFDIR ? -EISDIR : node->type == S_IFLNK ? -ELOOP : -ENXIO;
    int fd = fuse_node_open(s, node, flags);
    if (fd >= 0 && flags & O_TRUNC && more & FUSE_OPEN_KILL_SUIDGID) {
        int rc = fuse_kill_suidgid(fd);
        if (rc < 0) {
            close(fd);
            return rc;
        }
    }
    return fd;
}

int fuse_op_open(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_open_in *in = r->args;
    int flags = open_flags(s, in->flags);

    if (flags < 0)
        return flags;
    int fd = open_node(s, r->node, flags, in->open_flags);
    if (fd < 0)
        return fd;
    int rc = reply_open(s, r->node, fd, (void *)s->reply);
    return rc < 0 ? rc : (int)sizeof(struct fuse_open_out);
}

/* The reply to what made and opened a file: its entry, then its handle. @fd is taken over in any case. */
static int reply_created(struct fuse_server *s, const struct fuse_request *r, int fd)
{
    struct fuse_entry_out *entry = (void *)s->reply;
    int rc = fuse_node_adopt_open(s, r->node, fd, entry);

    if (rc < 0) {
        close(fd);
        return rc;
    }
    rc = reply_open(s, fuse_node_get(s, entry->nodeid), fd, (void *)(s->reply + sizeof(*entry)));
    if (rc < 0) {
        fuse_node_forget(s, entry->nodeid, 1);
        return rc;
    }
    return sizeof(*entry) + sizeof(struct fuse_open_out);
}

/* It was there before: the client's CREATE without O_EXCL is lookup and open. */
static int open_existing(struct fuse_server *s, const struct fuse_request *r, int flags)
{
    const struct fuse_create_in *in = r->args;
    struct fuse_entry_out entry;
    int rc = fuse_node_lookup(s, r->node, r->names[0], 0, &entry);

    if (rc < 0)
        return rc;
    int fd = open_node(s, fuse_node_get(s, entry.nodeid), flags, in->open_flags);
    rc = fd < 0 ? fd : reply_created(s, r, fd);
    fuse_node_forget(s, entry.nodeid, 1); /* the reply has a lookup of its own */
    return rc;
}

static int create(struct fuse_server *s, const struct fuse_request *r, const char *name, int flags)
{
    const struct fuse_create_in *in = r->args;
    int rc = fuse_ids_enter(s, &r->h, in->umask);

    if (rc < 0)
        return rc;
    int fd = openat(r->node->fd, name, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, in->mode & 07777);
    rc = fd < 0 ? -errno : fd;
    fuse_ids_leave(s, &r->h);
    return rc == -EMFILE ? -ENFILE : rc;
}

int fuse_op_create(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_create_in *in = r->args;
    int flags = open_flags(s, in->flags);

    if (flags < 0)
        return flags;
    int fd = create(s, r, r->names[0], (flags & ~O_TRUNC) | O_CREAT | O_EXCL | O_NOFOLLOW);
    if (fd == -EEXIST && !(in->flags & O_EXCL))
        return open_existing(s, r, flags);
    return fd < 0 ? fd : reply_created(s, r, fd);
}

int fuse_op_tmpfile(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_create_in *in = r->args;
    int flags = open_flags(s, in->flags);

    if (flags < 0)
        return flags;
    if ((flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    int fd = create(s, r, ".", (flags & ~O_TRUNC) | O_TMPFILE | (int)(in->flags & O_EXCL));
    return fd < 0 ? fd : reply_created(s, r, fd);
}

int fuse_op_release(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_release_in *in = r->args;

    s->progress++; /* its flock(2) goes with it */
    fuse_locks_drop_handle(s, in->fh);
    return fuse_handle_close(s, in->fh, false);
}

/* Each close(2) of the client's. There is something to do only where locks are kept here. */
int fuse_op_flush(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_flush_in *in = r->args;

    if (!s->options.shared_locks)
        return -ENOSYS;
    fuse_locks_drop(s, r->h.nodeid, &in->lock_owner);
    return 0;
}

int fuse_op_fsync(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_fsync_in *in = r->args;
    struct fuse_handle *h = fuse_handle_get(s, in->fh, false);

    if (!h)
        return -EBADF;
    return (in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0;
}
