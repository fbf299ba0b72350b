/* The root of a container from an image, as the runtime is to get it: for its first start, and for each after it. */
#pragma once

#include "images/volume.h"
#include "runtime/container.h"

struct image_root {
    struct snapshot_mount *mounts; /* the root, then what else overlayfs mounts for it */
    size_t n_mounts;
    struct image_work *work;
    size_t n_work;
    bool keeps_id; /* images/owners.h */
};

/* What is to be done before the container mounts a volume or a path of the host's; containers/ID/work keeps it for each start. */
struct image_work {
    const char *volume;      /* the volume's name: fill it at its first use, or ... */
    const char *destination; /* ... with what the image has there */
    const char *path;        /* the host's: give all of it to ... */
    uint32_t uid, gid;       /* ... these, as whoever mounts the root sees them */
    bool no_copy;
    int dir; /* of the volume, opened */
};

/** Write the list down, once. */
int image_work_write(struct store *s, const struct snapshot *c, const struct image_work *work, size_t n,
                     struct error *err);

/** Set in @o what makes the root of the container @c, by what its directory says of it. @root, the store, @c and @layers (base
 * first) stay until the container runs; then, or after a failure, image_root_close(). */
int image_root_prepare(const struct runtime *rt, struct store *s, const struct snapshot *c,
                       const struct string_list *layers, bool throw_away, struct image_root *root,
                       struct create_options *o, struct error *err);
void image_root_close(struct image_root *root);
