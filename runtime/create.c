/*
 * create and run. Everything that can be known beforehand is checked and compiled first (specification, mount
 * plan, namespaces to join, filter), with no trace on the host. Then the container is built in steps, and
 * undone in reverse when one fails:
 *
 *   state directory (and its lock) -> descriptors the parent alone can open -> cgroup -> init, born in it, in its
 * namespaces -> network devices, intelRdt -> hooks -> READY -> state.json, pid file
 *
 * Init dies with hull until the state is written, and takes its mounts and namespaces along, so a kill -9
 * leaves at most a state directory without state, which `delete --force` removes. `run` is create with the
 * wait for start left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/passwd.h"
#include "base/path.h"
#include "base/procfs.h"
#include "base/socket.h"
#include "base/sync.h"
#include "base/syscalls.h"
#include "base/timestamp.h"
#include "namespaces/namespaces.h"
#include "net/net.h"
#include "runtime/container.h"
#include "runtime/fault.h"
#include "runtime/foreground.h"
#include "runtime/hooks.h"
#include "runtime/init.h"
#include "runtime/paths.h"
#include "runtime/process.h"
#include "runtime/sandbox.h"
#include "runtime/spawn.h"
#include "runtime/state.h"
#include "runtime/terminal.h"

struct creation {
    const struct runtime *rt;
    const struct create_options *o;
    struct spec *spec;
    struct init init;
    struct container container;
    struct state_extra extra;
    struct spawn spawn;
    struct spawned process;
    struct cgroup_request cgroup_request;
    struct cgroup_entrance entrance;
    sigset_t signal_mask;
    int signal_fd, state_dir, console_socket, master;
    bool state_made, announced;
};

int container_id_validate(const char *id, struct error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
    size_t length = strlen(id);

    if (length == 0)
        return error_set(err, 0, "container id cannot be empty");
    if (length > 1024 || strspn(id, letters) != length || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
        return error_set(
            err, 0, "invalid container ID format: \"%.64s\": use letters, digits and _ + - . (at most 1024)",
            id);
    return 0;
}

static char *timestamp(struct arena *a)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return timestamp_format(&now, true, arena_alloc(a, TIMESTAMP_SIZE));
}

static char *owner_name(struct arena *a)
{
    _cleanup_(fd_closep) int root = -1;
    struct passwd_entry entry;
    uid_t uid = (uid_t)getauxval(AT_EUID);

    if (uid == 0)
        return arena_strdup(a, "root");
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root >= 0 && passwd_find(a, root, uid, &entry) == 0)
        return arena_strdup(a, entry.name);
    return arena_printf(a, "#%u", uid);
}

/* Asked for the stronger hull, never answer with the weaker one. For a sandbox c->spec is the host's half from here on. */
static int choose_isolation(struct creation *c, struct error *err)
{
    const char *asker, *place = arena_printf(c->rt->arena, "%s/%s", c->rt->root, c->o->id);
    struct spec *host;

    if (sandbox_asked(c->rt, c->spec, &asker, err) < 0)
        return -1;
    if (!asker)
        return c->o->kernel ? error_set(err, 0, "--kernel: a container has none: it is for --isolation=vm")
                            : 0;
    if (sandbox_plan(c->rt, c->o, c->container.bundle, place, c->spec, &c->init.sandbox, &host, err) < 0)
        return error_wrap(err, "%s asks for a sandbox", asker);
    c->spec = host;
    c->container.rootfs = (char *)c->init.sandbox->rootfs;
    c->container.sandbox = true;
    return 0;
}

static int check_terminal(const struct creation *c, bool detach, struct error *err)
{
    bool terminal = c->spec->process.terminal;

    if (terminal && detach && !c->o->console_socket && !c->o->detached)
        return error_set(err, 0, "cannot allocate tty if hull will detach without setting console socket");
    if (c->o->console_socket && !(terminal && detach))
        return error_set(err, 0, "cannot use console socket if hull will not detach or allocate tty");
    return 0;
}

/* An open descriptor that the caller promised to preserve but did not give would become whatever hull opens
 * next. */
static int check_preserved(unsigned n, struct error *err)
{
    for (unsigned fd = 3; fd < 3 + n; fd++) {
        if (fcntl((int)fd, F_GETFD) < 0)
            return error_set(err, errno, "--preserve-fds: preserved-fd %u (file descriptor %u) is not open",
                             fd - 3, fd);
    }
    return 0;
}

static int load_bundle(struct creation *c, struct error *err)
{
    struct arena *a = c->rt->arena;
    const char *bundle = path_absolute(a, c->o->bundle ? c->o->bundle : ".");
    _cleanup_(fd_closep) int dir = bundle ? open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

    if (dir < 0)
        return error_set(err, errno, "bundle %s", bundle ? bundle : "in the current directory");
    if (spec_load(a, dir, c->o->config ? c->o->config : "config.json", &c->spec, err) < 0)
        return -1;
    if (c->o->adapt && c->o->adapt(a, c->spec, c->o->adapt_argument, err) < 0)
        return -1;
    c->container = (struct container){.id = (char *)c->o->id,
                                      .bundle = (char *)bundle,
                                      .oci_version = c->spec->oci_version,
                                      .created = timestamp(a),
                                      .owner = owner_name(a),
                                      .status = CONTAINER_CREATING,
                                      .annotations = c->spec->annotations,
                                      .n_annotations = c->spec->n_annotations};
    if (!c->spec->process.present)
        return error_set(
            err, 0,
            "config.json: process: missing: say what to run (process.args, process.cwd, process.user)");
    return 0;
}

/* On v2 the container may divide its own cgroup when it can see and own it, and cannot do harm by it. */
static bool delegates_cgroup(const struct spec *spec, uid_t *owner)
{
    const struct spec_linux *l = &spec->linux_;
    const struct spec_namespace *ns = l->namespaces;
    bool writable = false;

    for (size_t i = 0; i < spec->n_mounts; i++) {
        const struct spec_mount *m = &spec->mounts[i];
        bool cgroup = m->type && (strcmp(m->type, "cgroup") == 0 || strcmp(m->type, "cgroup2") == 0);
        bool ro = false;

        for (size_t k = 0; k < m->options.n; k++)
            ro = strcmp(m->options.v[k], "ro") == 0 || (ro && strcmp(m->options.v[k], "rw") != 0);
        writable |= cgroup && !ro;
    }
    return writable && ns[NS_CGROUP].present && !ns[NS_CGROUP].path && ns[NS_USER].present &&
           l->uid_mappings.n > 0 && idmap_to_host(&l->uid_mappings, spec->process.user.uid, owner);
}

static int plan_cgroup(struct creation *c, struct error *err)
{
    const struct spec_linux *l = &c->spec->linux_;

    c->cgroup_request = (struct cgroup_request){.manager = c->rt->cgroup_manager,
                                                .id = c->o->id,
                                                .path = l->cgroups_path,
                                                .rootless = c->rt->rootless,
                                                .annotations = c->spec->annotations,
                                                .n_annotations = c->spec->n_annotations};
    c->cgroup_request.delegate = delegates_cgroup(c->spec, &c->cgroup_request.owner);
    return cgroup_plan(c->rt->arena, &c->cgroup_request, &l->resources, &c->extra.cgroup, err);
}

static int plan(struct creation *c, struct error *err)
{
    const struct spec_namespace *ns = c->spec->linux_.namespaces;
    struct rootfs_options options = {.bundle = c->container.bundle,
                                     .no_pivot = c->o->no_pivot,
                                     .user_namespace = ns[NS_USER].present,
                                     .new_mount_namespace = ns[NS_MOUNT].present && !ns[NS_MOUNT].path,
                                     .new_cgroup_namespace = ns[NS_CGROUP].present && !ns[NS_CGROUP].path,
                                     .new_network_namespace = ns[NS_NETWORK].present && !ns[NS_NETWORK].path,
                                     .bare = c->init.sandbox != NULL,
                                     .rootless = c->rt->rootless,
                                     .cgroup = c->extra.cgroup,
                                     .mount_root = c->o->mount_root,
                                     .mount_root_argument = c->o->mount_root_argument,
                                     .made = c->o->made,
                                     .n_made = c->o->n_made};

    if (rootfs_plan(c->rt->arena, c->spec, &options, &c->init.rootfs, err) < 0 ||
        namespaces_open(ns, c->spawn.join_fds, err) < 0 || lsm_check(&c->spec->process, err) < 0 ||
        seccomp_prepare(c->rt->arena, &c->spec->linux_.seccomp, runtime_cache_dir(c->rt), &c->init.seccomp,
                        err) < 0)
        return -1;
    if (!c->init.sandbox)
        c->container.rootfs = (char *)rootfs_path(c->init.rootfs);
    for (int type = 0; type < NS_COUNT; type++) {
        if (ns[type].present)
            c->extra.namespaces |= (unsigned)namespace_clone_flag(type);
        if (c->spawn.join_fds[type] >= 0)
            c->spawn.join_flags |= (unsigned)namespace_clone_flag(type);
    }
    c->spawn.new_flags = (unsigned)namespaces_new_flags(ns);
    c->extra.poststart = c->spec->hooks[HOOK_POSTSTART].n > 0;
    c->extra.poststop = c->spec->hooks[HOOK_POSTSTOP].n > 0;
    c->extra.no_pivot = c->o->no_pivot;
    return 0;
}

/* No side effects up to the end of this. */
static int prepare(struct creation *c, bool detach, struct error *err)
{
    if (container_id_validate(c->o->id, err) < 0 || check_preserved(c->o->preserve_fds, err) < 0 ||
        load_bundle(c, err) < 0 || choose_isolation(c, err) < 0 || check_terminal(c, detach, err) < 0)
        return -1;
    if (c->o->console_socket && socket_connect(c->o->console_socket, &c->console_socket, err) < 0)
        return error_wrap(err, "--console-socket");
    return plan_cgroup(c, err) < 0 ? -1 : plan(c, err);
}

static int make_state_dir(struct creation *c, bool wait_for_start, struct error *err)
{
    if (state_create(c->rt, c->o->id, &c->state_dir, err) < 0)
        return -1;
    c->state_made = true;
    if (FAULT_POINT("state-dir", err) < 0)
        return -1;
    if (!wait_for_start)
        return 0;
    if (mkfifoat(c->state_dir, STATE_FIFO, 0600) < 0)
        return error_set(err, errno, "make the start fifo");
    c->init.fifo = openat(c->state_dir, STATE_FIFO, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return c->init.fifo < 0 ? error_set(err, errno, "open the start fifo") : 0;
}

/* The record first: a hull that is killed here leaves nothing that delete does not know of. */
static int make_cgroup(struct creation *c, struct error *err)
{
    struct state_extra record = {.cgroup = c->extra.cgroup, .namespaces = c->extra.namespaces};

    if (c->extra.cgroup->n_dirs == 0)
        return 0;
    if (state_write(c->rt->arena, c->state_dir, &c->container, &record, err) < 0 ||
        FAULT_POINT("cgroup-record", err) < 0 ||
        cgroup_make(c->extra.cgroup, &c->cgroup_request, &c->spec->linux_.resources, err) < 0 ||
        FAULT_POINT("cgroup", err) < 0)
        return -1;
    if (c->extra.cgroup->n_dirs == 0)
        return 0;
    c->spawn.cgroup = &c->entrance;
    return cgroup_entrance_open(c->extra.cgroup, 0, &(struct string_list){0}, &c->entrance, err);
}

static int start_init(struct creation *c, struct error *err)
{
    const struct spec_linux *l = &c->spec->linux_;

    c->init.arena = c->rt->arena;
    c->init.spec = c->spec;
    c->init.options = c->o;
    c->init.container = &c->container;
    c->init.console_socket = c->console_socket;
    c->init.state_dir = c->state_dir;
    c->init.namespaces = c->extra.namespaces;
    c->spawn.uid_maps = &l->uid_mappings;
    c->spawn.gid_maps = &l->gid_mappings;
    c->spawn.monotonic = &l->monotonic;
    c->spawn.boottime = &l->boottime;
    c->spawn.signal_fd = c->signal_fd;
    c->spawn.signal_mask = &c->signal_mask;
    c->spawn.child = init_main;
    c->spawn.unsealed = c->o->unsealed;
    c->spawn.argument = &c->init;
    procfs_fd(); /* opened once, here, for init as well */
    if (sync_pair(c->spawn.sync, err) < 0 || spawn(&c->spawn, &c->process, err) < 0)
        return -1;
    cgroup_entered(c->extra.cgroup);
    cgroup_entrance_close(&c->entrance);
    c->container.pid = c->process.pid;
    return FAULT_POINT("spawned", err);
}

static int add_devices(struct creation *c, struct error *err)
{
    const struct spec_linux *l = &c->spec->linux_;
    _cleanup_(fd_closep) int netns = -1;

    if (l->intel_rdt.present &&
        intel_rdt_apply(&l->intel_rdt, c->o->id, c->process.pid, &c->extra.intel_rdt, err) < 0)
        return -1;
    if (l->n_net_devices == 0)
        return 0;
    netns =
        openat(procfs_fd(), arena_printf(c->rt->arena, "%d/ns/net", c->process.pid), O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return error_set(err, errno, "open the container's network namespace");
    return net_devices_move(l->net_devices, l->n_net_devices, netns, err);
}

static int run_hooks(struct creation *c, enum hook_type type, enum container_status status, bool keep_going,
                     struct error *err)
{
    if (c->spec->hooks[type].n == 0)
        return 0;
    c->container.status = status;
    return hooks_run(c->spec, type, container_state_json(c->rt->arena, &c->container, false, NULL),
                     c->container.bundle, keep_going, err);
}

static int pass_listener(struct creation *c, int number, struct error *err)
{
    _cleanup_(fd_closep) int listener = (int)syscall(SYS_pidfd_getfd, c->process.pidfd, number, 0);
    const char *state;

    if (listener < 0)
        return error_set(err, errno, "linux.seccomp: take the notify descriptor from init");
    c->container.status = CONTAINER_CREATING;
    state = container_state_json(c->rt->arena, &c->container, false, NULL);
    return seccomp_send_listener(&c->spec->linux_.seccomp, listener, state, c->process.pid, err);
}

/* Answer init's messages until @until (0: end of file, which is the successful execve). */
static int serve(struct creation *c, int until, struct error *err)
{
    for (;;) {
        struct sync_message m;
        int fd, type = sync_receive(c->spawn.sync[0], c->signal_fd, &m, &fd, err);
        int result = 0;

        if (type == SYNC_TERMINAL)
            terminal_take(c->master = steal_fd(&fd), c->o->detached != NULL);
        fd_closep(&fd);
        if (type < 0)
            return -1;
        if (type == until)
            return 0;
        if (type == 0)
            return error_set(err, 0,
                             "the container's init died without a word (killed for memory, or by its own "
                             "seccomp profile?)");
        if (type == SYNC_HOOKS && (run_hooks(c, HOOK_PRESTART, CONTAINER_CREATING, false, err) < 0 ||
                                   run_hooks(c, HOOK_CREATE_RUNTIME, CONTAINER_CREATING, false, err) < 0))
            return -1;
        if (type == SYNC_LISTENER)
            result = pass_listener(c, m.value, err);
        if (result == 0 && (type == SYNC_HOOKS || type == SYNC_LISTENER))
            result = sync_send(c->spawn.sync[0], SYNC_CONTINUE, 0, err);
        if (result < 0)
            return -1;
    }
}

static int write_pid_file(struct arena *a, const char *path, pid_t pid, struct error *err)
{
    const char *text = arena_printf(a, "%d", pid);

    return file_replace(AT_FDCWD, path, 0644, text, strlen(text), err) < 0 ? error_wrap(err, "--pid-file")
                                                                           : 0;
}

int runtime_announce_pid(struct arena *a, const struct spawned *p, const char *pid_file,
                         const char *pidfd_socket, struct error *err)
{
    _cleanup_(fd_closep) int sock = -1;

    if (pidfd_socket) {
        if (socket_connect(pidfd_socket, &sock, err) < 0)
            return error_wrap(err, "--pidfd-socket");
        if (socket_send_fds(sock, "pidfd", 5, &p->pidfd, 1) < 0)
            return error_set(err, errno, "--pidfd-socket: send the pidfd");
    }
    return pid_file ? write_pid_file(a, pid_file, p->pid, err) : 0;
}

static int commit(struct creation *c, struct error *err)
{
    c->container.status = CONTAINER_CREATED;
    if (c->extra.namespaces & CLONE_NEWUSER && launch_set_limits(&c->spec->process, c->process.pid, err) < 0)
        return -1;
    if (process_start_time(c->process.pid, &c->container.start_time, NULL) < 0)
        return error_set(err, errno, "read the start time of process %d", c->process.pid);
    if (state_write_config(c->state_dir, c->spec, err) < 0 ||
        state_write(c->rt->arena, c->state_dir, &c->container, &c->extra, err) < 0)
        return -1;
    if (runtime_announce_pid(c->rt->arena, &c->process, c->o->pid_file, c->o->pidfd_socket, err) < 0)
        return -1;
    c->announced = true;
    return FAULT_POINT("commit", err) < 0 ? -1 : sync_send(c->spawn.sync[0], SYNC_CONTINUE, 0, err);
}

static void undo(struct creation *c)
{
    struct error err = {0};
    bool born = c->process.pid > 0;

    spawned_kill(&c->process);
    if (c->announced && c->o->pid_file && unlink(c->o->pid_file) < 0 && errno != ENOENT)
        log_warning("--pid-file: remove %s: %s", c->o->pid_file, strerror(errno));
    if (c->extra.intel_rdt && intel_rdt_remove(&c->spec->linux_.intel_rdt, c->o->id, &err) < 0)
        log_warning("%s", err.message);
    if (c->extra.cgroup)
        cgroup_undo(c->extra.cgroup);
    if (c->state_made && state_remove(c->rt, c->o->id, &err) < 0)
        log_warning("%s", err.message);
    c->state_made = false;
    c->container.pid = 0;
    if (born)
        run_hooks(c, HOOK_POSTSTOP, CONTAINER_STOPPED, true, NULL);
}

static int build(struct creation *c, bool wait_for_start, struct error *err)
{
    if (signals_take(&c->signal_fd, &c->signal_mask, err) < 0)
        return -1;
    if (make_state_dir(c, wait_for_start, err) < 0 || rootfs_open(c->init.rootfs, err) < 0 ||
        make_cgroup(c, err) < 0 || start_init(c, err) < 0 || add_devices(c, err) < 0 ||
        serve(c, SYNC_READY, err) < 0 || commit(c, err) < 0)
        return -1;
    fd_closep(&c->init.fifo);
    return 0;
}

static void begin(struct creation *c, const struct runtime *rt, const struct create_options *o)
{
    *c = (struct creation){
        .rt = rt, .o = o, .signal_fd = -1, .state_dir = -1, .console_socket = -1, .master = -1};
    c->process.pidfd = -1;
    c->init.fifo = -1;
    c->spawn.join_pidfd = -1;
    c->entrance.v2 = -1;
    c->spawn.sync[0] = c->spawn.sync[1] = -1;
    for (int type = 0; type < NS_COUNT; type++)
        c->spawn.join_fds[type] = -1;
}

/* Descriptors end with the command; not so the signal mask, which is the caller's, and the container's lock. */
static int end(struct creation *c, int result)
{
    if (c->signal_fd >= 0)
        sigprocmask(SIG_SETMASK, &c->signal_mask, NULL);
    fd_closep(&c->state_dir);
    return result;
}

int container_create(const struct runtime *rt, const struct create_options *o, struct error *err)
{
    struct creation c;

    begin(&c, rt, o);
    if (prepare(&c, true, err) < 0)
        return -1;
    if (build(&c, true, err) < 0) {
        undo(&c);
        return end(&c, -1);
    }
    return end(&c, 0);
}

static int run_started(struct creation *c, int *exit_status, struct error *err)
{
    if (serve(c, 0, err) < 0 || run_hooks(c, HOOK_POSTSTART, CONTAINER_RUNNING, false, err) < 0)
        return -1;
    flock(c->state_dir, LOCK_UN); /* exec, kill and delete may come */
    if (c->o->detach) {
        if (c->o->detached)
            *c->o->detached = (struct detached){.pid = c->process.pid, .terminal = steal_fd(&c->master)};
        *exit_status = 0;
        return 0;
    }
    return foreground_wait(c->rt->arena, &c->process, c->signal_fd, c->master, exit_status, err);
}

/* The container has ended and nobody else holds its state; what it may have left running without a pid
 * namespace is delete's work. */
static int remove_ended(struct creation *c, struct error *err)
{
    if (!(c->extra.namespaces & CLONE_NEWPID))
        return container_delete(c->rt, c->o->id, true, err);
    if (c->extra.intel_rdt && intel_rdt_remove(&c->spec->linux_.intel_rdt, c->o->id, err) < 0)
        return -1;
    if (cgroup_remove(c->extra.cgroup, err) < 0 || state_remove_at(c->rt, c->o->id, c->state_dir, err) < 0)
        return -1;
    c->container.pid = 0;
    run_hooks(c, HOOK_POSTSTOP, CONTAINER_STOPPED, true, NULL);
    return 0;
}

int container_run(const struct runtime *rt, const struct create_options *o, int *exit_status,
                  struct error *err)
{
    struct creation c;

    begin(&c, rt, o);
    if (prepare(&c, o->detach, err) < 0)
        return -1;
    if (!o->detach && !o->no_subreaper)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (build(&c, false, err) < 0 || run_started(&c, exit_status, err) < 0) {
        undo(&c);
        return end(&c, -1);
    }
    if (!o->detach && !o->keep && remove_ended(&c, err) < 0)
        return end(&c, -1);
    return end(&c, 0);
}
