/* The root of a container from an image, as the runtime is to get it: for `run --image`, and for whoever starts one again. */
#pragma once

#include "images/snapshot.h"
#include "runtime/container.h"

struct image_root {
    struct snapshot_mount mount;
    int userns; /* of a container that root gives one, else -1 */
};

/** Set in @o what makes the root of the container @c, by what its directory says of it. @root, the store, @c and @layers (base
 * first) stay until the container runs; then image_root_close(). */
int image_root_prepare(const struct runtime *rt, const struct store *s, const struct snapshot *c,
                       const struct string_list *layers, bool throw_away, struct image_root *root,
                       struct create_options *o, struct error *err);
void image_root_close(struct image_root *root);
