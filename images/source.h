/*
 * Bytes that come a block at a time: from a file, a download, another thread, or through a step that hashes or decompresses
 * them. Whoever reads gets blocks that stay as they are until it asks for the next one.
 */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "images/digest.h"
#include "images/manifest.h"

struct source {
    /** The length of the next block, *data; 0 at the end; -1. */
    ssize_t (*read)(struct source *s, const void **data, struct error *err);
};

/** A file, from its offset to its end. */
struct file_source {
    struct source source;
    int fd;
    unsigned char *buffer;
};
int file_source_init(struct file_source *f, int fd, struct error *err);
void file_source_destroy(struct file_source *f);

/** The digest of what is in memory already. */
int digest_compute(const void *data, size_t length, char digest[DIGEST_SIZE], struct error *err);

/** Passes on what comes from @from; counts and hashes it. */
struct hash_source {
    struct source source, *from;
    EVP_MD_CTX *md;
    uint64_t bytes;
};
int hash_source_init(struct hash_source *h, struct source *from, struct error *err);
/** The digest of all that went through. */
int hash_source_digest(struct hash_source *h, char digest[DIGEST_SIZE], struct error *err);
void hash_source_destroy(struct hash_source *h);

/**
 * What @from is compressed with is seen by its first bytes: gzip (several members too), zstd, or nothing. More than
 * DECOMPRESS_MAX bytes out are an error: no layer is as large, but a bomb may be.
 */
#define DECOMPRESS_MAX (128ULL << 30)
struct decompress_source {
    struct source source, *from;
    uint64_t max;
    struct decompressor *state;
};
int decompress_source_init(struct decompress_source *d, struct source *from, struct error *err);
void decompress_source_destroy(struct decompress_source *d);

/** Compressed: gzip by ISA-L (level 2: about what zlib's 1 makes, in a quarter of the time), zstd at its level 3, or as it
 * is. The same bytes in, the same out. */
struct compress_source {
    struct source source, *from;
    struct compressor *state;
};
int compress_source_init(struct compress_source *c, struct source *from, enum compression how,
                         struct error *err);
void compress_source_destroy(struct compress_source *c);
