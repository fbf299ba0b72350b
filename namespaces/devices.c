/*
 * /dev of the container (config-linux.md "Devices", "Default Devices", "Dev symbolic links"): nodes, links,
 * console.
 *
 * All names are made below one descriptor of the container's /dev that was opened without following any
 * symlink (CVE-2026-47766): a root whose /dev leads elsewhere is an error. What exists already is never
 * followed: the same node is used as it is, anything else is an error.
 *
 * In a user namespace nodes cannot be made; the host's is bound onto an empty file, after a look that it is
 * the very device.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/path.h"
#include "namespaces/rootfs_private.h"

static const struct {
    const char *name, *target;
} links[] = {
    {"fd", "/proc/self/fd"},
    {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
};

static int open_dev(const struct rootfs *r, int *dev, struct error *err)
{
    *dev = path_open_nofollow(r->root, "/dev", O_PATH | O_DIRECTORY, 0);
    if (*dev < 0 && errno == ENOENT && mkdirat(r->root, "dev", 0755) == 0)
        *dev = path_open_nofollow(r->root, "/dev", O_PATH | O_DIRECTORY, 0);
    if (*dev >= 0)
        return 0;
    if (errno == ELOOP || errno == ENOTDIR)
        return error_set(err, 0,
                         "/dev of the container is not a directory; a symbolic link there is not followed");
    return error_set(err, errno, "open /dev of the container");
}

static bool is_device(const struct stat *st, const struct device_step *d)
{
    if ((st->st_mode & S_IFMT) != (d->mode & S_IFMT))
        return false;
    return S_ISFIFO(d->mode) || st->st_rdev == d->number;
}

static int wrong_object(const struct device_step *d, struct error *err)
{
    return error_set(err, EEXIST, "%s exists in the container and is not device %c %u:%u", d->path,
                     S_ISBLK(d->mode)    ? 'b'
                     : S_ISFIFO(d->mode) ? 'p'
                                         : 'c',
                     major(d->number), minor(d->number));
}

/* The host's node, checked, onto an empty file. */
static int bind_device(struct rootfs *r, int dir, const char *name, const struct device_step *d,
                       struct error *err)
{
    struct stat st;
    _cleanup_(fd_closep) int source = open(d->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (source < 0 || fstat(source, &st) < 0)
        return error_set(err, errno, "open the host's %s, to bind it (device nodes cannot be made here)",
                         d->path);
    if (!is_device(&st, d))
        return error_set(err, 0, "the host's %s is not device %u:%u, and nodes cannot be made here", d->path,
                         major(d->number), minor(d->number));
    if (mknodat(dir, name, S_IFREG | 0666, 0) < 0 && errno != EEXIST)
        return error_set(err, errno, "create %s", d->path);
    _cleanup_(fd_closep) int target = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0 || fstat(target, &st) < 0)
        return error_set(err, errno, "open %s", d->path);
    if (is_device(&st, d))
        return 0;
    if (!S_ISREG(st.st_mode))
        return wrong_object(d, err);
    if (bind_fd(&r->fds_dir, &r->cwd_is_fds, source, target) < 0)
        return error_set(err, errno, "bind the host's %s", d->path);
    return 0;
}

static int check_existing(int dir, const char *name, const struct device_step *d, struct error *err)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "look at %s", d->path);
    return is_device(&st, d) ? 0 : wrong_object(d, err);
}

static int make_device(struct rootfs *r, int dir, const char *name, const struct device_step *d,
                       struct error *err)
{
    bool fifo = S_ISFIFO(d->mode);

    if (r->options.user_namespace && !fifo)
        return bind_device(r, dir, name, d, err);
    if (mknodat(dir, name, d->mode, d->number) < 0) {
        if (errno == EEXIST)
            return check_existing(dir, name, d, err);
        if (errno == EPERM && !fifo)
            return bind_device(r, dir, name, d, err);
        return error_set(err, errno, "make device %s", d->path);
    }
    if ((d->uid || d->gid) && fchownat(dir, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "give %s to %u:%u", d->path, d->uid, d->gid);
    return 0;
}

/* Names right below /dev use its descriptor; others get their directories first. */
static int create_one(struct rootfs *r, int dev, const struct device_step *d, struct error *err)
{
    bool below = strncmp(d->path, "/dev/", 5) == 0;
    const char *name = below ? d->path + 5 : d->path;
    _cleanup_(fd_closep) int parent = -1;

    if (below && !strchr(name, '/'))
        return make_device(r, dev, name, d, err);
    if (path_open_parent(below ? dev : r->root, name, 0755, &parent, &name, err) < 0)
        return error_wrap(err, "make device %s", d->path);
    return make_device(r, parent, name, d, err);
}

/* /dev/ptmx must be the container's own pts's, so it replaces what is there. */
static int link_ptmx(int dev, struct error *err)
{
    static const char target[] = "pts/ptmx";
    char old[sizeof(target)];

    if (symlinkat(target, dev, "ptmx") == 0)
        return 0;
    if (errno == EEXIST && readlinkat(dev, "ptmx", old, sizeof(old)) == sizeof(target) - 1 &&
        memcmp(old, target, sizeof(target) - 1) == 0)
        return 0;
    if (unlinkat(dev, "ptmx", 0) == 0 && symlinkat(target, dev, "ptmx") == 0)
        return 0;
    return error_set(err, errno, "make /dev/ptmx");
}

static int link_one(int dev, const char *name, const char *target, struct error *err)
{
    if (symlinkat(target, dev, name) < 0 && errno != EEXIST)
        return error_set(err, errno, "make /dev/%s", name);
    return 0;
}

int devices_create(struct rootfs *r, struct error *err)
{
    _cleanup_(fd_closep) int dev = -1;

    if (open_dev(r, &dev, err) < 0)
        return -1;
    for (size_t i = 0; i < r->n_devices; i++)
        if (create_one(r, dev, &r->devices[i], err) < 0)
            return -1;
    if (link_ptmx(dev, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        if (link_one(dev, links[i].name, links[i].target, err) < 0)
            return -1;
    return access("/proc/kcore", F_OK) == 0 ? link_one(dev, "core", "/proc/kcore", err) : 0;
}

/* The pty's slave is known by descriptor only; its name in some /dev/pts is nobody's concern
 * (CVE-2025-52565). */
int console_bind(struct rootfs *r, int console, struct error *err)
{
    struct stat st;
    _cleanup_(fd_closep) int dev = -1;

    if (open_dev(r, &dev, err) < 0)
        return -1;
    if (mknodat(dev, "console", S_IFREG | 0600, 0) < 0 && errno != EEXIST)
        return error_set(err, errno, "create /dev/console");
    _cleanup_(fd_closep) int target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0 || fstat(target, &st) < 0)
        return error_set(err, errno, "open /dev/console");
    if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        return error_set(err, EEXIST, "/dev/console of the container is neither a file nor a device");
    _cleanup_(fd_closep) int tree = tree_clone(console, "", AT_EMPTY_PATH);
    if (tree >= 0)
        return tree_attach(tree, target) < 0 ? error_set(err, errno, "bind the terminal to /dev/console") : 0;
    if (!tree_call_missing() || bind_fd(&r->fds_dir, &r->cwd_is_fds, console, target) < 0)
        return error_set(err, errno, "bind the terminal to /dev/console");
    return 0;
}
