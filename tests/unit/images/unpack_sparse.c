/* Sparse files in each of their forms: the holes are holes, what is between them is where it belongs. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/images/archive.h"

TestSuite(unpack_sparse, .init = make_layers, .fini = remove_layers);

enum { MIB = 1 << 20, PIECE = 4096 };

static struct tar t;
static char pieces[2 * PIECE]; /* at 1 MiB and at 3 MiB of a file of 5 MiB */

static void make_pieces(void)
{
    memset(pieces, 'a', PIECE);
    memset(pieces + PIECE, 'b', PIECE);
}

static void check(const char *name)
{
    struct stat st = stat_at(layers[0], name);
    FILE *f = fdopen(openat(layers[0], name, O_RDONLY), "r");
    static char content[5 * MIB];

    cr_assert_eq(st.st_size, 5 * MIB, "%s", name);
    cr_expect_leq(st.st_blocks, 4 * PIECE / 512, "%s takes %ld blocks", name, (long)st.st_blocks);
    cr_assert(f);
    cr_assert_eq(fread(content, 1, sizeof(content), f), sizeof(content));
    fclose(f);
    for (size_t i = 0; i < sizeof(content); i++) {
        char want = 0;
        if (i >= MIB && i < MIB + PIECE)
            want = 'a';
        if (i >= 3 * MIB && i < 3 * MIB + PIECE)
            want = 'b';
        if (content[i] != want)
            cr_assert_fail("%s: byte %zu", name, i);
    }
}

static void record_number(const char *key, unsigned long n)
{
    char text[24];

    snprintf(text, sizeof(text), "%lu", n);
    tar_record(&t, 'x', key, text, 0);
}

/* Several records of one extended header. */
static void records(const char *text)
{
    TAR(&t, .name = "x", .type = 'x', .content = text);
}

Test(unpack_sparse, pax_0_0)
{
    make_pieces();
    records("22 GNU.sparse.major=0\n22 GNU.sparse.minor=0\n27 GNU.sparse.size=5242880\n"
            "26 GNU.sparse.numblocks=3\n29 GNU.sparse.offset=1048576\n28 GNU.sparse.numbytes=4096\n"
            "29 GNU.sparse.offset=3145728\n28 GNU.sparse.numbytes=4096\n29 GNU.sparse.offset=5242880\n"
            "25 GNU.sparse.numbytes=0\n");
    TAR(&t, .name = "f", .content = pieces, .size = sizeof(pieces));
    must_unpack(&t);
    check("f");
    cr_expect_eq(result.bytes, sizeof(pieces));
}

Test(unpack_sparse, pax_0_1)
{
    make_pieces();
    records("22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n21 GNU.sparse.name=f\n"
            "27 GNU.sparse.size=5242880\n26 GNU.sparse.numblocks=3\n"
            "54 GNU.sparse.map=1048576,4096,3145728,4096,5242880,0\n");
    TAR(&t, .name = "GNUSparseFile.1/f", .content = pieces, .size = sizeof(pieces));
    must_unpack(&t);
    check("f");
}

Test(unpack_sparse, pax_1_0)
{
    char content[512 + sizeof(pieces)] = "3\n1048576\n4096\n3145728\n4096\n5242880\n0\n";

    make_pieces();
    memcpy(content + 512, pieces, sizeof(pieces));
    records("22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=f\n"
            "31 GNU.sparse.realsize=5242880\n");
    TAR(&t, .name = "GNUSparseFile.1/f", .content = content, .size = sizeof(content));
    must_unpack(&t);
    check("f");
}

static void put_octal(char *field, unsigned long n)
{
    for (size_t i = 11; i-- > 0; n >>= 3)
        field[i] = (char)('0' + (n & 7));
}

Test(unpack_sparse, old_gnu)
{
    static const unsigned long map[][2] = {{MIB, PIECE}, {3 * MIB, PIECE}, {5 * MIB, 0}};

    make_pieces();
    TAR(&t, .name = "f", .type = 'S', .content = pieces, .size = sizeof(pieces), .gnu = true);
    for (size_t i = 0; i < 3; i++) {
        put_octal(t.data + 386 + 24 * i, map[i][0]);
        put_octal(t.data + 398 + 24 * i, map[i][1]);
    }
    put_octal(t.data + 483, 5 * MIB);
    tar_checksum(&t, 0);
    must_unpack(&t);
    check("f");
}

/* No archive says so, but runs of zeros need no blocks. */
Test(unpack_sparse, zeros_are_holes)
{
    char *content = calloc(1, 5 * MIB);

    make_pieces();
    memcpy(content + MIB, pieces, PIECE);
    memcpy(content + 3 * MIB, pieces + PIECE, PIECE);
    TAR(&t, .name = "f", .content = content, .size = 5 * MIB);
    free(content);
    must_unpack(&t);
    check("f");
    cr_expect_eq(result.bytes, sizeof(pieces));
}

/* A hard link's file that only a layer below has keeps its holes. */
Test(unpack_sparse, copied_up)
{
    char *content = calloc(1, 5 * MIB);

    make_pieces();
    memcpy(content + MIB, pieces, PIECE);
    memcpy(content + 3 * MIB, pieces + PIECE, PIECE);
    TAR(&t, .name = "f", .content = content, .size = 5 * MIB);
    free(content);
    must_unpack_at(1, &t);
    TAR(&t, .name = "h", .type = '1', .link = "f");
    must_unpack(&t);
    check("f");
    check("h");
}

Test(unpack_sparse, hostile_maps)
{
    static const char *const maps[] = {
        "56 GNU.sparse.map=4096,4096,0,4096,99999999999999999999\n",
        "57 GNU.sparse.map=9223372036854775807,4096,0,1,5242880,0\n",
        "40 GNU.sparse.map=-1,4096,3145728,-4096\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n27 GNU.sparse.size=5242880\n%s", maps[i]);
        records(text);
        TAR(&t, .name = "f", .content = "x");
        tar_end(&t);
        int rc = unpack_at(0, &t, 512);
        cr_expect(rc == 0 || err.message[0]);
        free(t.data);
        t = (struct tar){0};
        remove_layers();
        make_layers();
    }
    record_number("size", 1UL << 62); /* a file of 4 EiB, of which there is nothing */
    TAR(&t, .name = "f", .content = "x");
    must_refuse(&t, "Hull's limit for one file");
}

Test(unpack_sparse, a_hole_beyond_all_sense)
{
    records("22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n36 GNU.sparse.size=1000000000000000\n"
            "41 GNU.sparse.map=0,1,1000000000000000,0\n");
    TAR(&t, .name = "f", .content = "x");
    must_refuse(&t, "Hull's limit for one file");
}

Test(unpack_sparse, content_beyond_the_size)
{
    records("22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n23 GNU.sparse.size=100\n34 "
            "GNU.sparse.map=1000000000000,1\n");
    TAR(&t, .name = "f", .content = "x");
    must_refuse(&t, "its map of holes is wrong");
}
