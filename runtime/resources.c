/*
 * The commands on a container's cgroup: pause, resume, update, and the way to it for stats and events. Each holds the
 * container's lock while it changes something.
 */
#include "runtime/opened.h"

static int check_cgroup(const struct opened *o, const char *what, struct error *err)
{
    if (o->extra.cgroup->n_dirs > 0)
        return 0;
    return error_set(
        err, 0,
        "cannot %s container %s: it has no cgroup of its own (it was made with cgroups disabled, "
        "or without the right to make one)",
        what, o->container.id);
}

static int freeze(const struct runtime *rt, const char *id, bool pause, struct error *err)
{
    _cleanup_(opened_close) struct opened o = {.dir = -1, .pidfd = -1};
    enum container_status *status = &o.container.status;
    const char *what = pause ? "pause" : "resume";

    if (open_container(rt, id, true, &o, err) < 0)
        return -1;
    if (refuse_sandbox(&o.container, what, err) < 0)
        return -1;
    if (pause && *status != CONTAINER_RUNNING && *status != CONTAINER_CREATED)
        return error_set(err, 0, "container not running or created: %s", container_status_name(*status));
    if (!pause && *status != CONTAINER_PAUSED)
        return error_set(err, 0, "container not paused");
    if (check_cgroup(&o, what, err) < 0 || cgroup_freeze(o.extra.cgroup, pause, err) < 0)
        return -1;
    return 0;
}

int container_pause(const struct runtime *rt, const char *id, struct error *err)
{
    return freeze(rt, id, true, err);
}

int container_resume(const struct runtime *rt, const char *id, struct error *err)
{
    return freeze(rt, id, false, err);
}

int container_update(const struct runtime *rt, const char *id, const struct spec_resources *r,
                     struct error *err)
{
    _cleanup_(opened_close) struct opened o = {.dir = -1, .pidfd = -1};
    struct cgroup *c;

    if (open_container(rt, id, true, &o, err) < 0)
        return -1;
    if (refuse_sandbox(&o.container, "update", err) < 0)
        return -1;
    if (o.pidfd < 0)
        return error_set(err, 0, "container not running");
    if (check_cgroup(&o, "update", err) < 0)
        return -1;
    c = o.extra.cgroup;
    if (cgroup_open(c, err) < 0 || cgroup_check_limits(c, r, err) < 0 ||
        cgroup_write_limits(c, r, true, err) < 0)
        return -1;
    if (r->has_devices && cgroup_write_devices(c, r, err) < 0)
        return -1;
    return c->manager == CGROUP_SYSTEMD ? systemd_update(c, r, err) : 0;
}

int container_cgroup(const struct runtime *rt, const char *id, struct container *c, struct cgroup **cg,
                     struct error *err)
{
    _cleanup_(opened_close) struct opened o = {.dir = -1, .pidfd = -1};

    if (open_container(rt, id, false, &o, err) < 0)
        return -1;
    if (refuse_sandbox(&o.container, "events and stats", err) < 0)
        return -1;
    if (o.pidfd < 0)
        return error_set(err, 0, "container with id %s is not running", id);
    if (check_cgroup(&o, "look at the resources of", err) < 0 || cgroup_open(o.extra.cgroup, err) < 0)
        return -1;
    *c = o.container;
    *cg = o.extra.cgroup;
    o.extra.cgroup = NULL; /* stays open for the caller */
    return 0;
}
