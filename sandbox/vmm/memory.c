/*
 * Guest memory as memory.h has it. Each region is one anonymous mapping without a reservation of swap: the kernel backs
 * a page when the guest (or a device on its behalf) first touches it, so the mapping's size costs nothing. Huge pages are
 * asked for: most of a boot's exits are first touches of pages. Core dumps leave it out, a child of the VMM does not see it.
 *
 * Invariant after memory_create(): regions ascend, none touches its neighbour (the device hole lies between), no
 * region's end overflows. So a range that is wholly in memory is wholly in one region.
 */
#include "sandbox/vmm/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE       4096ULL
#define HUGE_PAGE  (2ULL << 20)
#define MEMORY_MAX (1ULL << 44) /* what 46 physical address bits hold with room to spare */

/* @size bytes where a huge page of the host's is one of the guest's. */
static void *reserve(uint64_t size)
{
    char *p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return MAP_FAILED;
    uint64_t before = -(uintptr_t)p % HUGE_PAGE;
    if ((before && munmap(p, before)) || munmap(p + before + size, HUGE_PAGE - before))
        return MAP_FAILED;
    (void)madvise(p + before, size, MADV_HUGEPAGE); /* a kernel without them does it page by page */
    return p + before;
}

static int region_map(struct guest_memory *m, uint64_t start, uint64_t size, struct error *err)
{
    void *host = reserve(size);

    if (host == MAP_FAILED)
        return error_set(err, errno, "reserve %llu MiB for the guest's memory",
                         (unsigned long long)size >> 20);
    m->regions[m->n++] = (struct memory_region){.start = start, .size = size, .host = host};
    if (madvise(host, size, MADV_DONTDUMP) || madvise(host, size, MADV_DONTFORK))
        return error_set(err, errno, "keep the guest's memory out of core dumps and children");
    return 0;
}

/* #syscalls: mmap madvise */
int memory_create(struct guest_memory *m, uint64_t size, struct error *err)
{
    uint64_t low = size < MEMORY_HOLE_START ? size : MEMORY_HOLE_START;

    *m = (struct guest_memory){0};
    if (size % PAGE || size < MEMORY_MIN || size > MEMORY_MAX)
        return error_set(
            err, 0, "a guest's memory is a multiple of 4096 bytes from %llu MiB to %llu GiB, not %llu bytes",
            MEMORY_MIN >> 20, MEMORY_MAX >> 30, (unsigned long long)size);
    if (region_map(m, 0, low, err) || (size > low && region_map(m, MEMORY_HOLE_END, size - low, err))) {
        memory_destroy(m);
        return -1;
    }
    return 0;
}

/* #syscalls: munmap */
void memory_destroy(struct guest_memory *m)
{
    while (m->n) {
        m->n--;
        munmap(m->regions[m->n].host, m->regions[m->n].size);
    }
}

void *memory_at(const struct guest_memory *m, uint64_t start, uint64_t length)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct memory_region *r = &m->regions[i];
        if (start < r->start || start - r->start >= r->size)
            continue;
        if (length == 0 || length > r->size - (start - r->start))
            return NULL;
        return r->host + (start - r->start);
    }
    return NULL;
}

int memory_read(const struct guest_memory *m, uint64_t start, void *to, uint64_t length)
{
    const void *from = memory_at(m, start, length);

    if (!from)
        return -1;
    memcpy(to, from, length);
    return 0;
}

int memory_write(const struct guest_memory *m, uint64_t start, const void *from, uint64_t length)
{
    void *to = memory_at(m, start, length);

    if (!to)
        return -1;
    memcpy(to, from, length);
    return 0;
}
