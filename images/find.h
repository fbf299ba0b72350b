/* An image of the store, by what people write. */
#pragma once

#include "images/manifest.h"
#include "images/store.h"

struct found_image {
    const char *name;     /* one of its names; NULL: it has none */
    const char *manifest; /* digests */
    const char *config_digest;
    struct image_config config;
    struct string_list layers; /* keys, base first */
};

enum { IMAGE_ID_MIN = 4 /* hex digits that are taken for an id */ };

/**
 * @text, in this order: a name as it is kept; docker.io/library/@text; localhost/@text; the only name that ends so after a
 * "/" (two: an error that lists them); a manifest's digest; an image id (its configuration's digest), or the first
 * IMAGE_ID_MIN or more digits of one. The tag is "latest" when there is none.
 * 1: found; 0: not there; -1. Hold the store's lock, or somebody else's sweep may take what was found.
 */
int image_find(struct store *s, const char *text, struct found_image *out, struct error *err);
