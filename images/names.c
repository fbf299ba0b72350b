/*
 * Names of images, a file each; see store.h. A name's "/" becomes "+", which no reference holds otherwise. Giving a name is
 * one rename, so a reader sees the old image or the new one; the image that loses its last name gets a nameless entry
 * first, so that it never is without one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "images/store_private.h"

enum { NAME_FILE_MAX = 4096 };

static const char *name_file(const struct store *s, const char *name, struct error *err)
{
    char *file = arena_strdup(s->arena, name);

    if (strlen(file) > 255) {
        error_set(err, ENAMETOOLONG, "image name %s", name);
        return NULL;
    }
    for (char *p = file; (p = strchr(p, '/'));)
        *p = '+';
    return file;
}

static const char *write_image(const struct store *s, const struct store_image *image, size_t *length)
{
    struct json_writer w = json_writer_begin(s->arena, false);

    json_object(&w);
    if (image->name) {
        json_key(&w, "name");
        json_string(&w, image->name);
    }
    json_key(&w, "manifest");
    json_string(&w, image->manifest);
    if (image->index) {
        json_key(&w, "index");
        json_string(&w, image->index);
    }
    json_key(&w, "created");
    json_uint(&w, image->created_ns);
    json_object_end(&w);
    return json_writer_end(&w, length);
}

static int read_image(const struct store *s, const char *file, struct store_image *image, struct error *err)
{
    const char *path = arena_printf(s->arena, STORE_NAMES "/%s", file);
    struct json *json;
    char *text;
    size_t length;

    if (file_read(s->dir, path, NAME_FILE_MAX, s->arena, &text, &length, err) < 0)
        return err->code == ENOENT ? 0 : error_wrap(err, "image store %s", s->path);
    if (json_parse(s->arena, text, length, path, &json, err) < 0)
        return error_wrap(err, "image store %s", s->path);
    *image = (struct store_image){.name = json_get_string(json, "name"),
                                  .manifest = json_get_string(json, "manifest"),
                                  .index = json_get_string(json, "index"),
                                  .created_ns = json_get_u64(json, "created")};
    if (!image->manifest || !digest_valid(image->manifest) || (image->index && !digest_valid(image->index)))
        return error_set(err, 0, "image store %s: %s is damaged: pull the image again", s->path, path);
    return 1;
}

/* Temporaries begin with a dot, and are passed over; a sweep takes those of the killed. */
static int put_image(struct store *s, const char *file, const struct store_image *image, struct error *err)
{
    uint64_t unique; /* not the process's id: who shares the store may be in another namespace of these */
    size_t length;
    const char *text = write_image(s, image, &length);

    if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
        return error_set(err, errno, "getrandom");
    const char *temporary = arena_printf(s->arena, STORE_NAMES "/.%016llx", (unsigned long long)unique);
    if (store_write_synced(s->dir, temporary, text, length) < 0 ||
        renameat(s->dir, temporary, s->dir, arena_printf(s->arena, STORE_NAMES "/%s", file)) < 0)
        return error_set(err, errno, "image store %s: write name %s", s->path, file);
    return 0;
}

/* @old is about to lose @name: when no other name is its, let it have the nameless one. */
static int keep_dangling(struct store *s, const char *name, const struct store_image *old, struct error *err)
{
    struct store_image *all, nameless = *old;
    size_t n;

    if (store_names(s, &all, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].manifest, old->manifest) == 0 && (!all[i].name || strcmp(all[i].name, name) != 0))
            return 0;
    nameless.name = NULL;
    return put_image(s, nameless.manifest, &nameless, err);
}

static int remove_file(struct store *s, const char *file, struct error *err)
{
    if (unlinkat(s->dir, arena_printf(s->arena, STORE_NAMES "/%s", file), 0) < 0 && errno != ENOENT)
        return error_set(err, errno, "image store %s: remove name %s", s->path, file);
    return 0;
}

static int set_locked(struct store *s, const char *file, const struct store_image *image, struct error *err)
{
    struct store_image old, stamped = *image;
    struct timespec now;
    struct error damage; /* what cannot be read is replaced, whatever it was */
    bool had = image->name && read_image(s, file, &old, &damage) > 0;

    if (had && strcmp(old.manifest, image->manifest) != 0 && keep_dangling(s, image->name, &old, err) < 0)
        return -1;
    clock_gettime(CLOCK_REALTIME, &now);
    stamped.created_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    if (put_image(s, file, &stamped, err) < 0)
        return -1;
    return image->name ? remove_file(s, image->manifest, err) : 0; /* it dangles no more */
}

int store_name_set(struct store *s, const struct store_image *image, struct error *err)
{
    const char *file = image->name ? name_file(s, image->name, err) : image->manifest;
    int rc;

    if (!file || store_lock(s, false, err) < 0)
        return -1;
    rc = set_locked(s, file, image, err);
    store_unlock(s);
    return rc;
}

int store_name_get(const struct store *s, const char *name, struct store_image *image, struct error *err)
{
    const char *file = name_file(s, name, err);

    return file ? read_image(s, file, image, err) : -1;
}

bool store_name_is_damaged(const struct store *s, const char *file, struct error *err)
{
    struct store_image image;

    return read_image(s, file, &image, err) < 0;
}

int store_name_remove(struct store *s, const char *name, struct error *err)
{
    const char *file = name_file(s, name, err);

    return file ? remove_file(s, file, err) : -1;
}

static int by_name(const void *a, const void *b)
{
    const struct store_image *x = a, *y = b;

    if (!x->name || !y->name)
        return x->name ? -1 : y->name ? 1 : strcmp(x->manifest, y->manifest);
    return strcmp(x->name, y->name);
}

int store_names(const struct store *s, struct store_image **images, size_t *n, struct error *err)
{
    struct string_list files;

    if (store_list(s, STORE_NAMES, &files, err) < 0)
        return -1;
    *images = arena_new_n(s->arena, files.n + 1, struct store_image);
    *n = 0;
    for (size_t i = 0; i < files.n; i++) {
        if (files.v[i][0] == '.')
            continue;
        struct error damage = {0};
        int found = read_image(s, files.v[i], &(*images)[*n], &damage);
        if (found < 0) /* the others are none the worse */
            log_warning("%s", damage.message);
        else
            *n += (size_t)found;
    }
    if (*n)
        qsort(*images, *n, sizeof(**images), by_name);
    return 0;
}
