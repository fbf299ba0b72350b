/*
 * Decompression as a source. gzip by ISA-L, which is four times as fast as zlib (RFC 1952: any number of members, one after
 * the other, as pigz and eStargz write them; zeros that fill up the end are passed over), zstd by libzstd (any number of
 * frames). The first bytes tell which; what is neither is passed on as it is.
 *
 * The end of the input in the middle of a member or frame is an error: a download that was cut off is no image.
 */
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "images/source.h"

enum {
    OUTPUT_BLOCK = 128 << 10,
    ZSTD_WINDOW_LOG_MAX = 27 /* 128 MiB, as zstd(1) takes: what a frame may ask us to keep */
};

struct decompressor {
    const unsigned char *input; /* of `from`, not yet taken */
    size_t available;
    const unsigned char *after; /* `input` is `head`: what comes after it */
    size_t after_length;
    bool input_ended, sniffed;
    bool between; /* at the start of a member or frame */
    bool full;    /* the buffer was: the library may hold output that needs no more input */
    uint64_t out;
    ssize_t (*step)(struct decompress_source *d, const void **data, struct error *err);
    struct inflate_state inflate;
    ZSTD_DStream *zstd;
    unsigned char head[4]; /* of input that begins with a shorter block */
    unsigned char buffer[OUTPUT_BLOCK];
};

static int fill(struct decompress_source *d, struct error *err)
{
    struct decompressor *z = d->state;
    const void *data;

    if (z->available || z->input_ended)
        return 0;
    if (z->after_length) {
        z->input = z->after;
        z->available = z->after_length;
        z->after_length = 0;
        return 0;
    }
    ssize_t n = d->from->read(d->from, &data, err);
    if (n < 0)
        return -1;
    z->input = data;
    z->available = (size_t)n;
    z->input_ended = n == 0;
    return 0;
}

static ssize_t cut_off(const char *what, struct error *err)
{
    return error_set(err, 0, "the %s data ends in the middle: it was cut off", what);
}

/* --- gzip ---------------------------------------------------------------------------------------------------------- */

static void gzip_member(struct decompressor *z)
{
    isal_inflate_reset(&z->inflate);
    z->inflate.crc_flag = ISAL_GZIP;
}

/* At what the next bytes are inflated from: 1: there is some, or it is in ISA-L already; 0: the end; -1. */
static int gzip_input(struct decompress_source *d, struct error *err)
{
    struct decompressor *z = d->state;

    while (!z->full) {
        if (fill(d, err) < 0)
            return -1;
        while (z->between && z->available && *z->input == 0)
            z->input++, z->available--;
        if (z->available)
            break;
        if (z->input_ended)
            return z->between ? 0 : cut_off("gzip", err);
    }
    return 1;
}

/* Fill the buffer from as much input as that takes. */
static ssize_t gzip_step(struct decompress_source *d, const void **data, struct error *err)
{
    struct decompressor *z = d->state;
    size_t length = 0;

    while (length == 0) {
        int there = gzip_input(d, err);
        if (there <= 0)
            return there;
        z->between = false;
        z->inflate.next_in = (unsigned char *)z->input; /* ISA-L does not write there */
        z->inflate.avail_in = (uint32_t)z->available;
        z->inflate.next_out = z->buffer;
        z->inflate.avail_out = OUTPUT_BLOCK;
        int rc = isal_inflate(&z->inflate);
        if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT)
            return error_set(err, 0, "the gzip data is damaged (ISA-L: %d)", rc);
        z->input += z->available - z->inflate.avail_in;
        z->available = z->inflate.avail_in;
        length = OUTPUT_BLOCK - z->inflate.avail_out;
        z->between = z->inflate.block_state == ISAL_BLOCK_FINISH;
        z->full = length == OUTPUT_BLOCK && !z->between;
        if (z->between)
            gzip_member(z);
    }
    *data = z->buffer;
    return (ssize_t)length;
}

/* --- zstd ---------------------------------------------------------------------------------------------------------- */

static ssize_t zstd_step(struct decompress_source *d, const void **data, struct error *err)
{
    struct decompressor *z = d->state;
    ZSTD_outBuffer out = {.dst = z->buffer, .size = OUTPUT_BLOCK};

    while (out.pos == 0) {
        if (!z->full && fill(d, err) < 0)
            return -1;
        if (!z->full && z->available == 0 && z->input_ended)
            return z->between ? 0 : cut_off("zstd", err);
        ZSTD_inBuffer in = {.src = z->input, .size = z->available};
        size_t rc = ZSTD_decompressStream(z->zstd, &out, &in);
        if (ZSTD_isError(rc))
            return error_set(err, 0, "the zstd data is damaged: %s", ZSTD_getErrorName(rc));
        z->input += in.pos;
        z->available -= in.pos;
        z->between = rc == 0;
        z->full = out.pos == OUTPUT_BLOCK && !z->between;
    }
    *data = z->buffer;
    return (ssize_t)out.pos;
}

/* --- either, or none ----------------------------------------------------------------------------------------------- */

static ssize_t plain_step(struct decompress_source *d, const void **data, struct error *err)
{
    struct decompressor *z = d->state;

    if (fill(d, err) < 0)
        return -1;
    size_t n = z->available;
    *data = z->input;
    z->available = 0;
    return (ssize_t)n;
}

static int start_gzip(struct decompressor *z, struct error *err)
{
    (void)err;
    isal_inflate_init(&z->inflate);
    z->inflate.crc_flag = ISAL_GZIP;
    z->step = gzip_step;
    return 0;
}

static int start_zstd(struct decompressor *z, struct error *err)
{
    z->zstd = ZSTD_createDStream();
    if (!z->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)))
        return error_set(err, 0, "zstd: out of memory");
    z->step = zstd_step;
    return 0;
}

/* The last: any of sixteen skippable frames (3.1.2) before the first, as pzstd writes one. */
static const struct {
    unsigned char magic[4], first_mask;
    size_t length;
    int (*start)(struct decompressor *z, struct error *err);
} formats[] = {
    {{0x1f, 0x8b}, 0xff, 2, start_gzip},             /* RFC 1952, 2.3.1 */
    {{0x28, 0xb5, 0x2f, 0xfd}, 0xff, 4, start_zstd}, /* RFC 8878, 3.1.1 */
    {{0x50, 0x2a, 0x4d, 0x18}, 0xf0, 4, start_zstd},
};

static bool begins_with(const struct decompressor *z, size_t i)
{
    return z->available >= formats[i].length &&
           (z->input[0] & formats[i].first_mask) == formats[i].magic[0] &&
           memcmp(z->input + 1, formats[i].magic + 1, formats[i].length - 1) == 0;
}

/* A download may begin with a block that is shorter than a magic number: put one together. */
static int collect_head(struct decompress_source *d, struct error *err)
{
    struct decompressor *z = d->state;
    size_t n = 0;

    if (fill(d, err) < 0)
        return -1;
    if (z->available >= sizeof(z->head))
        return 0;
    while (n < sizeof(z->head) && !z->input_ended) {
        if (fill(d, err) < 0)
            return -1;
        while (z->available && n < sizeof(z->head)) {
            z->head[n++] = *z->input++;
            z->available--;
        }
    }
    z->after = z->input;
    z->after_length = z->available;
    z->input = z->head;
    z->available = n;
    return 0;
}

static int sniff(struct decompress_source *d, struct error *err)
{
    struct decompressor *z = d->state;

    z->sniffed = true;
    z->step = plain_step;
    if (collect_head(d, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (begins_with(z, i))
            return formats[i].start(z, err);
    return 0;
}

static ssize_t decompress_read(struct source *s, const void **data, struct error *err)
{
    struct decompress_source *d = (struct decompress_source *)s;
    struct decompressor *z = d->state;

    if (!z->sniffed && sniff(d, err) < 0)
        return -1;
    ssize_t n = z->step(d, data, err);
    if (n > 0 && (z->out += (uint64_t)n) > d->max)
        return error_set(err, 0, "the layer unpacks to more than %llu MiB, Hull's limit for one layer",
                         (unsigned long long)d->max >> 20);
    return n;
}

int decompress_source_init(struct decompress_source *d, struct source *from, struct error *err)
{
    *d = (struct decompress_source){.source.read = decompress_read,
                                    .from = from,
                                    .max = DECOMPRESS_MAX,
                                    .state = calloc(1, sizeof(struct decompressor))};
    if (!d->state)
        return error_set(err, ENOMEM, "decompress");
    d->state->between = true;
    return 0;
}

void decompress_source_destroy(struct decompress_source *d)
{
    if (d->state)
        ZSTD_freeDStream(d->state->zstd);
    free(d->state);
    d->state = NULL;
}
