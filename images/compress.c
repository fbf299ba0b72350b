/*
 * Compression as a source: gzip (RFC 1952, one member, no time and name in it) by ISA-L, zstd (RFC 8878, one frame with its
 * checksum) by libzstd. On one machine both give
 * the same bytes for the same input, however it comes in blocks.
 */
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "images/source.h"

enum { INPUT_BLOCK = 256 << 10, OUTPUT_BLOCK = 256 << 10, GZIP_LEVEL = 2, ZSTD_LEVEL = 3 };

struct compressor {
    size_t gathered, taken; /* of `input` */
    bool input_ended, ended;
    const unsigned char *block; /* of `from`, not yet gathered */
    size_t block_length;
    int (*step)(struct compress_source *c, size_t *length, struct error *err);
    struct isal_zstream gzip;
    ZSTD_CStream *zstd;
    unsigned char level_buffer[ISAL_DEF_LVL2_DEFAULT];
    unsigned char input[INPUT_BLOCK], buffer[OUTPUT_BLOCK];
};

static int gzip_step(struct compress_source *c, size_t *length, struct error *err)
{
    struct compressor *z = c->state;
    struct isal_zstream *s = &z->gzip;

    s->next_in = z->input + z->taken;
    s->avail_in = (uint32_t)(z->gathered - z->taken);
    s->next_out = z->buffer;
    s->avail_out = OUTPUT_BLOCK;
    s->end_of_stream = z->input_ended;
    int rc = isal_deflate(s);
    if (rc != COMP_OK)
        return error_set(err, 0, "gzip: ISA-L says %d", rc);
    z->taken = z->gathered - s->avail_in;
    z->ended = s->internal_state.state == ZSTATE_END;
    *length = OUTPUT_BLOCK - s->avail_out;
    return 0;
}

static int zstd_step(struct compress_source *c, size_t *length, struct error *err)
{
    struct compressor *z = c->state;
    ZSTD_inBuffer in = {.src = z->input + z->taken, .size = z->gathered - z->taken};
    ZSTD_outBuffer out = {.dst = z->buffer, .size = OUTPUT_BLOCK};
    size_t left = ZSTD_compressStream2(z->zstd, &out, &in, z->input_ended ? ZSTD_e_end : ZSTD_e_continue);

    if (ZSTD_isError(left))
        return error_set(err, 0, "zstd: %s", ZSTD_getErrorName(left));
    z->taken += in.pos;
    z->ended = z->input_ended && left == 0;
    *length = out.pos;
    return 0;
}

/* Fill `input`, however `from` comes: ISA-L's output depends on the pieces it is given. */
static int gather(struct compress_source *c, struct error *err)
{
    struct compressor *z = c->state;

    z->gathered = z->taken = 0;
    while (z->gathered < INPUT_BLOCK && !z->input_ended) {
        if (z->block_length == 0) {
            const void *data;
            ssize_t n = c->from->read(c->from, &data, err);
            if (n < 0)
                return -1;
            z->block = data;
            z->block_length = (size_t)n;
            z->input_ended = n == 0;
        }
        size_t n = INPUT_BLOCK - z->gathered;
        if (n > z->block_length)
            n = z->block_length;
        if (n)
            memcpy(z->input + z->gathered, z->block, n);
        z->gathered += n;
        z->block += n;
        z->block_length -= n;
    }
    return 0;
}

static ssize_t compress_read(struct source *s, const void **data, struct error *err)
{
    struct compress_source *c = (struct compress_source *)s;
    struct compressor *z = c->state;
    size_t length = 0;

    while (length == 0 && !z->ended) {
        if (z->taken == z->gathered && !z->input_ended && gather(c, err) < 0)
            return -1;
        if (z->step(c, &length, err) < 0)
            return -1;
    }
    *data = z->buffer;
    return (ssize_t)length;
}

static ssize_t pass_on(struct source *s, const void **data, struct error *err)
{
    struct compress_source *c = (struct compress_source *)s;

    return c->from->read(c->from, data, err);
}

static int start_gzip(struct compressor *z, struct error *err)
{
    (void)err;
    isal_deflate_init(&z->gzip);
    z->gzip.level = GZIP_LEVEL;
    z->gzip.level_buf = z->level_buffer;
    z->gzip.level_buf_size = sizeof(z->level_buffer);
    z->gzip.gzip_flag = IGZIP_GZIP;
    z->step = gzip_step;
    return 0;
}

static int start_zstd(struct compressor *z, struct error *err)
{
    z->zstd = ZSTD_createCStream();
    if (!z->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_checksumFlag, 1)))
        return error_set(err, 0, "zstd: out of memory");
    z->step = zstd_step;
    return 0;
}

int compress_source_init(struct compress_source *c, struct source *from, enum compression how,
                         struct error *err)
{
    *c = (struct compress_source){.source.read = pass_on, .from = from};
    if (how == COMPRESSION_NONE)
        return 0;
    c->source.read = compress_read;
    c->state = calloc(1, sizeof(*c->state));
    if (!c->state)
        return error_set(err, ENOMEM, "compress");
    if ((how == COMPRESSION_GZIP ? start_gzip : start_zstd)(c->state, err) == 0)
        return 0;
    compress_source_destroy(c);
    return -1;
}

void compress_source_destroy(struct compress_source *c)
{
    if (c->state)
        ZSTD_freeCStream(c->state->zstd);
    free(c->state);
    c->state = NULL;
}
