/*
 * Sweeps: mark what is used, remove the rest. Marking is done under the store's exclusive lock, so that nobody can start to
 * use what is about to go; what goes is renamed into a session of the sweep's own under that lock too, and removed after
 * it: the lock is held for as long as it takes to read some small files, not for deleting a million.
 *
 * An image whose manifest or configuration cannot be read (a damaged disk) keeps its name, so that people see it; what it
 * may have used goes, unless others use it.
 */
#include "images/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "images/manifest.h"
#include "images/store_private.h"

enum { USES_MAX = 1 << 20, LAYER_JSON_MAX = 64 << 10 };

/* A set of strings: used while filled, then sorted once. */
struct set {
    const char **v;
    size_t n, room;
};

struct sweep {
    struct store *store;
    struct session session;
    struct set used, by_containers;
    struct sweep_result *result;
};

static void set_add(struct sweep *w, struct set *set, const char *key)
{
    if (set->n == set->room) {
        size_t room = set->room ? set->room * 2 : 64;
        set->v = arena_grow(w->store->arena, set->v, set->room * sizeof(*set->v), room * sizeof(*set->v));
        set->room = room;
    }
    set->v[set->n++] = key;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void set_sort(struct set *set)
{
    if (set->n)
        qsort(set->v, set->n, sizeof(*set->v), compare);
}

static bool set_has(const struct set *set, const char *key)
{
    return set->n && bsearch(&key, set->v, set->n, sizeof(*set->v), compare);
}

/* --- what is used -------------------------------------------------------------------------------------------------- */

/* @directory: containers, or mounts, which are users like them. */
static int mark_users(struct sweep *w, const char *directory, struct error *err)
{
    struct store *s = w->store;
    struct string_list ids;

    if (store_list(s, directory, &ids, err) < 0) {
        if (err->code != ENOENT) /* nothing was ever mounted */
            return -1;
        error_clear(err);
        return 0;
    }
    for (size_t i = 0; i < ids.n; i++) {
        const char *path = arena_printf(s->arena, "%s/%s/uses", directory, ids.v[i]);
        char *text, *line;

        if (file_read(s->dir, path, USES_MAX, s->arena, &text, NULL, err) < 0) {
            if (err->code != ENOENT) /* ENOENT: killed before it had any */
                return error_wrap(err, "image store %s", s->path);
            error_clear(err);
            continue;
        }
        while ((line = strsep(&text, "\n")))
            if (*line) {
                set_add(w, &w->used, line);
                set_add(w, &w->by_containers, line);
            }
    }
    return 0;
}

static int mark_layers(struct sweep *w, const char *config, struct error *err)
{
    struct string_list keys;

    if (store_stack(w->store, config, &keys, err) < 0)
        return -1;
    for (size_t i = 0; i < keys.n; i++)
        set_add(w, &w->used, keys.v[i]);
    return 0;
}

static int mark_image(struct sweep *w, const struct store_image *image, struct error *err)
{
    struct store *s = w->store;
    struct manifest m;
    char *text;
    size_t length;

    set_add(w, &w->used, digest_hex(image->manifest));
    if (image->index)
        set_add(w, &w->used, digest_hex(image->index));
    if (store_blob_read(s, image->manifest, &text, &length, err) < 0 ||
        manifest_parse(s->arena, text, length, NULL, &m, err) < 0)
        return -1;
    if (m.is_index)
        return error_set(err, 0, "%s is an index", image->manifest);
    set_add(w, &w->used, digest_hex(m.config.digest));
    return mark_layers(w, m.config.digest, err);
}

static int mark_images(struct sweep *w, bool dangling, bool all, struct error *err)
{
    struct store *s = w->store;
    struct store_image *images;
    size_t n;

    if (store_names(s, &images, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const struct store_image *image = &images[i];
        bool unwanted = all || (dangling && !image->name);
        struct error damage;

        if (unwanted && !set_has(&w->by_containers, digest_hex(image->manifest))) {
            if (store_name_remove(s, image->name ? image->name : image->manifest, err) < 0)
                return -1;
            w->result->images++;
        } else if (mark_image(w, image, &damage) < 0) {
            log_warning("image %s is damaged: %s", image->name ? image->name : image->manifest,
                        damage.message);
        }
    }
    return 0;
}

/* --- what goes ----------------------------------------------------------------------------------------------------- */

/* Out of sight now, removed with the sweep's session. */
static int discard(struct sweep *w, const char *directory, const char *name, struct error *err)
{
    const struct store *s = w->store;
    const char *from = arena_printf(s->arena, "%s/%s", directory, name);
    const char *to = arena_printf(s->arena, "gone-%.*s-%s", (int)strcspn(directory, "/"), directory, name);

    if (renameat(s->dir, from, w->session.dir, to) < 0 && errno != ENOENT)
        return error_set(err, errno, "image store %s: remove %s", s->path, from);
    return 0;
}

/* 1: nobody holds it. */
static int is_unlocked(const struct store *s, const char *path)
{
    _cleanup_(fd_closep) int fd = openat(s->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static int mark_session(struct sweep *w, const char *path, struct error *err)
{
    struct string_list files;

    if (store_list(w->store, path, &files, err) < 0)
        return -1;
    for (size_t i = 0; i < files.n; i++)
        if (strncmp(files.v[i], "use-", 4) == 0)
            set_add(w, &w->used, files.v[i] + 4);
    return 0;
}

/* Sessions of the dead and locks that nobody holds go; what the living use is marked. */
static int sweep_tmp(struct sweep *w, struct error *err)
{
    struct store *s = w->store;
    struct string_list entries;

    if (store_list(s, STORE_TMP, &entries, err) < 0)
        return -1;
    for (size_t i = 0; i < entries.n; i++) {
        const char *name = entries.v[i], *path = arena_printf(s->arena, STORE_TMP "/%s", name);
        bool lock = strncmp(name, "lock-", 5) == 0;

        if (strcmp(name, w->session.name) == 0)
            continue;
        if (!is_unlocked(s, path)) {
            if (!lock && mark_session(w, path, err) < 0)
                return -1;
        } else if (lock) {
            unlinkat(s->dir, path, 0); /* whoever waits for it looks whether it is still there */
        } else if (discard(w, STORE_TMP, name, err) < 0) {
            return -1;
        } else {
            w->result->sessions++;
        }
    }
    return 0;
}

/* Bytes that the layer's files take, as was counted when it was unpacked. */
static uint64_t layer_bytes(const struct store *s, const char *key)
{
    struct json *json;
    char *text;
    size_t length;

    if (file_read(s->dir, arena_printf(s->arena, STORE_LAYERS "/%s/layer.json", key), LAYER_JSON_MAX,
                  s->arena, &text, &length, NULL) < 0 ||
        json_parse(s->arena, text, length, "layer.json", &json, NULL) < 0)
        return 0;
    return json_get_u64(json, "bytes");
}

static int sweep_directory(struct sweep *w, const char *directory, size_t *count, struct error *err)
{
    struct store *s = w->store;
    struct string_list keys;
    bool layers = strcmp(directory, STORE_LAYERS) == 0;

    if (store_list(s, directory, &keys, err) < 0)
        return -1;
    for (size_t i = 0; i < keys.n; i++) {
        const char *path = arena_printf(s->arena, "%s/%s", directory, keys.v[i]);
        struct stat st;

        if (set_has(&w->used, keys.v[i]))
            continue;
        if (layers)
            w->result->bytes += layer_bytes(s, keys.v[i]);
        else if (fstatat(s->dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
            w->result->bytes += (uint64_t)st.st_blocks * 512;
        if (discard(w, directory, keys.v[i], err) < 0)
            return -1;
        ++*count;
    }
    return 0;
}

/* Temporaries of names.c, whose writers hold the store's lock: none is alive now. And names of which nobody can say any more
 * what they meant. */
static int sweep_names(struct sweep *w, struct error *err)
{
    struct string_list files;

    if (store_list(w->store, STORE_NAMES, &files, err) < 0)
        return -1;
    for (size_t i = 0; i < files.n; i++) {
        struct error damage = {0};
        bool damaged = store_name_is_damaged(w->store, files.v[i], &damage);

        if (damaged && files.v[i][0] != '.')
            log_warning("%s; the name is removed", damage.message);
        if (damaged || files.v[i][0] == '.')
            unlinkat(w->store->dir, arena_printf(w->store->arena, STORE_NAMES "/%s", files.v[i]), 0);
    }
    return 0;
}

/* Where nothing is mounted any more: the machine was started anew. Whoever mounts holds the store's lock meanwhile. */
static int sweep_mounts(struct sweep *w, struct error *err)
{
    struct store *s = w->store;
    struct string_list mounts;

    if (store_list(s, STORE_MOUNTS, &mounts, NULL) < 0)
        return 0;
    for (size_t i = 0; i < mounts.n; i++) {
        const char *root = arena_printf(s->arena, STORE_MOUNTS "/%s/root", mounts.v[i]);
        struct statx st;

        if (statx(s->dir, root, AT_SYMLINK_NOFOLLOW, 0, &st) == 0 &&
            (!(st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) ||
             (st.stx_attributes & STATX_ATTR_MOUNT_ROOT)))
            continue;
        if (discard(w, STORE_MOUNTS, mounts.v[i], err) < 0)
            return -1;
    }
    return 0;
}

static int sweep_locked(struct sweep *w, bool dangling, bool all, struct error *err)
{
    if (sweep_names(w, err) < 0 || sweep_mounts(w, err) < 0 || mark_users(w, STORE_CONTAINERS, err) < 0 ||
        mark_users(w, STORE_MOUNTS, err) < 0)
        return -1;
    set_sort(&w->by_containers);
    if (mark_images(w, dangling, all, err) < 0 || sweep_tmp(w, err) < 0)
        return -1;
    set_sort(&w->used);
    size_t stacks = 0; /* a part of the configuration, to which people do not count it */
    if (sweep_directory(w, STORE_STACKS, &stacks, err) < 0 ||
        sweep_directory(w, STORE_LAYERS, &w->result->layers, err) < 0)
        return -1;
    return sweep_directory(w, STORE_BLOBS, &w->result->blobs, err);
}

int store_sweep(struct store *s, bool dangling, bool all, struct sweep_result *result, struct error *err)
{
    struct sweep w = {.store = s, .result = result};
    int rc;

    *result = (struct sweep_result){0};
    if (session_begin(s, &w.session, err) < 0)
        return -1;
    rc = store_lock(s, true, err);
    if (rc == 0) {
        rc = sweep_locked(&w, dangling, all, err);
        store_unlock(s);
    }
    session_end(&w.session);
    return rc;
}
