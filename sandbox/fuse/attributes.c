/*
 * What an inode is like, and changing it. All of it works on a node's descriptor or through its name in self/fd, which
 * names symlinks, sockets and devices too without opening or following them.
 *
 * Set-id bits (FUSE_HANDLE_KILLPRIV_V2): the client says when a write or a truncation takes them away, because only it
 * knows whether its process has CAP_FSETID; chown takes them away by itself on the host.
 */
/* #syscalls(fs): statx fstat newfstatat fchmod fchmodat fchownat utimensat ftruncate readlinkat */
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sandbox/fuse/internal.h"

int fuse_statx(int fd, const char *name, struct statx *stx)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);

    return statx(fd, name, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, stx) < 0 ? -errno : 0;
}

/* As the kernel packs a device number into 32 bits (new_encode_dev). */
static uint32_t encode_device(uint32_t major, uint32_t minor)
{
    return (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}

void fuse_attr_from(const struct statx *stx, struct fuse_attr *attr)
{
    *attr = (struct fuse_attr){
        .ino = stx->stx_ino,
        .size = stx->stx_size,
        .blocks = stx->stx_blocks,
        .atime = (uint64_t)stx->stx_atime.tv_sec,
        .mtime = (uint64_t)stx->stx_mtime.tv_sec,
        .ctime = (uint64_t)stx->stx_ctime.tv_sec,
        .atimensec = stx->stx_atime.tv_nsec,
        .mtimensec = stx->stx_mtime.tv_nsec,
        .ctimensec = stx->stx_ctime.tv_nsec,
        .mode = stx->stx_mode,
        .nlink = stx->stx_nlink,
        .uid = stx->stx_uid,
        .gid = stx->stx_gid,
        .rdev = encode_device(stx->stx_rdev_major, stx->stx_rdev_minor),
        .blksize = stx->stx_blksize,
    };
}

static int reply_attr(struct fuse_server *s, int fd)
{
    struct fuse_attr_out *out = (void *)s->reply;
    struct statx stx;
    int rc = fuse_statx(fd, "", &stx);

    if (rc < 0)
        return rc;
    *out = (struct fuse_attr_out){.attr_valid = s->cache_seconds};
    fuse_attr_from(&stx, &out->attr);
    return sizeof(*out);
}

int fuse_op_getattr(struct fuse_server *s, struct fuse_request *r)
{
    return reply_attr(s, r->node->fd);
}

static struct fuse_sx_time sx_time(const struct statx_timestamp *t)
{
    return (struct fuse_sx_time){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
}

int fuse_op_statx(struct fuse_server *s, struct fuse_request *r)
{
    struct fuse_statx_out *out = (void *)s->reply;
    struct statx x;
    int rc = fuse_statx(r->node->fd, "", &x);

    if (rc < 0)
        return rc;
    *out = (struct fuse_statx_out){
        .attr_valid = s->cache_seconds,
        .stat =
            {
                .mask = x.stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
                .blksize = x.stx_blksize,
                .attributes = x.stx_attributes,
                .attributes_mask = x.stx_attributes_mask,
                .nlink = x.stx_nlink,
                .uid = x.stx_uid,
                .gid = x.stx_gid,
                .mode = x.stx_mode,
                .ino = x.stx_ino,
                .size = x.stx_size,
                .blocks = x.stx_blocks,
                .atime = sx_time(&x.stx_atime),
                .btime = sx_time(&x.stx_btime),
                .ctime = sx_time(&x.stx_ctime),
                .mtime = sx_time(&x.stx_mtime),
                .rdev_major = x.stx_rdev_major,
                .rdev_minor = x.stx_rdev_minor,
                .dev_major = x.stx_dev_major,
                .dev_minor = x.stx_dev_minor,
            },
    };
    return sizeof(*out);
}

int fuse_kill_suidgid(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    /* Set-gid without execution by the group is no privilege (it once meant mandatory locks). */
    mode_t kill = st.st_mode & S_ISUID;
    if (st.st_mode & S_IXGRP)
        kill |= st.st_mode & S_ISGID;
    return kill != 0 && fchmod(fd, st.st_mode & 07777 & ~kill) < 0 ? -errno : 0;
}

static int set_size(struct fuse_server *s, const struct fuse_node *node, const struct fuse_setattr_in *in)
{
    const struct fuse_handle *h = in->valid & FATTR_FH ? fuse_handle_get(s, in->fh, false) : NULL;

    if (in->size > INT64_MAX)
        return -EFBIG;
    if (node->type != S_IFREG)
        return node->type == S_IFDIR ? -EISDIR : -EINVAL;
    int fd = h ? h->fd : fuse_node_open(s, node, O_WRONLY);
    if (fd < 0)
        return fd;
    int rc = in->valid & FATTR_KILL_SUIDGID ? fuse_kill_suidgid(fd) : 0;
    if (rc == 0 && ftruncate(fd, (off_t)in->size) < 0)
        rc = -errno;
    if (!h)
        close(fd);
    return rc;
}

static int set_times(struct fuse_server *s, const struct fuse_node *node, const struct fuse_setattr_in *in)
{
    struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    char name[FUSE_NUMBER_SIZE];

    if (in->valid & FATTR_ATIME_NOW)
        t[0].tv_nsec = UTIME_NOW;
    else if (in->valid & FATTR_ATIME)
        t[0] = (struct timespec){(time_t)in->atime, in->atimensec};
    if (in->valid & FATTR_MTIME_NOW)
        t[1].tv_nsec = UTIME_NOW;
    else if (in->valid & FATTR_MTIME)
        t[1] = (struct timespec){(time_t)in->mtime, in->mtimensec};
    return utimensat(s->proc_fds, fuse_fd_name(node->fd, name), t, 0) < 0 ? -errno : 0;
}

int fuse_op_setattr(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_setattr_in *in = r->args;
    const struct fuse_node *node = r->node;
    char name[FUSE_NUMBER_SIZE];
    int rc = 0;

    /* Owner before mode: chown takes set-id bits away that the same request may set. */
    if (in->valid & (FATTR_UID | FATTR_GID)) {
        uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
        gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
        if (fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH) < 0)
            return -errno;
    }
    if (in->valid & FATTR_MODE &&
        fchmodat(s->proc_fds, fuse_fd_name(node->fd, name), in->mode & 07777, 0) < 0)
        return -errno;
    if (in->valid & FATTR_SIZE)
        rc = set_size(s, node, in);
    if (rc == 0 && in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW))
        rc = set_times(s, node, in);
    return rc < 0 ? rc : reply_attr(s, node->fd);
}

int fuse_op_readlink(struct fuse_server *s, struct fuse_request *r)
{
    size_t room = r->room < PATH_MAX ? r->room : PATH_MAX;

    if (r->node->type != S_IFLNK || room == 0)
        return -EINVAL;
    ssize_t n = readlinkat(r->node->fd, "", (char *)s->reply, room);
    return n < 0 ? -errno : (int)n;
}
