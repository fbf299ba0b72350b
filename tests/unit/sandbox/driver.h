/*
 * The driver's side of virtio-mmio and of split queues, for tests: negotiates and drives rings by the rules; a test breaks
 * them through the rings themselves, which are at hand.
 */
#pragma once

#include <linux/virtio_ring.h>

#include "sandbox/virtio/loop.h"
#include "sandbox/virtio/mmio.h"

enum { DRIVER_DATA = 0x200000, DRIVER_QUEUES = 3 }; /* guest-physical: free for a test's buffers from here */

#define DRIVER_FEATURES (1ULL << 32 | 1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)

struct driver_queue {
    uint64_t at; /* guest-physical, of the descriptor table */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t size, next_desc, seen; /* `seen`: of the used ring */
};

struct driver {
    struct guest_memory memory;
    struct virtio_mmio mmio;
    struct loop loop;
    struct driver_queue queues[DRIVER_QUEUES];
};

struct driver_buffer {
    uint64_t at;
    uint32_t length;
    bool in; /* the device writes it */
};

/** Memory, loop and transport for @d's device; it is in the state after a reset. */
void driver_open(struct driver *d, struct virtio_device *device);
void driver_close(struct driver *d);

uint32_t driver_read(struct driver *d, uint32_t offset);
void driver_write(struct driver *d, uint32_t offset, uint32_t value);

/** Reset, agree on @features, set all queues up with @size entries, DRIVER_OK. */
void driver_start(struct driver *d, uint64_t features, uint16_t size);
/** Set queue @i up, without making it ready. */
void driver_set_queue(struct driver *d, unsigned i, uint16_t size);

void *driver_at(struct driver *d, uint64_t address);

/** Make a chain of @n buffers available (no kick). Its head. */
uint16_t driver_offer(struct driver_queue *q, const struct driver_buffer *buffers, size_t n);
void driver_publish(struct driver_queue *q, uint16_t head);
void driver_kick(struct driver *d, unsigned queue);

/** The next entry of the used ring, if there is one that was not seen. */
bool driver_used(struct driver_queue *q, struct vring_used_elem *e);

/** Let the loop run until it has nothing to do (it waits @ms for that). */
void driver_run(struct driver *d, int ms);

/** Interrupts (of eventfd writes) since the last call. */
uint64_t driver_interrupts(struct driver *d);
