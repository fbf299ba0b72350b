/*
 * Finding an image: candidates of names first, which cost one open each (the way that every start takes); only then is the
 * list of names read, for a short name's owner or an id.
 */
#include "images/find.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "images/reference.h"

static int load(struct store *s, const struct store_image *image, struct found_image *out, struct error *err)
{
    struct manifest m;
    char *text;
    size_t length;

    *out = (struct found_image){.name = image->name, .manifest = image->manifest};
    if (store_blob_read(s, image->manifest, &text, &length, err) < 0 ||
        manifest_parse(s->arena, text, length, NULL, &m, err) < 0)
        return -1;
    if (m.is_index)
        return error_set(err, 0, "%s is an index, not a manifest", image->manifest);
    out->config_digest = m.config.digest;
    if (store_blob_read(s, m.config.digest, &text, &length, err) < 0 ||
        image_config_parse(s->arena, text, length, &out->config, err) < 0)
        return -1;
    return store_stack(s, m.config.digest, &out->layers, err);
}

static int load_whole(struct store *s, const struct store_image *image, struct found_image *out,
                      struct error *err)
{
    const char *name = image->name ? image->name : image->manifest;

    if (load(s, image, out, err) == 0)
        return 1;
    return error_wrap(err, "image %s is not whole (pull it again)", name);
}

/* --- names --------------------------------------------------------------------------------------------------------- */

static int by_exact_name(struct store *s, const struct reference *r, struct store_image *image,
                         struct error *err)
{
    static const char *const domains[] = {"docker.io", "localhost"};
    const char *name = reference_format(s->arena, r);
    int found = store_name_get(s, name, image, err);

    for (size_t i = 0; found == 0 && !r->domain && i < ARRAY_SIZE(domains); i++) {
        struct reference full = reference_at(s->arena, r, domains[i]);

        name = reference_format(s->arena, &full);
        found = store_name_get(s, name, image, err);
    }
    return found;
}

static bool ends_so(const char *name, const char *end)
{
    size_t a = name ? strlen(name) : 0, b = strlen(end);

    return a > b && name[a - b - 1] == '/' && strcmp(name + a - b, end) == 0;
}

static int by_ending(struct store *s, const char *end, const struct store_image *all, size_t n,
                     struct store_image *image, struct error *err)
{
    struct buffer names = {.arena = s->arena};
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        if (!ends_so(all[i].name, end))
            continue;
        buffer_printf(&names, "%s%s", found++ ? ", " : "", all[i].name);
        *image = all[i];
    }
    return found < 2 ? (int)found
                     : error_set(err, 0, "%s may be one of %s: write the whole name", end, names.data);
}

/* --- ids ----------------------------------------------------------------------------------------------------------- */

static bool is_id(const char *text)
{
    size_t n = strlen(text);

    return n >= IMAGE_ID_MIN && n <= DIGEST_HEX && strspn(text, "0123456789abcdef") == n;
}

/* The digest of the configuration, without what a damaged image would say. */
static const char *config_of(const struct store *s, const struct store_image *image)
{
    struct manifest m;
    struct error ignored = {0};
    char *text;
    size_t length;

    if (store_blob_read(s, image->manifest, &text, &length, &ignored) < 0 ||
        manifest_parse(s->arena, text, length, NULL, &m, &ignored) < 0 || m.is_index)
        return NULL;
    return m.config.digest;
}

static int by_id(struct store *s, const char *id, const struct store_image *all, size_t n,
                 struct store_image *image, struct error *err)
{
    const char *first = NULL;

    for (size_t i = 0; i < n; i++) {
        const char *config = config_of(s, &all[i]);

        if (!config || strncmp(digest_hex(config), id, strlen(id)) != 0)
            continue;
        if (first && strcmp(first, config) != 0)
            return error_set(err, 0, "image id %s: more than one begins so: %.12s, %.12s: write more digits",
                             id, digest_hex(first), digest_hex(config));
        if (!first)
            *image = all[i];
        first = config;
    }
    return first != NULL;
}

static int by_manifest(const char *digest, const struct store_image *all, size_t n, struct store_image *image)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].manifest, digest) == 0 || (all[i].index && strcmp(all[i].index, digest) == 0)) {
            *image = all[i];
            return 1;
        }
    return 0;
}

/* NAME@DIGEST: the image with this digest, if it is there under this name (whatever its tag). */
static int by_name_and_digest(struct store *s, const struct reference *r, const struct store_image *all,
                              size_t n, struct store_image *image)
{
    const char *name = reference_name(s->arena, r);
    struct error ignored;

    for (size_t i = 0; i < n; i++) {
        struct reference other;

        if (!by_manifest(r->digest, &all[i], 1, image) || !all[i].name ||
            reference_parse(s->arena, all[i].name, &other, &ignored) < 0)
            continue;
        const char *have = reference_name(s->arena, &other);
        if (strcmp(have, name) == 0 || ends_so(have, name))
            return 1;
    }
    return 0;
}

static int search(struct store *s, const char *text, const struct reference *r, struct store_image *image,
                  struct error *err)
{
    const char *hex = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
    struct store_image *all;
    size_t n;
    int found = 0;

    if (store_names(s, &all, &n, err) < 0)
        return -1;
    if (r && r->digest)
        return by_name_and_digest(s, r, all, n, image);
    if (r && !r->domain)
        found = by_ending(s, reference_format(s->arena, r), all, n, image, err);
    if (found == 0 && digest_valid(text))
        found = by_manifest(text, all, n, image);
    if (found == 0 && is_id(hex))
        found = by_id(s, hex, all, n, image, err);
    return found;
}

int image_find(struct store *s, const char *text, struct found_image *out, struct error *err)
{
    bool bare_digest = strncmp(text, "sha256:", 7) == 0 || (is_id(text) && strlen(text) == DIGEST_HEX);
    struct reference r;
    struct store_image image;
    int found = 0;

    if (!bare_digest) {
        if (reference_parse(s->arena, text, &r, err) < 0)
            return -1;
        reference_default_tag(&r);
        found = by_exact_name(s, &r, &image, err);
    }
    if (found == 0)
        found = search(s, text, bare_digest ? NULL : &r, &image, err);
    return found == 1 ? load_whole(s, &image, out, err) : found;
}
