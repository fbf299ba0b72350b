/* Images to registries. */
#pragma once

#include "images/export.h"
#include "images/reference.h"
#include "images/registry.h"

struct push {
    struct store *store;
    struct registry *registry;
    struct reference destination; /* its domain, path and tag */
    enum compression compression;
    enum progress_form progress;
};

/** What the registry has is not sent again, nor what it can take from another repository of its own, which an image of the store
 * came from; if it has all layers as the image's own manifest names them, that manifest is what
 * it gets, and the image keeps its digest. @digest: of the manifest that it got. */
int push_image(const struct push *p, const struct image_info *info, char digest[DIGEST_SIZE],
               struct error *err);
