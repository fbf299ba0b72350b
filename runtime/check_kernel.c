/*
 * Is the kernel new enough, does it have the calls that Hull is quickest and safest with, and does it give namespaces?
 * Calls are made with arguments that can do nothing (no flags, a descriptor that is no cgroup), so that the errno tells a
 * call that is missing, or that a seccomp filter around us hides, from one that is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

#include "base/procfs.h"
#include "base/syscalls.h"
#include "namespaces/namespaces.h"
#include "runtime/check_private.h"

enum { FLOOR_MAJOR = 5, FLOOR_MINOR = 4 };

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* 6.3 */
#endif

void check_kernel_version(struct probe *p)
{
    struct utsname name = {0};

    uname(&name);
    if (check_version_below(p->host->kernel, FLOOR_MAJOR, FLOOR_MINOR))
        probe_missing(p, "boot a newer kernel", "Linux %s; hull needs %d.%d or later", name.release,
                      FLOOR_MAJOR, FLOOR_MINOR);
    else
        probe_ok(p, "Linux %s %s", name.release, name.machine);
}

/* A call that is missing: too old a kernel, or a filter. @since is the release that brought it. */
static void call_missing(struct probe *p, unsigned major, unsigned minor, const char *instead)
{
    const char *remedy =
        check_version_below(p->host->kernel, major, minor)
            ? arena_printf(p->arena, "Linux %u.%u or later has it", major, minor)
            : "the kernel has it, but a seccomp filter around this process refuses it: allow it there";

    probe_missing(p, remedy, "%s; %s", strerror(errno), instead);
}

void check_clone3(struct probe *p)
{
    if (syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL)
        probe_ok(p, "there");
    else
        call_missing(p, 5, 3, "clone(2) is used instead");
}

/* A pipe is no cgroup: EBADF from a kernel that looked, EINVAL from one that does not know the flag. */
void check_clone_into_cgroup(struct probe *p)
{
    struct clone3_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        probe_missing(p, NULL, "pipe: %s", strerror(errno));
        return;
    }
    args.cgroup = (uint64_t)ends[0];
    pid = sys_clone3(&args);
    if (pid == 0)
        _exit(0);
    if (pid < 0 && errno == EBADF)
        probe_ok(p, "there");
    else
        call_missing(p, 5, 7, "processes move to their cgroup after they were made");
    close(ends[0]);
    close(ends[1]);
}

void check_pidfd(struct probe *p)
{
    _cleanup_(fd_closep) int fd = sys_pidfd_open(getpid(), 0);

    if (fd >= 0 && sys_pidfd_send_signal(fd, 0) == 0)
        probe_ok(p, "there");
    else
        call_missing(p, 5, 3, "processes cannot be told apart safely without it");
}

void check_openat2(struct probe *p)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    _cleanup_(fd_closep) int fd = sys_openat2(AT_FDCWD, "/", &how);

    if (fd >= 0)
        probe_ok(p, "there");
    else
        call_missing(p, 5, 6, "paths are walked one component at a time");
}

void check_close_range(struct probe *p)
{
    if (syscall(SYS_close_range, ~0U, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) == 0)
        probe_ok(p, "there");
    else
        call_missing(p, 5, 11, "descriptors are closed one by one");
}

void check_mount_api(struct probe *p)
{
    const struct {
        long number;
        const char *name;
    } calls[] = {{SYS_fsopen, "fsopen"},
                 {SYS_fsconfig, "fsconfig"},
                 {SYS_fsmount, "fsmount"},
                 {SYS_open_tree, "open_tree"},
                 {SYS_move_mount, "move_mount"}};

    for (size_t i = 0; i < ARRAY_SIZE(calls);
         i++) { /* all of them refuse flags of all ones, or descriptor -1 */
        if (syscall(calls[i].number, -1, -1, -1, -1, -1) < 0 && errno != ENOSYS &&
            (errno != EPERM || !p->host->privileged))
            continue;
        call_missing(p, 5, 2,
                     arena_printf(p->arena, "%s is missing; mount(2) is used instead", calls[i].name));
        return;
    }
    probe_ok(p, "fsopen, fsmount, open_tree, move_mount");
}

void check_mount_setattr(struct probe *p)
{
    if (syscall(SYS_mount_setattr, -1, NULL, 0, NULL, 0) < 0 && errno != ENOSYS &&
        (errno != EPERM || !p->host->privileged))
        probe_ok(p, "there");
    else
        call_missing(p, 5, 12, "no recursive mount flags and no idmapped mounts");
}

void check_memfd(struct probe *p)
{
    _cleanup_(fd_closep) int fd =
        (int)syscall(SYS_memfd_create, "check", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    if (fd < 0 && errno == EINVAL) /* before 6.3 */
        fd = (int)syscall(SYS_memfd_create, "check", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
        probe_ok(p, "executable and sealed");
    else if (errno == EACCES)
        probe_missing(p, "sysctl vm.memfd_noexec=1 or 0",
                      "executable ones are forbidden (vm.memfd_noexec=2)");
    else
        probe_missing(p, NULL, "%s", strerror(errno));
}

/* runtime/exe_seal.c needs PR_SET_MM_MAP, which PR_SET_MM_MAP_SIZE tells of. */
void check_exe_seal(struct probe *p)
{
    unsigned size = 0;

    if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0)
        probe_ok(p, "hull's binary is out of reach without a copy");
    else
        probe_missing(p, "a kernel with CONFIG_CHECKPOINT_RESTORE starts containers about 1 ms faster",
                      "%s; hull runs from a sealed copy of itself", strerror(errno));
}

/* --- namespaces ------------------------------------------------------------------------------------------------ */

static int nothing(void *data)
{
    (void)data;
    return 0;
}

/* Why it could not be made; errno is unshare's. @file: its name in /proc/self/ns. */
static const char *namespace_remedy(struct probe *p, const char *file)
{
    int code = errno;
    bool built_in = access(arena_printf(p->arena, "/proc/self/ns/%s", file), F_OK) == 0;

    errno = code;
    if (!built_in)
        return arena_printf(p->arena, "boot a kernel that has %s namespaces",
                            p->row->name + strlen("namespace."));
    if (code == ENOSPC)
        return arena_printf(p->arena, "raise user.max_%s_namespaces by sysctl", file);
    if (p->row->number == NS_USER && code == EPERM && !p->host->maps_itself)
        return "give this process CAP_SETFCAP, without which root may not map itself, or be another user "
               "than root";
    if (p->row->number == NS_USER)
        return "see userns.limit and userns.unprivileged below; a seccomp filter around this process, or a "
               "chroot, "
               "refuses it too";
    return p->host->privileged ? "a seccomp filter or an LSM around this process refuses it"
                               : "see namespace.user, or run as root (CAP_SYS_ADMIN)";
}

void check_namespace(struct probe *p)
{
    const char *file = namespace_proc_name((enum namespace_type)p->row->number);
    int userns = check_userns_flag(p->host);

    if (check_in_child(namespace_clone_flag((enum namespace_type)p->row->number) | userns, nothing, NULL,
                       NULL) == 0) {
        probe_ok(p, userns && p->row->number != NS_USER ? "within a user namespace" : "there");
        return;
    }
    const char *why = strerror(errno), *remedy = namespace_remedy(p, file);
    if (p->row->number == NS_USER && p->host->privileged)
        probe_warn(p, remedy, "%s; containers run without one, as root", why);
    else
        probe_missing(p, remedy, "%s", why);
}
