/* The bus: who is called for what, and what an access gets that is nobody's. */
#include "sandbox/vmm/bus.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char calls[256];

static void note(void *handler, uint64_t offset, void *data, uint32_t length, bool write)
{
    size_t n = strlen(calls);
    snprintf(calls + n, sizeof(calls) - n, "%s%llu.%u%c ", (char *)handler, (unsigned long long)offset,
             length, write ? 'w' : 'r');
    if (!write)
        memset(data, 0, length);
}

static int add(struct bus *b, uint64_t start, uint64_t length, char *name)
{
    struct error err;
    return bus_add(b, &(struct bus_range){start, length, note, name}, &err);
}

Test(sandbox_bus, ranges_do_not_overlap)
{
    struct bus b = {0};
    cr_expect_eq(add(&b, 0x100, 0x10, "a"), 0);
    cr_expect_eq(add(&b, 0x120, 0x10, "b"), 0);
    cr_expect_eq(add(&b, 0x110, 0x10, "c"), 0, "between them");
    cr_expect_eq(add(&b, 0x10f, 1, "x"), -1);
    cr_expect_eq(add(&b, 0x100, 0x10, "x"), -1);
    cr_expect_eq(add(&b, 0xff, 2, "x"), -1);
    cr_expect_eq(add(&b, 0, 0x1000, "x"), -1);
    cr_expect_eq(add(&b, 0x12f, 1, "x"), -1);
    cr_expect_eq(add(&b, 0x200, 0, "x"), -1);
    cr_expect_eq(add(&b, UINT64_MAX, 2, "x"), -1);
    cr_expect_eq(add(&b, UINT64_MAX, 1, "d"), 0);
    cr_expect_eq(add(&b, 0, 0x100, "e"), 0);
    cr_expect_eq(b.n, 5);
    for (size_t i = 1; i < b.n; i++)
        cr_expect_lt(b.ranges[i - 1].start, b.ranges[i].start);
    while (b.n < BUS_MAX_RANGES)
        cr_assert_eq(add(&b, 0x1000 + b.n, 1, "f"), 0);
    cr_expect_eq(add(&b, 0x5000, 1, "x"), -1, "it is full");
}

Test(sandbox_bus, accesses_reach_their_handler)
{
    struct bus b = {0};
    uint64_t data = 0;
    bus_access(&b, 5, &data, 4, false);
    cr_expect_eq(data, 0xffffffff, "an empty bus");
    add(&b, 0x100, 0x10, "a");
    add(&b, 0x200, 4, "b");
    calls[0] = '\0';
    bus_access(&b, 0x100, &data, 1, false);
    bus_access(&b, 0x108, &data, 8, true);
    bus_access(&b, 0x200, &data, 4, true);
    bus_access(&b, 0x203, &data, 1, false);
    cr_expect_str_eq(calls, "a0.1r a8.8w b0.4w b3.1r ");
}

Test(sandbox_bus, what_nobody_has_is_all_ones)
{
    static const struct {
        uint64_t address;
        uint32_t length;
    } misses[] = {{0xff, 1},  {0xff, 2},  {0x110, 1}, {0x10f, 2},
                  {0x109, 8}, {0x100, 3}, {0x100, 5}, {UINT64_MAX, 8}};
    struct bus b = {0};
    add(&b, 0x100, 0x10, "a");
    calls[0] = '\0';
    for (size_t i = 0; i < sizeof(misses) / sizeof(*misses); i++) {
        unsigned char data[9] = {0}, ones[8];
        memset(ones, 0xff, sizeof(ones));
        bus_access(&b, misses[i].address, data, misses[i].length, true);
        bus_access(&b, misses[i].address, data, misses[i].length, false);
        cr_expect_arr_eq(data, ones, misses[i].length);
        cr_expect_eq(data[misses[i].length], 0);
    }
    cr_expect_str_eq(calls, "");
}
