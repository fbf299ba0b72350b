/*
 * Loading: see load.h. An archive that is both (docker's, since its version 25) is taken as the OCI layout that it is: that
 * has digests.
 *
 * Names: docker's archive says them whole; an OCI index has them in annotations: org.opencontainers.image.ref.name is, by
 * the specification, whatever the writer likes. A whole name is taken as one; a bare tag ("latest") is none: such an image
 * stays nameless unless the user gives a name.
 */
#include "images/load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/timestamp.h"
#include "images/change.h"
#include "images/files.h"
#include "images/reference.h"
#include "runtime/spec/decode.h"

enum { IMAGES_MAX = 1000 };

/* --- documents ----------------------------------------------------------------------------------------------------- */

struct layout_entry {
    char *media_type, *digest;
    uint64_t size;
    char *ref_name, *image_name;
};

struct layout_index {
    struct layout_entry *entries;
    size_t n;
};

static const struct field names_table_fields[] = {
    STRING("org.opencontainers.image.ref.name", struct layout_entry, ref_name),
    STRING("io.containerd.image.name", struct layout_entry, image_name),
};
TABLE(names_table);

static void entry_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    const struct layout_entry *e = object;
    struct error err;

    (void)json;
    if (e->digest && digest_check(e->digest, "digest", &err) < 0)
        complain_at(d, at, "%s", err.message);
}

static const struct field entry_table_fields[] = {
    STRING("mediaType", struct layout_entry, media_type),
    STRING("digest", struct layout_entry, digest, .flags = REQUIRED),
    U64("size", struct layout_entry, size, RANGE(1, STORE_BLOB_MAX), .flags = REQUIRED),
    INLINE("annotations", &names_table),
};
TABLE(entry_table, ELEMENT(struct layout_entry), .done = entry_done);

static const struct field index_table_fields[] = {
    LIST("manifests", struct layout_index, entries, n, &entry_table, .flags = REQUIRED, .max = IMAGES_MAX),
};
TABLE(index_table);

struct docker_image {
    char *config;
    struct string_list tags, layers;
};

static const struct field docker_table_fields[] = {
    STRING("Config", struct docker_image, config, .flags = REQUIRED),
    STRINGS("RepoTags", struct docker_image, tags),
    STRINGS("Layers", struct docker_image, layers, .flags = REQUIRED, .max = MANIFEST_MAX_LAYERS),
};
TABLE(docker_table);

/* --- the origin ---------------------------------------------------------------------------------------------------- */

struct files_origin {
    struct origin origin;
    const struct image_files *files;
    /* docker's archive: layers are found by their descriptor's place in this list */
    const struct layer *layers;
    const struct string_list *paths;
};

static void blob_path(const char *digest, char path[static 100])
{
    snprintf(path, 100, "blobs/sha256/%s", digest_hex(digest));
}

static int files_document(struct origin *o, struct arena *a, const struct descriptor *d, char **data,
                          size_t *length, struct error *err)
{
    char path[100];

    blob_path(d->digest, path);
    return image_files_read(((struct files_origin *)o)->files, a, path, data, length, err);
}

static int files_open(struct origin *o, const struct descriptor *d, struct source **layer, struct error *err)
{
    const struct files_origin *f = (const struct files_origin *)o;
    char path[100];

    for (size_t i = 0; f->paths && i < f->paths->n; i++)
        if (d == &f->layers[i].blob)
            return image_files_source(f->files, f->paths->v[i], layer, err);
    blob_path(d->digest, path);
    return image_files_source(f->files, path, layer, err);
}

static void files_close(struct origin *o, struct source *layer)
{
    (void)o;
    image_files_source_free(layer);
}

static struct files_origin files_origin(const struct image_files *files)
{
    return (struct files_origin){
        .origin = {.document = files_document, .open = files_open, .close = files_close}, .files = files};
}

/* --- names --------------------------------------------------------------------------------------------------------- */

/* Add @text, if it is a whole name; what is no name at all is an error. */
static int add_name(struct arena *a, const char *text, struct string_list *names, struct error *err)
{
    struct reference r;

    if (reference_parse(a, text, &r, err) < 0)
        return -1;
    if (!r.domain)
        r = reference_at(a, &r, "docker.io"); /* as docker leaves its registry out */
    reference_default_tag(&r);
    char **v = arena_new_n(a, names->n + 2, char *);
    for (size_t i = 0; i < names->n; i++)
        v[i] = names->v[i];
    v[names->n] = reference_format(a, &r);
    *names = (struct string_list){.v = v, .n = names->n + 1};
    return 0;
}

static int find_names(const struct load *l, const struct string_list *said, struct string_list *names,
                      struct error *err)
{
    struct arena *a = l->store->arena;

    *names = (struct string_list){0};
    if (l->name) {
        names->v = arena_new_n(a, 2, char *);
        names->v[0] = arena_strdup(a, l->name);
        names->n = 1;
        return 0;
    }
    for (size_t i = 0; i < said->n; i++)
        if (add_name(a, said->v[i], names, err) < 0)
            return -1;
    return 0;
}

/* --- an OCI layout ------------------------------------------------------------------------------------------------- */

static int load_entry(const struct load *l, const struct pull *p, const struct image_files *files,
                      const struct layout_entry *e, struct pulled *out, struct string_list *names,
                      struct error *err)
{
    /* A ref.name without "/" and ":" is but a tag. */
    char *said = e->image_name                               ? e->image_name
                 : e->ref_name && strpbrk(e->ref_name, "/:") ? e->ref_name
                                                             : NULL;
    const struct string_list list = {.v = &said, .n = said != NULL};
    char digest[DIGEST_SIZE], path[100], *text;
    size_t length;

    blob_path(e->digest, path);
    if (find_names(l, &list, names, err) < 0 ||
        image_files_read(files, l->store->arena, path, &text, &length, err) < 0 ||
        digest_compute(text, length, digest, err) < 0)
        return -1;
    if (length != e->size || strcmp(digest, e->digest) != 0)
        return error_set(err, 0, "%s: %s is damaged: its digest is %s", files->path, path, digest);
    return pull_manifest(p, text, length, e->media_type, names, out, err);
}

static int load_layout(const struct load *l, const struct image_files *files, struct loaded *out,
                       struct error *err)
{
    struct files_origin origin = files_origin(files);
    const struct pull p = {
        .store = l->store, .origin = &origin.origin, .platform = l->platform, .layers = l->layers};
    struct arena *a = l->store->arena;
    struct layout_index index = {0};
    struct json *json;
    char *text;
    size_t length;

    if (image_files_read(files, a, "index.json", &text, &length, err) < 0 ||
        json_parse(a, text, length, "index.json", &json, err) < 0 ||
        decode_document(a, json, text, &index_table, "index.json", &index, err) < 0)
        return -1;
    if (index.n == 0)
        return error_set(err, 0, "index.json: there is no image in it");
    if (l->name && index.n > 1)
        return error_set(err, 0, "there are %zu images in it: one name cannot be for all", index.n);
    *out = (struct loaded){.v = arena_new_n(a, index.n, struct pulled),
                           .names = arena_new_n(a, index.n, struct string_list)};
    for (; out->n < index.n; out->n++)
        if (load_entry(l, &p, files, &index.entries[out->n], &out->v[out->n], &out->names[out->n], err) < 0)
            return -1;
    return 0;
}

/* --- docker's archive ---------------------------------------------------------------------------------------------- */

static int load_docker_image(const struct load *l, const struct image_files *files,
                             const struct docker_image *image, struct pulled *out, struct string_list *names,
                             struct error *err)
{
    struct arena *a = l->store->arena;
    struct files_origin origin = files_origin(files);
    const struct pull p = {
        .store = l->store, .origin = &origin.origin, .platform = l->platform, .layers = l->layers};
    struct layer *layers = arena_new_n(a, image->layers.n, struct layer);
    char *text;
    size_t length;

    origin.layers = layers;
    origin.paths = &image->layers;
    if (find_names(l, &image->tags, names, err) < 0 ||
        image_files_read(files, a, image->config, &text, &length, err) < 0)
        return -1;
    return pull_config(&p, text, length, layers, image->layers.n, names, out, err);
}

static int load_docker(const struct load *l, const struct image_files *files, struct loaded *out,
                       struct error *err)
{
    struct arena *a = l->store->arena;
    struct json *json;
    char *text;
    size_t length;

    if (image_files_read(files, a, "manifest.json", &text, &length, err) < 0 ||
        json_parse(a, text, length, "manifest.json", &json, err) < 0)
        return -1;
    if (json->type != JSON_ARRAY || json->count == 0 || json->count > IMAGES_MAX)
        return error_set(err, 0, "manifest.json: must be an array of 1 to %d images", IMAGES_MAX);
    if (l->name && json->count > 1)
        return error_set(err, 0, "there are %zu images in it: one name cannot be for all", json->count);
    *out = (struct loaded){.v = arena_new_n(a, json->count, struct pulled),
                           .names = arena_new_n(a, json->count, struct string_list)};
    for (; out->n < json->count; out->n++) {
        const struct json *item = &json->items[out->n];
        struct docker_image image = {0};

        if (item->type != JSON_OBJECT)
            return error_set(err, 0, "manifest.json: [%zu] must be an object", out->n);
        if (decode_document(a, item, text, &docker_table, "manifest.json", &image, err) < 0 ||
            load_docker_image(l, files, &image, &out->v[out->n], &out->names[out->n], err) < 0)
            return -1;
    }
    return 0;
}

static const struct {
    const char *file;
    int (*load)(const struct load *l, const struct image_files *files, struct loaded *out, struct error *err);
} formats[] = {{"index.json", load_layout}, {"manifest.json", load_docker}};

int load_images(const struct load *l, const char *path, struct loaded *out, struct error *err)
{
    struct image_files files;
    struct session spool;
    int rc = session_begin(l->store, &spool, err);

    if (rc == 0)
        rc = image_files_open(&files, l->store->arena, path, spool.dir, err);
    session_end(&spool); /* the temporary file has no name */
    if (rc < 0)
        return -1;
    rc = error_set(err, 0,
                   "neither index.json nor manifest.json is in it: to make an image of a root directory's "
                   "files, use import");
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (image_files_has(&files, formats[i].file)) {
            rc = formats[i].load(l, &files, out, err);
            break;
        }
    image_files_close(&files);
    return rc < 0 ? error_wrap(err, "%s", files.path) : 0;
}

/* --- a plain tar --------------------------------------------------------------------------------------------------- */

struct tar_origin {
    struct origin origin;
    struct file_source file;
};

static int tar_document(struct origin *o, struct arena *a, const struct descriptor *d, char **data,
                        size_t *length, struct error *err)
{
    (void)o, (void)a, (void)data, (void)length;
    return error_set(err, ENOENT, "%s", d->digest);
}

static int tar_open(struct origin *o, const struct descriptor *d, struct source **layer, struct error *err)
{
    (void)d, (void)err;
    *layer = &((struct tar_origin *)o)->file.source;
    return 0;
}

static void tar_close(struct origin *o, struct source *layer)
{
    (void)o, (void)layer;
}

struct import {
    const char *message;
    const struct image_config *config;
};

static char *import_config(struct arena *a, const struct layer *layer, const void *context, size_t *length)
{
    static const struct image_config nothing;
    const struct import *import = context;
    const char *message = import->message;
    struct platform host = platform_host();
    struct json_writer w = json_writer_begin(a, false);
    char now[TIMESTAMP_SIZE];
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    timestamp_format(&t, true, now);
    json_object(&w);
    json_key(&w, "created");
    json_string(&w, now);
    json_key(&w, "architecture");
    json_string(&w, host.architecture);
    json_key(&w, "os");
    json_string(&w, host.os);
    json_key(&w, "config");
    change_write(&w, import->config ? import->config : &nothing);
    json_key(&w, "rootfs");
    json_object(&w);
    json_key(&w, "type");
    json_string(&w, "layers");
    json_key(&w, "diff_ids");
    json_array(&w);
    json_string(&w, layer->seen_diff_id);
    json_array_end(&w);
    json_object_end(&w);
    json_key(&w, "history");
    json_array(&w);
    json_object(&w);
    json_key(&w, "created");
    json_string(&w, now);
    json_key(&w, "created_by");
    json_string(&w, "hull import");
    if (message) {
        json_key(&w, "comment");
        json_string(&w, message);
    }
    json_object_end(&w);
    json_array_end(&w);
    json_object_end(&w);
    return json_writer_end(&w, length);
}

int import_tar(const struct load *l, const char *path, const char *message, struct pulled *out,
               struct error *err)
{
    bool input = strcmp(path, "-") == 0;
    _cleanup_(fd_closep) int fd =
        input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    struct tar_origin origin = {.origin = {.document = tar_document, .open = tar_open, .close = tar_close}};
    const struct pull p = {.store = l->store, .origin = &origin.origin, .layers = l->layers};
    struct layer layer = {0};
    const struct import import = {message, l->config};
    struct string_list names, none = {0};
    int rc;

    if (fd < 0)
        return error_set(err, errno, "open %s", path);
    if (file_source_init(&origin.file, fd, err) < 0)
        return -1;
    rc = find_names(l, &none, &names, err);
    if (rc == 0)
        rc = pull_layer(&p, &layer, import_config, &import, &names, out, err);
    file_source_destroy(&origin.file);
    return rc < 0 ? error_wrap(err, "%s", input ? "standard input" : path) : 0;
}
