/*
 * A machine's set-up, as a table of mounts and a few steps. Everything is as a container engine finds it on a host with cgroup v2.
 *
 * The initramfs cannot be the root of what comes: it is the one mount that pivot_root(2) may not leave, and the engine pivots. So a
 * tmpfs is moved over it, as switch_root(8) does; /init itself stays below, running.
 */
#include "sandbox/guest/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "net/net.h"
#include "sandbox/agent.h"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4 /* 5.17 */
#endif

enum { MODULES_MAX = 64 << 10 };

/* #syscalls: openat finit_module unlink */
static int load_module(const char *path, struct error *err)
{
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = strlen(path);
    bool plain = length > 3 && strcmp(path + length - 3, ".ko") == 0;

    if (fd < 0)
        return error_set(err, errno, "open %s", path);
    if (syscall(SYS_finit_module, fd, "", plain ? 0 : MODULE_INIT_COMPRESSED_FILE) < 0 && errno != EEXIST)
        return error_set(err, errno, "load module %s%s", path,
                         plain ? "" : " (compressed: the kernel needs CONFIG_MODULE_DECOMPRESS)");
    unlink(path);
    return 0;
}

int setup_modules(const char *list, struct error *err)
{
    struct arena a = {0};
    char *text, *path, *save = NULL;
    int result = 0;

    if (access(list, F_OK) < 0)
        return 0;
    if (file_read(AT_FDCWD, list, MODULES_MAX, &a, &text, NULL, err) < 0)
        result = -1;
    for (path = result == 0 ? strtok_r(text, "\n", &save) : NULL; path && result == 0;
         path = strtok_r(NULL, "\n", &save))
        result = load_module(path, err);
    arena_free(&a);
    return result;
}

static const struct {
    const char *type, *target, *options;
    unsigned long flags;
} mounts[] = {
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"cgroup2", "/sys/fs/cgroup", "nsdelegate", MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"devtmpfs", "/dev", "mode=0755", MS_NOSUID | MS_NOEXEC},
    {"devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5", MS_NOSUID | MS_NOEXEC},
    {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV},
    {"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV},
    {"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV},
};

static int make_dir(const char *path, struct error *err)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? error_set(err, errno, "mkdir %s", path) : 0;
}

/* #syscalls: mkdir mount chdir chroot */
static int leave_initramfs(struct error *err)
{
    static const char root[] = "/root.new";

    if (make_dir(root, err) < 0)
        return -1;
    if (mount("tmpfs", root, "tmpfs", 0, "mode=0755") < 0 || chdir(root) < 0 ||
        mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return error_set(err, errno, "move to a root on tmpfs");
    return 0;
}

static int mount_all(struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        if (make_dir(mounts[i].target, err) < 0)
            return -1;
        if (mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].options) < 0)
            return error_set(err, errno, "mount a %s at %s", mounts[i].type, mounts[i].target);
    }
    return 0;
}

/* What devtmpfs does not make, and programs expect. */
static const struct {
    const char *target, *path;
} links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

static int enable(const char *words)
{
    return file_write(AT_FDCWD, "/sys/fs/cgroup/cgroup.subtree_control", words, strlen(words), NULL);
}

/* All controllers for the container's cgroup, which is a child of the root: at once, as each write stops the machine's
 * processes for a moment. One that does not want (cpu with realtime threads about) does not keep the others. */
static int enable_controllers(struct error *err)
{
    struct arena a = {0};
    char *text, *name, *all = "", *save = NULL;

    if (file_read(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", 4096, &a, &text, NULL, err) < 0) {
        arena_free(&a);
        return -1;
    }
    for (name = strtok_r(text, " \n", &save); name; name = strtok_r(NULL, " \n", &save))
        all = arena_printf(&a, "%s+%s ", all, name);
    if (enable(all) < 0)
        for (name = strtok_r(all, " ", &save); name; name = strtok_r(NULL, " ", &save))
            enable(name);
    arena_free(&a);
    return 0;
}

/* The kernel counts processes by the machine's memory, and gives its first one few descriptors; a host's service manager
 * raises both. config.json's own limits come on top. */
static const struct {
    __rlimit_resource_t resource;
    struct rlimit limit;
} limits[] = {
    {RLIMIT_NOFILE, {1024, 524288}},
    {RLIMIT_NPROC, {RLIM_INFINITY, RLIM_INFINITY}},
    {RLIMIT_MEMLOCK, {8 << 20, 8 << 20}},
};

/* #syscalls: prlimit64 */
static int raise_limits(struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        if (setrlimit(limits[i].resource, &limits[i].limit) < 0)
            return error_set(err, errno, "setrlimit");
    return 0;
}

int setup_machine(struct error *err)
{
    if (leave_initramfs(err) < 0 || mount_all(err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        if (symlink(links[i].target, links[i].path) < 0 && errno != EEXIST)
            return error_set(err, errno, "make %s", links[i].path);
    if (enable_controllers(err) < 0 || raise_limits(err) < 0)
        return -1;
    return net_loopback_up(err);
}

int setup_shared(struct error *err)
{
    if (make_dir(AGENT_FS_MOUNT, err) < 0)
        return -1;
    if (mount(AGENT_FS_TAG, AGENT_FS_MOUNT, "virtiofs", 0, NULL) < 0)
        return error_set(err, errno, "mount the virtio-fs \"%s\" at %s%s", AGENT_FS_TAG, AGENT_FS_MOUNT,
                         errno == ENODEV   ? " (the guest's kernel has no virtiofs)"
                         : errno == EINVAL ? " (the machine has no such device)"
                                           : "");
    return 0;
}
