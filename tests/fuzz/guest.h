/*
 * A guest made of a fuzzer's bytes, for the targets of virtio devices: a program of register accesses, writes to memory,
 * descriptors, kicks. The device runs in the same thread, without a loop; its memory is on the heap, whose ends ASan
 * knows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/virtio/mmio.h"

enum { FUZZ_MEMORY = 64 << 10, FUZZ_RING = 0x2000, FUZZ_DATA = 0x8000, FUZZ_QUEUE_SIZE = 16 };

struct fuzz_guest {
    struct guest_memory memory;
    struct virtio_mmio mmio;
    const uint8_t *data;
    size_t left;
    struct virtqueue latched[VIRTIO_MAX_QUEUES];
    bool was_active;
};

void fuzz_check(bool condition); /* or abort */

/** Once. The device must be as new for every run; the transport is reset. */
void fuzz_guest_open(struct fuzz_guest *g, struct virtio_device *d);

/** Run the program; @host is called for the operations that are the target's own. */
void fuzz_guest_run(struct fuzz_guest *g, const uint8_t *data, size_t size,
                    void (*host)(struct fuzz_guest *g));

/** The next @length bytes of the program, zeroes after its end. */
uint32_t fuzz_take(struct fuzz_guest *g, size_t length);

/** Make one buffer available in queue @i (whose rings are where fuzz_guest's start put them), and let the device run. */
void fuzz_offer(struct fuzz_guest *g, unsigned i, uint32_t at, uint32_t length, bool in);
