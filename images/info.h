/* What the store knows of an image, in one view. */
#pragma once

#include "images/manifest.h"
#include "images/store.h"

struct image_info {
    struct store_image image;
    const char *config; /* its digest: the image's id */
    struct manifest manifest;
    struct image_config settings;
    struct string_list keys; /* of its layers */
    const char *manifest_text, *config_text;
    size_t manifest_length, config_length;
    uint64_t *layer_bytes; /* of the files in each layer */
    uint64_t bytes;        /* of all */
    uint64_t created;      /* seconds since 1970; 0: not said */
};

int image_info_read(const struct store *s, const struct store_image *image, struct image_info *out,
                    struct error *err);
