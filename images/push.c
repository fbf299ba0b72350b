/*
 * Pushing: see push.h. A registry wants blobs before the manifest that names them. The store has no compressed layers, so one
 * that the registry lacks is made again (export.h) into a temporary file, whose digest is known when it is whole, and sent.
 *
 * A few workers take layers, base first, each with the store's structures of its own, as in layers.c. The first failure stops
 * the others where they stand.
 */
#include "images/push.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "images/pull.h"

enum { WORKERS_MAX = 4 };

struct pushing {
    const struct push *p;
    struct session *session;
    const struct image_info *info;
    struct layer *layers;
    const char **elsewhere; /* of each layer: a repository of the registry that has it; NULL: none is known */
    pthread_mutex_t mutex;  /* of what follows */
    size_t next;            /* layer that no worker has taken */
    bool failed;
    struct error error; /* the first one */
};

struct worker {
    struct pushing *pushing;
    struct arena arena;
    struct store store;
    struct session session;
    pthread_t thread;
};

static bool has_failed(struct pushing *g)
{
    pthread_mutex_lock(&g->mutex);
    bool failed = g->failed;
    pthread_mutex_unlock(&g->mutex);
    return failed;
}

/* --- bodies of uploads --------------------------------------------------------------------------------------------- */

/* A file, or what is in memory. */
struct upload {
    struct registry_upload upload;
    struct source source;
    struct pushing *pushing;
    struct file_source file;
    int fd;
    const char *data; /* or this */
    size_t length, left;
};

static ssize_t upload_read(struct source *s, const void **data, struct error *err)
{
    struct upload *u = (struct upload *)((char *)s - offsetof(struct upload, source));
    size_t n = u->left;

    if (u->pushing && has_failed(u->pushing))
        return error_set(err, ECANCELED, "another layer failed");
    if (!u->data)
        return u->file.source.read(&u->file.source, data, err);
    *data = u->data + u->length - n;
    u->left = 0;
    return (ssize_t)n;
}

static int open_upload(void *context, uint64_t offset, struct source **out, struct error *err)
{
    struct upload *u = context;

    u->source.read = upload_read;
    *out = &u->source;
    if (u->data) {
        u->left = u->length - (size_t)offset;
        return 0;
    }
    return lseek(u->fd, (off_t)offset, SEEK_SET) < 0 ? error_set(err, errno, "read a temporary file")
                                                     : file_source_init(&u->file, u->fd, err);
}

static void close_upload(void *context, struct source *s)
{
    struct upload *u = context;

    (void)s;
    file_source_destroy(&u->file);
}

static int send_layer(struct pushing *g, const struct exported_layer *e, struct bar *bar, struct error *err)
{
    struct upload u = {.upload = {.digest = e->digest,
                                  .size = e->size,
                                  .open = open_upload,
                                  .close = close_upload,
                                  .sent = &bar->done},
                       .pushing = g,
                       .fd = e->fd};

    u.upload.context = &u;
    return registry_push_blob(g->p->registry, &u.upload, err);
}

static int send_config(const struct push *p, const char *text, size_t length, char digest[DIGEST_SIZE],
                       struct error *err)
{
    struct upload u = {.upload = {.size = length, .open = open_upload, .close = close_upload},
                       .fd = -1,
                       .data = text,
                       .length = length};

    if (digest_compute(text, length, digest, err) < 0)
        return -1;
    u.upload.context = &u;
    u.upload.digest = digest;
    return registry_push_blob(p->registry, &u.upload, err) < 0 ? -1 : 0;
}

/* --- other repositories -------------------------------------------------------------------------------------------- */

/* An image of the store that has another repository's name came from there, or went there. */
static void look_at(struct pushing *g, struct arena *a, const struct store_image *image)
{
    const struct reference *to = &g->p->destination;
    struct reference from;
    struct manifest m;
    char *text;
    size_t length;

    if (!image->name || reference_parse(a, image->name, &from, NULL) < 0 || !from.domain ||
        strcmp(from.domain, to->domain) != 0 || strcmp(from.path, to->path) == 0 ||
        store_blob_read(&(struct store){.arena = a, .path = g->p->store->path, .dir = g->p->store->dir},
                        image->manifest, &text, &length, NULL) < 0 ||
        manifest_parse(a, text, length, NULL, &m, NULL) < 0)
        return;
    for (size_t i = 0; i < g->info->keys.n; i++)
        for (size_t k = 0; !g->elsewhere[i] && k < m.n_layers; k++)
            if (strcmp(m.layers[k].digest, g->info->manifest.layers[i].digest) == 0)
                g->elsewhere[i] = arena_strdup(a, from.path);
}

static void find_elsewhere(struct pushing *g)
{
    struct arena *a = g->p->store->arena;
    struct store_image *images;
    size_t n;

    g->elsewhere = arena_new_n(a, g->info->keys.n + 1, const char *);
    if (store_names(g->p->store, &images, &n, NULL) < 0)
        return; /* all is sent, then */
    for (size_t i = 0; i < n; i++)
        look_at(g, a, &images[i]);
}

/* --- layers -------------------------------------------------------------------------------------------------------- */

/* A layer that the registry has keeps the digest by which the image's manifest knows it. 1: that is so; 0: it has it not. */
static int keep_layer(struct pushing *g, size_t i, struct error *err)
{
    const struct descriptor *own = &g->info->manifest.layers[i];
    struct registry *r = g->p->registry;
    struct layer *l = &g->layers[i];
    int there = registry_blob_exists(r, own->digest, err);

    if (there == 0 && g->elsewhere[i])
        there = registry_mount_blob(r, own->digest, g->elsewhere[i]);
    l->blob = *own;
    memcpy(l->seen_digest, own->digest, DIGEST_SIZE);
    memcpy(l->seen_diff_id, g->info->settings.diff_ids.v[i], DIGEST_SIZE);
    l->seen_size = own->size;
    return there;
}

static int push_layer(struct worker *w, size_t i, struct error *err)
{
    struct pushing *g = w->pushing;
    struct layer *l = &g->layers[i];
    struct exported_layer e;
    int rc = keep_layer(g, i, err);

    if (rc != 0) {
        atomic_store(&l->bar.state, rc < 0 ? BAR_FAILED : BAR_PRESENT);
        return rc < 0 ? -1 : 0;
    }
    atomic_store(&l->bar.state, BAR_WORKS);
    if (export_layer(&w->session, g->info->keys.v[i], g->p->compression, &e, err) < 0)
        return -1;
    l->blob.media_type = (char *)e.media_type;
    memcpy(l->seen_digest, e.digest, DIGEST_SIZE);
    memcpy(l->seen_diff_id, e.diff_id, DIGEST_SIZE);
    l->seen_size = e.size;
    atomic_store(&l->bar.total, e.size);
    rc = send_layer(g, &e, &l->bar, err);
    exported_layer_free(&e);
    if (rc >= 0) {
        atomic_store(&l->bar.done, e.size);
        atomic_store(&l->bar.state, rc == PUSHED_SENT ? BAR_DONE : BAR_PRESENT);
    }
    return rc < 0 ? -1 : 0;
}

static bool take(struct pushing *g, size_t *i)
{
    pthread_mutex_lock(&g->mutex);
    bool found = !g->failed && g->next < g->info->keys.n;
    if (found)
        *i = g->next++;
    pthread_mutex_unlock(&g->mutex);
    return found;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct pushing *g = w->pushing;
    size_t i;

    while (take(g, &i)) {
        struct error e = {0};

        if (push_layer(w, i, &e) == 0)
            continue;
        atomic_store(&g->layers[i].bar.state, BAR_FAILED);
        pthread_mutex_lock(&g->mutex);
        if (!g->failed)
            g->error = e;
        g->failed = true;
        pthread_mutex_unlock(&g->mutex);
    }
    arena_free(&w->arena);
    return NULL;
}

static int run_workers(struct pushing *g, struct error *err)
{
    struct worker workers[WORKERS_MAX];
    size_t started = 0;
    int code = 0;

    for (; started < WORKERS_MAX && started < g->info->keys.n; started++) {
        struct worker *w = &workers[started];

        *w = (struct worker){.pushing = g, .store = *g->session->store, .session = *g->session};
        w->store.arena = &w->arena;
        w->session.store = &w->store;
        code = pthread_create(&w->thread, NULL, work, w);
        if (code)
            break; /* fewer will do */
    }
    if (code && started == 0)
        return error_set(err, code, "start a thread");
    while (started-- > 0)
        pthread_join(workers[started].thread, NULL);
    if (!g->failed)
        return 0;
    *err = g->error;
    return -1;
}

static int push_layers(const struct push *p, struct session *session, const struct image_info *info,
                       struct layer *layers, struct error *err)
{
    struct pushing g = {
        .p = p, .session = session, .info = info, .layers = layers, .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct bar **bars = arena_new_n(session->store->arena, info->keys.n + 1, struct bar *);
    struct progress *progress;
    int rc;

    for (size_t i = 0; i < info->keys.n; i++) {
        bars[i] = &layers[i].bar;
        snprintf(bars[i]->name, sizeof(bars[i]->name), "%.12s", digest_hex(info->manifest.layers[i].digest));
        bars[i]->total = info->manifest.layers[i].size;
    }
    find_elsewhere(&g);
    progress = progress_begin(p->progress, "pushed", bars, info->keys.n);
    rc = run_workers(&g, err);
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
    return registry_push_manifest(p->registry, p->destination.tag, type, manifest, length, err);
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
