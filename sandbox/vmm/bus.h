/*
 * Where a guest's accesses to ports and to memory that is no memory go: ranges, each with one handler. A vCPU thread
 * calls bus_access() with the exit's data; what nobody has answers all ones and swallows writes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { BUS_MAX_RANGES = 48 };

struct bus_range {
    uint64_t start, length;
    /** @offset from the range's start; @length 1, 2, 4 or 8, inside the range. */
    void (*access)(void *handler, uint64_t offset, void *data, uint32_t length, bool write);
    void *handler;
};

struct bus {
    struct bus_range ranges[BUS_MAX_RANGES]; /* sorted by start, none overlaps */
    size_t n;
};

int bus_add(struct bus *b, const struct bus_range *range, struct error *err); /* before the guest runs */
void bus_access(const struct bus *b, uint64_t address, void *data, uint32_t length, bool write);
