/*
 * Mounts as descriptors. A bind is: tree_clone() - the copy exists, but nowhere -, flags and propagation on
 * the copy, tree_attach() onto a descriptor of the target. Nobody can see it half made, and no name can be
 * changed in between.
 *
 * mount_setattr(2) sets and clears single flags, so those that the kernel has locked (a user namespace that
 * got the mount from outside) stay. The fall-back, a remount by mount(2), writes all flags at once: it reads
 * the present ones first, and keeps those that were not asked to go.
 */
#include "namespaces/mount_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "base/procfs.h"
#include "base/syscalls.h"

#define ALL_PROPAGATION (MS_SHARED | MS_SLAVE | MS_PRIVATE | MS_UNBINDABLE)

static void close_fds(int low, int high)
{
    if (low == high)
        close(low);
    else if (syscall(SYS_close_range, low, high, 0) < 0) /* 5.9 */
        for (int fd = low; fd <= high; fd++)
            close(fd);
}

void fd_batch_flush(struct fd_batch *b)
{
    int saved = errno;

    for (int i = 0, first = 0; i < b->n; i++) {
        if (i + 1 < b->n && b->fds[i + 1] == b->fds[i] + 1)
            continue;
        close_fds(b->fds[first], b->fds[i]);
        first = i + 1;
    }
    b->n = 0;
    errno = saved;
}

void fd_batch_add(struct fd_batch *b, int fd)
{
    if (fd < 0)
        return;
    if (b->n == FD_BATCH_MAX)
        fd_batch_flush(b);
    int i = b->n++;
    for (; i > 0 && b->fds[i - 1] > fd; i--)
        b->fds[i] = b->fds[i - 1];
    b->fds[i] = fd;
}

/* Some filters know open_tree(2) and not move_mount(2): a tree that cannot be attached is of no use. */
static bool trees_useless;

int tree_clone(int dirfd, const char *path, unsigned at_flags)
{
    if (trees_useless) {
        errno = ENOSYS;
        return -1;
    }
    return open_tree(dirfd, path, at_flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

int tree_attach(int tree, int target)
{
    return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

void trees_give_up(void)
{
    trees_useless = true;
}

bool trees_given_up(void)
{
    return trees_useless;
}

bool tree_call_missing(void)
{
    return errno == ENOSYS || errno == EPERM;
}

static int enter_fds(int *fds_dir, bool *cwd_is_fds)
{
    if (*fds_dir < 0)
        *fds_dir = procfs_open("self/fd", O_PATH | O_DIRECTORY);
    if (*fds_dir < 0 || (!*cwd_is_fds && fchdir(*fds_dir) < 0))
        return -1;
    *cwd_is_fds = true;
    return 0;
}

int bind_fd(int *fds_dir, bool *cwd_is_fds, int source, int target)
{
    char from[16], to[16];

    if (enter_fds(fds_dir, cwd_is_fds) < 0)
        return -1;
    snprintf(from, sizeof(from), "%d", source);
    snprintf(to, sizeof(to), "%d", target);
    return mount(from, to, NULL, MS_BIND, NULL);
}

int mount_on_fd(const char *source, int target, const char *type, unsigned long flags, const char *data)
{
    char to[16];

    _cleanup_(fd_closep) int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(fd_closep) int fds = procfs_open("self/fd", O_PATH | O_DIRECTORY);
    if (fds < 0 || fchdir(fds) < 0)
        return -1;
    snprintf(to, sizeof(to), "%d", target);
    int result = mount(source, to, type, flags, data);
    int saved = errno;
    if (back >= 0 && fchdir(back) < 0)
        return -1;
    errno = saved;
    return result;
}

static int set_attrs(int fd, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation)
{
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};

    if (!set && !clear && !propagation)
        return 0;
    return mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr));
}

/* Flags for one mount and for the tree, propagation by one or by the tree: folded into as few calls as it
 * takes. */
static int apply_setattr(int fd, const struct mount_options *o)
{
    bool tree = o->set & MS_REC;
    uint64_t set, clear, rset, rclear, one = 0, all = 0;
    size_t next = 0;

    mount_options_attrs(o->set, o->clear, &set, &clear);
    mount_options_attrs(o->rset, o->rclear, &rset, &rclear);
    if (o->n_propagation) {
        uint64_t word = o->propagation[next++];
        *(tree && word & MS_REC ? &all : &one) = word & ALL_PROPAGATION;
    }
    if (!tree) { /* a single mount: both kinds mean the same; what was asked for it alone wins */
        set |= rset & ~clear;
        clear |= rclear & ~(set & ~(uint64_t)MOUNT_ATTR__ATIME); /* a field is cleared as a whole */
    } else if (set_attrs(fd, true, rset, rclear, all) < 0)
        return -1;
    if (set_attrs(fd, false, set, clear, one) < 0)
        return -1;
    for (; next < o->n_propagation; next++)
        if (set_attrs(fd, tree && o->propagation[next] & MS_REC, 0, 0,
                      o->propagation[next] & ALL_PROPAGATION) < 0)
            return -1;
    return 0;
}

int mount_apply_detached(int tree, const struct mount_options *o, struct error *err)
{
    if (apply_setattr(tree, o) == 0)
        return 0;
    if (tree_call_missing())
        return 1;
    return error_set(err, errno, "set mount options");
}

/* The flags a mount has now, as MS_*; statvfs(3)'s ST_* differ from them in one place. */
static int current_flags(int fd, unsigned long *flags)
{
    struct statfs fs;
    const unsigned long same = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME;

    if (fstatfs(fd, &fs) < 0)
        return -1;
    *flags = (unsigned long)fs.f_flags & same;
    if (fs.f_flags & 0x1000) /* ST_RELATIME */
        *flags |= MS_RELATIME;
    else if (!(*flags & MS_NOATIME))
        *flags |= MS_STRICTATIME;
    if (fs.f_flags & 0x2000) /* ST_NOSYMFOLLOW */
        *flags |= MS_NOSYMFOLLOW;
    return 0;
}

static int remount_flags(int fd, unsigned long set, unsigned long clear)
{
    unsigned long now;
    const unsigned long mount_flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME |
                                      MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME | MS_NOSYMFOLLOW;
    const unsigned long atimes = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

    if (!((set | clear) & mount_flags))
        return 0;
    if (current_flags(fd, &now) < 0)
        return -1;
    if (set & atimes)
        now &= ~atimes;
    now = (now & ~clear) | (set & mount_flags);
    return mount_on_fd(NULL, fd, NULL, MS_REMOUNT | MS_BIND | now, NULL);
}

int mount_apply_attached(int tree, const struct mount_options *o, struct error *err)
{
    bool recursive = o->set & MS_REC;

    if (recursive && (o->rset || o->rclear))
        return error_set(err, ENOSYS,
                         "recursive mount options (rro, rnosuid ...) need mount_setattr(2): Linux 5.12");
    if (remount_flags(tree, o->set | o->rset, o->clear | o->rclear) < 0)
        return error_set(err, errno,
                         errno == EPERM ? "set mount options (a user namespace may not lift what the host's "
                                          "own mount forbids: ro, nosuid, nodev, noexec, noatime)"
                                        : "set mount options");
    for (size_t i = 0; i < o->n_propagation; i++)
        if (mount_on_fd(NULL, tree, NULL, o->propagation[i], NULL) < 0)
            return error_set(err, errno, "set mount propagation");
    return 0;
}

int mount_idmap(int tree, int userns, bool recursive)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};

    return mount_setattr(tree, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr));
}

int mount_raise_flags(int mount_fd, unsigned long ms_flags)
{
    uint64_t set, clear;

    mount_options_attrs(ms_flags, 0, &set, &clear);
    if (set_attrs(mount_fd, false, set, clear, 0) == 0)
        return 0;
    return tree_call_missing() ? remount_flags(mount_fd, ms_flags, 0) : -1;
}

int mount_propagation(int mount_fd, unsigned long ms_flags)
{
    if (set_attrs(mount_fd, ms_flags & MS_REC, 0, 0, ms_flags & ALL_PROPAGATION) == 0)
        return 0;
    return tree_call_missing() ? mount_on_fd(NULL, mount_fd, NULL, ms_flags, NULL) : -1;
}
