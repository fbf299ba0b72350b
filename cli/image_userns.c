/*
 * --userns, --uidmap, --gidmap, --subuidname, --subgidname: the container's user namespace, in podman's words. As root there
 * is none unless it is asked for; the image's layers, unpacked once in root's ids, are shown in it by idmapped mounts
 * (images/overlay.c). Without root there always is one, in which the user is root, and in whose ids the layers were unpacked.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "cli/run_image.h"
#include "images/idmaps.h"
#include "namespaces/namespaces.h"
#include "namespaces/subids.h"

enum { AUTO_MIN = 1024, AUTO_MAX = 1 << 24, SUBID_MAX = 1 << 20, MAPS_MAX = 340 /* user_namespaces(7) */ };

static int number(char **text, const char *what, uint64_t min, uint32_t *out, struct error *err)
{
    const char *word = strsep(text, ":");
    uint64_t n;

    if (!word)
        return error_set(err, 0, "%s must be CONTAINER:HOST:SIZE", what);
    if (number_parse_u64(word, what, min, UINT32_MAX - 1, &n, err) < 0)
        return -1;
    *out = (uint32_t)n;
    return 0;
}

static void add(struct arena *a, struct id_maps *maps, struct id_map m)
{
    maps->v = arena_grow(a, maps->v, maps->n * sizeof(m), (maps->n + 1) * sizeof(m));
    maps->v[maps->n++] = m;
}

/* CONTAINER:HOST[:SIZE] */
static int parse_maps(struct arena *a, const char *option, const struct string_list *words,
                      struct id_maps *out, struct error *err)
{
    if (words->n > MAPS_MAX)
        return error_set(err, 0, "%s: a user namespace has at most %d ranges", option, MAPS_MAX);
    for (size_t i = 0; i < words->n; i++) {
        const char *what = arena_printf(a, "%s %s", option, words->v[i]);
        char *rest = arena_strdup(a, words->v[i]);
        struct id_map m = {.size = 1};

        if (number(&rest, what, 0, &m.container_id, err) < 0 || number(&rest, what, 0, &m.host_id, err) < 0 ||
            (rest && number(&rest, what, 1, &m.size, err) < 0))
            return -1;
        if (rest || m.size > UINT32_MAX - m.host_id || m.size > UINT32_MAX - m.container_id)
            return error_set(err, 0, "%s must be CONTAINER:HOST:SIZE, all ids below 4294967295", what);
        add(a, out, m);
    }
    return 0;
}

/* All that the file gives @name, one after the other from 0 on. */
static int named_maps(struct arena *a, const char *file, const char *option, const char *name,
                      struct id_maps *out, struct error *err)
{
    struct id_map m = {0};
    const char *rest;
    char *text;

    if (file_read(AT_FDCWD, file, SUBID_MAX, a, &text, NULL, err) < 0)
        return error_wrap(err, "%s %s", option, name);
    rest = text;
    while (out->n < MAPS_MAX && subids_next(&rest, name, UINT32_MAX, &m.host_id, &m.size)) {
        add(a, out, m);
        m.container_id += m.size;
    }
    return out->n ? 0 : error_set(err, 0, "%s: %s gives %s no ids", option, file, name);
}

/* What is said of uids only, or of gids only, holds for both. */
static int own_maps(const struct image_run_options *o, struct bundle *b, struct error *err)
{
    const char *uid_name = o->subuidname ? o->subuidname : o->subgidname;
    const char *gid_name = o->subgidname ? o->subgidname : o->subuidname;

    if (uid_name && (o->uidmaps.n || o->gidmaps.n))
        return error_set(err, 0, "--subuidname and --subgidname exclude --uidmap and --gidmap");
    if (uid_name)
        return named_maps(b->arena, "/etc/subuid", "--subuidname", uid_name, &b->uid_maps, err) < 0
                   ? -1
                   : named_maps(b->arena, "/etc/subgid", "--subgidname", gid_name, &b->gid_maps, err);
    if (parse_maps(b->arena, "--uidmap", &o->uidmaps, &b->uid_maps, err) < 0 ||
        parse_maps(b->arena, "--gidmap", &o->gidmaps, &b->gid_maps, err) < 0)
        return -1;
    if (!b->uid_maps.n)
        b->uid_maps = b->gid_maps;
    if (!b->gid_maps.n)
        b->gid_maps = b->uid_maps;
    return 0;
}

static int automatic(const char *text, struct image_userns *out, struct error *err)
{
    uint64_t size;

    out->kind = USERNS_AUTO;
    if (*text == '\0')
        return 0;
    if (strncmp(text, ":size=", 6) != 0)
        return error_set(err, 0, "--userns=auto takes size=N alone, got \"%s\"", text + 1);
    if (number_parse_u64(text + 6, "--userns=auto:size", 1, AUTO_MAX, &size, err) < 0)
        return -1;
    out->size = (uint32_t)size;
    return 0;
}

static int join(const struct runtime *rt, const char *path, struct bundle *b, struct image_userns *out,
                struct error *err)
{
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return error_set(err, errno, "--userns: open %s", path);
    if (idmap_read_userns(rt->arena, fd, &b->uid_maps, &b->gid_maps, err) < 0)
        return error_wrap(err, "--userns: %s", path);
    if (!b->uid_maps.n || !b->gid_maps.n)
        return error_set(err, 0, "--userns: %s maps no ids", path);
    out->kind = USERNS_JOINED;
    b->user_namespace_path = path;
    return 0;
}

static int join_container(const struct runtime *rt, const char *id, struct bundle *b,
                          struct image_userns *out, struct error *err)
{
    struct container c;

    if (container_load(rt, id, &c, err) < 0)
        return error_wrap(err, "--userns container:%s", id);
    if (c.pid == 0)
        return error_set(err, 0, "--userns container:%s: it is not running", id);
    return join(rt, arena_printf(rt->arena, "/proc/%d/ns/user", c.pid), b, out, err);
}

static int as_root(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                   struct image_userns *out, struct error *err)
{
    const char *text = o->userns ? o->userns : "";
    bool maps = o->uidmaps.n || o->gidmaps.n || o->subuidname || o->subgidname;

    if (maps && *text && strcmp(text, "private") != 0)
        return error_set(err, 0, "--userns=%s: the ids are said twice: leave out --uidmap and its kin", text);
    if (maps) {
        out->kind = USERNS_MAPS;
        return own_maps(o, b, err);
    }
    if (!*text || strcmp(text, "host") == 0)
        return 0;
    if (strncmp(text, "auto", 4) == 0 && (text[4] == '\0' || text[4] == ':'))
        return automatic(text + 4, out, err);
    if (strncmp(text, "ns:/", 4) == 0)
        return join(rt, text + 3, b, out, err);
    if (strncmp(text, "container:", 10) == 0)
        return join_container(rt, text + 10, b, out, err);
    if (strncmp(text, "keep-id", 7) == 0 || strcmp(text, "nomap") == 0)
        return error_set(err, 0, "--userns=%s is for users without root", text);
    if (strcmp(text, "private") == 0)
        return error_set(err, 0,
                         "--userns=private: say which ids by --uidmap or --subuidname, or let auto choose");
    return error_set(
        err, 0, "--userns must be host, auto[:size=N], private, ns:PATH or container:ID, got \"%s\"", text);
}

/* keep-id[:uid=N,gid=N] */
static int keep_id(struct arena *a, const char *text, struct owners *out, struct error *err)
{
    char *rest = arena_strdup(a, *text == ':' ? text + 1 : text), *word;

    *out = (struct owners){geteuid(), getegid()};
    if (*text && *text != ':')
        return error_set(err, 0, "--userns must be host, keep-id[:uid=N,gid=N] without root");
    while (rest && *rest) {
        word = strsep(&rest, ",");
        bool uid = strncmp(word, "uid=", 4) == 0;
        uint64_t id;

        if (!uid && strncmp(word, "gid=", 4) != 0)
            return error_set(err, 0, "--userns=keep-id takes uid=N and gid=N, got \"%s\"", word);
        if (number_parse_u64(word + 4, "--userns=keep-id", 0, UINT32_MAX - 1, &id, err) < 0)
            return -1;
        *(uid ? &out->uid : &out->gid) = (uint32_t)id;
    }
    return 0;
}

static int as_user(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                   struct image_userns *out, struct error *err)
{
    const char *text = o->userns && strcmp(o->userns, "host") != 0 ? o->userns : "";
    struct id_maps uids, gids;

    if (o->uidmaps.n || o->gidmaps.n || o->subuidname || o->subgidname || strcmp(text, "nomap") == 0 ||
        strncmp(text, "auto", 4) == 0)
        return error_set(
            err, EPERM,
            "--userns, --uidmap: without root the image's files belong to your own ids, and only "
            "root may show them with any others: there is --userns=keep-id");
    if (subids_find(rt->arena, &uids, &gids, err) < 0)
        return -1;
    b->uid_maps = uids;
    b->gid_maps = gids;
    if (!*text)
        return 0;
    if (strncmp(text, "keep-id", 7) != 0)
        return error_set(err, 0, "--userns must be host or keep-id[:uid=N,gid=N] without root, got \"%s\"",
                         text);
    out->keep = true;
    return keep_id(rt->arena, text + 7, &out->kept, err) < 0 ||
                   owners_maps(rt->arena, "user", &uids, out->kept.uid, &b->uid_maps, err) < 0 ||
                   owners_maps(rt->arena, "group", &gids, out->kept.gid, &b->gid_maps, err) < 0
               ? -1
               : 0;
}

int image_userns_complete(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                          struct image_userns *out, struct error *err)
{
    *out = (struct image_userns){.kind = USERNS_HOST};
    if (geteuid() == 0) {
        if (as_root(rt, o, b, out, err) < 0)
            return -1;
        b->user_namespace = out->kind != USERNS_HOST;
        return 0;
    }
    b->user_namespace = true;
    return as_user(rt, o, b, out, err);
}

/* So many that all whom the image names have one, and the user that was asked for. */
static uint32_t needed(const struct image_userns *u, const struct stack *trees, const struct bundle *b)
{
    uint32_t most = image_highest_id(b->arena, trees);

    if (u->size)
        return u->size;
    most = b->user.uid > most ? b->user.uid : most;
    most = b->user.gid > most ? b->user.gid : most;
    return most + 1 < AUTO_MIN ? AUTO_MIN : most < AUTO_MAX ? most + 1 : AUTO_MAX;
}

int image_userns_take(const struct image_userns *u, struct store *s, const struct snapshot *c,
                      const struct stack *trees, struct bundle *b, struct error *err)
{
    struct idmaps maps = {.uids = b->uid_maps, .gids = b->gid_maps};

    if (u->keep)
        return owners_write(s, c, &u->kept, err);
    if (u->kind == USERNS_HOST)
        return 0;
    if (u->kind != USERNS_AUTO)
        return idmaps_set(s, c, &maps, err);
    if (idmaps_allocate(s, c, needed(u, trees, b), &maps, err) < 0)
        return -1;
    b->uid_maps = maps.uids;
    b->gid_maps = maps.gids;
    return 0;
}
