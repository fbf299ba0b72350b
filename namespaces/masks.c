/*
 * linux.maskedPaths and linux.readonlyPaths, in the root that the container will see, by descriptors that
 * were resolved in it. What is not there needs no mask.
 *
 * A masked directory gets an empty read-only tmpfs, all of them the same one: a super block for each would
 * cost more to make and more to tear down than all the rest (runc 5262). A masked file gets the host's null
 * device, and only after a look that it is 1:3: the container's own /dev/null may be anything
 * (CVE-2025-31133).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/path.h"
#include "namespaces/rootfs_private.h"

struct masks {
    int empty;          /* the tmpfs on the first masked directory, -1 before */
    bool null_attached; /* r->null lies on a masked file already, so it can be bound from there */
};

static bool is_null_device(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* Before the pivot: a copy that nothing is attached to survives it, a descriptor of the old root's would be
 * of no use. */
int masks_prepare(struct rootfs *r, struct error *err)
{
    if (!r->spec->linux_.masked_paths.n)
        return 0;
    r->null = tree_clone(AT_FDCWD, "/dev/null", AT_SYMLINK_NOFOLLOW);
    if (r->null < 0)
        return tree_call_missing() ? 0 : error_set(err, errno, "open /dev/null");
    return is_null_device(r->null) ? 0 : error_set(err, 0, "/dev/null of the host is not the null device");
}

/* 1 when there is something at @path, 0 when not. */
static int open_existing(const struct rootfs *r, const char *path, int *fd, struct error *err)
{
    *fd = path_open(r->root, path, O_PATH, 0);
    if (*fd >= 0)
        return 1;
    /* ENOTDIR: something above it is a file; ELOOP: a link that leads nowhere or is procfs's magic */
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    return error_set(err, errno, "open it");
}

static int readonly_without_trees(struct rootfs *r, const char *path, int target, struct error *err)
{
    const struct mount_options o = {.set = MS_BIND | MS_REC | MS_RDONLY};
    char source[16];

    snprintf(source, sizeof(source), "%d", target);
    if (mount_on_fd(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_set(err, errno, "bind it onto itself");
    _cleanup_(fd_closep) int mounted = path_open(r->root, path, O_PATH, 0);
    return mounted < 0 ? error_set(err, errno, "open it") : mount_apply_attached(mounted, &o, err);
}

static int readonly_tree(int tree, int target, struct error *err)
{
    const struct mount_options o = {.set = MS_BIND | MS_REC | MS_RDONLY};
    int late = mount_apply_detached(tree, &o, err);

    if (late < 0)
        return -1;
    if (tree_attach(tree, target) < 0)
        return error_set(err, errno, "bind it onto itself");
    return late ? mount_apply_attached(tree, &o, err) : 0;
}

static int readonly_path(struct rootfs *r, const char *path, struct error *err)
{
    int target, result, there = open_existing(r, path, &target, err);

    if (there <= 0)
        return there;
    int tree = tree_clone(target, "", AT_EMPTY_PATH | AT_RECURSIVE);
    if (tree >= 0)
        result = readonly_tree(tree, target, err);
    else if (tree_call_missing())
        result = readonly_without_trees(r, path, target, err);
    else
        result = error_set(err, errno, "copy its mounts");
    fd_batch_add(&r->batch, target);
    fd_batch_add(&r->batch, tree);
    return result;
}

static int mask_file(struct rootfs *r, struct masks *m, int target, struct error *err)
{
    if (r->null < 0) { /* no open_tree(2): the container's own will do when it is one */
        r->null = path_open_nofollow(r->root, "/dev/null", O_PATH, 0);
        if (r->null < 0 || !is_null_device(r->null))
            return error_set(err, 0, "/dev/null of the container is not the null device");
        m->null_attached = true;
    }
    if (!m->null_attached) {
        m->null_attached = true;
        return tree_attach(r->null, target) < 0 ? error_set(err, errno, "attach the null device") : 0;
    }
    if (bind_fd(&r->fds_dir, &r->cwd_is_fds, r->null, target) < 0)
        return error_set(err, errno, "bind the null device");
    return 0;
}

static int mask_directory(struct rootfs *r, struct masks *m, int target, const char *path, struct error *err)
{
    if (m->empty >= 0) {
        if (bind_fd(&r->fds_dir, &r->cwd_is_fds, m->empty, target) < 0)
            return error_set(err, errno, "bind an empty directory");
        return 0;
    }
    if (mount_fs_at(r, target, "tmpfs", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, r->context) <
        0)
        return error_set(err, errno, "mount an empty tmpfs");
    m->empty = path_open(r->root, path, O_PATH | O_DIRECTORY, 0);
    return m->empty < 0 ? error_set(err, errno, "open the empty tmpfs") : 0;
}

static int mask_path(struct rootfs *r, struct masks *m, const char *path, struct error *err)
{
    struct stat st;
    int target, result, there = open_existing(r, path, &target, err);

    if (there <= 0)
        return there;
    if (fstat(target, &st) < 0)
        result = error_set(err, errno, "look at it");
    else
        result = S_ISDIR(st.st_mode) ? mask_directory(r, m, target, path, err) : mask_file(r, m, target, err);
    fd_batch_add(&r->batch, target);
    return result;
}

int masked_paths_apply(struct rootfs *r, struct error *err)
{
    const struct string_list *l = &r->spec->linux_.masked_paths;
    struct masks m = {.empty = -1};
    int result = 0;

    for (size_t i = 0; i < l->n && result == 0; i++) {
        result = mask_path(r, &m, l->v[i], err);
        if (result < 0)
            error_wrap(err, "linux.maskedPaths[%zu] (%s)", i, l->v[i]);
    }
    fd_batch_add(&r->batch, m.empty);
    fd_batch_add(&r->batch, r->null);
    r->null = -1;
    return result;
}

int readonly_paths_apply(struct rootfs *r, struct error *err)
{
    const struct string_list *l = &r->spec->linux_.readonly_paths;

    for (size_t i = 0; i < l->n; i++)
        if (readonly_path(r, l->v[i], err) < 0)
            return error_wrap(err, "linux.readonlyPaths[%zu] (%s)", i, l->v[i]);
    return 0;
}
