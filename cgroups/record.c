/* A container's cgroups as state.json keeps them between two commands. What is read was written by hull. */
#include <fcntl.h>
#include <stdlib.h>
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

static const char *text_of(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);

    return v && v->type == JSON_STRING ? v->text : NULL;
}

static bool bool_of(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);

    return v && v->type == JSON_BOOL && v->boolean;
}

static unsigned number_of(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);

    return v && v->type == JSON_NUMBER ? (unsigned)strtoul(v->text, NULL, 10) : 0;
}

static enum cgroup_manager manager_of(const struct json *json)
{
    const char *name = text_of(json, "manager");

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
    c->unit = text_of(json, "unit");
    c->slice = text_of(json, "slice");
    c->user_manager = bool_of(json, "userManager");
    c->dirs = arena_new_n(a, dirs->count + 1, struct cgroup_dir);
    for (size_t i = 0; i < dirs->count && i < CGROUP_MAX_DIRS; i++) {
        const struct json *d = &dirs->items[i];

        if (text_of(d, "mount") && text_of(d, "path"))
            c->dirs[c->n_dirs++] = (struct cgroup_dir){.mount = text_of(d, "mount"),
                                                       .path = text_of(d, "path"),
                                                       .v2 = bool_of(d, "v2"),
                                                       .controllers = number_of(d, "controllers"),
                                                       .parents = number_of(d, "parents"),
                                                       .fd = -1};
    }
    return c;
}
