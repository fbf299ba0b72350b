/*
 * The guest's memory: anonymous, reserved and never touched in advance, so that a page costs the host only once the
 * guest has used it. One or two regions: below the device hole, which ends at 4 GiB, and above.
 *
 * Everything in it is the guest's to change at any moment, from another CPU: whoever reads a structure copies it once,
 * checks the copy, and uses the copy. Addresses and lengths from the guest go through memory_at() and nowhere else.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { MEMORY_MAX_REGIONS = 2 };

#define MEMORY_HOLE_START 0xc0000000ULL /* 1 GiB for devices, below 4 GiB */
#define MEMORY_HOLE_END   0x100000000ULL
#define MEMORY_MIN        (32ULL << 20)

struct memory_region {
    uint64_t start, size; /* guest-physical, bytes */
    unsigned char *host;
};

struct guest_memory {
    struct memory_region regions[MEMORY_MAX_REGIONS];
    size_t n;
};

/** @size: bytes, a multiple of 4096. */
int memory_create(struct guest_memory *m, uint64_t size, struct error *err);
void memory_destroy(struct guest_memory *m);

/** The host's address of @length bytes (at least 1) at @start, or NULL when they are not wholly in one region. */
void *memory_at(const struct guest_memory *m, uint64_t start, uint64_t length);

/** Copy; -1 when any of it is outside. */
int memory_read(const struct guest_memory *m, uint64_t start, void *to, uint64_t length);
int memory_write(const struct guest_memory *m, uint64_t start, const void *from, uint64_t length);
