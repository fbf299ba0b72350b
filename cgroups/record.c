/* A container's cgroups as state.json keeps them between two commands. What is read was written by hull. */
#include <string.h>

#include "cgroups/cgroup_private.h"

void cgroup_write_state(struct json_writer *w, const struct cgroup *c)
{
    json_object(w);
    json_key(w, "manager");
    json_string(w, cgroup_manager_name(c->manager));
    if (c->unit) {
        json_key(w, "unit");
        json_string(w, c->unit);
        json_key(w, "slice");
        json_string(w, c->slice);
        json_key(w, "userManager");
        json_bool(w, c->user_manager);
    }
    json_key(w, "dirs");
    json_array(w);
    for (size_t i = 0; i < c->n_dirs; i++) {
        const struct cgroup_dir *d = &c->dirs[i];

        json_object(w);
        json_key(w, "mount");
        json_string(w, d->mount);
        json_key(w, "path");
        json_string(w, d->path);
        json_key(w, "v2");
        json_bool(w, d->v2);
        json_key(w, "controllers");
        json_uint(w, d->controllers);
        json_key(w, "parents");
        json_uint(w, d->parents);
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}

static enum cgroup_manager manager_of(const struct json *json)
{
    const char *name = json_get_string(json, "manager");

    for (enum cgroup_manager m = CGROUP_DISABLED; m <= CGROUP_SYSTEMD; m++)
        if (name && strcmp(name, cgroup_manager_name(m)) == 0)
            return m;
    return CGROUP_DISABLED;
}

struct cgroup *cgroup_read_state(struct arena *a, const struct json *json)
{
    const struct json *dirs = json_get(json, "dirs");
    struct cgroup *c = arena_new(a, struct cgroup);

    *c = (struct cgroup){.arena = a, .helper = -1};
    if (!dirs || dirs->type != JSON_ARRAY)
        return c;
    c->manager = manager_of(json);
    c->unit = json_get_string(json, "unit");
    c->slice = json_get_string(json, "slice");
    c->user_manager = json_get_bool(json, "userManager");
    c->dirs = arena_new_n(a, dirs->count + 1, struct cgroup_dir);
    for (size_t i = 0; i < dirs->count && i < CGROUP_MAX_DIRS; i++) {
        const struct json *d = &dirs->items[i];

        if (json_get_string(d, "mount") && json_get_string(d, "path"))
            c->dirs[c->n_dirs++] =
                (struct cgroup_dir){.mount = json_get_string(d, "mount"),
                                    .path = json_get_string(d, "path"),
                                    .v2 = json_get_bool(d, "v2"),
                                    .controllers = (unsigned)json_get_u64(d, "controllers"),
                                    .parents = (unsigned)json_get_u64(d, "parents"),
                                    .fd = -1};
    }
    return c;
}
