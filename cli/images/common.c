/* What the commands of hull-images share: see command.h. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "cli/images/command.h"
#include "images/find.h"
#include "images/reference.h"
#include "images/snapshot.h"

int command_open_store(const struct runtime *rt, struct store *s, struct error *err)
{
    return store_open(rt->arena, rt->store, rt->rootless, s, err);
}

int command_new_name(struct arena *a, const char *text, const char **name, struct error *err)
{
    struct reference r;

    if (reference_parse(a, text, &r, err) < 0)
        return -1;
    if (r.digest)
        return error_set(err, 0, "image name \"%.300s\": a digest is not given, but follows from the content",
                         text);
    if (!r.domain)
        r = reference_at(a, &r, "localhost");
    reference_default_tag(&r);
    *name = reference_format(a, &r);
    return 0;
}

const char *command_ago(struct arena *a, uint64_t seconds)
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{31536000, "year"}, {2592000, "month"}, {604800, "week"}, {86400, "day"},
                 {3600, "hour"},     {60, "minute"},     {1, "second"}};
    uint64_t now = (uint64_t)time(NULL), age = now > seconds ? now - seconds : 0;

    if (seconds == 0)
        return "unknown";
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        uint64_t n = age / units[i].seconds;

        if (n)
            return arena_printf(a, "%llu %s%s ago", (unsigned long long)n, units[i].name, n > 1 ? "s" : "");
    }
    return "just now";
}

const char *command_size(struct arena *a, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double amount = (double)bytes;
    size_t unit = 0;

    for (; amount >= 1000 && unit + 1 < ARRAY_SIZE(units); unit++)
        amount /= 1000;
    return arena_printf(a, unit && amount < 100 ? "%.1f %s" : "%.0f %s", amount, units[unit]);
}

const char *command_short_id(struct arena *a, const char *digest)
{
    return arena_strndup(a, digest_hex(digest), 12);
}

static int not_found(struct store *s, const char *text, struct error *err)
{
    struct error no = {0};
    struct snapshot c;

    if (strchr(text, '/') == NULL && snapshot_open(s, text, &c, &no) == 0) {
        snapshot_close(&c);
        return error_set(err, 0, "%s is a container: `hull list --all` and `hull state` tell of it", text);
    }
    return error_set(err, ENOENT, "image %s is not in the store %s", text, s->path);
}

int command_find_image(struct store *s, const char *text, struct store_image *image, struct error *err)
{
    struct found_image found;
    int rc = image_find(s, text, &found, err);

    if (rc < 0)
        return -1;
    if (rc > 0)
        rc = store_name_get(s, found.name ? found.name : found.manifest, image, err);
    return rc > 0 ? 0 : rc < 0 ? -1 : not_found(s, text, err);
}

/* Use is marked first: what is found afterwards, nobody sweeps. */
static int mark_use(struct session *session, const struct found_image *image, struct error *err)
{
    if (session_use(session, digest_hex(image->manifest), err) < 0 ||
        session_use(session, digest_hex(image->config_digest), err) < 0)
        return -1;
    for (size_t i = 0; i < image->layers.n; i++) {
        if (session_use(session, image->layers.v[i], err) < 0)
            return -1;
        if (!store_layer_exists(session->store, image->layers.v[i]))
            return error_set(err, ENOENT, "image store %s: layer %s", session->store->path,
                             image->layers.v[i]);
    }
    return 0;
}

int command_use_image(struct store *s, const char *text, struct session *session, struct found_image *image,
                      struct error *err)
{
    int found = image_find(s, text, image, err);

    if (found <= 0)
        return found < 0 ? -1 : error_set(err, ENOENT, "image %s is not in the store %s", text, s->path);
    if (session_begin(s, session, err) < 0)
        return -1;
    if (mark_use(session, image, err) == 0)
        return 0;
    session_end(session);
    return -1;
}
