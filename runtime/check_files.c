/*
 * File systems: can the state be kept, can /proc be mounted for a container, does overlay work (as root, and in a user
 * namespace), and which file systems take idmapped mounts. All of it is tried: in a child's own mount namespace below a
 * tmpfs that dies with it, or on a detached copy of a mount that is never attached.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "base/syscalls.h"
#include "namespaces/namespaces.h"
#include "runtime/check_private.h"

/* Where the child's tmpfs goes: any directory that every host has. */
#define SCRATCH "/tmp"

/* The directory itself, or the nearest one above it that exists. */
static const char *existing(struct arena *a, const char *path)
{
    char *at = arena_strdup(a, path), *slash;

    while (access(at, F_OK) < 0 && errno == ENOENT && (slash = strrchr(at, '/')) && slash != at)
        *slash = '\0';
    return access(at, F_OK) < 0 ? "/" : at;
}

void check_state_directory(struct probe *p)
{
    const char *wanted = p->host->state_directory, *there = existing(p->arena, wanted);
    struct statfs fs;

    if (faccessat(AT_FDCWD, there, W_OK | X_OK, AT_EACCESS) < 0)
        probe_missing(p, "choose another with --root, or set XDG_RUNTIME_DIR", "%s: %s: %s", wanted, there,
                      strerror(errno));
    else if (statfs(there, &fs) == 0 && fs.f_type != TMPFS_MAGIC)
        probe_ok(p, "%s, not on a tmpfs: what it says of containers outlives a reboot", wanted);
    else
        probe_ok(p, "%s", wanted);
}

/* pid 1 of a new pid namespace mounts its /proc. */
static int mount_proc(void *data)
{
    int status;
    pid_t pid = fork();

    (void)data;
    if (pid == 0)
        _exit(mount("proc", SCRATCH, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 ? 0 : errno & 0x7f);
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECANCELED;
    return errno ? -1 : 0;
}

void check_proc_mount(struct probe *p)
{
    int userns = check_userns_flag(p->host);

    if (check_in_child(userns | CLONE_NEWNS | CLONE_NEWPID, mount_proc, NULL, NULL) == 0)
        probe_ok(p, "a container's own can be mounted");
    else
        probe_missing(
            p,
            userns ? "a container around this process masks parts of /proc: start it with them unmasked "
                     "(podman --security-opt unmask=ALL)"
                   : NULL,
            "a container's own cannot be mounted: %s", strerror(errno));
}

/* --- overlay ------------------------------------------------------------------------------------------------------ */

static int scratch(void)
{
    static const char *const directories[] = {"lower", "upper", "work", "merged"};

    if (mount("tmpfs", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") < 0 || chdir(SCRATCH) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        if (mkdir(directories[i], 0755) < 0)
            return -1;
    return 0;
}

/* A lower file is replaced and a file is made: that takes copying up and whiteouts. */
static int use_overlay(const char *options)
{
    if (scratch() < 0 || mknod("lower/file", S_IFREG | 0644, 0) < 0 ||
        mount("overlay", "merged", "overlay", 0, options) < 0)
        return -1;
    return chmod("merged/file", 0600) < 0 || unlink("merged/file") < 0 || mkdir("merged/dir", 0755) < 0 ? -1
                                                                                                        : 0;
}

static int try_overlay(void *options)
{
    return use_overlay(options);
}

static char overlay_options[] = "lowerdir=lower,upperdir=upper,workdir=work",
            overlay_user_options[] = "lowerdir=lower,upperdir=upper,workdir=work,userxattr";

void check_overlay(struct probe *p)
{
    if (!p->host->privileged) {
        probe_ok(p, "without root only in a user namespace: see overlay.userns");
        return;
    }
    if (check_in_child(CLONE_NEWNS, try_overlay, overlay_options, NULL) == 0)
        probe_ok(p, "mounted and written for a try");
    else
        probe_missing(p, errno == ENODEV ? "modprobe overlay" : NULL, "%s", strerror(errno));
}

void check_overlay_userns(struct probe *p)
{
    bool entered;

    if (check_in_child(CLONE_NEWUSER | CLONE_NEWNS, try_overlay, overlay_user_options, &entered) == 0)
        probe_ok(p, "mounted and written for a try");
    else if (!entered)
        probe_missing(p, "see namespace.user", "no user namespace to try it in: %s", strerror(errno));
    else
        probe_missing(p,
                      errno == ENODEV ? "modprobe overlay"
                                      : "Linux 5.11 or later mounts it; fuse-overlayfs does the same without",
                      "%s", strerror(errno));
}

/* --- idmapped mounts --------------------------------------------------------------------------------------------- */

static const struct {
    long magic;
    const char *name;
} file_systems[] = {
    {EXT4_SUPER_MAGIC, "ext4"},
    {XFS_SUPER_MAGIC, "xfs"},
    {BTRFS_SUPER_MAGIC, "btrfs"},
    {TMPFS_MAGIC, "tmpfs"},
    {OVERLAYFS_SUPER_MAGIC, "overlay"},
    {F2FS_SUPER_MAGIC, "f2fs"},
    {NFS_SUPER_MAGIC, "nfs"},
    {0x65735546, "fuse"},
    {0x2fc12fc1, "zfs"},
    {RAMFS_MAGIC, "ramfs"},
    {EROFS_SUPER_MAGIC_V1, "erofs"},
    {SQUASHFS_MAGIC, "squashfs"},
    {0x01021997, "9p"},
    {0xff534d42, "cifs"},
};

static const char *file_system_name(struct arena *a, const char *path)
{
    struct statfs fs;

    if (statfs(path, &fs) < 0)
        return strerror(errno);
    for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
        if ((uint32_t)file_systems[i].magic == (uint32_t)fs.f_type)
            return file_systems[i].name;
    return arena_printf(a, "file system type %#lx", (unsigned long)(uint32_t)fs.f_type);
}

struct idmap_try {
    int userns;
    enum check_idmap_of of;
    const char *path;
};

/* The copy is detached, unless it is put onto @attach (not NULL): it goes away with its descriptor. */
static int map_copy(const char *path, int userns, const char *attach)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
    _cleanup_(fd_closep) int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
        return -1;
    return attach ? (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, attach, MOVE_MOUNT_F_EMPTY_PATH) : 0;
}

/* Of overlay the layers are what is idmapped: images of one owner, in containers of many. */
static int try_idmap(void *data)
{
    const struct idmap_try *t = data;

    switch (t->of) {
    case IDMAP_TMPFS:
        return scratch() < 0 ? -1 : map_copy(".", t->userns, NULL);
    case IDMAP_OVERLAY:
        return scratch() < 0 || map_copy("lower", t->userns, "lower") < 0
                   ? -1
                   : mount("overlay", "merged", "overlay", 0, overlay_options);
    default:
        return map_copy(t->path, t->userns, NULL);
    }
}

void check_idmap(struct probe *p)
{
    struct idmap_try t = {.userns = -1,
                          .of = (enum check_idmap_of)p->row->number,
                          .path = p->row->number == IDMAP_STATE ? existing(p->arena, p->host->state_directory)
                                                                : "/"};
    const char *name = t.of == IDMAP_TMPFS ? "tmpfs"
                       : t.of == IDMAP_OVERLAY
                           ? "layers of an overlay, on a tmpfs"
                           : arena_printf(p->arena, "%s: %s", t.path, file_system_name(p->arena, t.path));
    struct id_map map = {0, 100000, 1000};
    struct id_maps maps = {&map, 1};
    struct error err = {0};

    if (!p->host->privileged) {
        probe_missing(p, "run as root (CAP_SYS_ADMIN where the file system was mounted)",
                      "%s: idmapped mounts are root's", name);
        return;
    }
    if (idmap_make_userns(&maps, &maps, &t.userns, &err) < 0) {
        probe_missing(p, "see namespace.user", "%s", err.message);
        return;
    }
    if (check_in_child(CLONE_NEWNS, try_idmap, &t, NULL) == 0)
        probe_ok(p, "%s", name);
    else
        probe_missing(
            p,
            errno == ENOSYS ? "Linux 5.12 or later has idmapped mounts"
            : errno == EINVAL
                ? "a newer kernel may (ext4 5.12, xfs 5.12, btrfs 5.15, overlay's layers 5.19, tmpfs 6.3)"
                : NULL,
            "%s: %s", name, errno == EINVAL ? "not supported here" : strerror(errno));
    close(t.userns);
}
