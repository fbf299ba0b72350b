/*
 * The root: opened by the parent, attached over itself in the new mount namespace, entered, sealed.
 *
 * Propagation (config-linux.md "Rootfs Mount Propagation", runc's reading of it): before anything is mounted,
 * "/" and all below become slaves of the host's mounts, or what rootfsPropagation says; so host and container
 * see what was asked for, and our own mounts stay ours. The root itself is private whatever its origin -
 * pivot_root(2) refuses a shared one, and mounts in it may not travel. After the pivot rootfsPropagation is
 * given to the new "/" alone: the mounts in it keep what their own options say.
 *
 * The old root lies on top of the new one after pivot_root(".", "."), and one umount of "." takes it away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "base/procfs.h"
#include "base/syscalls.h"
#include "namespaces/rootfs_private.h"

enum { MOUNTINFO_MAX = 64 << 20 };

/* Of a sandbox the root is not the image's, but a tree in which that is bound. */
static void take_made(struct rootfs *r)
{
    for (size_t i = 0; i < r->options.n_made; i++) {
        const struct rootfs_made *m = &r->options.made[i];

        if (strcmp(r->path, m->place) == 0)
            r->root = m->tree;
        for (size_t k = 0; k < r->n_steps; k++)
            if (r->steps[k].kind == STEP_BIND && strcmp(r->steps[k].source, m->place) == 0)
                r->steps[k].tree = m->tree;
    }
    r->root_is_tree = r->root >= 0;
}

int rootfs_open(struct rootfs *r, struct error *err)
{
    struct stat st;

    take_made(r);
    if (r->root < 0 && r->options.new_mount_namespace && !r->options.mount_root) {
        r->root = tree_clone(AT_FDCWD, r->path, AT_RECURSIVE);
        r->root_is_tree = r->root >= 0;
    }
    /* without rights here (rootless), or with them filtered, init makes the copy */
    if (r->root < 0)
        r->root = open(r->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (r->root < 0)
        return error_set(err, errno, "root.path: open %s", r->path);
    if (r->root_is_tree && (fstat(r->root, &st) < 0 || !S_ISDIR(st.st_mode)))
        return error_set(err, ENOTDIR, "root.path: open %s", r->path);
    if (r->context && access("/sys/fs/selinux/enforce", F_OK) < 0)
        r->context = r->label = NULL;
    return r->options.new_mount_namespace ? mounts_open(r, err) : 0;
}

/* rootfsPropagation=shared (or one that is for "/" alone) leaves the mount that holds the root shared, and
 * what we attach to it would appear on the host. Walk up to where a mount begins: that is the first place
 * where its propagation can be set. */
static int make_parent_private(const char *path, struct error *err)
{
    _cleanup_(fd_closep) int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (int depth = 0; fd >= 0 && depth < PATH_MAX / 2; depth++) {
        if (mount_propagation(fd, MS_PRIVATE) == 0)
            return 0;
        if (errno != EINVAL)
            break;
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd_closep(&fd);
        fd = up;
    }
    return error_set(err, errno, "make the mount that holds %s private", path);
}

static int set_host_propagation(struct rootfs *r, struct error *err)
{
    unsigned long flags = r->propagation ? r->propagation : MS_SLAVE | MS_REC;

    if (flags &
        MS_UNBINDABLE) /* while sources are still to be bound; the container's own root gets it in the end */
        flags = MS_PRIVATE | (flags & MS_REC);
    if (mount(NULL, "/", NULL, flags, NULL) < 0)
        return error_set(err, errno, "set the propagation of /%s",
                         errno == EINVAL ? " (it is no mount point: hull cannot run in a plain chroot)" : "");
    return r->shared ? make_parent_private(r->path, err) : 0;
}

/* Without open_tree(2): bind over itself by name, and open what is there then. */
static int bind_root_by_name(struct rootfs *r, struct error *err)
{
    if (mount(r->path, r->path, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_set(err, errno, "root.path: bind %s", r->path);
    fd_closep(&r->root);
    r->root = open(r->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return r->root < 0 ? error_set(err, errno, "root.path: open %s", r->path) : 0;
}

static int attach_root_tree(struct rootfs *r, struct error *err)
{
    const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;

    if (move_mount(r->root, "", AT_FDCWD, r->path, flags) == 0)
        return 0;
    if (tree_call_missing()) {
        trees_give_up();
        r->root_is_tree = false;
        return bind_root_by_name(r, err);
    }
    /* root of a user namespace may not reach the path: any place will do that pivot_root can start from */
    if (errno != EACCES || move_mount(r->root, "", AT_FDCWD, "/", flags) < 0)
        return error_set(err, errno, "root.path: attach %s", r->path);
    return 0;
}

static int clone_root_here(struct rootfs *r)
{
    int tree = tree_clone(AT_FDCWD, r->path, AT_RECURSIVE);

    if (tree < 0)
        return -1;
    fd_closep(&r->root);
    r->root = tree;
    r->root_is_tree = true;
    return 0;
}

int root_attach(struct rootfs *r, struct error *err)
{
    if (set_host_propagation(r, err) < 0)
        return -1;
    if (r->options.mount_root && r->options.mount_root(r->options.mount_root_argument, err) < 0)
        return error_wrap(err, "root.path");
    if (!r->root_is_tree && clone_root_here(r) < 0 && !tree_call_missing())
        return error_set(err, errno, "root.path: copy the mounts of %s", r->path);
    if ((r->root_is_tree ? attach_root_tree(r, err) : bind_root_by_name(r, err)) < 0)
        return -1;
    /* the copy was made beside the host's peers; mounts below the root stay connected to them as far as was
     * asked for */
    const bool cut = r->propagation & MS_REC && r->propagation & (MS_PRIVATE | MS_UNBINDABLE);
    if (!(r->propagation & MS_SHARED) &&
        mount_propagation(r->root, (cut ? MS_PRIVATE : MS_SLAVE) | MS_REC) < 0)
        return error_set(err, errno, "root.path: set the propagation of %s", r->path);
    if (mount_propagation(r->root, MS_PRIVATE) < 0)
        return error_set(err, errno, "root.path: make %s private", r->path);
    return 0;
}

static int pivot(struct rootfs *r, struct error *err)
{
    _cleanup_(fd_closep) int old = -1;

    if (r->shared) {
        old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (old < 0)
            return error_set(err, errno, "open /");
    }
    if (fchdir(r->root) < 0)
        return error_set(err, errno, "enter the root");
    if (sys_pivot_root(".", ".") < 0)
        return error_set(err, errno, "pivot_root%s",
                         errno == EINVAL ? " (a host that runs from its initramfs needs --no-pivot)" : "");
    /* a shared old root would tell the host of its umount */
    if (old >= 0 && mount_propagation(old, MS_SLAVE | MS_REC) < 0)
        return error_set(err, errno, "make the old root a slave");
    if (umount2(".", MNT_DETACH) < 0)
        return error_set(err, errno, "detach the old root");
    return 0;
}

/* Undo mountinfo's \ooo. */
static void unescape(char *s)
{
    char *out = s;

    for (; *s; s++, out++) {
        if (s[0] == '\\' && s[1] && s[2] && s[3]) {
            *out = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else
            *out = *s;
    }
    *out = '\0';
}

static int hide_mount(const char *path, struct error *err)
{
    if (mount(NULL, path, NULL, MS_SLAVE | MS_REC, NULL) < 0 && errno != EINVAL)
        return error_set(err, errno, "make %s a slave", path);
    if (umount2(path, MNT_DETACH) == 0 || errno == ENOENT)
        return 0;
    if (errno != EINVAL && errno != EPERM)
        return error_set(err, errno, "umount %s", path);
    /* locked by a user namespace */
    if (mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0") < 0)
        return error_set(err, errno, "hide %s", path);
    return 0;
}

/* The old root stays below a chroot: its proc and sysfs, fully visible as they are, would let the container
 * mount new ones without any mask. So they go first. */
static int hide_old_proc(struct rootfs *r, struct error *err)
{
    char *text, *line, *save = NULL, name[32], root[PATH_MAX];

    /* the root's path as mountinfo writes it, whatever links root.path went through */
    snprintf(name, sizeof(name), "self/fd/%d", r->root);
    ssize_t n = readlinkat(procfs_fd(), name, root, sizeof(root) - 1);
    if (n < 0)
        return error_set(err, errno, "find the path of %s", r->path);
    root[n] = '\0';
    if (file_read(procfs_fd(), "self/mountinfo", MOUNTINFO_MAX, r->arena, &text, NULL, err) < 0)
        return -1;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *dash = strstr(line, " - "), *point = line;
        if (!dash || (strncmp(dash + 3, "proc ", 5) != 0 && strncmp(dash + 3, "sysfs ", 6) != 0))
            continue;
        for (int field = 0; field < 4 && point; field++) /* id parent major:minor root POINT */
            point = (point = strchr(point, ' ')) ? point + 1 : NULL;
        if (!point)
            continue;
        point[strcspn(point, " ")] = '\0';
        unescape(point);
        if (strncmp(point, root, (size_t)n) == 0 && (point[n] == '/' || point[n] == '\0'))
            continue;
        if (hide_mount(point, err) < 0)
            return -1;
    }
    return 0;
}

static int move_root(struct rootfs *r, struct error *err)
{
    if (hide_old_proc(r, err) < 0)
        return error_wrap(err, "--no-pivot");
    if (fchdir(r->root) < 0)
        return error_set(err, errno, "enter the root");
    if (move_mount(r->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 &&
        (!tree_call_missing() || mount(".", "/", NULL, MS_MOVE, NULL) < 0))
        return error_set(err, errno, "--no-pivot: move the root to /");
    if (chroot(".") < 0)
        return error_set(err, errno, "--no-pivot: chroot");
    return 0;
}

int rootfs_pivot(struct rootfs *r, struct error *err)
{
    r->cwd_is_fds = false;
    if (!r->options.new_mount_namespace) {
        if (fchdir(r->root) < 0 || chroot(".") < 0)
            return error_set(err, errno, "chroot to %s", r->path);
        return 0;
    }
    if ((r->options.no_pivot ? move_root(r, err) : pivot(r, err)) < 0)
        return -1;
    if (r->propagation && mount(NULL, "/", NULL, r->propagation & ~(unsigned long)MS_REC, NULL) < 0)
        return error_set(err, errno, "linux.rootfsPropagation");
    return 0;
}

/* A missing cwd is made while a root that will be read-only can still be written to. */
static int make_cwd(struct rootfs *r, struct error *err)
{
    const char *cwd = r->spec->process.cwd;

    if (!r->spec->root_readonly || !cwd || strcmp(cwd, "/") == 0)
        return 0;
    int fd = path_open(r->root, cwd, O_PATH, 0);
    if (fd < 0 && errno == ENOENT && path_mkdirs(r->root, cwd, 0755, &fd, err) < 0)
        return error_wrap(err, "process.cwd: make %s", cwd);
    fd_batch_add(&r->batch, fd);
    return 0;
}

int rootfs_mount(struct rootfs *r, struct error *err)
{
    if (!r->options.new_mount_namespace)
        return 0;
    /* found now, while the host's is at /proc: nothing that a container mounts there can take its place */
    if (procfs_fd() < 0)
        return error_set(err, errno, "/proc is not a procfs");
    int result = root_attach(r, err);
    if (result == 0)
        result = mounts_carry_out(r, err);
    if (result == 0 && r->setup_dev)
        result = devices_create(r, err);
    if (result == 0)
        result = make_cwd(r, err);
    if (result == 0)
        result = masks_prepare(r, err);
    fd_batch_flush(&r->batch);
    return result;
}

int rootfs_finish(struct rootfs *r, int console, struct error *err)
{
    int result = 0;

    if (r->options.new_mount_namespace) {
        if (console >= 0)
            result = console_bind(r, console, err);
        if (result == 0)
            result = mounts_seal(r, err);
        if (result == 0)
            result = readonly_paths_apply(r, err);
        if (result == 0)
            result = masked_paths_apply(r, err);
        if (result == 0 && r->spec->root_readonly && mount_raise_flags(r->root, MS_RDONLY) < 0)
            result = error_set(err, errno, "root.readonly: make / read-only");
        if (r->cwd_is_fds && chdir("/") < 0 && result == 0)
            result = error_set(err, errno, "chdir /");
    }
    r->cwd_is_fds = false;
    fd_batch_add(&r->batch, r->fds_dir);
    fd_batch_add(&r->batch, r->root);
    fd_batch_flush(&r->batch);
    r->root = r->fds_dir = -1;
    return result;
}
