/* Images into the store: see pull.h. Every document is checked against the digest that led to it. */
#include "images/pull.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "images/sweep.h"

/* A document and its digest. */
struct blob {
    char *data;
    size_t length;
    char digest[DIGEST_SIZE];
};

/* What is being pulled. */
struct image {
    const struct pull *p;
    struct session session;
    struct blob index, manifest, config; /* data NULL: none */
    struct manifest parsed;
    struct image_config settings;
    struct layer *layers;
    size_t n;
};

static struct arena *arena(const struct image *i)
{
    return i->p->store->arena;
}

static int take_blob(struct image *i, struct blob *b, const char *data, size_t length, struct error *err)
{
    b->data = arena_copy(arena(i), data, length);
    b->length = length;
    return digest_compute(data, length, b->digest, err);
}

/* The store's own, unless it is damaged. */
static bool is_stored(const struct image *i, const struct descriptor *d, struct blob *b)
{
    return store_blob_read(i->p->store, d->digest, &b->data, &b->length, NULL) == 0 && b->length == d->size &&
           digest_compute(b->data, b->length, b->digest, NULL) == 0 && strcmp(b->digest, d->digest) == 0;
}

/* From the store when it is there, else from the origin; verified either way. */
static int get_blob(struct image *i, const char *what, const struct descriptor *d, struct blob *b,
                    struct error *err)
{
    struct origin *o = i->p->origin;

    if (d->size > STORE_BLOB_MAX)
        return error_set(err, 0, "%s: %llu bytes, Hull's limit is %d", what, (unsigned long long)d->size,
                         STORE_BLOB_MAX);
    if (is_stored(i, d, b))
        return 0;
    if (o->document(o, arena(i), d, &b->data, &b->length, err) < 0)
        return error_wrap(err, "%s", what);
    if (digest_compute(b->data, b->length, b->digest, err) < 0)
        return -1;
    if (b->length != d->size || strcmp(b->digest, d->digest) != 0)
        return error_set(err, 0,
                         "%s: %zu bytes came with digest %s, but %llu bytes and %s were promised: "
                         "it is damaged or forged",
                         what, b->length, b->digest, (unsigned long long)d->size, d->digest);
    return 0;
}

/* --- documents ----------------------------------------------------------------------------------------------------- */

bool platform_fits(const struct platform *has, const struct platform *wanted)
{
    return (!has->os || !wanted->os || strcmp(has->os, wanted->os) == 0) &&
           (!has->architecture || !wanted->architecture ||
            strcmp(has->architecture, wanted->architecture) == 0);
}

/* An index is for choosing; a manifest alone may turn out to be for another machine. */
static int check_platform(const struct image *i, struct error *err)
{
    struct platform host = platform_host();
    const struct platform *has = &i->settings.platform, *wanted = i->p->platform ? i->p->platform : &host;

    if (platform_fits(has, wanted))
        return 0;
    if (i->p->platform)
        return error_set(err, 0, "the image is for %s/%s, not for %s/%s", has->os, has->architecture,
                         wanted->os, wanted->architecture);
    log_warning("the image is for %s/%s: this machine may not run it", has->os, has->architecture);
    return 0;
}

static int choose(struct image *i, const char *media_type, struct error *err)
{
    struct platform host = platform_host();
    const struct descriptor *entry;

    if (manifest_parse(arena(i), i->manifest.data, i->manifest.length, media_type, &i->parsed, err) < 0)
        return -1;
    if (!i->parsed.is_index)
        return 0;
    i->index = i->manifest;
    entry = manifest_choose(arena(i), &i->parsed, i->p->platform ? i->p->platform : &host, err);
    if (!entry || get_blob(i, "manifest", entry, &i->manifest, err) < 0 ||
        manifest_parse(arena(i), i->manifest.data, i->manifest.length, entry->media_type, &i->parsed, err) <
            0)
        return -1;
    if (i->parsed.is_index)
        return error_set(err, 0, "the index leads to an index: only one may stand before a manifest");
    return 0;
}

static int read_config(struct image *i, struct error *err)
{
    if (image_config_parse(arena(i), i->config.data, i->config.length, &i->settings, err) < 0)
        return -1;
    if (i->settings.diff_ids.n != i->n)
        return error_set(err, 0, "the image has %zu layers, but its configuration speaks of %zu", i->n,
                         i->settings.diff_ids.n);
    for (size_t n = 0; n < i->n; n++)
        i->layers[n].diff_id = i->settings.diff_ids.v[n];
    return check_platform(i, err);
}

/* --- into the store ------------------------------------------------------------------------------------------------ */

static int put_blob(struct image *i, const struct blob *b, struct error *err)
{
    return b->data ? session_put_blob(&i->session, b->digest, b->data, b->length, err) : 0;
}

static int set_names(struct image *i, const struct string_list *names, struct error *err)
{
    struct store_image image = {.manifest = i->manifest.digest,
                                .index = i->index.data ? i->index.digest : NULL};
    struct store_image *all;
    size_t n;

    for (size_t k = 0; k < names->n; k++) {
        image.name = names->v[k];
        if (store_name_set(i->p->store, &image, err) < 0)
            return -1;
    }
    if (names->n)
        return 0;
    if (store_names(i->p->store, &all, &n, err) < 0)
        return -1;
    for (size_t k = 0; k < n; k++) /* one that has a name already does not dangle */
        if (strcmp(all[k].manifest, image.manifest) == 0)
            return 0;
    return store_name_set(i->p->store, &image, err);
}

static int put_image(struct image *i, const struct string_list *names, struct error *err)
{
    struct arena *a = arena(i);
    struct string_list keys = {.v = arena_new_n(a, i->n + 1, char *), .n = i->n};

    for (size_t n = 0; n < i->n; n++)
        keys.v[n] = i->layers[n].key;
    if (put_blob(i, &i->config, err) < 0 || put_blob(i, &i->manifest, err) < 0 ||
        put_blob(i, &i->index, err) < 0 || session_put_stack(&i->session, i->config.digest, &keys, err) < 0)
        return -1;
    return set_names(i, names, err);
}

static int fetch(struct image *i, struct error *err)
{
    return layers_fetch(&i->session, i->p->origin, i->layers, i->n, &i->p->layers, err);
}

/* --- the three kinds ----------------------------------------------------------------------------------------------- */

char *pull_write_manifest(struct arena *a, const char *config_digest, size_t config_size,
                          const struct layer *layers, size_t n, size_t *length)
{
    struct json_writer w = json_writer_begin(a, false);

    json_object(&w);
    json_key(&w, "schemaVersion");
    json_uint(&w, 2);
    json_key(&w, "mediaType");
    json_string(&w, MEDIA_OCI_MANIFEST);
    json_key(&w, "config");
    json_object(&w);
    json_key(&w, "mediaType");
    json_string(&w, MEDIA_OCI_CONFIG);
    json_key(&w, "digest");
    json_string(&w, config_digest);
    json_key(&w, "size");
    json_uint(&w, config_size);
    json_object_end(&w);
    json_key(&w, "layers");
    json_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_object(&w);
        json_key(&w, "mediaType");
        json_string(&w, layers[i].blob.media_type ? layers[i].blob.media_type : MEDIA_OCI_LAYER);
        json_key(&w, "digest");
        json_string(&w, layers[i].seen_digest);
        json_key(&w, "size");
        json_uint(&w, layers[i].seen_size);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    return json_writer_end(&w, length);
}

/* A layer that was there already has not been seen now: what it was when it came is on record. */
static int recall_layers(struct image *i, struct error *err)
{
    for (size_t n = 0; n < i->n; n++) {
        struct layer *l = &i->layers[n];
        struct layer_record record;

        if (layer_record_read(i->p->store, l->key, &record, err) < 0)
            return -1;
        memcpy(l->seen_digest, record.digest, DIGEST_SIZE);
        memcpy(l->seen_diff_id, record.diff_id, DIGEST_SIZE);
        l->seen_size = record.size;
        l->blob.media_type = arena_strdup(arena(i), record.media_type);
    }
    return 0;
}

static int make_manifest(struct image *i, struct error *err)
{
    size_t length;
    const char *text;

    if (recall_layers(i, err) < 0)
        return -1;
    text = pull_write_manifest(arena(i), i->config.digest, i->config.length, i->layers, i->n, &length);
    return take_blob(i, &i->manifest, text, length, err);
}

static int by_manifest(struct image *i, const char *text, size_t length, const char *media_type,
                       struct error *err)
{
    if (take_blob(i, &i->manifest, text, length, err) < 0 || choose(i, media_type, err) < 0 ||
        get_blob(i, "image configuration", &i->parsed.config, &i->config, err) < 0)
        return -1;
    i->n = i->parsed.n_layers;
    i->layers = arena_new_n(arena(i), i->n, struct layer);
    for (size_t n = 0; n < i->n; n++)
        i->layers[n].blob = i->parsed.layers[n];
    return read_config(i, err) < 0 ? -1 : fetch(i, err);
}

/* Whatever happened: what sessions of the killed left, and layers of this one that nothing came to use, go. */
static int finish(struct image *i, int rc, const struct string_list *names, struct pulled *out,
                  struct error *err)
{
    struct sweep_result swept;
    struct error later;

    if (rc == 0)
        rc = put_image(i, names, err);
    if (rc == 0) {
        memcpy(out->manifest, i->manifest.digest, DIGEST_SIZE);
        memcpy(out->config, i->config.digest, DIGEST_SIZE);
    }
    session_end(&i->session);
    if (store_sweep(i->p->store, false, false, &swept, &later) < 0)
        log_warning("%s", later.message);
    return rc;
}

int pull_manifest(const struct pull *p, const char *text, size_t length, const char *media_type,
                  const struct string_list *names, struct pulled *out, struct error *err)
{
    struct image i = {.p = p};

    if (session_begin(p->store, &i.session, err) < 0)
        return -1;
    return finish(&i, by_manifest(&i, text, length, media_type, err), names, out, err);
}

int pull_config(const struct pull *p, const char *config, size_t length, struct layer *layers, size_t n,
                const struct string_list *names, struct pulled *out, struct error *err)
{
    struct image i = {.p = p, .layers = layers, .n = n};
    int rc;

    if (session_begin(p->store, &i.session, err) < 0)
        return -1;
    rc = take_blob(&i, &i.config, config, length, err);
    if (rc == 0)
        rc = read_config(&i, err);
    if (rc == 0)
        rc = fetch(&i, err);
    if (rc == 0)
        rc = make_manifest(&i, err);
    return finish(&i, rc, names, out, err);
}

int pull_layer(const struct pull *p, struct layer *layer,
               char *(*make)(struct arena *a, const struct layer *layer, const void *context, size_t *length),
               const void *context, const struct string_list *names, struct pulled *out, struct error *err)
{
    struct image i = {.p = p, .layers = layer, .n = 1};
    size_t length;
    int rc;

    if (session_begin(p->store, &i.session, err) < 0)
        return -1;
    rc = fetch(&i, err);
    if (rc == 0)
        rc = recall_layers(&i, err);
    if (rc == 0) {
        const char *config = make(arena(&i), layer, context, &length);
        rc = take_blob(&i, &i.config, config, length, err);
    }
    if (rc == 0)
        rc = make_manifest(&i, err);
    return finish(&i, rc, names, out, err);
}
