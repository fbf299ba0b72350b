/*
 * An image from an origin into the store: documents, layers, stack, names, in this order, so that whatever has a name is
 * whole. All is done in a session; when something fails, or the process is killed, the store is as before.
 */
#pragma once

#include "images/layers.h"
#include "images/origin.h"

struct pull {
    struct store *store;
    struct origin *origin;
    const struct platform *platform; /* asked for; NULL: this machine's, or what there is */
    struct layers_options layers;
};

/** What is not said fits. Variants do not count. */
bool platform_fits(const struct platform *has, const struct platform *wanted);

struct pulled {
    char manifest[DIGEST_SIZE], config[DIGEST_SIZE]; /* the image's id is the configuration's */
};

/** The image that the manifest or index @text is about. @media_type: what the origin said, or NULL. @names: what to call it
 * (normalized); none: it dangles. */
int pull_manifest(const struct pull *p, const char *text, size_t length, const char *media_type,
                  const struct string_list *names, struct pulled *out, struct error *err);

/** The image of a configuration and its layers (base first, one for each diff_id), of which no manifest is known. */
int pull_config(const struct pull *p, const char *config, size_t length, struct layer *layers, size_t n,
                const struct string_list *names, struct pulled *out, struct error *err);

/** One layer becomes an image. @make writes its configuration, once the layer's digests are known. */
int pull_layer(const struct pull *p, struct layer *layer,
               char *(*make)(struct arena *a, const struct layer *layer, const void *context, size_t *length),
               const void *context, const struct string_list *names, struct pulled *out, struct error *err);

/** An OCI manifest of these. The layers' blobs are as seen_* and their media types say. */
char *pull_write_manifest(struct arena *a, const char *config_digest, size_t config_size,
                          const struct layer *layers, size_t n, size_t *length);
