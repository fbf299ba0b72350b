/* Taking out of the store what nothing uses; see store.h for what counts as use. */
#pragma once

#include "images/store.h"

struct sweep_result {
    size_t images, layers, blobs, sessions; /* removed */
    uint64_t bytes;                         /* on the disk, freed */
};

/** @dangling: images without a name go too; @all: and those that no container uses. */
int store_sweep(struct store *s, bool dangling, bool all, struct sweep_result *result, struct error *err);
