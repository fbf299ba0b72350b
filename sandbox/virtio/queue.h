/*
 * A split virtqueue as virtio 1.2 (section 2.7) has it, from the device's side: descriptor chains come out of the
 * available ring, go back by the used ring; indirect descriptors (2.7.5.3) and the event index (2.7.10) are served.
 *
 * The rings are the guest's memory. The state that decides what is done next (indexes, addresses, size) is here, in a
 * plain struct that can be saved and loaded, and is never read back from the guest. A chain is copied and checked as a
 * whole before the device sees any of it: every buffer lies in one region of memory, readable ones come before writable
 * ones, no chain is longer than the queue, no table is nested, the bytes of one request are bounded. A queue that breaks
 * a rule is broken: -1, and the device asks for a reset (DEVICE_NEEDS_RESET) and touches it no more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "sandbox/vmm/memory.h"

/* The longest chain that a driver of ours makes: 1 MiB of pages and the headers of a FUSE request around them. */
enum { VIRTQUEUE_MAX_SIZE = 1024, VIRTQUEUE_MAX_CHAIN = 256 + 8 };
#define VIRTQUEUE_MAX_BYTES (8ULL << 20) /* of one chain, both directions together */

/* Saved and loaded as it is (version in the transport's state). */
struct virtqueue {
    uint16_t size;     /* as the driver chose; a power of two, at most max_size */
    uint16_t max_size; /* as the device offers */
    bool ready, event_index, broken;
    uint64_t desc, avail, used; /* guest-physical, set by the driver, latched at ready */
    uint16_t next_avail;        /* index of the next entry of the available ring */
    uint16_t next_used;         /* what used->idx is */
    uint16_t signalled;         /* next_used at the last interrupt */
    bool signalled_valid;
};

struct virtqueue_chain {
    uint16_t head;
    struct iovec v
        [VIRTQUEUE_MAX_CHAIN]; /* host addresses: first the n_out that the device reads, then n_in it writes */
    size_t n_out, n_in;
    uint64_t out_bytes, in_bytes;
};

/** The driver has set the queue up and says it is ready: check size, alignment (2.7) and that all three parts are in
 * memory. -1: they are not, and the queue stays unusable. */
int virtqueue_enable(struct virtqueue *q, const struct guest_memory *m);

/** What virtqueue_enable() checks, for a queue that comes from a saved state. */
bool virtqueue_valid(const struct virtqueue *q, const struct guest_memory *m);

/** The next chain. 1: got one; 0: none is there; -1: the queue is broken now. */
int virtqueue_pop(struct virtqueue *q, const struct guest_memory *m, struct virtqueue_chain *chain);

/** The same; when none is there, ask for a kick and look once more. */
int virtqueue_pop_or_wait(struct virtqueue *q, const struct guest_memory *m, struct virtqueue_chain *chain);

/** Undo the last pop (which has not been pushed): the same chain, as the guest then has it, comes again. */
void virtqueue_put_back(struct virtqueue *q);

/** Give @head back with @written bytes in its writable part. -1: broken. */
int virtqueue_push(struct virtqueue *q, const struct guest_memory *m, uint16_t head, uint32_t written);

/** True when the driver wants to be interrupted for what was pushed since the last time. */
bool virtqueue_should_interrupt(struct virtqueue *q, const struct guest_memory *m);

/** Ask for a kick with the next chain, or not; after asking, look into the queue once more. */
void virtqueue_want_kick(struct virtqueue *q, const struct guest_memory *m, bool want);

/* For devices: copy between flat memory and a part of a chain. The number of bytes copied. */
size_t iov_to_buffer(const struct iovec *v, size_t n, size_t offset, void *to, size_t length);
size_t iov_from_buffer(const struct iovec *v, size_t n, size_t offset, const void *from, size_t length);
