/* The guest's memory: where its regions are, what is inside them, and that nothing is touched in advance. */
#include "sandbox/vmm/memory.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define GIB (1ULL << 30)
#define MIB (1ULL << 20)

static long resident_kib(void)
{
    long total, pages = -1;
    FILE *f = fopen("/proc/self/statm", "re");
    cr_assert(f && fscanf(f, "%ld %ld", &total, &pages) == 2);
    fclose(f);
    return pages * 4;
}

Test(sandbox_memory, the_hole_lies_between_two_regions)
{
    struct guest_memory m;
    struct error err;
    cr_assert_eq(memory_create(&m, 3 * GIB, &err), 0, "%s", err.message);
    cr_expect_eq(m.n, 1, "3 GiB end where the hole starts");
    cr_expect_eq(m.regions[0].size, MEMORY_HOLE_START);
    memory_destroy(&m);

    cr_assert_eq(memory_create(&m, 3 * GIB + 4096, &err), 0, "%s", err.message);
    cr_assert_eq(m.n, 2);
    cr_expect_eq(m.regions[1].start, MEMORY_HOLE_END);
    cr_expect_eq(m.regions[1].size, 4096);
    memory_destroy(&m);
    cr_expect_eq(m.n, 0);
}

Test(sandbox_memory, pages_cost_when_touched)
{
    struct guest_memory m;
    struct error err;
    long before = resident_kib();
    cr_assert_eq(memory_create(&m, 64 * GIB, &err), 0, "%s", err.message);
    cr_expect_lt(resident_kib() - before, 1024);
    memset(memory_at(&m, 16 * MIB, 8 * MIB), 1, 8 * MIB);
    long cost = resident_kib() - before;
    cr_expect(cost >= 8 << 10 && cost < 12 << 10, "8 MiB touched cost %ld KiB", cost);
    memory_destroy(&m);
}

Test(sandbox_memory, a_huge_page_of_the_hosts_is_one_of_the_guests)
{
    struct guest_memory m;
    struct error err;
    cr_assert_eq(memory_create(&m, 4 * GIB + 4096, &err), 0, "%s", err.message);
    cr_assert_eq(m.n, 2);
    for (size_t i = 0; i < m.n; i++) {
        cr_expect_eq(((uintptr_t)m.regions[i].host - m.regions[i].start) % (2 * MIB), 0, "region %zu", i);
        m.regions[i].host[m.regions[i].size - 1] = 1;
    }
    memory_destroy(&m);
}

Test(sandbox_memory, sizes_that_are_none)
{
    static const uint64_t sizes[] = {0, 4096, MEMORY_MIN - 4096, MEMORY_MIN + 1, 1ULL << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct guest_memory m;
        struct error err;
        cr_expect_eq(memory_create(&m, sizes[i], &err), -1);
        cr_expect(strstr(err.message, "multiple of 4096"), "%s", err.message);
        cr_expect_eq(m.n, 0);
    }
}

Test(sandbox_memory, ranges_are_inside_or_nowhere)
{
    static const struct {
        uint64_t start, length;
        bool inside;
    } ranges[] = {
        {0, 1, true},
        {0, 3 * GIB, true},
        {0, 3 * GIB + 1, false},
        {0, 0, false},
        {3 * GIB - 1, 1, true},
        {3 * GIB - 1, 2, false},
        {3 * GIB, 1, false},
        {4 * GIB - 1, 2, false},
        {4 * GIB, GIB, true},
        {4 * GIB, GIB + 1, false},
        {5 * GIB - 8, 8, true},
        {5 * GIB - 8, 9, false},
        {5 * GIB, 1, false},
        {16, UINT64_MAX, false},
        {16, UINT64_MAX - 15, false},
        {5 * GIB - 8, UINT64_MAX - 4, false},
        {UINT64_MAX, 1, false},
        {UINT64_MAX, UINT64_MAX, false},
    };
    struct guest_memory m;
    struct error err;
    cr_assert_eq(memory_create(&m, 4 * GIB, &err), 0, "%s", err.message);
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
        cr_expect_eq(memory_at(&m, ranges[i].start, ranges[i].length) != NULL, ranges[i].inside,
                     "%#llx+%#llx", (unsigned long long)ranges[i].start,
                     (unsigned long long)ranges[i].length);

    char text[4];
    cr_expect_eq(memory_write(&m, 5 * GIB - 4, "abc", 4), 0);
    cr_expect_eq(memory_read(&m, 5 * GIB - 4, text, 4), 0);
    cr_expect_str_eq(text, "abc");
    cr_expect_eq(memory_write(&m, 5 * GIB - 3, "abc", 4), -1);
    cr_expect_eq(memory_read(&m, 3 * GIB - 2, text, 4), -1);
    cr_expect_eq(memory_at(&m, 4 * GIB, 1), m.regions[1].host);
    memory_destroy(&m);
}
