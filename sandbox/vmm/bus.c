/*
 * Port and memory-mapped accesses find their handler by binary search in a sorted array that no longer changes once the
 * guest runs; so every vCPU thread may look it up without a lock (what a handler needs of one is its own matter).
 *
 * A handler is only called for what lies wholly in its range. An access that straddles an end belongs to nobody, as one
 * to empty space does: reads give all ones, as an undriven bus of a PC, and writes vanish.
 */
#include "sandbox/vmm/bus.h"

#include <string.h>

int bus_add(struct bus *b, const struct bus_range *range, struct error *err)
{
    size_t at = 0;

    if (range->length == 0 || range->start + (range->length - 1) < range->start)
        return error_set(err, 0, "bus range %#llx+%#llx is empty or wraps", (unsigned long long)range->start,
                         (unsigned long long)range->length);
    if (b->n == BUS_MAX_RANGES)
        return error_set(err, 0, "more than %d bus ranges", BUS_MAX_RANGES);
    while (at < b->n && b->ranges[at].start <= range->start)
        at++;

    const struct bus_range *before = at ? &b->ranges[at - 1] : NULL, *after = &b->ranges[at];
    if ((before && range->start - before->start < before->length) ||
        (at < b->n && after->start - range->start < range->length))
        return error_set(err, 0, "bus range %#llx+%#llx overlaps another", (unsigned long long)range->start,
                         (unsigned long long)range->length);
    memmove(&b->ranges[at + 1], &b->ranges[at], (b->n - at) * sizeof(b->ranges[0]));
    b->ranges[at] = *range;
    b->n++;
    return 0;
}

/* The last range that starts at or before @address, if @address is in it. */
static const struct bus_range *find(const struct bus *b, uint64_t address)
{
    size_t low = 0, high = b->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (b->ranges[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address - b->ranges[low - 1].start >= b->ranges[low - 1].length)
        return NULL;
    return &b->ranges[low - 1];
}

void bus_access(const struct bus *b, uint64_t address, void *data, uint32_t length, bool write)
{
    const struct bus_range *r = find(b, address);
    bool sized = length == 1 || length == 2 || length == 4 || length == 8;

    if (r && sized && length <= r->length - (address - r->start))
        r->access(r->handler, address - r->start, data, length, write);
    else if (!write)
        memset(data, 0xff, length);
}
