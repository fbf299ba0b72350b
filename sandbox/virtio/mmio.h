/*
 * The virtio-mmio transport, version 2 (virtio 1.2, section 4.2): one page of registers on the VMM's bus for one
 * device.
 *
 * Who calls what: vCPU threads come in by virtio_mmio_access(); the device's loop (loop.h), which is one thread, by
 * virtio_mmio_serve(). The lock keeps them apart, so that a device sees one call at a time. What an interrupt handler
 * and a kick need (interrupt status and acknowledgement, QueueNotify) is done without the lock: a vCPU never waits there
 * for a device at work.
 *
 * What the machine ties to it: `kick[n]` is readable when queue n was kicked (machine_ioeventfd at VIRTIO_MMIO_NOTIFY of
 * the page, 4 bytes, value n; a kick that comes as an exit all the same is passed on to it), and each write to
 * `interrupt` is an edge of the device's interrupt (machine_irqfd).
 */
#pragma once

#include <pthread.h>

#include "base/error.h"
#include "sandbox/virtio/device.h"

enum {
    VIRTIO_MMIO_SIZE = 0x1000, /* of the range on the bus, bytes */
    VIRTIO_MMIO_NOTIFY = 0x50, /* QueueNotify's offset, for ioeventfds */
    VIRTIO_MMIO_STATE_VERSION = 1,
};

/* Saved and loaded as it is. */
struct virtio_mmio_state {
    uint32_t version, device_id;
    uint32_t status;
    uint32_t device_features_sel, driver_features_sel, queue_sel;
    uint64_t driver_features; /* as written; agreed on once FEATURES_OK stands in status */
    uint32_t config_generation;
    uint32_t interrupt_status; /* only in what is saved: the live one is in struct virtio_mmio, */
    struct virtqueue queues[VIRTIO_MAX_QUEUES]; /* the live ones are the device's */
};

struct virtio_mmio {
    struct virtio_device *device;
    pthread_mutex_t lock; /* of the device and of `state` */
    struct virtio_mmio_state state;
    uint32_t interrupt_status; /* atomic */
    int interrupt;
    int kick[VIRTIO_MAX_QUEUES]; /* one for each of the device's queues; never read, only waited for */
    unsigned complaints;         /* how often the log has been told that the device broke */
};

/** Make the registers of @d (whose ops and own state are set up), in the state after a reset, and the eventfds. After a
 * failure, too, virtio_mmio_destroy() releases all. */
int virtio_mmio_init(struct virtio_mmio *t, struct virtio_device *d, const struct guest_memory *m,
                     struct error *err);
void virtio_mmio_destroy(struct virtio_mmio *t);

/** For struct bus_range: a guest's access to the registers of @transport. */
void virtio_mmio_access(void *transport, uint64_t offset, void *data, uint32_t length, bool write);

/** One turn of the device's work on @queue, with the lock held. True: it has more to do, call again. */
bool virtio_mmio_serve(struct virtio_mmio *t, unsigned queue);
void virtio_mmio_lock(struct virtio_mmio *t);
void virtio_mmio_unlock(struct virtio_mmio *t);

/** While no vCPU and no loop runs. What is loaded is checked as if the guest had written it; a device that was active
 * is activated, and its queues are kicked. */
void virtio_mmio_save(struct virtio_mmio *t, struct virtio_mmio_state *s);
int virtio_mmio_load(struct virtio_mmio *t, const struct virtio_mmio_state *s, struct error *err);
