/*
 * exec: one more process in a container that is there. It joins every namespace the container has (one setns
 * on a pidfd), then goes the same last stretch as init (launch.c): same capabilities, filter, labels, limits,
 * unless the caller says otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/procfs.h"
#include "base/socket.h"
#include "base/sync.h"
#include "base/syscalls.h"
#include "namespaces/namespaces.h"
#include "runtime/container.h"
#include "runtime/fault.h"
#include "runtime/foreground.h"
#include "runtime/launch.h"
#include "runtime/opened.h"
#include "runtime/paths.h"
#include "runtime/process.h"
#include "runtime/seccomp.h"
#include "runtime/spawn.h"
#include "runtime/state.h"
#include "runtime/terminal.h"

struct execution {
    const struct runtime *rt;
    const struct exec_options *o;
    struct container container;
    struct state_extra extra;
    struct spec *spec;
    struct spec_process process;
    struct seccomp_filter seccomp;
    struct spawn spawn;
    struct spawned spawned;
    struct cgroup_entrance entrance;
    sigset_t signal_mask;
    int signal_fd, console_socket, master, root;
};

static void append(struct arena *a, struct string_list *list, const struct string_list *more)
{
    char **v = arena_new_n(a, list->n + more->n + 1, char *);

    for (size_t i = 0; i < list->n; i++)
        v[i] = list->v[i];
    for (size_t i = 0; i < more->n; i++)
        v[list->n + i] = more->v[i];
    *list = (struct string_list){.v = v, .n = list->n + more->n};
}

static void append_gids(struct arena *a, struct spec_user *user, const struct exec_options *o)
{
    uint32_t *gids = arena_new_n(a, user->n_additional_gids + o->n_additional_gids + 1, uint32_t);

    if (user->n_additional_gids)
        memcpy(gids, user->additional_gids, user->n_additional_gids * sizeof(*gids));
    if (o->n_additional_gids)
        memcpy(gids + user->n_additional_gids, o->additional_gids, o->n_additional_gids * sizeof(*gids));
    user->additional_gids = gids;
    user->n_additional_gids += o->n_additional_gids;
}

/* --cap adds to what the process may have; never to the inheritable set (CVE-2022-29162). An unknown one is
 * warned of, as in config.json. */
static void add_capabilities(struct spec_capabilities *c, const struct string_list *names)
{
    for (size_t i = 0; i < names->n; i++) {
        int number = capability_from_name(names->v[i]);

        if (number < 0) {
            log_warning("--cap: ignoring unknown capability \"%s\"", names->v[i]);
            continue;
        }
        c->present = true;
        c->bounding |= 1ULL << number;
        c->effective |= 1ULL << number;
        c->permitted |= 1ULL << number;
    }
}

static int process_from_flags(struct execution *e, struct error *err)
{
    const struct exec_options *o = e->o;
    struct spec_process *p = &e->process;
    struct arena *a = e->rt->arena;

    *p = e->spec->process;
    p->args = o->args;
    p->terminal = o->tty;
    p->has_console_size = false;
    if (o->cwd)
        p->cwd = (char *)o->cwd;
    if (o->apparmor)
        p->apparmor_profile = (char *)o->apparmor;
    if (o->process_label)
        p->selinux_label = (char *)o->process_label;
    if (o->no_new_privileges)
        p->no_new_privileges = true;
    if (o->has_user)
        p->user.uid = o->uid;
    if (o->has_gid)
        p->user.gid = o->gid;
    append(a, &p->env, &o->env); /* the last of a name counts: env.h */
    append_gids(a, &p->user, o);
    if (p->cwd[0] != '/')
        return error_set(err, 0, "--cwd: must be an absolute path, got \"%s\"", p->cwd);
    add_capabilities(&p->capabilities, &o->capabilities);
    return 0;
}

static int load_process(struct execution *e, struct error *err)
{
    if (!e->o->process)
        return process_from_flags(e, err);
    if (spec_load_process(e->rt->arena, e->o->process, &e->process, err) < 0)
        return -1;
    if (e->o->tty)
        e->process.terminal = true;
    return 0;
}

static int load_container(struct execution *e, struct error *err)
{
    _cleanup_(fd_closep) int dir = -1;

    if (state_open(e->rt, e->o->id, false, &dir, err) < 0 ||
        state_read(e->rt->arena, dir, false, &e->container, &e->extra, err) < 0)
        return -1;
    if (refuse_sandbox(&e->container, "exec", err) < 0)
        return -1;
    if (e->container.status == CONTAINER_STOPPED || e->container.status == CONTAINER_CREATING)
        return error_set(err, 0, "cannot exec in a stopped container");
    if (e->container.status == CONTAINER_PAUSED && !e->o->ignore_paused)
        return error_set(err, 0, "cannot exec in a paused container (use --ignore-paused to override)");
    return spec_load(e->rt->arena, dir, "config.json", &e->spec, err);
}

/* The pidfd is taken first and the start time compared after: the pid cannot have been used again in between.
 */
static int hold_container(struct execution *e, struct error *err)
{
    uint64_t start;

    e->spawn.join_pid = e->container.pid;
    e->spawn.join_pidfd = sys_pidfd_open(e->container.pid, 0);
    if (e->spawn.join_pidfd < 0 || process_start_time(e->container.pid, &start, NULL) < 0 ||
        start != e->container.start_time)
        return error_set(err, 0, "cannot exec in a stopped container");
    e->spawn.join_flags = e->extra.namespaces;
    if (e->extra.namespaces & CLONE_NEWNS)
        return 0;
    e->root = openat(procfs_fd(), arena_printf(e->rt->arena, "%d/root", e->container.pid),
                     O_PATH | O_DIRECTORY | O_CLOEXEC);
    return e->root < 0 ? error_set(err, errno, "open the container's root") : 0;
}

static int check_console(struct execution *e, struct error *err)
{
    if (e->process.terminal && e->o->detach && !e->o->console_socket)
        return error_set(err, 0, "cannot allocate tty if hull will detach without setting console socket");
    if (e->o->console_socket && !e->process.terminal)
        return error_set(err, 0, "cannot use console socket if hull will not detach or allocate tty");
    if (e->o->console_socket && socket_connect(e->o->console_socket, &e->console_socket, err) < 0)
        return error_wrap(err, "--console-socket");
    return 0;
}

static int open_cgroup(struct execution *e, struct error *err)
{
    const struct string_list *subs = &e->o->cgroups;

    if (e->extra.cgroup->n_dirs > 0) {
        if (cgroup_entrance_open(e->extra.cgroup, e->container.pid, subs, &e->entrance, err) < 0)
            return subs->n > 0 ? error_wrap(err, "--cgroup") : -1;
        e->spawn.cgroup = &e->entrance;
    } else if (subs->n > 0)
        return error_set(err, 0, "--cgroup: \"%s\": the container has no cgroup of its own", subs->v[0]);
    return 0;
}

static int prepare(struct execution *e, struct error *err)
{
    if (load_container(e, err) < 0 || load_process(e, err) < 0 || check_console(e, err) < 0 ||
        hold_container(e, err) < 0 || lsm_check(&e->process, err) < 0)
        return -1;
    if (open_cgroup(e, err) < 0)
        return -1;
    return seccomp_prepare(e->rt->arena, &e->spec->linux_.seccomp, runtime_cache_dir(e->rt), &e->seccomp,
                           err);
}

static int child_terminal(struct execution *e, int sync, struct error *err)
{
    _cleanup_(fd_closep) int master = -1;
    _cleanup_(fd_closep) int slave = -1;
    int result;

    if (!e->process.terminal)
        return 0;
    if (terminal_open(&e->process, -1, &master, &slave, err) < 0)
        return -1;
    result = e->console_socket >= 0 ? terminal_send(e->console_socket, master, err)
                                    : sync_send_fd(sync, SYNC_TERMINAL, master, err);
    return result < 0 ? -1 : terminal_attach(slave, err);
}

static int enter_root(const struct execution *e, struct error *err)
{
    if (e->root >= 0 && (fchdir(e->root) < 0 || chroot(".") < 0))
        return error_set(err, errno, "enter the container's root");
    return 0;
}

/* Runs in the child, in the container's namespaces; returns only on failure. */
static int exec_main(void *argument, int sync, struct error *err)
{
    struct execution *e = argument;
    struct launch launch = {.process = &e->process,
                            .seccomp = &e->seccomp,
                            .personality = &e->spec->linux_.personality,
                            .memory_policy = &e->spec->linux_.memory_policy,
                            .user_namespace = e->extra.namespaces & CLONE_NEWUSER,
                            .preserve_fds = e->o->preserve_fds,
                            .listen_fds = e->o->listen_fds,
                            .keep_groups = launch_keeps_groups(e->spec),
                            .sync = sync,
                            .arena = e->rt->arena};

    log_debug("exec: child process in the container's namespaces, pid %d", getpid());
    if (setsid() < 0 && errno != EPERM)
        return error_set(err, errno, "setsid");
    cpu_affinity_reset();
    if (cpu_affinity_apply(e->process.exec_cpu_affinity_initial, err) < 0 || enter_root(e, err) < 0 ||
        keyring_join(e->o->id, e->process.selinux_label, err) < 0 || child_terminal(e, sync, err) < 0 ||
        cpu_affinity_apply(e->process.exec_cpu_affinity_final, err) < 0 || launch_prepare(&launch, err) < 0)
        return -1;
    if (sync_send(sync, SYNC_READY, 0, err) < 0 || sync_wait_continue(sync, err) < 0)
        return -1;
    prctl(PR_SET_PDEATHSIG, 0);
    return launch_exec(&launch, err);
}

static int pass_listener(struct execution *e, int number, struct error *err)
{
    _cleanup_(fd_closep) int listener = (int)syscall(SYS_pidfd_getfd, e->spawned.pidfd, number, 0);

    if (listener < 0)
        return error_set(err, errno, "linux.seccomp: take the notify descriptor from the new process");
    if (seccomp_send_listener(&e->spec->linux_.seccomp, listener,
                              container_state_json(e->rt->arena, &e->container, false, NULL), e->spawned.pid,
                              err) < 0)
        return -1;
    return sync_send(e->spawn.sync[0], SYNC_CONTINUE, 0, err);
}

static int make_ready(struct execution *e, struct error *err)
{
    if (e->extra.namespaces & CLONE_NEWUSER && launch_set_limits(&e->process, e->spawned.pid, err) < 0)
        return -1;
    if (runtime_announce_pid(e->rt->arena, &e->spawned, e->o->pid_file, e->o->pidfd_socket, err) < 0)
        return -1;
    return sync_send(e->spawn.sync[0], SYNC_CONTINUE, 0, err);
}

/* Until end of file, which is the successful execve. */
static int serve(struct execution *e, struct error *err)
{
    bool ready = false;

    for (;;) {
        struct sync_message m;
        int fd, type = sync_receive(e->spawn.sync[0], e->signal_fd, &m, &fd, err);

        if (type == SYNC_TERMINAL)
            terminal_take(e->master = steal_fd(&fd), false);
        fd_closep(&fd);
        if (type < 0)
            return -1;
        if (type == 0)
            return ready ? 0 : error_set(err, 0, "the new process died without a word");
        if (type == SYNC_LISTENER && pass_listener(e, m.value, err) < 0)
            return -1;
        if (type == SYNC_READY && make_ready(e, err) < 0)
            return -1;
        ready |= type == SYNC_READY;
    }
}

static int execute(struct execution *e, int *exit_status, struct error *err)
{
    if (signals_take(&e->signal_fd, &e->signal_mask, err) < 0)
        return -1;
    e->spawn.signal_fd = e->signal_fd;
    e->spawn.signal_mask = &e->signal_mask;
    e->spawn.child = exec_main;
    e->spawn.argument = e;
    /* Inherited by the child: nobody inside may look at it before its execve (CVE-2016-9962). */
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return error_set(err, errno, "PR_SET_DUMPABLE");
    if (!e->o->detach && !e->o->no_subreaper)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (sync_pair(e->spawn.sync, err) < 0 || spawn(&e->spawn, &e->spawned, err) < 0)
        return -1;
    if (serve(e, err) < 0) {
        spawned_kill(&e->spawned);
        return -1;
    }
    *exit_status = 0;
    if (e->o->detach)
        return 0;
    return foreground_wait(e->rt->arena, &e->spawned, e->signal_fd, e->master, exit_status, err);
}

int container_exec(const struct runtime *rt, const struct exec_options *o, int *exit_status,
                   struct error *err)
{
    struct execution e = {.rt = rt,
                          .o = o,
                          .signal_fd = -1,
                          .console_socket = -1,
                          .master = -1,
                          .root = -1,
                          .spawned.pidfd = -1};
    int result;

    e.spawn.join_pidfd = -1;
    for (int type = 0; type < NS_COUNT; type++)
        e.spawn.join_fds[type] = -1;
    if (prepare(&e, err) < 0)
        return -1;
    result = execute(&e, exit_status, err);
    if (e.signal_fd >= 0)
        sigprocmask(SIG_SETMASK, &e.signal_mask, NULL);
    return result;
}
