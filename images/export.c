/* Trees to archives: see export.h. */
#include "images/export.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "images/pack.h"
#include "images/skeleton.h"
#include "images/store_private.h"

static const char *const media_types[] = {[COMPRESSION_NONE] = MEDIA_OCI_LAYER,
                                          [COMPRESSION_GZIP] = MEDIA_OCI_LAYER "+gzip",
                                          [COMPRESSION_ZSTD] = MEDIA_OCI_LAYER "+zstd"};

void exported_layer_free(struct exported_layer *e)
{
    fd_closep(&e->fd);
    e->fd = -1;
}

static int write_file(struct source *from, int to, struct error *err)
{
    const void *data;
    ssize_t n;

    while ((n = from->read(from, &data, err)) > 0)
        if (fd_write_all(to, data, (size_t)n) < 0)
            return error_set(err, errno, "write a temporary file");
    return (int)n;
}

/* @from is a tar stream. */
static int write_archive(struct session *session, struct source *from, enum compression how,
                         struct exported_layer *out, struct error *err)
{
    struct hash_source tar = {0}, blob = {0};
    struct compress_source compressed = {0};
    int rc = -1;

    *out = (struct exported_layer){.media_type = media_types[how]};
    out->fd = openat(session->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (out->fd < 0)
        return error_set(err, errno, "make a temporary file");
    if (hash_source_init(&tar, from, err) == 0 &&
        compress_source_init(&compressed, &tar.source, how, err) == 0 &&
        hash_source_init(&blob, &compressed.source, err) == 0 &&
        write_file(&blob.source, out->fd, err) == 0 && hash_source_digest(&tar, out->diff_id, err) == 0)
        rc = hash_source_digest(&blob, out->digest, err);
    out->size = blob.bytes;
    hash_source_destroy(&blob);
    compress_source_destroy(&compressed);
    hash_source_destroy(&tar);
    if (rc < 0)
        exported_layer_free(out);
    return rc;
}

int export_tree(struct session *session, int tree, enum compression how, struct exported_layer *out,
                struct error *err)
{
    struct pack_source pack;
    int rc;

    out->fd = -1;
    if (pack_source_init(&pack, tree, true, err) < 0)
        return -1;
    rc = write_archive(session, &pack.source, how, out, err);
    pack_source_destroy(&pack);
    return rc;
}

/* 1: the very archive that came; 0: it cannot be made again, for this @reason; -1: nothing can, there is no room to write. */
static int restore(struct session *session, int layer, int tree, const char *diff_id, enum compression how,
                   struct exported_layer *out, const char **reason, struct error *err)
{
    _cleanup_(fd_closep) int skeleton = openat(layer, "skeleton", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct skeleton_source source;
    struct error why = {0};
    int rc;

    *reason = "has entries that replaced others, and cannot be made again as it came";
    if (skeleton < 0 || skeleton_source_init(&source, skeleton, tree, &why) < 0)
        return 0;
    *reason = "was changed in the store";
    rc = write_archive(session, &source.source, how, out, &why);
    skeleton_source_destroy(&source);
    if (rc == 0 && strcmp(out->diff_id, diff_id) == 0)
        return 1;
    log_debug("layer %s cannot be made again as it came: %s", diff_id,
              rc < 0 ? why.message : "its files were changed");
    exported_layer_free(out);
    if (rc < 0 && (why.code == ENOSPC || why.code == EDQUOT)) {
        *err = why;
        return -1;
    }
    return 0;
}

int export_layer(struct session *session, const char *key, enum compression how, struct exported_layer *out,
                 struct error *err)
{
    const struct store *s = session->store;
    const char *path = arena_printf(s->arena, STORE_LAYERS "/%s", key);
    _cleanup_(fd_closep) int layer = openat(s->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(fd_closep) int tree =
        layer < 0 ? -1 : openat(layer, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct layer_record record;
    const char *reason;

    out->fd = -1;
    if (tree < 0)
        return error_set(err, errno, "image store %s: open %s", s->path, path);
    if (layer_record_read(s, key, &record, err) < 0)
        return -1;
    int restored = restore(session, layer, tree, record.diff_id, how, out, &reason, err);
    if (restored != 0)
        return restored < 0 ? -1 : 0;
    log_warning("layer %.12s %s: what is written is another layer", key, reason);
    return export_tree(session, tree, how, out, err);
}

int export_use(struct session *session, const struct image_info *info, struct error *err)
{
    const struct store *s = session->store;

    if (session_use(session, digest_hex(info->image.manifest), err) < 0 ||
        session_use(session, digest_hex(info->config), err) < 0)
        return -1;
    for (size_t i = 0; i < info->keys.n; i++) {
        if (session_use(session, info->keys.v[i], err) < 0)
            return -1;
        if (!store_layer_exists(s, info->keys.v[i]))
            return error_set(err, ENOENT, "image store %s: layer %s", s->path, info->keys.v[i]);
    }
    return 0;
}

/* --- the configuration --------------------------------------------------------------------------------------------- */

static void write_rootfs(struct json_writer *w, const struct layer *layers, size_t n)
{
    json_object(w);
    json_key(w, "type");
    json_string(w, "layers");
    json_key(w, "diff_ids");
    json_array(w);
    for (size_t i = 0; i < n; i++)
        json_string(w, layers[i].seen_diff_id);
    json_array_end(w);
    json_object_end(w);
}

int export_config(struct arena *a, const struct image_info *info, const struct layer *layers, size_t n,
                  const char **text, size_t *length, struct error *err)
{
    const struct string_list *diff_ids = &info->settings.diff_ids;
    bool same = diff_ids->n == n;
    struct json_writer w;
    struct json *json;

    for (size_t i = 0; same && i < n; i++)
        same = strcmp(diff_ids->v[i], layers[i].seen_diff_id) == 0;
    *text = info->config_text;
    *length = info->config_length;
    if (same)
        return 0;
    if (json_parse(a, info->config_text, info->config_length, "image configuration", &json, err) < 0)
        return -1;
    w = json_writer_begin(a, false);
    json_object(&w);
    for (size_t i = 0; i < json->count; i++) {
        json_key(&w, json->keys[i]);
        if (strcmp(json->keys[i], "rootfs") == 0)
            write_rootfs(&w, layers, n);
        else
            json_value(&w, &json->items[i]);
    }
    json_object_end(&w);
    *text = json_writer_end(&w, length);
    return 0;
}
