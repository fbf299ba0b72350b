/*
 * The commands on a container that exists: start, kill, delete, and looking at it. Each opens the state
 * directory, takes the lock where it changes something, and works on a pidfd whose process was checked to be
 * the one that state.json names.
 */
#include "runtime/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/procfs.h"
#include "base/syscalls.h"
#include "runtime/hooks.h"
#include "runtime/opened.h"
#include "runtime/paths.h"
#include "runtime/process.h"
#include "runtime/state.h"

enum { KILL_TIMEOUT_MS = 10000 };

const char *runtime_cache_dir(const struct runtime *rt)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");

    if (!rt->rootless)
        return "/run/hull-cache";
    return xdg && *xdg == '/' ? arena_printf(rt->arena, "%s/hull-cache", xdg) : NULL;
}

void opened_close(struct opened *o)
{
    fd_closep(&o->dir);
    fd_closep(&o->pidfd);
    if (o->extra.cgroup)
        cgroup_close(o->extra.cgroup);
}

int open_container(const struct runtime *rt, const char *id, bool lock, struct opened *o, struct error *err)
{
    uint64_t start;

    *o = (struct opened){.dir = -1, .pidfd = -1};
    if (state_open(rt, id, lock, &o->dir, err) < 0 ||
        state_read(rt->arena, o->dir, lock, &o->container, &o->extra, err) < 0)
        return -1;
    if (o->container.status == CONTAINER_STOPPED || o->container.status == CONTAINER_CREATING)
        return 0;
    o->pidfd = sys_pidfd_open(o->container.pid, 0);
    if (o->pidfd < 0 && errno != ESRCH)
        return error_set(
            err, errno,
            "pidfd_open of process %d (Linux 5.3; nested, the outer seccomp profile must allow it)",
            o->container.pid);
    if (o->pidfd < 0 || process_start_time(o->container.pid, &start, NULL) < 0 ||
        start != o->container.start_time) {
        fd_closep(&o->pidfd);
        o->container.status = CONTAINER_STOPPED;
        o->container.pid = 0;
    }
    return 0;
}

int refuse_sandbox(const struct container *c, const char *what, struct error *err)
{
    return c->sandbox
               ? error_set(err, 0,
                           "%s: not available for sandboxes yet: container %s runs in a virtual machine",
                           what, c->id)
               : 0;
}

int container_load(const struct runtime *rt, const char *id, struct container *out, struct error *err)
{
    _cleanup_(opened_close) struct opened o;

    if (open_container(rt, id, false, &o, err) < 0)
        return -1;
    *out = o.container;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int container_ids(const struct runtime *rt, struct string_list *out, struct error *err)
{
    _cleanup_(closedirp) DIR *dir = opendir(rt->root);
    size_t capacity = 0;
    struct dirent *entry;

    *out = (struct string_list){0};
    if (!dir)
        return errno == ENOENT ? 0 : error_set(err, errno, "open %s", rt->root);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) ||
            container_id_validate(entry->d_name, NULL) < 0)
            continue;
        if (out->n + 1 >= capacity) {
            size_t more = capacity ? 2 * capacity : 64;

            out->v = arena_grow(rt->arena, out->v, capacity * sizeof(char *), more * sizeof(char *));
            capacity = more;
        }
        out->v[out->n++] = arena_strdup(rt->arena, entry->d_name);
    }
    if (out->n)
        qsort(out->v, out->n, sizeof(char *), compare_names);
    return 0;
}

/* The bundle's configuration as it was at create, only where hooks are known to be in it. */
static int run_hooks(const struct runtime *rt, const struct opened *o, enum hook_type type, bool keep_going,
                     struct spec *spec, struct error *err)
{
    const char *state = container_state_json(rt->arena, &o->container, false, NULL);

    return hooks_run(spec, type, state, o->container.bundle, keep_going, err);
}

static int kill_and_wait(const struct opened *o, struct error *err)
{
    struct pollfd fd = {.fd = o->pidfd, .events = POLLIN};

    if (sys_pidfd_send_signal(o->pidfd, SIGKILL) < 0 && errno != ESRCH)
        return error_set(err, errno, "kill process %d", o->container.pid);
    if (poll(&fd, 1, KILL_TIMEOUT_MS) == 0)
        return error_set(err, 0, "process %d is still there %d s after SIGKILL", o->container.pid,
                         KILL_TIMEOUT_MS / 1000);
    return 0;
}

static int signal_start(const struct opened *o, struct error *err)
{
    _cleanup_(fd_closep) int fifo =
        openat(o->dir, STATE_FIFO, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

    if (fifo < 0 && errno == ENXIO)
        return error_set(err, 0, "cannot start a container that has stopped");
    if (fifo < 0 || write(fifo, "0", 1) != 1)
        return error_set(err, errno, "tell the container's init to start");
    if (unlinkat(o->dir, STATE_FIFO, 0) < 0)
        return error_set(err, errno, "remove the start fifo");
    return 0;
}

int container_start(const struct runtime *rt, const char *id, struct error *err)
{
    _cleanup_(opened_close) struct opened o = {.dir = -1, .pidfd = -1};
    struct spec *spec = NULL;

    if (open_container(rt, id, true, &o, err) < 0)
        return -1;
    if (o.container.status == CONTAINER_STOPPED)
        return error_set(err, 0, "cannot start a container that has stopped");
    if (o.container.status != CONTAINER_CREATED)
        return error_set(err, 0, "cannot start an already running container");
    if (o.extra.poststart && spec_load(rt->arena, o.dir, "config.json", &spec, err) < 0)
        return -1;
    if (signal_start(&o, err) < 0)
        return -1;
    o.container.status = CONTAINER_RUNNING;
    if (spec && run_hooks(rt, &o, HOOK_POSTSTART, false, spec, err) < 0) {
        kill_and_wait(&o, NULL);
        return -1;
    }
    return 0;
}

static int kill_all(const struct runtime *rt, const struct opened *o, int sig, struct error *err)
{
    pid_t *pids = NULL;
    size_t n = 0;

    if (o->extra.cgroup->n_dirs > 0)
        return cgroup_signal(o->extra.cgroup, sig, err);
    if (!o->container.sandbox && container_processes(rt, o->container.id, &pids, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (pids[i] != o->container.pid && kill(pids[i], sig) < 0 && errno != ESRCH)
            return error_set(err, errno, "signal process %d", pids[i]);
    }
    if (sys_pidfd_send_signal(o->pidfd, sig) < 0 && errno != ESRCH)
        return error_set(err, errno, "signal process %d", o->container.pid);
    return 0;
}

/* The v1 freezer holds even what is killed. */
static int let_die(const struct opened *o, struct error *err)
{
    const struct cgroup_dir *freezer = cgroup_dir_of(o->extra.cgroup, CG_FREEZER);

    if (o->container.status != CONTAINER_PAUSED || (freezer && freezer->v2))
        return 0;
    return cgroup_freeze(o->extra.cgroup, false, err);
}

/* Without a pid namespace of its own the container's others live on when its init has died. */
static bool outlived(const struct opened *o)
{
    pid_t *pids;
    size_t n = 0;

    return !(o->extra.namespaces & CLONE_NEWPID) && o->extra.cgroup->n_dirs > 0 &&
           cgroup_open(o->extra.cgroup, NULL) == 0 &&
           cgroup_processes(o->extra.cgroup, &pids, &n, NULL) == 0 && n > 0;
}

int container_kill(const struct runtime *rt, const char *id, int sig, bool all, struct error *err)
{
    _cleanup_(opened_close) struct opened o = {.dir = -1, .pidfd = -1};

    if (open_container(rt, id, false, &o, err) < 0)
        return -1;
    if (o.pidfd < 0) { /* all of none is no error: engines clean up by it. The cgroup may have some left. */
        if (!all && !(sig == SIGKILL && outlived(&o)))
            return error_set(err, 0, "container not running");
        return o.extra.cgroup->n_dirs > 0 ? cgroup_signal(o.extra.cgroup, sig, err) : 0;
    }
    /* The kernel ends the rest with a pid namespace's init; without one of its own that is up to us. */
    if (all || (sig == SIGKILL && !(o.extra.namespaces & CLONE_NEWPID)))
        return kill_all(rt, &o, sig, err);
    if (sys_pidfd_send_signal(o.pidfd, sig) < 0)
        return errno == ESRCH ? error_set(err, 0, "container not running")
                              : error_set(err, errno, "signal process %d", o.container.pid);
    return sig == SIGKILL ? let_die(&o, err) : 0;
}

static int stop_for_delete(const struct runtime *rt, struct opened *o, bool force, struct error *err)
{
    if (o->container.status == CONTAINER_STOPPED)
        return 0;
    if (!force && o->container.status != CONTAINER_CREATED)
        return error_set(err, 0, "cannot delete container %s that is not stopped: %s", o->container.id,
                         container_status_name(o->container.status));
    if (!(o->extra.namespaces & CLONE_NEWPID) && kill_all(rt, o, SIGKILL, err) < 0)
        return -1;
    return let_die(o, err) < 0 ? -1 : kill_and_wait(o, err);
}

/* A create that was killed half-way: its init died with it, only the directory is left. Nobody has the lock,
 * or we would not be here. */
static int delete_half_made(const struct runtime *rt, const char *id, bool force, struct error *err)
{
    if (!force)
        return error_wrap(err, "container %s has no readable state (delete --force removes it)", id);
    error_clear(err);
    return state_remove(rt, id, err);
}

int container_delete(const struct runtime *rt, const char *id, bool force, struct error *err)
{
    _cleanup_(opened_close) struct opened o = {.dir = -1, .pidfd = -1};
    struct spec *spec = NULL;

    if (open_container(rt, id, true, &o, err) < 0) {
        if (o.dir >= 0)
            return delete_half_made(rt, id, force, err);
        if (!force || container_id_validate(id, NULL) < 0)
            return -1;
        error_clear(err); /* runc's delete --force is content when there is nothing */
        return 0;
    }
    if ((o.extra.poststop || o.extra.intel_rdt) && spec_load(rt->arena, o.dir, "config.json", &spec, err) < 0)
        return -1;
    if (stop_for_delete(rt, &o, force, err) < 0)
        return -1;
    if (o.extra.intel_rdt && intel_rdt_remove(&spec->linux_.intel_rdt, id, err) < 0)
        return -1;
    if (cgroup_remove(o.extra.cgroup, err) < 0)
        return -1;
    if (state_remove(rt, id, err) < 0)
        return -1;
    o.container.status = CONTAINER_STOPPED;
    o.container.pid = 0;
    return o.extra.poststop ? run_hooks(rt, &o, HOOK_POSTSTOP, true, spec, err) : 0;
}
