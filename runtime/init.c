/*
 * Init: inside the namespaces, before the user's program. A list of steps, carried out in order; any failure
 * is told to hull with its words and ends the process, and with it (mount and pid namespace) all it had set
 * up.
 *
 * States, as hull sees them over the sync socket: [HOOKS ->] [TERMINAL ->] [LISTENER ->] READY -> (waits) ->
 * end of file by execve. A sandbox's init becomes hull-vmm without READY, which says it in its place (sandbox.h).
 * It is non-dumpable from the first step until execve (CVE-2016-9962), and holds its
 * binary no more (exe_seal.c).
 */
#include "runtime/init.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/procfs.h"
#include "base/sync.h"
#include "net/net.h"
#include "runtime/fault.h"
#include "runtime/hooks.h"
#include "runtime/process.h"
#include "runtime/terminal.h"
#include "sandbox/agent.h"

struct progress {
    struct init *in;
    int sync, terminal; /* terminal: the pty's slave, or -1 */
    struct launch launch;
    struct launch_program vmm; /* of a sandbox */
};

static bool has_new(const struct progress *p, enum namespace_type type)
{
    const struct spec_namespace *ns = &p->in->spec->linux_.namespaces[type];

    return ns->present && !ns->path;
}

static int step_session(struct progress *p, struct error *err)
{
    close(p->in->state_dir);
    cpu_affinity_reset();
    umask(0); /* modes of what is made are exact; launch.c sets the process's */
    if (setsid() < 0 && errno != EPERM)
        return error_set(err, errno, "setsid");
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return error_set(err, errno, "PR_SET_DUMPABLE");
    if (p->in->options->no_new_keyring)
        return 0;
    return keyring_join(p->in->options->id, p->in->spec->process.selinux_label, err);
}

/* Nested in a container that forbids it, a name or an interface that stays as it is weakens nothing: warn. */
static int warn_if_forbidden(int result, struct error *err)
{
    if (result == 0 || (err->code != EPERM && err->code != EACCES))
        return result;
    log_warning("%s", err->message);
    error_clear(err);
    return 0;
}

static int step_network(struct progress *p, struct error *err)
{
    return has_new(p, NS_NETWORK) ? warn_if_forbidden(net_loopback_up(err), err) : 0;
}

static int set_hostname(const char *name, struct error *err)
{
    return sethostname(name, strlen(name)) < 0 ? error_set(err, errno, "hostname: sethostname(\"%s\")", name)
                                               : 0;
}

static int set_domainname(const char *name, struct error *err)
{
    return setdomainname(name, strlen(name)) < 0
               ? error_set(err, errno, "domainname: setdomainname(\"%s\")", name)
               : 0;
}

static int step_names(struct progress *p, struct error *err)
{
    const struct spec *s = p->in->spec;

    if (s->hostname && warn_if_forbidden(set_hostname(s->hostname, err), err) < 0)
        return -1;
    return s->domainname ? warn_if_forbidden(set_domainname(s->domainname, err), err) : 0;
}

/* Through the host's /proc, whose sys/ shows the caller's own namespaces: nothing of the image can be in the
 * way. */
static int step_sysctl(struct progress *p, struct error *err)
{
    return sysctl_apply(p->in->spec->linux_.sysctl, p->in->spec->linux_.n_sysctl, err);
}

static int step_mounts(struct progress *p, struct error *err)
{
    if (rootfs_mount(p->in->rootfs, err) < 0)
        return -1;
    return p->in->sandbox ? sandbox_export(p->in->sandbox, p->in->rootfs, err) : 0;
}

static int run_hooks(struct progress *p, enum hook_type type, enum container_status status, struct error *err)
{
    struct container c = *p->in->container;

    if (p->in->spec->hooks[type].n == 0)
        return 0;
    c.status = status;
    c.pid = getpid();
    return hooks_run(p->in->spec, type, container_state_json(p->in->arena, &c, false, NULL), NULL, false,
                     err);
}

static int step_create_hooks(struct progress *p, struct error *err)
{
    const struct spec_hooks *hooks = p->in->spec->hooks;

    if (hooks[HOOK_PRESTART].n + hooks[HOOK_CREATE_RUNTIME].n > 0) {
        if (sync_send(p->sync, SYNC_HOOKS, 0, err) < 0 || sync_wait_continue(p->sync, err) < 0)
            return -1;
    }
    if (hooks[HOOK_CREATE_CONTAINER].n &&
        (fchdir(rootfs_root_fd(p->in->rootfs)) < 0 || (p->in->sandbox && chdir(AGENT_FS_ROOT) < 0)))
        return error_set(err, errno, "createContainer hooks: enter the root");
    return run_hooks(p, HOOK_CREATE_CONTAINER, CONTAINER_CREATING, err);
}

static int step_pivot(struct progress *p, struct error *err)
{
    return rootfs_pivot(p->in->rootfs, err);
}

static int step_terminal(struct progress *p, struct error *err)
{
    _cleanup_(fd_closep) int master = -1;
    int result;

    if (!p->in->spec->process.terminal)
        return 0;
    if (terminal_open(&p->in->spec->process, p->in->sandbox ? p->in->sandbox->devpts : -1, &master,
                      &p->terminal, err) < 0)
        return -1;
    result = p->in->console_socket >= 0 ? terminal_send(p->in->console_socket, master, err)
                                        : sync_send_fd(p->sync, SYNC_TERMINAL, master, err);
    return result < 0 ? -1 : terminal_attach(p->terminal, err);
}

static int step_finish(struct progress *p, struct error *err)
{
    return rootfs_finish(p->in->rootfs, p->in->sandbox ? -1 : p->terminal, err);
}

static int step_process(struct progress *p, struct error *err)
{
    struct init *in = p->in;

    p->launch = (struct launch){.process = &in->spec->process,
                                .seccomp = &in->seccomp,
                                .personality = &in->spec->linux_.personality,
                                .memory_policy = &in->spec->linux_.memory_policy,
                                .user_namespace = in->namespaces & CLONE_NEWUSER,
                                .make_cwd = true,
                                .keep_groups = launch_keeps_groups(in->spec),
                                .preserve_fds = in->options->preserve_fds,
                                .listen_fds = in->options->listen_fds,
                                .sync = p->sync,
                                .arena = in->arena};
    if (in->sandbox) {
        if (sandbox_program(in->sandbox, in->arena, p->sync, in->fifo, &p->vmm, err) < 0)
            return -1;
        p->launch.program = &p->vmm;
    }
    return launch_prepare(&p->launch, err);
}

static const int ending_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

static void end_by_signal(int number)
{
    _exit(128 + number);
}

/* The kernel keeps signals without a handler from the init of a pid namespace. One that only waits for start
 * shall end by them all the same; what the caller ignores stays ignored. */
static void heed_signals(struct sigaction saved[ARRAY_SIZE(ending_signals)])
{
    const struct sigaction end = {.sa_handler = end_by_signal};

    for (size_t i = 0; i < ARRAY_SIZE(ending_signals); i++) {
        sigaction(ending_signals[i], &end, &saved[i]);
        if (saved[i].sa_handler == SIG_IGN)
            sigaction(ending_signals[i], &saved[i], NULL);
    }
}

static void restore_signals(const struct sigaction saved[ARRAY_SIZE(ending_signals)])
{
    for (size_t i = 0; i < ARRAY_SIZE(ending_signals); i++)
        sigaction(ending_signals[i], &saved[i], NULL);
}

/* READY: from here on the container exists. A created one outlives hull, and waits for start's byte; init
 * itself holds the fifo open for writing too, so that a start that dies half-way is not taken for an answer.
 * hull may exit the moment it has said CONTINUE, so its death must not kill any more by then; until then the
 * end of the socket tells of it. */
static int step_wait(struct progress *p, struct error *err)
{
    struct sigaction saved[ARRAY_SIZE(ending_signals)];
    char go;
    ssize_t n;

    if (p->in->sandbox)
        return 0; /* hull-vmm's, when the container in the guest is there */
    prctl(PR_SET_PDEATHSIG, 0);
    if (p->in->fifo >= 0)
        heed_signals(saved);
    if (sync_send(p->sync, SYNC_READY, 0, err) < 0 || sync_wait_continue(p->sync, err) < 0)
        return -1;
    if (p->in->fifo < 0)
        return 0;
    close(p->sync);
    p->sync = -1;
    procfs_reset(); /* the host's; whoever waits here holds nothing of the host that it can do without */
    do {
        n = read(p->in->fifo, &go, 1);
    } while (n < 0 && errno == EINTR);
    restore_signals(saved);
    return n == 1 ? 0 : error_set(err, errno, "wait for start");
}

static int step_start_hooks(struct progress *p, struct error *err)
{
    return run_hooks(p, HOOK_START_CONTAINER, CONTAINER_CREATED, err);
}

static int step_exec(struct progress *p, struct error *err)
{
    return launch_exec(&p->launch, err);
}

static const struct {
    const char *name;
    int (*run)(struct progress *p, struct error *err);
} steps[] = {
    {"session", step_session}, {"network", step_network},   {"names", step_names},
    {"sysctl", step_sysctl},   {"mounts", step_mounts},     {"create-hooks", step_create_hooks},
    {"pivot", step_pivot},     {"terminal", step_terminal}, {"finish", step_finish},
    {"process", step_process}, {"wait", step_wait},         {"start-hooks", step_start_hooks},
    {"exec", step_exec},
};

int init_main(void *argument, int sync, struct error *err)
{
    struct progress p = {.in = argument, .sync = sync, .terminal = -1};

    log_debug("init: child process in init(), pid %d", getpid());
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        log_debug("init: %s", steps[i].name);
        if (FAULT_POINT(steps[i].name, err) == 0 && steps[i].run(&p, err) == 0)
            continue;
        /* A started container has nobody to tell but its log and its stderr. */
        if (p.sync < 0)
            log_error("%s", err->message);
        return -1;
    }
    return 0;
}
