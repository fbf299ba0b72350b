/* Decompression: every form that layers come in, whatever the blocks; and what is cut off, damaged or a bomb. */
#include <criterion/criterion.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "tests/unit/images/archive.h"

static char *text; /* of LENGTH bytes: what is compressed */
enum { LENGTH = 300000 };

static void make_text(void)
{
    unsigned state = 1;

    text = malloc(LENGTH);
    for (size_t i = 0; i < LENGTH; i++) {
        state = state * 1103515245 + 12345;
        text[i] = i % 1000 < 700 ? (char)('a' + i % 7) : (char)(state >> 24);
    }
}

static void drop_text(void)
{
    free(text);
}

TestSuite(decompress, .init = make_text, .fini = drop_text);

/* Through compress_source, which so is tested too. Appended to @out. */
static void squeeze(struct tar *out, const void *data, size_t length, enum compression how, size_t block)
{
    static struct memory_source m;
    struct compress_source c;
    const void *piece;
    ssize_t n;

    memory_source_init(&m, data, length, block);
    cr_assert_eq(compress_source_init(&c, &m.source, how, &err), 0);
    while ((n = c.source.read(&c.source, &piece, &err)) > 0)
        tar_bytes(out, piece, (size_t)n);
    cr_assert_eq(n, 0, "%s", err.message);
    cr_assert_eq(c.source.read(&c.source, &piece, &err), 0);
    compress_source_destroy(&c);
}

/* 0 and what comes out is @want; or -1. */
static int expand(const struct tar *in, size_t block, uint64_t max, const char *want, size_t length)
{
    static struct memory_source m;
    struct decompress_source d;
    const void *piece;
    size_t at = 0;
    ssize_t n;

    memory_source_init(&m, in->data, in->length, block);
    cr_assert_eq(decompress_source_init(&d, &m.source, &err), 0);
    d.max = max ? max : d.max;
    while ((n = d.source.read(&d.source, &piece, &err)) > 0) {
        cr_assert(at + (size_t)n <= length && memcmp(want + at, piece, (size_t)n) == 0, "after %zu bytes",
                  at);
        at += (size_t)n;
    }
    decompress_source_destroy(&d);
    if (n == 0)
        cr_expect_eq(at, length);
    return (int)n;
}

static const enum compression all[] = {COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD};
static const size_t blocks[] = {1, 2, 3, 5, 4096, 65536};

Test(decompress, each_form_in_blocks_of_any_size)
{
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct tar z = {0}, other = {0};
        squeeze(&z, text, LENGTH, all[i], 65536);
        squeeze(&other, text, LENGTH, all[i], 777);
        cr_expect(z.length == other.length && memcmp(z.data, other.data, z.length) == 0,
                  "not the same again");
        if (all[i])
            cr_expect_lt(z.length, LENGTH / 2);
        for (size_t k = 0; k < ARRAY_SIZE(blocks); k++)
            cr_expect_eq(expand(&z, blocks[k], 0, text, LENGTH), 0, "%zu by %zu: %s", i, blocks[k],
                         err.message);
        free(z.data);
        free(other.data);
    }
}

/* All of the input is taken long before all of the output is out. */
Test(decompress, what_the_library_still_holds)
{
    enum { ZEROS = 5 << 20 };
    char *zeros = calloc(1, ZEROS);

    for (size_t i = 1; i < ARRAY_SIZE(all); i++)
        for (size_t length = ZEROS - 3; length <= ZEROS; length++) {
            struct tar z = {0};
            squeeze(&z, zeros, length, all[i], 65536);
            cr_expect_eq(expand(&z, 65536, 0, zeros, length), 0, "%s", err.message);
            cr_expect_eq(expand(&z, 10, 0, zeros, length), 0, "%s", err.message);
            free(z.data);
        }
    free(zeros);
}

Test(decompress, members_and_frames)
{
    static const char skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'};
    static const char another[] = {0x5f, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'};

    for (size_t k = 0; k < ARRAY_SIZE(blocks); k++)
        for (size_t i = 1; i < ARRAY_SIZE(all); i++) {
            struct tar z = {0};
            if (all[i] == COMPRESSION_ZSTD)
                tar_bytes(&z, k % 2 ? skippable : another, k % 2 ? sizeof(skippable) : sizeof(another));
            squeeze(&z, text, 1000, all[i], 512);
            squeeze(&z, text, 0, all[i], 512);
            if (all[i] == COMPRESSION_ZSTD)
                tar_bytes(&z, skippable, sizeof(skippable));
            squeeze(&z, text + 1000, LENGTH - 1000, all[i], 512);
            if (all[i] == COMPRESSION_GZIP)
                tar_bytes(&z, "\0\0\0\0\0", 5);
            if (all[i] == COMPRESSION_ZSTD)
                tar_bytes(&z, skippable, sizeof(skippable));
            cr_expect_eq(expand(&z, blocks[k], 0, text, LENGTH), 0, "%s", err.message);
            free(z.data);
        }
}

Test(decompress, cut_off)
{
    for (size_t i = 1; i < ARRAY_SIZE(all); i++) {
        struct tar z = {0};
        squeeze(&z, text, 3000, all[i], 65536);
        size_t whole = z.length;
        for (z.length = 4; z.length < whole; z.length++) {
            cr_expect_lt(expand(&z, 65536, 0, text, 3000), 0, "%zu of %zu", z.length, whole);
            cr_expect(strstr(err.message, "cut off"), "%s", err.message);
        }
        free(z.data);
    }
}

Test(decompress, damaged)
{
    for (size_t i = 1; i < ARRAY_SIZE(all); i++) {
        struct tar z = {0};
        squeeze(&z, text, 3000, all[i], 65536);
        z.data[z.length - 1] ^= 1; /* of the length (gzip), of the checksum (zstd) */
        cr_expect_lt(expand(&z, 65536, 0, text, 3000), 0);
        cr_expect(strstr(err.message, "damaged"), "%s", err.message);
        z.data[z.length - 1] ^= 1;
        tar_bytes(&z, "garbage", 7);
        cr_expect_lt(expand(&z, 65536, 0, text, 3000), 0);
        cr_expect(strstr(err.message, "damaged") || strstr(err.message, "cut off"), "%s", err.message);
        free(z.data);
    }
}

Test(decompress, short_and_empty)
{
    static const char *const samples[] = {"", "a", "ab", "abc", "abcd", "\x1f", "\x28\xb5\x2f"};

    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct tar z = {.data = (char *)samples[i], .length = strlen(samples[i])};
        cr_expect_eq(expand(&z, 1, 0, samples[i], z.length), 0);
        cr_expect_eq(expand(&z, 64, 0, samples[i], z.length), 0);
    }
}

Test(decompress, bombs)
{
    struct tar z = {0};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        z.length = 0;
        squeeze(&z, text, LENGTH, all[i], 65536);
        cr_expect_lt(expand(&z, 65536, 200000, text, LENGTH), 0);
        cr_expect(strstr(err.message, "Hull's limit"), "%s", err.message);
        cr_expect_eq(expand(&z, 65536, LENGTH, text, LENGTH), 0);
    }
    /* A frame that asks for a window of 2 GiB: its header alone. */
    z.length = 0;
    tar_bytes(&z, "\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9);
    cr_expect_lt(expand(&z, 64, 0, "", 0), 0);
    cr_expect(strstr(err.message, "too much memory"), "%s", err.message);
    free(z.data);
}
