/* One image's documents, read and put side by side; see info.h. */
#include "images/info.h"

#include <time.h>

#include "images/layers.h"

/* RFC 3339, to seconds; what is behind them and the zone's own form does not matter for a list. */
static uint64_t parse_time(const char *text)
{
    struct tm tm = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    time_t t = rest ? timegm(&tm) : 0;

    return t > 0 ? (uint64_t)t : 0;
}

static int read_documents(const struct store *s, struct image_info *out, struct error *err)
{
    char *text;

    if (store_blob_read(s, out->image.manifest, &text, &out->manifest_length, err) < 0 ||
        manifest_parse(s->arena, text, out->manifest_length, NULL, &out->manifest, err) < 0)
        return -1;
    out->manifest_text = text;
    if (out->manifest.is_index)
        return error_set(err, 0, "%s is an index, not a manifest", out->image.manifest);
    out->config = out->manifest.config.digest;
    if (store_blob_read(s, out->config, &text, &out->config_length, err) < 0 ||
        image_config_parse(s->arena, text, out->config_length, &out->settings, err) < 0)
        return -1;
    out->config_text = text;
    return 0;
}

int image_info_read(const struct store *s, const struct store_image *image, struct image_info *out,
                    struct error *err)
{
    *out = (struct image_info){.image = *image};
    if (read_documents(s, out, err) < 0 || store_stack(s, out->config, &out->keys, err) < 0)
        return error_wrap(err, "image %s", image->name ? image->name : image->manifest);
    out->created = parse_time(out->settings.created);
    out->layer_bytes = arena_new_n(s->arena, out->keys.n + 1, uint64_t);
    for (size_t i = 0; i < out->keys.n; i++) {
        struct layer_record record;

        if (layer_record_read(s, out->keys.v[i], &record, err) < 0)
            return error_wrap(err, "image %s", image->name ? image->name : image->manifest);
        out->layer_bytes[i] = record.bytes;
        out->bytes += record.bytes;
    }
    return 0;
}
