/* Hostile gzip and zstd, in blocks of any size: an end or an error, and never more than the limit. */
#include <stdlib.h>
#include <string.h>

#include "images/source.h"

enum { LIMIT = 4 << 20, BLOCK_MAX = 4096 };

struct memory {
    struct source source;
    const uint8_t *data;
    size_t length, block;
    char copy[BLOCK_MAX]; /* so that the sanitizer sees what is read behind a block */
};

static ssize_t memory_read(struct source *s, const void **data, struct error *err)
{
    struct memory *m = (struct memory *)s;
    size_t n = m->length < m->block ? m->length : m->block;

    (void)err;
    memcpy(m->copy + BLOCK_MAX - n, m->data, n);
    *data = m->copy + BLOCK_MAX - n;
    m->data += n;
    m->length -= n;
    return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t blocks[] = {1, 3, 100, BLOCK_MAX};
    static struct error err;
    struct decompress_source d;
    const void *piece;
    size_t out = 0;
    ssize_t n;

    if (size == 0)
        return 0;
    struct memory *m = malloc(sizeof(*m));
    *m = (struct memory){.source.read = memory_read,
                         .data = data + 1,
                         .length = size - 1,
                         .block = blocks[data[0] % ARRAY_SIZE(blocks)]};
    if (decompress_source_init(&d, &m->source, &err) < 0)
        abort();
    d.max = LIMIT;
    while ((n = d.source.read(&d.source, &piece, &err)) > 0) {
        unsigned char sum = 0;
        for (ssize_t i = 0; i < n; i += 64)
            sum ^= ((const unsigned char *)piece)[i];
        out += (size_t)n + (sum & 0);
    }
    if (out > LIMIT || (n < 0 && !err.message[0]))
        abort();
    decompress_source_destroy(&d);
    free(m);
    return 0;
}
