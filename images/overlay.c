/*
 * The overlay of a container (Linux, filesystems/overlayfs); see snapshot.h. Layers are handed over as descriptors, so that
 * neither their number nor the length or the characters of the store's path matter. Kernels before 6.13 take names, which
 * may only be short: those of the descriptors in /proc/self/fd. Options that an image's layers could use to reach beyond
 * them (redirects, metadata copies) are off.
 *
 * Who mounts it: the container's init, in its own mount namespace, as root or (Linux 5.11, "userxattr") as root of its user
 * namespace; or, for a container that root gives a user namespace, a child of hull's, because there the layers must be
 * mounted anew with their ids mapped (mount_setattr(2), overlayfs since 5.19), which only root may, and overlayfs takes only
 * layers that are mounted where it is. That child shares hull's descriptors, has a mount namespace of its own for as long as it
 * takes, and leaves the overlay behind as a descriptor: a mount that is nowhere yet.
 */
#include "images/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/procfs.h"
#include "base/syscalls.h"
#include "images/store_private.h"
#include "namespaces/mount_fd.h"

struct overlay {
    const struct snapshot_mount *m;
    struct arena *arena;
    int store,
        container; /* their directories, as this mount namespace has them: the caller's are of another one */
    int upper, work;
    int fs;     /* fsopen(2)'s */
    int *lower; /* the top first */
    size_t n;
    int userns; /* whose ids the layers are to have, or -1 */
    int *tree;  /* where the detached mount goes; NULL: it is attached */
};

static int set_string(struct overlay *o, const char *key, const char *value)
{
    return fsconfig(o->fs, FSCONFIG_SET_STRING, key, value, 0);
}

/* Linux 6.13 takes the descriptor itself, others its name. */
static int set_directory(struct overlay *o, const char *key, int fd)
{
    if (fsconfig(o->fs, FSCONFIG_SET_FD, key, NULL, fd) == 0)
        return 0;
    return errno == EINVAL || errno == EOPNOTSUPP
               ? set_string(o, key, arena_printf(o->arena, "/proc/self/fd/%d", fd))
               : -1;
}

/* Before 6.5 overlayfs has the old interface, which takes every name, and no descriptor. */
static bool is_legacy(const struct overlay *o)
{
    return fsconfig(o->fs, FSCONFIG_SET_FD, "source", NULL, o->lower[0]) < 0 && errno == EOPNOTSUPP;
}

static int set_lower(struct overlay *o, struct error *err)
{
    for (size_t i = 0; i < o->n; i++)
        if (set_directory(o, "lowerdir+", o->lower[i]) < 0)
            return error_set(err, errno, "overlayfs: layer %zu", o->n - 1 - i);
    return 0;
}

static const char *const safe[][2] = {{"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}};

/* Where they are off anyway, older kernels may not know the names. */
static void set_safe(struct overlay *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(safe); i++)
        (void)!set_string(o, safe[i][0], safe[i][1]);
}

/* mount(2) as it always was: a page of options, in which the directories are numbers below /proc/self/fd (the working
 * directory that mount_on_fd() has), so that 500 layers fit. */
static int mount_legacy(struct overlay *o, bool throw_away, struct error *err)
{
    struct buffer b = {.arena = o->arena};
    _cleanup_(fd_closep) int root =
        openat(o->container, "root", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    if (root < 0)
        return error_set(err, errno, "open %s/root", o->m->snapshot->path);
    for (size_t i = 0; i < o->n; i++)
        buffer_printf(&b, "%s%d", i ? ":" : "lowerdir=", o->lower[i]);
    if (!o->m->read_only)
        buffer_printf(&b, ",upperdir=%d,workdir=%d", o->upper, o->work);
    for (size_t i = 0; i < ARRAY_SIZE(safe); i++)
        buffer_printf(&b, ",%s=%s", safe[i][0], safe[i][1]);
    buffer_printf(&b, "%s%s", o->m->user_namespace ? ",userxattr" : "", throw_away ? ",volatile" : "");
    if (mount_on_fd("overlay", root, "overlay", o->m->read_only ? MS_RDONLY : 0, b.data) == 0) {
        if (!o->tree)
            return 0;
        *o->tree = tree_clone(o->container, "root", 0);
        return *o->tree < 0 ? error_set(err, errno, "copy the mount on %s/root", o->m->snapshot->path) : 0;
    }
    int code = errno;
    /* "volatile" is for Linux 5.10 */
    return throw_away && code == EINVAL
               ? mount_legacy(o, false, err)
               : error_set(err, code, "mount overlayfs on %s/root", o->m->snapshot->path);
}

/* The kernel's own words for why, which wait in the context: "e overlay: ...". */
static const char *kernel_says(struct overlay *o)
{
    char text[256];
    ssize_t n = read(o->fs, text, sizeof(text) - 1);

    return n > 2 ? arena_printf(o->arena, " (%.*s)", (int)n - 2, text + 2) : "";
}

static int attach(const struct overlay *o, struct error *err)
{
    _cleanup_(fd_closep) int mount = fsmount(o->fs, FSMOUNT_CLOEXEC, o->m->read_only ? MOUNT_ATTR_RDONLY : 0);

    if (mount < 0 || (!o->tree && move_mount(mount, "", o->container, "root", MOVE_MOUNT_F_EMPTY_PATH) < 0))
        return error_set(err, errno, "mount overlayfs on %s/root", o->m->snapshot->path);
    if (o->tree)
        *o->tree = steal_fd(&mount);
    return 0;
}

static int refused(const struct overlay *o, struct error *err)
{
    struct statfs fs;
    int code = errno;
    bool overlay = fstatfs(o->container, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;

    return error_set(err, code, "overlayfs: upperdir and workdir%s",
                     overlay
                         ? " are on overlayfs themselves, which it does not allow (have the store on another "
                           "file system: --store, HULL_STORE, or a volume)"
                         : "");
}

/* #syscalls: fsopen fsconfig fsmount move_mount mount fstatfs */
static int mount_overlay(struct overlay *o, bool throw_away, struct error *err)
{
    o->fs = fsopen("overlay", FSOPEN_CLOEXEC);
    if (o->fs < 0)
        return error_set(err, errno, "overlayfs%s", errno == ENODEV ? " (modprobe overlay)" : "");
    if (is_legacy(o))
        return mount_legacy(o, throw_away, err);
    (void)!set_string(o, "source", "overlay");
    if (set_lower(o, err) < 0)
        return -1;
    if (!o->m->read_only &&
        (set_directory(o, "upperdir", o->upper) < 0 || set_directory(o, "workdir", o->work) < 0))
        return refused(o, err);
    set_safe(o);
    if ((o->m->user_namespace && fsconfig(o->fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0) ||
        (throw_away && fsconfig(o->fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0) ||
        fsconfig(o->fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
        int code = errno;
        return error_set(err, code, "mount overlayfs%s", kernel_says(o));
    }
    return attach(o, err);
}

static int open_directories(struct overlay *o, struct error *err)
{
    const struct snapshot_mount *m = o->m;
    const char *path = arena_printf(o->arena, STORE_CONTAINERS "/%s%s%s", m->snapshot->id,
                                    m->place ? "/" : "", m->place ? m->place : "");

    o->store = open(m->store->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    o->container = o->store < 0 ? -1 : openat(o->store, path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (o->container < 0)
        return error_set(err, errno, "open %s/%s", m->store->path, path);
    if (m->read_only)
        return 0;
    o->upper = openat(o->container, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    o->work = openat(o->container, "work", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return o->upper < 0 || o->work < 0 ? error_set(err, errno, "open upper and work of %s", path) : 0;
}

/* The layer, mounted over itself with its ids mapped. #syscalls: open_tree mount_setattr move_mount */
static int map_ids(const struct overlay *o, int *layer, struct error *err)
{
    _cleanup_(fd_closep) int tree = tree_clone(*layer, "", AT_EMPTY_PATH);

    if (tree < 0)
        return error_set(err, errno, "copy the mount of a layer");
    if (mount_idmap(tree, o->userns, false) < 0)
        return error_set(err, errno, "--userns: show the image's files with the container's ids%s",
                         errno == EINVAL
                             ? ": the store's file system cannot do that on this kernel (idmapped "
                               "mounts: ext4, xfs and btrfs since Linux 5.19, tmpfs since 6.3)"
                         : errno == ENOSYS ? ": needs Linux 5.19"
                                           : "");
    if (tree_attach(tree, *layer) < 0)
        return error_set(err, errno, "mount a layer over itself");
    int covered = *layer;
    *layer = steal_fd(&tree);
    fd_closep(&covered);
    return 0;
}

/* An image without layers has a directory of the container's own below what is written; so has what is only read, as overlayfs
 * wants two layers then. */
static int open_lower(struct overlay *o, struct error *err)
{
    const size_t n = o->m->lower ? 0 : o->m->layers->n;

    o->lower = arena_new_n(o->arena, n + 1, int);
    while (o->n < n) {
        const char *key = o->m->layers->v[n - 1 - o->n];
        int fd = openat(o->store, arena_printf(o->arena, STORE_LAYERS "/%s/tree", key),
                        O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
            return error_set(err, errno, "open layer %s", key);
        o->lower[o->n++] = fd;
        if (o->userns >= 0 && map_ids(o, &o->lower[o->n - 1], err) < 0)
            return -1;
    }
    if (n && !o->m->read_only)
        return 0;
    int fd = o->m->lower ? open(o->m->lower, O_PATH | O_DIRECTORY | O_CLOEXEC)
                         : openat(o->container, "lower", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_set(err, errno, "open %s", o->m->lower ? o->m->lower : "the lowest layer");
    o->lower[o->n++] = fd;
    return 0;
}

/* In this mount namespace. */
static int make(const struct snapshot_mount *m, int userns, int *tree, struct error *err)
{
    struct overlay o = {.m = m,
                        .arena = m->store->arena,
                        .store = -1,
                        .container = -1,
                        .upper = -1,
                        .work = -1,
                        .fs = -1,
                        .userns = userns,
                        .tree = tree};
    int *const fds[] = {&o.store, &o.container, &o.upper, &o.work, &o.fs};
    int rc = open_directories(&o, err);

    if (rc == 0)
        rc = open_lower(&o, err);
    if (rc == 0)
        rc = mount_overlay(&o, m->throw_away, err);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fd_closep(fds[i]);
    for (size_t i = 0; i < o.n; i++)
        fd_closep(&o.lower[i]);
    return rc;
}

int snapshot_mount(const struct snapshot_mount *m, struct error *err)
{
    return make(m, -1, NULL, err);
}

/* What the child has to say. */
struct answer {
    int tree;
    struct error err;
};

static void make_in_child(const struct snapshot_mount *m, int userns, int out)
{
    struct answer a = {.tree = -1};

    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        error_set(&a.err, errno, "make / a slave of the host's");
    else
        make(m, userns, &a.tree, &a.err);
    (void)!write(out, &a, sizeof(a));
    _exit(0);
}

/* #syscalls: clone3 pipe2 wait4 */
int snapshot_tree(const struct snapshot_mount *m, int userns, int *tree, struct error *err)
{
    struct answer a = {.tree = -1};
    int answers[2], status;

    if (pipe2(answers, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    pid_t pid = sys_clone3(&(struct clone3_args){.flags = CLONE_NEWNS | CLONE_FILES});
    if (pid < 0 && (errno == ENOSYS || errno == EPERM)) /* as in idmap_make_userns() */
        pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_FILES, NULL, NULL, NULL, NULL);
    if (pid == 0)
        make_in_child(m, userns, answers[1]);
    int code = errno;
    while (pid > 0 && waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
        ;
    fd_closep(&answers[1]); /* the child's too */
    ssize_t n = pid < 0 ? 0 : read(answers[0], &a, sizeof(a));
    fd_closep(&answers[0]);
    if (pid < 0)
        return error_set(err, code, "make a mount namespace for the image's layers");
    if (n == (ssize_t)sizeof(a) && a.tree >= 0) {
        *tree = a.tree;
        return 0;
    }
    if (n == (ssize_t)sizeof(a))
        *err = a.err;
    return n == (ssize_t)sizeof(a) ? -1 : error_set(err, 0, "who mounts the image's layers was killed");
}
