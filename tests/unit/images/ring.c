/* The ring between two threads, and ChainIDs. */
#include "images/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "images/layers.h"

/* Blocks of growing length whose bytes count on; then the end, or a failure. */
struct counting_source {
    struct source source;
    size_t left, block;
    unsigned char next, data[3 * RING_BLOCK];
    bool fails;
};

static ssize_t counting_read(struct source *s, const void **data, struct error *err)
{
    struct counting_source *c = (struct counting_source *)s;
    size_t n = c->left < c->block ? c->left : c->block;

    if (n == 0 && c->fails)
        return error_set(err, EIO, "the source broke");
    for (size_t i = 0; i < n; i++)
        c->data[i] = c->next++;
    c->left -= n;
    c->block = c->block * 3 / 2 < sizeof(c->data) ? c->block * 3 / 2 : sizeof(c->data);
    *data = c->data;
    return (ssize_t)n;
}

static struct counting_source from;
static struct ring_source ring;
static struct error err;

static void begin(size_t length, bool fails)
{
    from =
        (struct counting_source){.source.read = counting_read, .left = length, .block = 1000, .fails = fails};
    cr_assert_eq(ring_source_init(&ring, &from.source, &err), 0, "%s", err.message);
}

/* Reads up to the end; how much came. */
static size_t read_all(ssize_t *last)
{
    unsigned char expected = 0;
    const void *data;
    size_t total = 0;

    while ((*last = ring.source.read(&ring.source, &data, &err)) > 0) {
        cr_assert_leq(*last, RING_BLOCK);
        for (ssize_t i = 0; i < *last; i++)
            cr_assert_eq(((const unsigned char *)data)[i], expected++, "byte %zu", total + (size_t)i);
        total += (size_t)*last;
    }
    return total;
}

Test(ring, all_comes_in_order, .timeout = 20)
{
    ssize_t last;

    begin(20 * RING_BLOCK + 7, false);
    cr_expect_eq(read_all(&last), 20U * RING_BLOCK + 7);
    cr_expect_eq(last, 0);
    ring_source_stop(&ring);
    ring_source_stop(&ring); /* again is nothing */
}

Test(ring, a_failure_comes_after_what_was_read, .timeout = 20)
{
    ssize_t last;

    begin(5 * RING_BLOCK, true);
    cr_expect_eq(read_all(&last), 5U * RING_BLOCK);
    cr_expect_eq(last, -1);
    cr_expect_str_eq(err.message, "the source broke: Input/output error");
    ring_source_stop(&ring);
}

Test(ring, who_stops_early_waits_for_nobody, .timeout = 20)
{
    const void *data;

    begin((size_t)1 << 40, false);
    cr_expect_gt(ring.source.read(&ring.source, &data, &err), 0);
    ring_source_stop(&ring);
    begin((size_t)1 << 40, false); /* full, and nobody ever read */
    ring_source_stop(&ring);
}

/* config.md's rule: sha256 of "ChainID of what is below" + " " + "diff_id"; these were computed by sha256sum. */
Test(layers, a_chain_id_speaks_for_all_that_is_below)
{
    static const char first[] = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    char one[DIGEST_SIZE], two[DIGEST_SIZE];

    cr_assert_eq(layer_chain_id(NULL, first, one, &err), 0);
    cr_expect_str_eq(one, first);
    cr_assert_eq(layer_chain_id(one, first, two, &err), 0);
    cr_expect_str_eq(two, "sha256:de9d9016b852e46e9f3973e20d3a6d17e120f7144931d50cd6e2a8ad53e81960");
}
