/*
 * Two roads to a process in the right namespaces.
 *
 * The short one: clone3 with every new namespace at once; the child then joins by path what is left (net,
 * ipc, uts ...). A pid namespace to join is entered by hull itself first, because that only counts for its
 * children.
 *
 * The long one has an intermediate process, and is taken when rights or the kernel's rules force an order: a
 * user namespace is joined; others are joined beside a new user namespace (they must be entered with the
 * rights of outside); a new time namespace has offsets, which can be written only before it has a process.
 * The intermediate joins, unshares the user namespace, waits for its maps, and clones the real child with
 * CLONE_PARENT, so that hull is the parent of both roads' child.
 *
 * Into its cgroup the first of them is born, or goes before it does anything else (cgroups/entrance.c); the cgroup
 * namespace is made after that, because its root is where its maker is.
 *
 * The child dies with hull (PR_SET_PDEATHSIG) until the caller's code decides otherwise.
 */
#include "runtime/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/procfs.h"
#include "base/sync.h"
#include "base/syscalls.h"
#include "namespaces/namespaces.h"
#include "runtime/exe_seal.h"
#include "runtime/fault.h"

/* The kernel's errno alone does not say what to do. */
static int clone_error(uint64_t flags, struct error *err)
{
    const char *remedy = "";

    if (errno == EPERM)
        remedy =
            flags & CLONE_NEWUSER
                ? " (user namespaces are forbidden here: see /proc/sys/kernel/unprivileged_userns_clone and "
                  "/proc/sys/user/max_user_namespaces, or the outer container's seccomp profile)"
                : " (this needs root, or a user namespace in linux.namespaces)";
    else if (errno == ENOSPC)
        remedy = " (a limit in /proc/sys/user/max_*_namespaces is reached)";
    else if (errno == EINVAL)
        remedy = " (the kernel lacks one of the namespaces that are asked for)";
    return error_set(err, errno, "linux.namespaces: make the container's namespaces%s", remedy);
}

/* Container engines answer clone3 with ENOSYS or EPERM by seccomp; clone(2) does all but CLONE_NEWTIME,
 * whose bit is the exit signal's there. A NULL stack is fork's way: the child goes on with a copy. */
static pid_t clone_process(uint64_t flags, int cgroup, int *pidfd)
{
    int fd = -1;
    int exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD;
    struct clone3_args args = {.flags = flags | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
                               .pidfd = (uint64_t)(uintptr_t)&fd,
                               .exit_signal = (uint64_t)exit_signal,
                               .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0};
    pid_t pid = sys_clone3(&args);

    if (pid < 0 && cgroup < 0 && (errno == ENOSYS || errno == EPERM) && !(flags & CLONE_NEWTIME))
        pid = (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | (uint64_t)exit_signal, NULL, &fd, NULL, 0);
    if (pid > 0)
        *pidfd = fd;
    return pid;
}

/* Errors of clone3 that may be the cgroup's: without it the clone is tried again, and says what else is wrong. */
static bool may_be_cgroup(int code)
{
    return code == ENOSYS || code == EPERM || code == EACCES || code == EINVAL || code == E2BIG ||
           code == EBUSY || code == EOPNOTSUPP;
}

/* 0 in the child, which is in its cgroup then. */
static pid_t clone_into_cgroup(const struct spawn *s, uint64_t flags, int *pidfd, struct error *err)
{
    for (;;) {
        pid_t pid = clone_process(flags, s->cgroup ? s->cgroup->v2 : -1, pidfd);

        if (pid >= 0)
            return pid;
        if (!s->cgroup || s->cgroup->v2 < 0 || !may_be_cgroup(errno))
            return clone_error(flags, err);
        if (cgroup_entrance_next(s->cgroup, errno, err) < 0)
            return -1;
    }
}

/* In the child, first of all. */
static int enter_cgroup(const struct spawn *s, struct error *err)
{
    if (!s->cgroup)
        return 0;
    if (!s->cgroup->attach)
        return cgroup_enter(s->cgroup, err);
    return sync_send(s->sync[1], SYNC_CGROUP, 0, err) < 0 ? -1 : sync_wait_continue(s->sync[1], err);
}

/* hull's side, where the child can't do it alone. */
static int serve_cgroup(struct spawn *s, pid_t pid, struct error *err)
{
    struct sync_message m;
    int fd, type;

    if (!s->cgroup || !s->cgroup->attach)
        return 0;
    type = sync_receive(s->sync[0], s->signal_fd, &m, &fd, err);
    fd_closep(&fd);
    if (type < 0)
        return -1;
    if (type != SYNC_CGROUP)
        return error_set(err, 0, "the new process died before it was in its cgroup");
    return cgroup_attach(s->cgroup, pid, err) < 0 ? -1 : sync_send(s->sync[0], SYNC_CONTINUE, 0, err);
}

/* The cgroup namespace waits until its maker is where its root shall be. */
static uint64_t flags_at_clone(const struct spawn *s)
{
    return s->cgroup ? s->new_flags & ~(uint64_t)CLONE_NEWCGROUP : s->new_flags;
}

static int make_cgroup_namespace(const struct spawn *s, struct error *err)
{
    if (s->cgroup && s->new_flags & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
        return error_set(err, errno, "linux.namespaces: make a cgroup namespace");
    return 0;
}

static bool needs_intermediate(const struct spawn *s)
{
    bool joins_user = s->join_flags & CLONE_NEWUSER, makes_user = s->new_flags & CLONE_NEWUSER;
    bool offsets = s->monotonic && (s->monotonic->present || s->boottime->present);

    return joins_user || (makes_user && s->join_flags) || offsets;
}

static int join(const struct spawn *s, uint64_t flags, struct error *err)
{
    if (flags == 0)
        return 0;
    if (s->join_pidfd >= 0)
        return namespaces_join_process(s->join_pidfd, s->join_pid, (int)flags, err);
    return namespaces_join(s->join_fds, (int)flags, err);
}

/* The first id that the user namespace has; @map: "self/uid_map" or "self/gid_map". */
static unsigned first_mapped(const char *map)
{
    char text[64] = "";
    _cleanup_(fd_closep) int fd = procfs_open(map, O_RDONLY);

    return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? (unsigned)strtoul(text, NULL, 10) : 0;
}

/* In a user namespace just entered, be its root: what is set up belongs to the container. Where root is not
 * mapped, be whoever is: the rights come from having made or joined the namespace. */
static int become_root(struct error *err)
{
    unsigned id = 0;

    if (syscall(SYS_setresgid, 0, 0, 0) < 0) {
        id = errno == EINVAL ? first_mapped("self/gid_map") : 0;
        if (syscall(SYS_setresgid, id, id, id) < 0)
            return error_set(err, errno, "linux.gidMappings: become group %u of the user namespace", id);
    }
    if (syscall(SYS_setresuid, 0, 0, 0) < 0) {
        id = errno == EINVAL ? first_mapped("self/uid_map") : 0;
        if (syscall(SYS_setresuid, id, id, id) < 0)
            return error_set(err, errno, "linux.uidMappings: become user %u of the user namespace", id);
    }
    return 0;
}

/* Files in /proc of a non-dumpable process belong to the host's root, whom a user namespace does not map.
 * Nobody else is in one that was just made. */
static int write_time_offsets(const struct spawn *s, struct error *err)
{
    int result;

    if (s->new_flags & CLONE_NEWUSER)
        prctl(PR_SET_DUMPABLE, 1);
    result = timens_write_offsets(s->monotonic, s->boottime, err);
    prctl(PR_SET_DUMPABLE, 0);
    return result;
}

static int wait_for_maps(int sync, struct error *err)
{
    if (sync_send(sync, SYNC_MAP_IDS, 0, err) < 0 || sync_wait_continue(sync, err) < 0)
        return -1;
    return become_root(err);
}

/* Never returns: a child that fails says why and is gone. */
static void run_child(const struct spawn *s, bool short_road)
{
    struct error err = {0};
    int sync = s->sync[1];

    if (short_road) /* else the intermediate has closed it, and the number may be another's by now */
        close(s->sync[0]);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        error_set(&err, errno, "PR_SET_PDEATHSIG");
    else if ((!short_road || enter_cgroup(s, &err) == 0) &&
             (s->unsealed || exe_seal(short_road && s->new_flags & CLONE_NEWNS, &err) == 0) &&
             FAULT_POINT("child-start", &err) == 0 &&
             (!short_road || !(s->new_flags & CLONE_NEWUSER) || wait_for_maps(sync, &err) == 0) &&
             (!short_road || join(s, s->join_flags & ~(uint64_t)CLONE_NEWPID, &err) == 0) &&
             make_cgroup_namespace(s, &err) == 0) {
        if (s->signal_mask)
            sigprocmask(SIG_SETMASK, s->signal_mask, NULL);
        /* systemd has it ignored in its services, engines among them; no container expects that. */
        signal(SIGPIPE, SIG_DFL);
        s->child(s->argument, sync, &err);
    }
    sync_send_error(sync, &err);
    _exit(1);
}

/* Sealing takes rights that an ordinary user has in the container's user namespace only. Nothing inside can see the
 * intermediate between the two: the pid namespace comes with its child. */
static int seal_and_join(const struct spawn *s, struct error *err)
{
    uint64_t user = s->join_flags & CLONE_NEWUSER;

    if (s->unsealed || exe_seal(false, err) == 0)
        return join(s, s->join_flags, err);
    if (!user || err->code != EPERM)
        return -1;
    error_clear(err);
    if (join(s, user, err) < 0 || exe_seal(false, err) < 0)
        return -1;
    return join(s, s->join_flags & ~user, err);
}

/* The real child says nothing before the intermediate has told its pid: its gate opens when that is done, or when
 * the intermediate is dead. */
static int clone_behind_gate(const struct spawn *s, uint64_t flags, struct error *err)
{
    int gate[2], pidfd;
    char byte;
    pid_t pid;

    if (pipe2(gate, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    pid = clone_process(flags | CLONE_PARENT, -1, &pidfd);
    if (pid < 0)
        return clone_error(flags, err);
    if (pid == 0) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) == 0)
            close(gate[0]);
        run_child(s, false);
    }
    return sync_send(s->sync[1], SYNC_PID, pid, err); /* the end of this process opens the gate */
}

static int intermediate(const struct spawn *s, struct error *err)
{
    uint64_t flags = flags_at_clone(s) & ~(uint64_t)CLONE_NEWUSER;
    bool offsets = s->monotonic && (s->monotonic->present || s->boottime->present);

    if (enter_cgroup(s, err) < 0 || seal_and_join(s, err) < 0)
        return -1;
    if (s->new_flags & CLONE_NEWUSER) {
        if (unshare(CLONE_NEWUSER) < 0)
            return error_set(err, errno, "linux.namespaces: make a user namespace");
        if (wait_for_maps(s->sync[1], err) < 0)
            return -1;
    } else if (s->join_flags & CLONE_NEWUSER && become_root(err) < 0) {
        return -1;
    }
    if (offsets) {
        if (unshare(CLONE_NEWTIME) < 0)
            return error_set(err, errno, "linux.namespaces: make a time namespace");
        if (write_time_offsets(s, err) < 0)
            return -1;
        flags &= ~(uint64_t)CLONE_NEWTIME;
    }
    return clone_behind_gate(s, flags, err);
}

static void run_intermediate(const struct spawn *s)
{
    struct error err = {0};

    close(s->sync[0]);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        error_set(&err, errno, "PR_SET_PDEATHSIG");
    else if (intermediate(s, &err) == 0)
        _exit(0);
    sync_send_error(s->sync[1], &err);
    _exit(1);
}

void spawned_kill(struct spawned *p)
{
    if (p->pid <= 0)
        return;
    if (p->pidfd >= 0)
        sys_pidfd_send_signal(p->pidfd, SIGKILL);
    waitpid(p->pid, NULL, __WALL);
    fd_closep(&p->pidfd);
    *p = (struct spawned){.pidfd = -1};
}

/* hull's side of a new user namespace: the process waits until its ids are mapped. */
static int serve_maps(struct spawn *s, pid_t pid, struct error *err)
{
    struct sync_message m;
    int fd, type = sync_receive(s->sync[0], s->signal_fd, &m, &fd, err);

    fd_closep(&fd);
    if (type < 0)
        return -1;
    if (type != SYNC_MAP_IDS)
        return error_set(err, 0, "the container's first process died before its user namespace was set up");
    if (idmap_write(pid, s->uid_maps, s->gid_maps, err) < 0 || FAULT_POINT("id-maps", err) < 0)
        return -1;
    return sync_send(s->sync[0], SYNC_CONTINUE, 0, err);
}

static int serve_intermediate(struct spawn *s, pid_t pid, struct spawned *out, struct error *err)
{
    struct sync_message m;
    int fd, type;

    if (serve_cgroup(s, pid, err) < 0 || (s->new_flags & CLONE_NEWUSER && serve_maps(s, pid, err) < 0))
        return -1;
    type = sync_receive(s->sync[0], s->signal_fd, &m, &fd, err);
    fd_closep(&fd);
    if (type < 0)
        return -1;
    if (type != SYNC_PID)
        return error_set(err, 0, "the intermediate process died before it had made the container's");
    out->pid = m.value;
    out->pidfd = sys_pidfd_open(out->pid, 0);
    return out->pidfd < 0 ? error_set(err, errno, "pidfd_open") : 0;
}

static int spawn_long(struct spawn *s, struct spawned *out, struct error *err)
{
    struct spawned middle = {.pidfd = -1};
    int result;

    middle.pid = clone_into_cgroup(s, 0, &middle.pidfd, err);
    if (middle.pid < 0)
        return -1;
    if (middle.pid == 0)
        run_intermediate(s);
    fd_closep(&s->sync[1]);
    result = serve_intermediate(s, middle.pid, out, err);
    if (result == 0) {
        waitpid(middle.pid, NULL, 0);
        fd_closep(&middle.pidfd);
        return 0;
    }
    spawned_kill(out);
    spawned_kill(&middle);
    return -1;
}

static int spawn_short(struct spawn *s, struct spawned *out, struct error *err)
{
    if (s->join_flags & CLONE_NEWPID && join(s, CLONE_NEWPID, err) < 0)
        return -1;
    out->pid = clone_into_cgroup(s, flags_at_clone(s), &out->pidfd, err);
    if (out->pid < 0)
        return -1;
    if (out->pid == 0)
        run_child(s, true);
    fd_closep(&s->sync[1]);
    if (serve_cgroup(s, out->pid, err) < 0 ||
        (s->new_flags & CLONE_NEWUSER && serve_maps(s, out->pid, err) < 0)) {
        spawned_kill(out);
        return -1;
    }
    return 0;
}

int spawn(struct spawn *s, struct spawned *out, struct error *err)
{
    *out = (struct spawned){.pidfd = -1};
    return needs_intermediate(s) ? spawn_long(s, out, err) : spawn_short(s, out, err);
}
