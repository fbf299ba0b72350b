/*
 * The operations on names: what is below a directory node, by one component that server.c has checked. Nothing here
 * follows a symlink. What is made belongs to the client's user at once (ids.c); device nodes are not made at all, so
 * that nothing the guest leaves behind is one on the host.
 */
/* #syscalls(fs): mknodat mkdirat symlinkat linkat unlinkat renameat renameat2 */
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/fuse/internal.h"

/* The reply for something that has just been made, or why it was not. */
static int reply_entry(struct fuse_server *s, const struct fuse_request *r, int rc)
{
    struct fuse_entry_out *out = (void *)s->reply;

    if (rc == 0)
        rc = fuse_node_lookup(s, r->node, r->names[0], 0, out);
    return rc < 0 ? rc : (int)sizeof(*out);
}

int fuse_op_lookup(struct fuse_server *s, struct fuse_request *r)
{
    struct fuse_entry_out *out = (void *)s->reply;
    int rc = fuse_node_lookup(s, r->node, r->names[0], 0, out);

    /* "Not there" can be believed as long as everything else. */
    if (rc == -ENOENT && s->options.cache == FUSE_CACHE_ALWAYS) {
        *out = (struct fuse_entry_out){.entry_valid = s->cache_seconds};
        rc = 0;
    }
    return rc < 0 ? rc : (int)sizeof(*out);
}

int fuse_op_mknod(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_mknod_in *in = r->args;
    mode_t type = in->mode & S_IFMT;

    if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
        return type == S_IFCHR || type == S_IFBLK ? -EPERM : -EINVAL;
    int rc = fuse_ids_enter(s, &r->h, in->umask);
    if (rc < 0)
        return rc;
    if (mknodat(r->node->fd, r->names[0], type | (in->mode & 07777), 0) < 0)
        rc = -errno;
    fuse_ids_leave(s, &r->h);
    return reply_entry(s, r, rc);
}

int fuse_op_mkdir(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_mkdir_in *in = r->args;
    int rc = fuse_ids_enter(s, &r->h, in->umask);

    if (rc < 0)
        return rc;
    if (mkdirat(r->node->fd, r->names[0], in->mode & 07777) < 0)
        rc = -errno;
    fuse_ids_leave(s, &r->h);
    return reply_entry(s, r, rc);
}

int fuse_op_symlink(struct fuse_server *s, struct fuse_request *r)
{
    int rc = fuse_ids_enter(s, &r->h, 0);

    if (rc < 0)
        return rc;
    if (symlinkat(r->names[1], r->node->fd, r->names[0]) < 0)
        rc = -errno;
    fuse_ids_leave(s, &r->h);
    return reply_entry(s, r, rc);
}

int fuse_op_link(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_link_in *in = r->args;
    const struct fuse_node *old = fuse_node_get(s, in->oldnodeid);
    char name[FUSE_NUMBER_SIZE];
    int rc = 0;

    if (!old)
        return -ESTALE;
    if (old->type == S_IFDIR)
        return -EPERM;
    /* The name in self/fd is what is followed. */
    if (linkat(s->proc_fds, fuse_fd_name(old->fd, name), r->node->fd, r->names[0], AT_SYMLINK_FOLLOW) < 0)
        rc = -errno;
    return reply_entry(s, r, rc);
}

int fuse_op_unlink(struct fuse_server *s, struct fuse_request *r)
{
    (void)s;
    return unlinkat(r->node->fd, r->names[0], 0) < 0 ? -errno : 0;
}

int fuse_op_rmdir(struct fuse_server *s, struct fuse_request *r)
{
    (void)s;
    return unlinkat(r->node->fd, r->names[0], AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int rename_to(struct fuse_server *s, const struct fuse_request *r, uint64_t directory, uint32_t flags)
{
    const struct fuse_node *to = fuse_node_get(s, directory);

    if (!to)
        return -ESTALE;
    if (to->type != S_IFDIR)
        return -ENOTDIR;
    /* Not RENAME_WHITEOUT: that makes a device node. */
    if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    return renameat2(r->node->fd, r->names[0], to->fd, r->names[1], flags) < 0 ? -errno : 0;
}

int fuse_op_rename(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_rename_in *in = r->args;

    return rename_to(s, r, in->newdir, 0);
}

int fuse_op_rename2(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_rename2_in *in = r->args;

    return rename_to(s, r, in->newdir, in->flags);
}
