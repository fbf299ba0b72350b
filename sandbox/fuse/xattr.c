/*
 * Extended attributes, POSIX ACLs among them. There is no *at form of these calls, so they take the descriptor's name
 * in self/fd, where the thread's working directory is (fuse_thread_confine); the name is a magic link, whose following
 * ends at the node itself, be it a symlink. What a name space demands (trusted.*, security.*), the host asks of us: of
 * these only security.capability can be had.
 */
/* #syscalls(fs): getxattr setxattr listxattr removexattr */
#include <string.h>
#include <sys/xattr.h>

#include "sandbox/fuse/internal.h"

static const char acl_access[] = "system.posix_acl_access";

int fuse_op_setxattr(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_setxattr_in *in = r->args;
    char name[FUSE_NUMBER_SIZE];
    const char *path = fuse_fd_name(r->node->fd, name);
    struct statx stx;

    if (in->size > r->data_length || in->size > FUSE_XATTR_MAX)
        return -EINVAL;
    if (setxattr(path, r->names[0], r->data, in->size, (int)in->flags) < 0)
        return -errno;
    if (!(s->features & FUSE_SETXATTR_EXT) || !(in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) ||
        strcmp(r->names[0], acl_access) != 0)
        return 0;
    /* As with chmod: who is not in the file's group may not leave it set-gid. */
    int rc = fuse_statx(r->node->fd, "", &stx);
    if (rc == 0 && stx.stx_mode & S_ISGID &&
        fchmodat(s->proc_fds, path, stx.stx_mode & 07777 & ~(mode_t)S_ISGID, 0) < 0)
        rc = -errno;
    return rc;
}

/* The bytes, or (when the client asks with no room) how many they are. */
static int reply_sized(struct fuse_server *s, const struct fuse_request *r, const char *attribute)
{
    const struct fuse_getxattr_in *in = r->args;
    char name[FUSE_NUMBER_SIZE];
    const char *path = fuse_fd_name(r->node->fd, name);
    size_t size = in->size;

    /* Sizes of 0 mean a question to the host as well. */
    if (r->room < (size == 0 ? sizeof(struct fuse_getxattr_out) : 1))
        return -EINVAL;
    if (size > r->room)
        size = r->room;
    if (size > FUSE_XATTR_MAX)
        size = FUSE_XATTR_MAX;
    ssize_t n =
        attribute ? getxattr(path, attribute, s->reply, size) : listxattr(path, (char *)s->reply, size);
    if (n < 0)
        return -errno;
    if (in->size != 0)
        return (int)n;
    struct fuse_getxattr_out out = {.size = (uint32_t)n};
    memcpy(s->reply, &out, sizeof(out));
    return sizeof(out);
}

int fuse_op_getxattr(struct fuse_server *s, struct fuse_request *r)
{
    return reply_sized(s, r, r->names[0]);
}

int fuse_op_listxattr(struct fuse_server *s, struct fuse_request *r)
{
    return reply_sized(s, r, NULL);
}

int fuse_op_removexattr(struct fuse_server *s, struct fuse_request *r)
{
    char name[FUSE_NUMBER_SIZE];

    (void)s;
    return removexattr(fuse_fd_name(r->node->fd, name), r->names[0]) < 0 ? -errno : 0;
}
