/*
 * Pushing: see push.h. A registry wants blobs before the manifest that names them. The store has no compressed layers, so one
 * that the registry lacks is made again (export.h) into a temporary file, whose digest is known when it is whole, and sent.
 */
#include "images/push.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "images/pull.h"

/* The body of an upload: a file, from its beginning each time. */
struct upload {
    struct registry_upload upload;
    struct file_source file;
    int fd;
    const char *data; /* or this */
    size_t length, left;
    struct source memory;
};

static int open_upload(void *context, struct source **out, struct error *err)
{
    struct upload *u = context;

    u->left = u->length;
    *out = u->data ? &u->memory : &u->file.source;
    if (u->data)
        return 0;
    return lseek(u->fd, 0, SEEK_SET) < 0 ? error_set(err, errno, "read a temporary file")
                                         : file_source_init(&u->file, u->fd, err);
}

static void close_upload(void *context, struct source *s)
{
    struct upload *u = context;

    (void)s;
    file_source_destroy(&u->file);
}

static ssize_t memory_read(struct source *s, const void **data, struct error *err)
{
    struct upload *u = (struct upload *)((char *)s - offsetof(struct upload, memory));
    size_t n = u->left;

    (void)err;
    *data = u->data;
    u->left = 0;
    return (ssize_t)n;
}

static int send_layer(const struct push *p, const struct exported_layer *e, struct error *err)
{
    struct upload u = {
        .upload = {.digest = e->digest, .size = e->size, .open = open_upload, .close = close_upload},
        .fd = e->fd};

    u.upload.context = &u;
    return registry_push_blob(p->registry, &u.upload, err) < 0 ? -1 : 0;
}

static int send_config(const struct push *p, const char *text, size_t length, char digest[DIGEST_SIZE],
                       struct error *err)
{
    struct upload u = {.upload = {.size = length, .open = open_upload, .close = close_upload},
                       .fd = -1,
                       .data = text,
                       .length = length,
                       .memory.read = memory_read};

    if (digest_compute(text, length, digest, err) < 0)
        return -1;
    u.upload.context = &u;
    u.upload.digest = digest;
    return registry_push_blob(p->registry, &u.upload, err) < 0 ? -1 : 0;
}

/* A layer that the registry has keeps the digest by which the image's manifest knows it. */
static int push_layer(const struct push *p, struct session *session, const struct image_info *info, size_t i,
                      struct layer *l, struct error *err)
{
    const struct descriptor *own = &info->manifest.layers[i];
    struct exported_layer e;
    int there = registry_blob_exists(p->registry, own->digest, err), rc;

    if (there < 0)
        return -1;
    l->blob = *own;
    memcpy(l->seen_digest, own->digest, DIGEST_SIZE);
    memcpy(l->seen_diff_id, info->settings.diff_ids.v[i], DIGEST_SIZE);
    l->seen_size = own->size;
    if (there) {
        atomic_store(&l->bar.state, BAR_PRESENT);
        return 0;
    }
    atomic_store(&l->bar.state, BAR_WORKS);
    if (export_layer(session, info->keys.v[i], p->compression, &e, err) < 0)
        return -1;
    rc = send_layer(p, &e, err);
    l->blob.media_type = arena_strdup(session->store->arena, e.media_type);
    memcpy(l->seen_digest, e.digest, DIGEST_SIZE);
    memcpy(l->seen_diff_id, e.diff_id, DIGEST_SIZE);
    l->seen_size = e.size;
    atomic_store(&l->bar.done, e.size);
    exported_layer_free(&e);
    if (rc == 0)
        atomic_store(&l->bar.state, BAR_DONE);
    return rc;
}

static int push_layers(const struct push *p, struct session *session, const struct image_info *info,
                       struct layer *layers, struct error *err)
{
    struct bar **bars = arena_new_n(session->store->arena, info->keys.n + 1, struct bar *);
    struct progress *progress;
    int rc = 0;

    for (size_t i = 0; i < info->keys.n; i++) {
        bars[i] = &layers[i].bar;
        snprintf(bars[i]->name, sizeof(bars[i]->name), "%.12s", digest_hex(info->manifest.layers[i].digest));
        bars[i]->total = info->manifest.layers[i].size;
    }
    progress = progress_begin(p->progress, "pushed", bars, info->keys.n);
    for (size_t i = 0; rc == 0 && i < info->keys.n; i++) {
        rc = push_layer(p, session, info, i, &layers[i], err);
        if (rc < 0)
            atomic_store(&layers[i].bar.state, BAR_FAILED);
    }
    progress_end(progress);
    return rc;
}

/* Is each layer what the image's own manifest says? */
static bool is_unchanged(const struct image_info *info, const struct layer *layers)
{
    for (size_t i = 0; i < info->keys.n; i++)
        if (strcmp(layers[i].seen_digest, info->manifest.layers[i].digest) != 0)
            return false;
    return true;
}

static int push_documents(const struct push *p, const struct image_info *info, const struct layer *layers,
                          char digest[DIGEST_SIZE], struct error *err)
{
    struct arena *a = p->store->arena;
    const char *config, *manifest = info->manifest_text, *type = info->manifest.media_type;
    size_t config_length, length = info->manifest_length;
    char config_digest[DIGEST_SIZE];

    if (export_config(a, info, layers, info->keys.n, &config, &config_length, err) < 0 ||
        send_config(p, config, config_length, config_digest, err) < 0)
        return -1;
    if (!is_unchanged(info, layers)) {
        manifest = pull_write_manifest(a, config_digest, config_length, layers, info->keys.n, &length);
        type = MEDIA_OCI_MANIFEST;
    }
    if (digest_compute(manifest, length, digest, err) < 0)
        return -1;
    return registry_push_manifest(p->registry, p->tag, type, manifest, length, err);
}

int push_image(const struct push *p, const struct image_info *info, char digest[DIGEST_SIZE],
               struct error *err)
{
    struct layer *layers = arena_new_n(p->store->arena, info->keys.n + 1, struct layer);
    struct session session;
    int rc;

    if (info->manifest.n_layers != info->keys.n || info->settings.diff_ids.n != info->keys.n)
        return error_set(err, 0, "the image's documents do not fit together: pull it again");
    if (session_begin(p->store, &session, err) < 0)
        return -1;
    rc = export_use(&session, info, err);
    if (rc == 0)
        rc = push_layers(p, &session, info, layers, err);
    if (rc == 0)
        rc = push_documents(p, info, layers, digest, err);
    session_end(&session);
    return rc;
}
