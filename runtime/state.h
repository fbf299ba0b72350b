/*
 * The state directory: ROOT/ID, mode 0711, with
 *   state.json   what `state` and `list` need; temporary + rename, readers never see half. Written twice: before the
 *                container's cgroup is made (no pid yet), so that a hull that is killed leaves nothing unknown, and
 *                when the container is created
 *   config.json  the specification as it was at create; what exec, start and delete need
 *   exec.fifo    there while the container is created and not started
 * A flock on the directory itself is the container's lock: create, start and delete hold it, readers need
 * none.
 */
#pragma once

#include <stdbool.h>

#include "cgroups/cgroup.h"
#include "runtime/container.h"

struct state_extra {
    bool poststart, poststop; /* hooks of these kinds are in config.json */
    bool intel_rdt;           /* a resctrl group was made */
    uint64_t namespaces;      /* CLONE_NEW* the container has of its own (new or joined) */
    bool no_pivot;
    struct cgroup *cgroup; /* never NULL after reading; n_dirs 0 where there is none */
};

/** Make and lock ROOT/ID. "container with given ID already exists" when it is there. */
int state_create(const struct runtime *rt, const char *id, int *dir, struct error *err);
/** Open ROOT/ID, with the lock if @lock. "container does not exist" when it is not there. */
int state_open(const struct runtime *rt, const char *id, bool lock, int *dir, struct error *err);
int state_write(struct arena *a, int dir, const struct container *c, const struct state_extra *extra,
                struct error *err);
/** @locked: by the caller. ENOENT in err->code when the directory has no state yet (a create is under way, or was
 * killed). Descriptors of @extra->cgroup may be open then: cgroup_close(). */
int state_read(struct arena *a, int dir, bool locked, struct container *c, struct state_extra *extra,
               struct error *err);
/** config.json, whose presence means nothing without state.json: written in place, before it. */
int state_write_config(int dir, const struct spec *spec, struct error *err);
/** The same as state_remove() when the directory is open already and holds what it should: three system
 * calls. */
int state_remove_at(const struct runtime *rt, const char *id, int dir, struct error *err);
int state_remove(const struct runtime *rt, const char *id, struct error *err);

#define STATE_FIFO "exec.fifo"
