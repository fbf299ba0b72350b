/*
 * Layers of the store as archives again, for push and save. The archive that a layer came as is made anew bit by bit
 * (skeleton.h); where that is not possible, because somebody changed the tree, it is packed as it now is (pack.h), and the
 * image gets a configuration that says so.
 */
#pragma once

#include "images/info.h"
#include "images/layers.h"

/* A layer's archive, in a file without a name. */
struct exported_layer {
    int fd; /* -1: none */
    char digest[DIGEST_SIZE], diff_id[DIGEST_SIZE];
    uint64_t size;
    const char *media_type;
};

/** Layer @key of the store. @how it is to be compressed. */
int export_layer(struct session *session, const char *key, enum compression how, struct exported_layer *out,
                 struct error *err);
/** A tree of one's own. */
int export_tree(struct session *session, int tree, enum compression how, struct exported_layer *out,
                struct error *err);
void exported_layer_free(struct exported_layer *e);

/** Keep all that @info names from being swept while the session lives. Fails if something of it is gone already. */
int export_use(struct session *session, const struct image_info *info, struct error *err);

/** The configuration with these diff_ids: the very same text if it has them already. */
int export_config(struct arena *a, const struct image_info *info, const struct layer *layers, size_t n,
                  const char **text, size_t *length, struct error *err);
