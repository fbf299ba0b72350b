/*
 * Where an image's documents and layers come from: a registry, an archive, a directory. What an origin gives is not
 * trusted: whoever asks verifies digests and sizes (images/pull.c, images/layers.c).
 */
#pragma once

#include "base/arena.h"
#include "images/manifest.h"
#include "images/source.h"

struct origin {
    /** A manifest or configuration, whole. */
    int (*document)(struct origin *o, struct arena *a, const struct descriptor *d, char **data,
                    size_t *length, struct error *err);
    /** The bytes of a layer as they come. Called, and read from, by several threads at once. */
    int (*open)(struct origin *o, const struct descriptor *d, struct source **layer, struct error *err);
    /** Also before the end was read. */
    void (*close)(struct origin *o, struct source *layer);
    /** All reading fails from now on: one layer has failed, and the others need not be waited for. May be NULL. */
    void (*cancel)(struct origin *o);
};
