/*
 * See idmaps.h. A range is chosen and written down under the store's exclusive lock, so that no two containers get the same;
 * whoever is killed before gives none, after it keeps it until it is removed. uids and gids are chosen each for themselves,
 * since /etc/subuid and /etc/subgid may differ.
 */
#include "images/idmaps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "images/store_private.h"
#include "namespaces/mount_fd.h"
#include "namespaces/namespaces.h"
#include "namespaces/subids.h"

#define OWNER "containers" /* podman's too */

enum { IDMAP_MAX = 64 << 10, SUBID_MAX = 1 << 20 };

static const char *const kinds[] = {"uid", "gid"};
static const char *const files[] = {"/etc/subuid", "/etc/subgid"};

/* --- the file ------------------------------------------------------------------------------------------------------ */

static void print(struct buffer *b, const char *kind, const struct id_maps *maps)
{
    for (size_t i = 0; i < maps->n; i++)
        buffer_printf(b, "%s %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", kind, maps->v[i].container_id,
                      maps->v[i].host_id, maps->v[i].size);
}

static int own(const struct snapshot *c, const char *name, const struct idmaps *maps, struct error *err)
{
    struct stat st;
    uint32_t uid, gid;

    if (fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "container %s: %s", c->id, name);
    if (!idmap_to_host(&maps->uids, st.st_uid, &uid) || !idmap_to_host(&maps->gids, st.st_gid, &gid))
        return error_set(
            err, 0, "the root directory belongs to user %u, group %u, which the user namespace does not map",
            st.st_uid, st.st_gid);
    if (fchownat(c->dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(c->dir, name, st.st_mode & 07777, 0) < 0)
        return error_set(err, errno, "container %s: give %s to user %u", c->id, name, uid);
    return 0;
}

int idmaps_own(struct store *s, const struct snapshot *c, const char *place, const struct idmaps *maps,
               struct error *err)
{
    static const char *const names[] = {"upper", "work"};

    for (size_t i = 0; maps->uids.n && i < ARRAY_SIZE(names); i++)
        if (own(c, place ? arena_printf(s->arena, "%s/%s", place, names[i]) : names[i], maps, err) < 0)
            return -1;
    return 0;
}

int idmaps_set(struct store *s, const struct snapshot *c, const struct idmaps *maps, struct error *err)
{
    struct buffer b = {.arena = s->arena};

    print(&b, kinds[0], &maps->uids);
    print(&b, kinds[1], &maps->gids);
    if (file_replace(c->dir, "idmap", 0600, b.data, b.length, err) < 0)
        return error_wrap(err, "container %s", c->id);
    return idmaps_own(s, c, NULL, maps, err);
}

static bool parse_number(char **text, uint32_t *out)
{
    char *word = strsep(text, " "), *end;
    unsigned long n = word && *word >= '0' && *word <= '9' ? strtoul(word, &end, 10) : ULONG_MAX;

    *out = (uint32_t)n;
    return n <= UINT32_MAX && !*end;
}

static bool parse_line(struct arena *a, char *line, struct idmaps *out)
{
    const char *kind = strsep(&line, " ");
    struct id_maps *maps = strcmp(kind, kinds[0]) == 0   ? &out->uids
                           : strcmp(kind, kinds[1]) == 0 ? &out->gids
                                                         : NULL;
    struct id_map m;

    if (!maps || !parse_number(&line, &m.container_id) || !parse_number(&line, &m.host_id) ||
        !parse_number(&line, &m.size) || line)
        return false;
    maps->v = arena_grow(a, maps->v, maps->n * sizeof(m), (maps->n + 1) * sizeof(m));
    maps->v[maps->n++] = m;
    return true;
}

static int read_file(struct arena *a, int dir, const char *path, struct idmaps *out, struct error *err)
{
    char *text, *line;

    *out = (struct idmaps){0};
    if (file_read(dir, path, IDMAP_MAX, a, &text, NULL, err) < 0) {
        if (err->code != ENOENT)
            return -1;
        error_clear(err);
        return 0;
    }
    while ((line = strsep(&text, "\n")))
        if (*line && !parse_line(a, line, out))
            return error_set(err, 0, "%s: a line is not \"uid|gid CONTAINER HOST SIZE\"", path);
    return 0;
}

int idmaps_read(struct arena *a, const struct snapshot *c, struct idmaps *out, struct error *err)
{
    return read_file(a, c->dir, "idmap", out, err) < 0 ? error_wrap(err, "container %s", c->id) : 0;
}

/* --- a free range -------------------------------------------------------------------------------------------------- */

/* Ranges that are taken, on the host: of all containers of the store. */
static int add_taken(struct store *s, struct id_maps taken[2], struct error *err)
{
    struct string_list ids;

    if (store_list(s, STORE_CONTAINERS, &ids, err) < 0)
        return -1;
    for (size_t i = 0; i < ids.n; i++) {
        struct idmaps maps;

        if (read_file(s->arena, s->dir, arena_printf(s->arena, STORE_CONTAINERS "/%s/idmap", ids.v[i]), &maps,
                      err) < 0)
            return -1;
        const struct id_maps *const both[] = {&maps.uids, &maps.gids};
        for (size_t k = 0; k < ARRAY_SIZE(both); k++) {
            size_t n = taken[k].n, more = both[k]->n, size = sizeof(struct id_map);

            taken[k].v = arena_grow(s->arena, taken[k].v, n * size, (n + more + 1) * size);
            if (more)
                memcpy(taken[k].v + n, both[k]->v, more * size);
            taken[k].n += more;
        }
    }
    return 0;
}

static int by_host_id(const void *a, const void *b)
{
    const struct id_map *x = a, *y = b;

    return (x->host_id > y->host_id) - (x->host_id < y->host_id);
}

/* The lowest place in [start, start + count) for @size ids between those that are taken, which are sorted. */
static bool find_gap(const struct id_maps *taken, uint64_t start, uint64_t count, uint64_t size,
                     uint32_t *out)
{
    uint64_t at = start;

    for (size_t i = 0; i < taken->n && at + size > taken->v[i].host_id; i++) {
        uint64_t end = (uint64_t)taken->v[i].host_id + taken->v[i].size;

        at = end > at ? end : at;
    }
    *out = (uint32_t)at;
    return at + size <= start + count;
}

static int choose(struct store *s, size_t kind, struct id_maps *taken, uint32_t size, struct id_maps *out,
                  struct error *err)
{
    uint32_t start, count;
    bool any = false;
    const char *rest;
    char *text = (char *)"";

    if (taken->n)
        qsort(taken->v, taken->n, sizeof(*taken->v), by_host_id);
    if (file_read(AT_FDCWD, files[kind], SUBID_MAX, s->arena, &text, NULL, NULL) < 0)
        text = (char *)"";
    for (rest = text; subids_next(&rest, OWNER, UINT32_MAX, &start, &count); any = true) {
        struct id_map m = {.size = size};

        if (!find_gap(taken, start, count, size, &m.host_id))
            continue;
        out->v = arena_new(s->arena, struct id_map);
        *out->v = m;
        out->n = 1;
        return 0;
    }
    if (any)
        return error_set(err, 0,
                         "--userns=auto: no %u ids in a row are free of those that %s gives the user " OWNER
                         ": remove containers, or add a line",
                         size, files[kind]);
    return error_set(err, 0,
                     "--userns=auto takes ids of the user " OWNER
                     ", who has none: add to %s a line such as " OWNER ":2147483647:2147483648",
                     files[kind]);
}

int idmaps_allocate(struct store *s, const struct snapshot *c, uint32_t size, struct idmaps *out,
                    struct error *err)
{
    struct id_maps taken[2] = {0};
    int rc;

    *out = (struct idmaps){0};
    if (store_lock(s, true, err) < 0)
        return -1;
    rc = add_taken(s, taken, err);
    if (rc == 0 && (choose(s, 0, &taken[0], size, &out->uids, err) < 0 ||
                    choose(s, 1, &taken[1], size, &out->gids, err) < 0))
        rc = -1;
    if (rc == 0)
        rc = idmaps_set(s, c, out, err);
    store_unlock(s);
    return rc;
}

/* --- looking at what a container wrote ----------------------------------------------------------------------------- */

static void swap(struct arena *a, const struct id_maps *from, struct id_maps *to)
{
    to->v = arena_new_n(a, from->n, struct id_map);
    to->n = from->n;
    for (size_t i = 0; i < from->n; i++)
        to->v[i] = (struct id_map){
            .container_id = from->v[i].host_id, .host_id = from->v[i].container_id, .size = from->v[i].size};
}

int idmaps_undo(const struct idmaps *maps, int fd, struct error *err)
{
    struct arena a = {0};
    struct id_maps uids, gids;
    _cleanup_(fd_closep) int userns = -1, tree = -1;

    swap(&a, &maps->uids, &uids);
    swap(&a, &maps->gids, &gids);
    int rc = idmap_make_userns(&uids, &gids, &userns, err);
    arena_free(&a);
    if (rc < 0)
        return -1;
    tree = tree_clone(fd, "", AT_EMPTY_PATH);
    if (tree < 0 || mount_idmap(tree, userns, false) < 0)
        return error_set(err, errno, "see what the container wrote with its ids");
    return openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
