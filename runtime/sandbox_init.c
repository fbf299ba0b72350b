/*
 * A sandbox in init: where a container's init becomes the user's program, a sandbox's becomes hull-vmm. By then it is in the
 * container's namespaces and cgroup, its root is the tree that the guest may see (rootfs_mount() has made it by
 * sandbox_host_spec()), and it keeps the file server's capabilities, no new privileges, and exactly the descriptors that
 * vmm_options names.
 *
 * Two file systems are of the sandbox's own and are mounted nowhere: a procfs that knows only this pid namespace, through
 * which hull-vmm reopens its descriptors, and, where the container has a terminal, a devpts.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "base/procfs.h"
#include "namespaces/mount_fd.h"
#include "net/net.h"
#include "runtime/guest_spec.h"
#include "runtime/launch.h"
#include "runtime/sandbox.h"
#include "sandbox/agent.h"

enum { MAX_DESCRIPTORS = 1 << 20 }; /* fs.nr_open's default */

/* --- mount points that the guest cannot make ----------------------------------------------------------------------- */

/* What of @path is below @above ("" when they are one), or NULL; both are absolute. */
static const char *below(const char *path, const char *above)
{
    size_t n = strlen(above);

    while (n > 0 && above[n - 1] == '/')
        n--;
    return strncmp(path, above, n) == 0 && (path[n] == '/' || path[n] == '\0') ? path + n : NULL;
}

/* The number of a bind mount's volume: volumes/N. */
static unsigned volume_of(const struct spec *user, size_t i)
{
    unsigned n = 0;

    for (size_t k = 0; k < i; k++)
        n += guest_spec_is_bind(&user->mounts[k]);
    return n;
}

static int open_volume(int tree, const struct spec *user, size_t i)
{
    char path[sizeof(AGENT_FS_VOLUMES) + 16];

    snprintf(path, sizeof(path), AGENT_FS_VOLUMES "/%u", volume_of(user, i));
    return openat(tree, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Where the i-th mount's destination lies: in *place the root or a volume, and the path in there. NULL: in a mount that is
 * the guest's own, or it is there already. */
static const char *find_place(int tree, const struct spec *user, size_t i, int *place)
{
    const char *destination = user->mounts[i].destination, *rest;

    for (size_t k = i; k-- > 0;) {
        rest = below(destination, user->mounts[k].destination);
        if (!rest)
            continue;
        if (!guest_spec_is_bind(&user->mounts[k]) || !*rest)
            return NULL;
        *place = open_volume(tree, user, k);
        return rest;
    }
    if (!user->root_readonly)
        return NULL;
    *place = openat(tree, AGENT_FS_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return destination;
}

static bool ends_in_slash(const char *path)
{
    return path[strlen(path) - 1] == '/';
}

/* A tmpfs takes over its mount point's mode, and is everybody's where that has to be made: so this one is. */
static int make_tmpfs_point(int place, const char *path, struct error *err)
{
    _cleanup_(fd_closep) int parent = -1;
    const char *name;

    if (path_open_parent(place, path, 0755, &parent, &name, err) < 0)
        return -1;
    return mkdirat(parent, name, 01777) < 0 && errno != EEXIST
               ? error_set(err, errno, "make directory %s", path)
               : 0;
}

static int make_mount_point(int tree, const struct spec *user, size_t i, struct error *err)
{
    _cleanup_(fd_closep) int place = -1, made = -1, source = -1;
    const char *path = find_place(tree, user, i, &place);
    struct stat st;

    if (!path)
        return 0;
    if (place < 0)
        return error_set(err, errno, "open what it lies in");
    if (guest_spec_is_bind(&user->mounts[i]))
        source = open_volume(tree, user, i);
    if (source >= 0 && fstat(source, &st) == 0 && !S_ISDIR(st.st_mode))
        return path_mkfile(place, path, 0755, &made, err);
    if (user->mounts[i].type && !strcmp(user->mounts[i].type, "tmpfs") && !ends_in_slash(path))
        return make_tmpfs_point(place, path, err);
    return path_mkdirs(place, path, 0755, &made, err);
}

/* In what is read-only in the end, and on the host from then on: a root, and volumes (which are so at rootfs_finish()). */
static int make_mount_points(int tree, const struct spec *user, struct error *err)
{
    for (size_t i = 0; i < user->n_mounts; i++)
        if (make_mount_point(tree, user, i, err) < 0)
            return error_wrap(err, "mounts[%zu] (%s): make the mount point", i, user->mounts[i].destination);
    return 0;
}

static int protect_root(const struct spec *user, int tree, struct error *err)
{
    _cleanup_(fd_closep) int root = openat(tree, AGENT_FS_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC), cwd = -1;

    if (root < 0)
        return error_set(err, errno, "root.path: open the shared root");
    if (user->process.cwd && path_mkdirs(root, user->process.cwd, 0755, &cwd, err) < 0)
        return error_wrap(err, "process.cwd: make %s", user->process.cwd);
    return mount_raise_flags(root, MS_RDONLY) < 0 ? error_set(err, errno, "root.readonly: make it read-only")
                                                  : 0;
}

/* --- file systems of the sandbox's own ----------------------------------------------------------------------------- */

/* A mount that is attached nowhere, or -1 with errno. @key may be NULL; a kernel that does not know it does without. */
static int detached_mount(const char *type, const char *key, const char *value, unsigned attributes)
{
    _cleanup_(fd_closep) int context = fsopen(type, FSOPEN_CLOEXEC);

    if (context < 0)
        return -1;
    (void)fsconfig(context, FSCONFIG_SET_STRING, key, value, 0);
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    return fsmount(context, FSMOUNT_CLOEXEC, attributes);
}

/* Nested, a new procfs may be forbidden; the outer one then, in which "self" is hull-vmm as well. */
static int open_proc(int *proc, struct error *err)
{
    *proc = detached_mount("proc", "subset", "pid",
                           MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (*proc >= 0)
        return 0;
    log_debug("sandbox: no procfs of its own: %s", strerror(errno));
    *proc = fcntl(procfs_fd(), F_DUPFD_CLOEXEC, 3);
    return *proc < 0 ? error_set(err, errno, "open /proc for the sandbox") : 0;
}

/* hull-vmm holds a descriptor for each file that the guest knows. Without the right to, the limit stays. */
static void raise_descriptor_limit(void)
{
    const struct rlimit limit = {.rlim_cur = MAX_DESCRIPTORS, .rlim_max = MAX_DESCRIPTORS};

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_debug("sandbox: RLIMIT_NOFILE stays: %s", strerror(errno));
}

int sandbox_export(struct sandbox *s, struct rootfs *tree, struct error *err)
{
    const struct spec *user = s->user;
    int root = rootfs_root_fd(tree);

    raise_descriptor_limit();
    if (make_mount_points(root, user, err) < 0 || (user->root_readonly && protect_root(user, root, err) < 0))
        return -1;
    if (open_proc(&s->vmm.proc, err) < 0)
        return -1;
    if (!user->process.terminal)
        return 0;
    s->devpts = detached_mount("devpts", "ptmxmode", "0666", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    return s->devpts < 0 ? error_set(err, errno, "process.terminal: mount a devpts") : 0;
}

int sandbox_program(struct sandbox *s, struct arena *a, int sync, int fifo, struct launch_program *program,
                    struct error *err)
{
    char name[IF_NAMESIZE];

    if (net_interface_up(name))
        return error_set(
            err, 0,
            "linux.namespaces: its network namespace has the interface %s, and sandboxes have no "
            "network but loopback yet: give it one without (podman: --network=none)",
            name);
    s->vmm.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->vmm.root < 0)
        return error_set(err, errno, "open the shared tree");
    s->vmm.sync = sync;
    s->vmm.fifo = fifo;
    *program = (struct launch_program){.fd = s->program,
                                       .argv = vmm_options_format(a, &s->vmm),
                                       .keep = {s->vmm.kvm, s->vmm.kernel, s->vmm.initrd, s->vmm.config,
                                                s->vmm.root, s->vmm.proc, sync, fifo}};
    return 0;
}
