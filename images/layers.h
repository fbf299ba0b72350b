/*
 * An image's layers, from where they come to trees in the store: each is read, hashed, decompressed, hashed again and
 * unpacked at once, several side by side; those that are there already are not fetched. A layer becomes visible when it
 * is whole, and has the digests and the size that were promised.
 */
#pragma once

#include "images/origin.h"
#include "images/progress.h"
#include "images/store.h"

struct layer {
    struct descriptor blob; /* digest NULL: not known before (archives of docker's) */
    const char *diff_id;    /* NULL: not known before (a plain tar) */
    const char *what;       /* for messages: "layers[2]"; fetch_layers() sets it */

    /* What came: */
    char key[DIGEST_HEX + 1];
    char seen_digest[DIGEST_SIZE], seen_diff_id[DIGEST_SIZE];
    uint64_t seen_size;
    struct bar bar;
};

struct layers_options {
    enum progress_form progress;
    bool user_namespace; /* see struct unpack_options */
};

/**
 * Bring all @n layers, base first, into the store of @session, whose use of them is marked before. On failure the others
 * are stopped, and nothing of what was not whole stays once the session ends.
 */
int layers_fetch(struct session *session, struct origin *origin, struct layer *layers, size_t n,
                 const struct layers_options *o, struct error *err);

/** ChainID (config.md, "Layer ChainID") of a layer on what lies below it (NULL: nothing). */
int layer_chain_id(const char *below, const char *diff_id, char chain[DIGEST_SIZE], struct error *err);

/* layer.json, next to a layer's tree. */
struct layer_record {
    const char *diff_id, *digest, *media_type; /* as it came */
    uint64_t size, bytes;                      /* as it came; of the files in it */
    bool depends;                              /* on what lies below it: see unpack.h */
    bool root_given;                           /* the archive described the root directory: */
    uint32_t root_mode, root_uid, root_gid;
};

/** ENOENT in err->code when the layer is not there. */
int layer_record_read(const struct store *s, const char *key, struct layer_record *out, struct error *err);
