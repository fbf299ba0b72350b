/* See owners.h. */
#include "images/owners.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/number.h"
#include "images/store_private.h"

enum { LAYER_JSON_MAX = 64 << 10, OWNERS_MAX = 64 };

static uint32_t keep(uint32_t own, uint32_t id)
{
    return id < own ? id + 1 : id == own ? 0 : id;
}

static uint32_t undo(uint32_t own, uint32_t id)
{
    return id == 0 ? own : id <= own ? id - 1 : id;
}

#define OWNER(name, way, member)                                                                             \
    static uint32_t name(const void *argument, uint32_t id)                                                  \
    {                                                                                                        \
        return way(((const struct owners *)argument)->member, id);                                           \
    }
OWNER(keep_uid, keep, uid)
OWNER(keep_gid, keep, gid)
OWNER(undo_uid, undo, uid)
OWNER(undo_gid, undo, gid)

struct copy_owners owners_undo(const struct owners *o)
{
    return (struct copy_owners){.uid = undo_uid, .gid = undo_gid, .argument = o};
}

const char *owners_key(struct arena *a, const char *key, const struct owners *o)
{
    return arena_printf(a, "%s.keep-%u-%u", key, o->uid, o->gid);
}

/* --- layers -------------------------------------------------------------------------------------------------------- */

static int copy_layer(struct session *session, const char *key, const struct owners *o, struct error *err)
{
    const struct store *s = session->store;
    const struct copy_owners owners = {.uid = keep_uid, .gid = keep_gid, .argument = o};
    const char *json = arena_printf(s->arena, STORE_LAYERS "/%s/layer.json", key);
    _cleanup_(fd_closep) int from = openat(s->dir, arena_printf(s->arena, STORE_LAYERS "/%s/tree", key),
                                           O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    _cleanup_(fd_closep) int to = -1, new = -1;
    char *text;
    size_t length;

    if (from < 0)
        return error_set(err, errno, "open layer %s", key);
    if (mkdirat(session->dir, "new", 0700) < 0 || mkdirat(session->dir, "new/tree", 0755) < 0)
        return error_set(err, errno, "make a layer");
    new = openat(session->dir, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    to = openat(session->dir, "new/tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (new < 0 || to < 0)
        return error_set(err, errno, "open the new layer");
    if (file_read(s->dir, json, LAYER_JSON_MAX, s->arena, &text, &length, err) < 0 ||
        file_replace(new, "layer.json", 0600, text, length, err) < 0 ||
        copy_tree_as(from, to, &owners, err) < 0)
        return -1;
    return session_commit_layer(session, "new", owners_key(s->arena, key, o), err);
}

/* One process copies it, others wait. */
static int copy_once(struct store *s, const char *key, const struct owners *o, struct error *err)
{
    const char *copy = owners_key(s->arena, key, o);
    struct session session;
    _cleanup_(fd_closep) int lock = -1;
    int rc;

    if (session_begin(s, &session, err) < 0)
        return -1;
    rc = session_use(&session, key, err) < 0 || session_lock_layer(&session, copy, &lock, err) < 0 ? -1 : 0;
    if (rc == 0 && !store_layer_exists(s, copy))
        rc = copy_layer(&session, key, o, err);
    session_end(&session);
    return rc < 0 ? error_wrap(err, "--userns=keep-id: copy layer %.12s", key) : 0;
}

int owners_copy(struct store *s, const struct string_list *keys, const struct owners *o, struct error *err)
{
    for (size_t i = 0; i < keys->n; i++)
        if (copy_once(s, keys->v[i], o, err) < 0)
            return -1;
    return 0;
}

/* --- containers ---------------------------------------------------------------------------------------------------- */

int owners_write(const struct store *s, const struct snapshot *c, const struct owners *o, struct error *err)
{
    const char *text = arena_printf(s->arena, "%u %u\n", o->uid, o->gid);

    return file_replace(c->dir, "owners", 0600, text, strlen(text), err);
}

int owners_read(struct arena *a, const struct snapshot *c, struct owners *out, struct error *err)
{
    uint64_t uid, gid;
    char *text;

    if (file_read(c->dir, "owners", OWNERS_MAX, a, &text, NULL, err) < 0) {
        if (err->code != ENOENT)
            return -1;
        error_clear(err);
        return 0;
    }
    const char *first = strsep(&text, " "), *second = text ? strsep(&text, "\n") : "";
    if (number_parse_u64(first, "owners", 0, UINT32_MAX, &uid, err) < 0 ||
        number_parse_u64(second, "owners", 0, UINT32_MAX, &gid, err) < 0)
        return error_wrap(err, "container %s", c->id);
    *out = (struct owners){(uint32_t)uid, (uint32_t)gid};
    return 1;
}

/* --- ranges -------------------------------------------------------------------------------------------------------- */

static void add(struct id_maps *out, uint32_t container, uint32_t host, uint32_t size)
{
    if (size)
        out->v[out->n++] = (struct id_map){.container_id = container, .host_id = host, .size = size};
}

/* all->v[0] is the user himself. The range in which @own lies is cut in two. */
int owners_maps(struct arena *a, const char *what, const struct id_maps *all, uint32_t own,
                struct id_maps *out, struct error *err)
{
    uint32_t next = 0;

    *out = (struct id_maps){.v = arena_new_n(a, all->n + 2, struct id_map)};
    for (size_t i = 1; i < all->n; i++) {
        const struct id_map *m = &all->v[i];
        uint32_t before = next > own ? 0 : own - next < m->size ? own - next : m->size;

        add(out, next, m->host_id, before);
        next += before;
        if (next == own) {
            add(out, own, all->v[0].host_id, 1);
            next++;
        }
        if (next > own) {
            add(out, next, m->host_id + before, m->size - before);
            next += m->size - before;
        }
    }
    if (own == 0 && all->n == 1)
        add(out, 0, all->v[0].host_id, 1);
    return next > own || (own == 0 && out->n)
               ? 0
               : error_set(
                     err, 0,
                     "--userns=keep-id: %s %u is beyond the ids that /etc/subuid and /etc/subgid give you",
                     what, own);
}
