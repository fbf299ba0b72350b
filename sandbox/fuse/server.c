/*
 * How a request goes through the server: its header is copied out of the client's memory and checked; the table says
 * what struct and names follow, which are copied and checked too; the operation works on the copies and leaves its
 * reply in s->reply. Only the bytes of READ and WRITE never pass through here: they go between the client's memory and
 * the file. So the client may change its memory at any time and changes nothing that was checked.
 *
 * The server touches the host by descriptors: a node is an O_PATH descriptor, names are single components below one
 * (".." and "/" are none), and a file is opened only through the descriptor that stands for it and is known to be a
 * regular file or a directory. What the client makes up (node ids, handles) is looked up in tables.
 *
 * FUSE protocol: <linux/fuse.h> and Documentation/filesystems/fuse.rst.
 */
/* #syscalls(fs): fstatfs syncfs openat close */
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "sandbox/fuse/internal.h"

enum {
    NO_NODE = 1,   /* nodeid means nothing */
    DIRECTORY = 2, /* the node has to be one */
    WRITES = 4,    /* EROFS for a read-only export */
    NO_REPLY = 8,  /* not even an error */
    STREAM = 16,   /* what follows the struct stays in the client's memory */
    CACHE_SECONDS_ALWAYS = 86400,
    MAX_BACKGROUND = 64,
    DESCRIPTORS_KEPT_BACK = 128, /* for the rest of the process */
};

struct operation {
    fuse_operation_fn *run;
    uint16_t args, reply;   /* least bytes of its struct, and of room for a reply of fixed size */
    uint8_t names, strings; /* components, then other text, each ending with a NUL */
    uint8_t flags;
};

#define ENTRY_OUT sizeof(struct fuse_entry_out)
#define ATTR_OUT  sizeof(struct fuse_attr_out)
#define OPEN_OUT  sizeof(struct fuse_open_out)

/* What is not here gets ENOSYS, after which a client asks no more: ACCESS (permissions are the client's to check, which
 * knows its processes' groups and capabilities), BMAP, IOCTL, POLL, DAX. */
static const struct operation operations[] = {
    [FUSE_INIT] = {.run = fuse_op_init, .args = 16, .reply = sizeof(struct fuse_init_out), .flags = NO_NODE},
    [FUSE_DESTROY] = {.run = fuse_op_destroy, .flags = NO_NODE},
    [FUSE_LOOKUP] = {.run = fuse_op_lookup, .reply = ENTRY_OUT, .names = 1, .flags = DIRECTORY},
    [FUSE_FORGET] = {.run = fuse_op_forget,
                     .args = sizeof(struct fuse_forget_in),
                     .flags = NO_NODE | NO_REPLY},
    [FUSE_BATCH_FORGET] = {.run = fuse_op_batch_forget,
                           .args = sizeof(struct fuse_batch_forget_in),
                           .flags = NO_NODE | NO_REPLY | STREAM},
    [FUSE_GETATTR] = {.run = fuse_op_getattr, .args = sizeof(struct fuse_getattr_in), .reply = ATTR_OUT},
    [FUSE_SETATTR] = {.run = fuse_op_setattr,
                      .args = sizeof(struct fuse_setattr_in),
                      .reply = ATTR_OUT,
                      .flags = WRITES},
    [FUSE_STATX] = {.run = fuse_op_statx,
                    .args = sizeof(struct fuse_statx_in),
                    .reply = sizeof(struct fuse_statx_out)},
    [FUSE_READLINK] = {.run = fuse_op_readlink},
    [FUSE_SYMLINK] =
        {.run = fuse_op_symlink, .reply = ENTRY_OUT, .names = 1, .strings = 1, .flags = DIRECTORY | WRITES},
    [FUSE_MKNOD] = {.run = fuse_op_mknod,
                    .args = sizeof(struct fuse_mknod_in),
                    .reply = ENTRY_OUT,
                    .names = 1,
                    .flags = DIRECTORY | WRITES},
    [FUSE_MKDIR] = {.run = fuse_op_mkdir,
                    .args = sizeof(struct fuse_mkdir_in),
                    .reply = ENTRY_OUT,
                    .names = 1,
                    .flags = DIRECTORY | WRITES},
    [FUSE_UNLINK] = {.run = fuse_op_unlink, .names = 1, .flags = DIRECTORY | WRITES},
    [FUSE_RMDIR] = {.run = fuse_op_rmdir, .names = 1, .flags = DIRECTORY | WRITES},
    [FUSE_RENAME] = {.run = fuse_op_rename,
                     .args = sizeof(struct fuse_rename_in),
                     .names = 2,
                     .flags = DIRECTORY | WRITES},
    [FUSE_RENAME2] = {.run = fuse_op_rename2,
                      .args = sizeof(struct fuse_rename2_in),
                      .names = 2,
                      .flags = DIRECTORY | WRITES},
    [FUSE_LINK] = {.run = fuse_op_link,
                   .args = sizeof(struct fuse_link_in),
                   .reply = ENTRY_OUT,
                   .names = 1,
                   .flags = DIRECTORY | WRITES},
    [FUSE_OPEN] = {.run = fuse_op_open, .args = sizeof(struct fuse_open_in), .reply = OPEN_OUT},
    [FUSE_CREATE] = {.run = fuse_op_create,
                     .args = sizeof(struct fuse_create_in),
                     .reply = ENTRY_OUT + OPEN_OUT,
                     .names = 1,
                     .flags = DIRECTORY | WRITES},
    [FUSE_TMPFILE] = {.run = fuse_op_tmpfile,
                      .args = sizeof(struct fuse_create_in),
                      .reply = ENTRY_OUT + OPEN_OUT,
                      .flags = DIRECTORY | WRITES},
    [FUSE_READ] = {.run = fuse_op_read, .args = sizeof(struct fuse_read_in)},
    [FUSE_WRITE] = {.run = fuse_op_write,
                    .args = sizeof(struct fuse_write_in),
                    .reply = sizeof(struct fuse_write_out),
                    .flags = WRITES | STREAM},
    [FUSE_STATFS] = {.run = fuse_op_statfs, .reply = sizeof(struct fuse_statfs_out)},
    [FUSE_RELEASE] = {.run = fuse_op_release, .args = sizeof(struct fuse_release_in), .flags = NO_NODE},
    [FUSE_FLUSH] = {.run = fuse_op_flush, .args = sizeof(struct fuse_flush_in)},
    [FUSE_FSYNC] = {.run = fuse_op_fsync, .args = sizeof(struct fuse_fsync_in)},
    [FUSE_SYNCFS] = {.run = fuse_op_syncfs, .args = sizeof(struct fuse_syncfs_in), .flags = DIRECTORY},
    [FUSE_SETXATTR] = {.run = fuse_op_setxattr,
                       .args = FUSE_COMPAT_SETXATTR_IN_SIZE,
                       .strings = 1,
                       .flags = WRITES},
    [FUSE_GETXATTR] = {.run = fuse_op_getxattr, .args = sizeof(struct fuse_getxattr_in), .strings = 1},
    [FUSE_LISTXATTR] = {.run = fuse_op_listxattr, .args = sizeof(struct fuse_getxattr_in)},
    [FUSE_REMOVEXATTR] = {.run = fuse_op_removexattr, .strings = 1, .flags = WRITES},
    [FUSE_OPENDIR] = {.run = fuse_op_opendir,
                      .args = sizeof(struct fuse_open_in),
                      .reply = OPEN_OUT,
                      .flags = DIRECTORY},
    [FUSE_READDIR] = {.run = fuse_op_readdir, .args = sizeof(struct fuse_read_in), .flags = DIRECTORY},
    [FUSE_READDIRPLUS] = {.run = fuse_op_readdir, .args = sizeof(struct fuse_read_in), .flags = DIRECTORY},
    [FUSE_RELEASEDIR] = {.run = fuse_op_releasedir, .args = sizeof(struct fuse_release_in), .flags = NO_NODE},
    [FUSE_FSYNCDIR] = {.run = fuse_op_fsyncdir, .args = sizeof(struct fuse_fsync_in), .flags = DIRECTORY},
    [FUSE_GETLK] = {.run = fuse_op_getlk,
                    .args = sizeof(struct fuse_lk_in),
                    .reply = sizeof(struct fuse_lk_out)},
    [FUSE_SETLK] = {.run = fuse_op_setlk, .args = sizeof(struct fuse_lk_in)},
    [FUSE_SETLKW] = {.run = fuse_op_setlk, .args = sizeof(struct fuse_lk_in)},
    [FUSE_INTERRUPT] = {.run = fuse_op_interrupt,
                        .args = sizeof(struct fuse_interrupt_in),
                        .flags = NO_NODE | NO_REPLY},
    [FUSE_FALLOCATE] = {.run = fuse_op_fallocate, .args = sizeof(struct fuse_fallocate_in), .flags = WRITES},
    [FUSE_LSEEK] = {.run = fuse_op_lseek,
                    .args = sizeof(struct fuse_lseek_in),
                    .reply = sizeof(struct fuse_lseek_out)},
    [FUSE_COPY_FILE_RANGE] = {.run = fuse_op_copy_file_range,
                              .args = sizeof(struct fuse_copy_file_range_in),
                              .reply = sizeof(struct fuse_write_out),
                              .flags = WRITES},
};

/* Nothing that leads elsewhere. */
static int check_name(const char *name, size_t length)
{
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    return length == 0 || memchr(name, '/', length) || strcmp(name, ".") == 0 || strcmp(name, "..") == 0
               ? -EINVAL
               : 0;
}

/* Find the text behind the struct: what is left after it is the request's data. */
static int decode_names(const struct operation *op, struct fuse_request *r)
{
    const char *at = r->data, *end = at + r->data_length;

    for (int i = 0; i < op->names + op->strings; i++) {
        const char *nul = memchr(at, '\0', (size_t)(end - at));
        if (!nul)
            return -EINVAL;
        int rc = i < op->names ? check_name(at, (size_t)(nul - at)) : 0;
        if (rc < 0)
            return rc;
        r->names[i] = at;
        at = nul + 1;
    }
    r->data = at;
    r->data_length = (size_t)(end - at);
    return 0;
}

static int decode(struct fuse_server *s, const struct operation *op, struct fuse_request *r)
{
    size_t follows = r->h.len - sizeof(r->h), args = op->args;

    if (r->h.opcode == FUSE_SETXATTR && s->features & FUSE_SETXATTR_EXT)
        args = sizeof(struct fuse_setxattr_in);
    size_t copied = op->flags & STREAM ? args : follows;
    if (follows < args || copied > FUSE_ARGS_SIZE || r->room < op->reply)
        return -EINVAL;
    if (iov_to_buffer(r->in, r->n_in, sizeof(r->h), s->args, copied) != copied)
        return -EINVAL;
    /* An operation may read its whole struct where a client of an older minor version sent less. */
    memset(s->args + copied, 0, FUSE_ARGS_PADDING);
    r->args = s->args;
    r->data = s->args + args;
    r->data_length = follows - args;
    r->data_offset = sizeof(r->h) + args;
    int rc = decode_names(op, r);
    if (rc < 0)
        return rc;
    if (!(op->flags & NO_NODE)) {
        if (!(r->node = fuse_node_get(s, r->h.nodeid)))
            return -ESTALE;
        if (op->flags & DIRECTORY && r->node->type != S_IFDIR)
            return -ENOTDIR;
    }
    return op->flags & WRITES && s->options.read_only ? -EROFS : 0;
}

ssize_t fuse_server_handle(struct fuse_server *s, const struct iovec *in, size_t n_in,
                           const struct iovec *out, size_t n_out, uint64_t in_bytes, uint64_t out_bytes)
{
    static const struct operation unknown = {0};
    struct fuse_request r = {.in = in, .n_in = n_in, .out = out, .n_out = n_out};
    const struct operation *op = &unknown;
    int rc = -ENOSYS;

    /* Who cannot even be answered is not served. */
    if (iov_to_buffer(in, n_in, 0, &r.h, sizeof(r.h)) != sizeof(r.h) || r.h.len < sizeof(r.h) ||
        r.h.len > in_bytes)
        return 0;
    if (r.h.opcode < ARRAY_SIZE(operations) && operations[r.h.opcode].run)
        op = &operations[r.h.opcode];
    if (!(op->flags & NO_REPLY)) {
        if (out_bytes < sizeof(struct fuse_out_header))
            return 0;
        r.room = out_bytes - sizeof(struct fuse_out_header);
    }
    if (op->run && !s->started && r.h.opcode != FUSE_INIT)
        rc = -EIO;
    else if (op->run && (rc = decode(s, op, &r)) == 0)
        rc = op->run(s, &r);
    if (rc == FUSE_LATER)
        return FUSE_SERVER_LATER;
    if (op->flags & NO_REPLY)
        return 0;

    size_t body = rc > 0 ? (size_t)rc : 0;
    struct fuse_out_header h = {
        .len = (uint32_t)(sizeof(h) + body), .error = rc < 0 ? rc : 0, .unique = r.h.unique};
    iov_from_buffer(out, n_out, 0, &h, sizeof(h));
    if (!r.in_place)
        iov_from_buffer(out, n_out, sizeof(h), s->reply, body);
    return h.len;
}

/* What we would agree to; the client's wishes are the other half. */
static uint64_t features(const struct fuse_export *e)
{
    uint64_t f = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK |
                 FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
                 FUSE_POSIX_ACL | FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT |
                 FUSE_INIT_EXT;

    if (e->cache == FUSE_CACHE_ALWAYS)
        f |= FUSE_CACHE_SYMLINKS;
    else
        f |= FUSE_AUTO_INVAL_DATA;
    if (e->cross_mounts)
        f |= FUSE_SUBMOUNTS;
    if (e->shared_locks)
        f |= FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
    if (e->writeback)
        f |= FUSE_WRITEBACK_CACHE;
    return f;
}

int fuse_op_init(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_init_in *in = r->args;
    struct fuse_init_out *out = (void *)s->reply;
    uint64_t offered = in->flags | (in->flags & FUSE_INIT_EXT ? (uint64_t)in->flags2 << 32 : 0);

    memset(out, 0, sizeof(*out));
    out->major = FUSE_KERNEL_VERSION;
    out->minor = in->minor < FUSE_SERVER_MINOR ? in->minor : FUSE_SERVER_MINOR;
    if (in->major > FUSE_KERNEL_VERSION) /* it asks again, as our major version has it */
        return sizeof(*out);
    if (!s->confined) /* names of descriptors would be names in a directory of somebody's */
        return -EIO;
    if (in->major < FUSE_KERNEL_VERSION || in->minor < FUSE_SERVER_MIN_MINOR)
        return -EPROTO;
    fuse_server_reset(s);
    s->features = offered & features(&s->options);
    s->started = true;
    out->flags = (uint32_t)s->features;
    out->flags2 = (uint32_t)(s->features >> 32);
    out->max_readahead = in->max_readahead;
    out->max_background = MAX_BACKGROUND;
    out->congestion_threshold = MAX_BACKGROUND / 4 * 3;
    out->max_pages = s->features & FUSE_MAX_PAGES ? FUSE_SERVER_MAX_PAGES : 0;
    out->max_write = (s->features & FUSE_MAX_PAGES ? FUSE_SERVER_MAX_PAGES : 32) * 4096;
    out->time_gran = 1;
    return sizeof(*out);
}

int fuse_op_destroy(struct fuse_server *s, struct fuse_request *r)
{
    (void)r;
    fuse_server_reset(s);
    return 0;
}

int fuse_op_forget(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_forget_in *in = r->args;

    fuse_node_forget(s, r->h.nodeid, in->nlookup);
    return 0;
}

int fuse_op_batch_forget(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_batch_forget_in *in = r->args;
    struct fuse_forget_one batch[64];
    size_t left = r->data_length / sizeof(*batch), at = r->data_offset;

    if (in->count < left)
        left = in->count;
    while (left > 0) {
        size_t n = left < ARRAY_SIZE(batch) ? left : ARRAY_SIZE(batch);
        n = iov_to_buffer(r->in, r->n_in, at, batch, n * sizeof(*batch)) / sizeof(*batch);
        for (size_t i = 0; i < n; i++)
            fuse_node_forget(s, batch[i].nodeid, batch[i].nlookup);
        if (n == 0)
            break;
        left -= n;
        at += n * sizeof(*batch);
    }
    return 0;
}

int fuse_op_statfs(struct fuse_server *s, struct fuse_request *r)
{
    struct fuse_statfs_out *out = (void *)s->reply;
    struct statfs fs;

    if (fstatfs(r->node->fd, &fs) < 0)
        return -errno;
    *out = (struct fuse_statfs_out){.st = {
                                        .blocks = fs.f_blocks,
                                        .bfree = fs.f_bfree,
                                        .bavail = fs.f_bavail,
                                        .files = fs.f_files,
                                        .ffree = fs.f_ffree,
                                        .bsize = (uint32_t)fs.f_bsize,
                                        .namelen = (uint32_t)fs.f_namelen,
                                        .frsize = (uint32_t)fs.f_frsize,
                                    }};
    return sizeof(*out);
}

int fuse_op_syncfs(struct fuse_server *s, struct fuse_request *r)
{
    int fd = fuse_node_open(s, r->node, O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        return fd;
    int rc = syncfs(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

uint64_t fuse_server_progress(const struct fuse_server *s)
{
    return s->progress;
}

void fuse_server_reset(struct fuse_server *s)
{
    s->started = false;
    s->features = 0;
    fuse_locks_clear(s);
    fuse_handles_clear(s);
    fuse_nodes_clear(s);
    s->progress++;
}

static int open_proc(struct fuse_server *s, const char *path, struct error *err)
{
    struct statfs fs;
    int fd = openat(s->options.proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_set(err, errno, "open %s of procfs", path);
    if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC) {
        close(fd);
        return error_set(err, 0, "%s lies on no procfs", path);
    }
    return fd;
}

static int set_up(struct fuse_server *s, struct error *err)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return error_set(err, errno, "getrlimit");
    if (s->options.max_descriptors == 0) {
        if (limit.rlim_cur < (rlim_t)2 * DESCRIPTORS_KEPT_BACK)
            return error_set(err, 0, "a file server needs more than %llu open files (ulimit -n)",
                             (unsigned long long)limit.rlim_cur);
        rlim_t max = limit.rlim_cur < 1 << 20 ? limit.rlim_cur : 1 << 20;
        s->options.max_descriptors = (uint32_t)max - DESCRIPTORS_KEPT_BACK;
    }
    if (s->options.many_nodes > s->options.max_descriptors / 2) /* open files need some, too */
        s->options.many_nodes = s->options.max_descriptors / 2;
    if ((s->proc_fds = open_proc(s, "self/fd", err)) < 0 ||
        (s->proc_fdinfo = open_proc(s, "self/fdinfo", err)) < 0)
        return -1;
    fuse_locks_create(s);
    int rc = fuse_nodes_create(s);
    if (rc == 0)
        rc = fuse_handles_create(s);
    return rc < 0 ? error_set(err, -rc, "share a directory") : 0;
}

struct fuse_server *fuse_server_create(const struct fuse_export *e, struct error *err)
{
    struct fuse_server *s = fuse_reserve(1, sizeof(*s));

    if (!s) {
        error_set(err, errno, "memory for a file server");
        return NULL;
    }
    s->options = *e;
    s->proc_fds = s->proc_fdinfo = -1;
    s->cache_seconds = e->cache == FUSE_CACHE_ALWAYS ? CACHE_SECONDS_ALWAYS : e->cache == FUSE_CACHE_AUTO;
    if (set_up(s, err) < 0) {
        fuse_server_destroy(s);
        return NULL;
    }
    return s;
}

void fuse_server_destroy(struct fuse_server *s)
{
    if (!s)
        return;
    fuse_locks_clear(s);
    fuse_handles_destroy(s);
    fuse_nodes_destroy(s);
    fd_closep(&s->proc_fds);
    fd_closep(&s->proc_fdinfo);
    fuse_unreserve(s, 1, sizeof(*s));
}
