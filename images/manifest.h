/*
 * Manifests and indexes of the OCI image specification and of Docker's schema 2, from hostile bytes to typed views; and an
 * image's configuration. Everything is checked: digests, sizes, numbers of layers; what Hull does not use is left out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "runtime/spec/spec.h"

enum { MANIFEST_MAX_LAYERS = 500, MANIFEST_MAX_ENTRIES = 1000 };

#define MEDIA_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER       "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_INDEX    "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER    "application/vnd.docker.image.rootfs.diff.tar"

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct platform {
    char *os, *architecture, *variant; /* NULL: not said */
};

struct descriptor {
    char *media_type; /* may be NULL in an index */
    char *digest;     /* valid */
    uint64_t size;    /* bytes */
    struct platform platform;
    enum compression compression; /* of a layer, by its media type */
    bool attestation;             /* of an index: no image, but words about one */
};

struct manifest {
    bool is_index;
    char *media_type; /* one of the four above */
    /* a manifest */
    struct descriptor config;
    struct descriptor *layers; /* base first */
    size_t n_layers;
    /* an index */
    struct descriptor *entries;
    size_t n_entries;
};

/** @media_type: what the registry said, or NULL; the document's own mediaType wins, and must fit what it holds. */
int manifest_parse(struct arena *a, const char *text, size_t length, const char *media_type,
                   struct manifest *out, struct error *err);

/** "linux/arm64/v8"; missing parts are this machine's. */
int platform_parse(struct arena *a, const char *text, struct platform *out, struct error *err);
struct platform platform_host(void);

/** The entry for @p: the best fit of variants, attestations left out. NULL with @err: what there is instead. */
const struct descriptor *manifest_choose(struct arena *a, const struct manifest *index,
                                         const struct platform *p, struct error *err);

struct image_history {
    char *created, *created_by, *comment;
    bool empty_layer;
};

/* A key of an object whose values say nothing: "/data": {}. */
struct image_key {
    char *name;
};

/* An image's configuration (config.md). NULL and empty: not said. */
struct image_config {
    struct platform platform;
    char *created, *author;
    char *user, *working_dir, *stop_signal;
    struct string_list env, entrypoint, cmd;
    struct image_key *volumes, *exposed_ports;
    size_t n_volumes, n_exposed_ports;
    struct spec_annotation *labels;
    size_t n_labels;
    struct string_list diff_ids; /* valid digests, one a layer */
    struct image_history *history;
    size_t n_history;
};

int image_config_parse(struct arena *a, const char *text, size_t length, struct image_config *out,
                       struct error *err);
