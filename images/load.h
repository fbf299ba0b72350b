/*
 * Images from what others saved: an OCI image layout (image-layout.md) as a directory or a tar archive, or docker's own
 * archive (manifest.json); and a plain tar of a root directory.
 */
#pragma once

#include "images/pull.h"

struct load {
    struct store *store;
    const struct platform *platform; /* asked for, or NULL */
    struct layers_options layers;
    const char *name; /* call the (only) image so, normalized; NULL: as the archive says */
    const struct image_config
        *config; /* of an import: how its containers are run (images/change.h); or NULL */
};

struct loaded {
    struct pulled *v;
    struct string_list *names; /* of each */
    size_t n;
};

/** All images of the archive or directory @path ("-": standard input). */
int load_images(const struct load *l, const char *path, struct loaded *out, struct error *err);

/** An image whose one layer is the tar archive @path. */
int import_tar(const struct load *l, const char *path, const char *message, struct pulled *out,
               struct error *err);
