/*
 * A virtio device behind one small interface: a table of operations and a plain struct. It knows queues and its
 * configuration space; that there is MMIO, KVM or an interrupt it does not know (mmio.h does).
 *
 * Order of life: the driver resets, negotiates features, sets queues up, DRIVER_OK -> activate(); kicks -> serve();
 * a reset -> reset(), after which nothing of the old negotiation is left. All calls come from the device's own thread of
 * service (or, for config and reset, while that is held off): a device needs no lock.
 */
#pragma once

#include "sandbox/virtio/queue.h"

enum { VIRTIO_MAX_QUEUES = 8 };

enum virtio_id { /* virtio 1.2, section 5 */
                 VIRTIO_ID_NET_ = 1,
                 VIRTIO_ID_BLOCK_ = 2,
                 VIRTIO_ID_CONSOLE_ = 3,
                 VIRTIO_ID_RNG_ = 4,
                 VIRTIO_ID_BALLOON_ = 5,
                 VIRTIO_ID_VSOCK_ = 19,
                 VIRTIO_ID_FS_ = 26,
};

struct virtio_device;

struct virtio_ops {
    const char *name; /* "rng" */
    enum virtio_id id;
    uint64_t features; /* of this device's type; VERSION_1, EVENT_IDX and INDIRECT_DESC are the transport's */
    uint16_t n_queues;
    uint16_t queue_size; /* the most a queue may have */
    uint32_t config_length;

    /** Copy of the configuration space; @offset + @length is inside it. */
    void (*read_config)(struct virtio_device *d, uint32_t offset, void *to, uint32_t length);
    void (*write_config)(struct virtio_device *d, uint32_t offset, const void *from,
                         uint32_t length); /* NULL: none */
    /** Features are agreed on (d->features), queues are ready. */
    int (*activate)(struct virtio_device *d, struct error *err);
    /** The queue has been kicked, or something of the host's has happened: work until there is nothing to do (or the
     * budget of one turn is over: return 1 to be called again). -1: the device is broken: @err says why. */
    int (*serve)(struct virtio_device *d, unsigned queue, struct error *err);
    void (*reset)(struct virtio_device *d);
};

struct virtio_device {
    const struct virtio_ops *ops;
    const struct guest_memory *memory;
    uint64_t features; /* agreed on; 0 before */
    struct virtqueue queues[VIRTIO_MAX_QUEUES];
    bool active;
    void *state; /* the device's own struct */
    /** The transport's: tell the driver that @queue has used buffers (checks whether it wants to know), or that the
     * configuration has changed. */
    void (*interrupt)(struct virtio_device *d, unsigned queue);
    void (*config_changed)(struct virtio_device *d);
    void *transport;
};
