/*
 * The interpreter of guest.h's programs. What holds after every step: a device that is active works with the queues
 * that were latched when it became so; nobody writes outside guest memory (ASan); a device's work has an end.
 */
#include "tests/fuzz/guest.h"

#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

enum { AVAIL = 0x800, USED = 0x1000, MAX_TURNS = 4096, REGISTERS = 0x120 };

void fuzz_check(bool condition)
{
    if (!condition)
        abort();
}

uint32_t fuzz_take(struct fuzz_guest *g, size_t length)
{
    uint32_t value = 0;
    size_t n = length < g->left ? length : g->left;

    memcpy(&value, g->data, n);
    g->data += n;
    g->left -= n;
    return value;
}

void fuzz_guest_open(struct fuzz_guest *g, struct virtio_device *d)
{
    struct error err;

    g->memory =
        (struct guest_memory){.n = 1, .regions = {{.size = FUZZ_MEMORY, .host = malloc(FUZZ_MEMORY)}}};
    fuzz_check(g->memory.regions[0].host && virtio_mmio_init(&g->mmio, d, &g->memory, &err) == 0);
}

static void serve(struct fuzz_guest *g)
{
    struct virtio_device *d = g->mmio.device;

    if (d->active && !g->was_active)
        memcpy(g->latched, d->queues, sizeof(g->latched));
    g->was_active = d->active;
    for (unsigned i = 0; i < d->ops->n_queues; i++) {
        for (unsigned turns = 0; virtio_mmio_serve(&g->mmio, i); turns++)
            fuzz_check(turns < MAX_TURNS);
        const struct virtqueue *now = &d->queues[i], *then = &g->latched[i];
        fuzz_check(!g->was_active ||
                   (now->size == then->size && now->desc == then->desc && now->avail == then->avail &&
                    now->used == then->used && now->ready == then->ready));
    }
}

static void set(struct fuzz_guest *g, uint32_t offset, uint32_t value)
{
    virtio_mmio_access(&g->mmio, offset, &value, sizeof(value), true);
}

static uint32_t ring_at(unsigned queue)
{
    return FUZZ_RING * (queue % 3 + 1);
}

/* By the rules. */
static void start(struct fuzz_guest *g)
{
    uint32_t features = fuzz_take(g, 1) << 24;

    set(g, VIRTIO_MMIO_STATUS, 0);
    serve(g);
    memset((char *)g->memory.regions[0].host + FUZZ_RING, 0, (size_t)3 * FUZZ_RING);
    set(g, VIRTIO_MMIO_STATUS, 3);
    set(g, VIRTIO_MMIO_DRIVER_FEATURES, features & (3U << VIRTIO_RING_F_INDIRECT_DESC));
    set(g, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set(g, VIRTIO_MMIO_DRIVER_FEATURES, 1);
    set(g, VIRTIO_MMIO_STATUS, 3 | 8);
    for (unsigned i = 0; i < g->mmio.device->ops->n_queues; i++) {
        set(g, VIRTIO_MMIO_QUEUE_SEL, i);
        set(g, VIRTIO_MMIO_QUEUE_NUM, FUZZ_QUEUE_SIZE);
        set(g, VIRTIO_MMIO_QUEUE_DESC_LOW, ring_at(i));
        set(g, VIRTIO_MMIO_QUEUE_AVAIL_LOW, ring_at(i) + AVAIL);
        set(g, VIRTIO_MMIO_QUEUE_USED_LOW, ring_at(i) + USED);
        set(g, VIRTIO_MMIO_QUEUE_READY, 1);
    }
    set(g, VIRTIO_MMIO_STATUS, 3 | 8 | 4);
    serve(g);
    fuzz_check(g->mmio.device->active);
}

static void publish(struct fuzz_guest *g, unsigned queue, uint16_t head)
{
    struct vring_avail *avail = memory_at(&g->memory, ring_at(queue) + AVAIL, 1);

    avail->ring[avail->idx++ % FUZZ_QUEUE_SIZE] = head;
}

void fuzz_offer(struct fuzz_guest *g, unsigned i, uint32_t at, uint32_t length, bool in)
{
    struct vring_avail *avail = memory_at(&g->memory, ring_at(i) + AVAIL, 1);
    struct vring_desc *desc = memory_at(&g->memory, ring_at(i), 1);
    uint16_t head = avail->idx % FUZZ_QUEUE_SIZE;

    desc[head] = (struct vring_desc){.addr = at, .len = length, .flags = in ? VRING_DESC_F_WRITE : 0};
    publish(g, i, head);
    serve(g);
}

static void write_memory(struct fuzz_guest *g)
{
    uint32_t at = fuzz_take(g, 2), n = fuzz_take(g, 1);

    for (; n > 0 && g->left > 0; n--, at++)
        ((unsigned char *)g->memory.regions[0].host)[at % FUZZ_MEMORY] = (unsigned char)fuzz_take(g, 1);
}

/* One that is nearly good. */
static void write_descriptor(struct fuzz_guest *g)
{
    unsigned queue = fuzz_take(g, 1), i = fuzz_take(g, 1) % FUZZ_QUEUE_SIZE;
    struct vring_desc *desc = memory_at(&g->memory, ring_at(queue), 1);

    desc[i].addr = fuzz_take(g, 3);
    desc[i].len = fuzz_take(g, 2);
    desc[i].flags = (uint16_t)(fuzz_take(g, 1) & 7);
    desc[i].next = (uint16_t)fuzz_take(g, 1);
}

static void access_register(struct fuzz_guest *g, bool write)
{
    uint64_t data = fuzz_take(g, 4);
    uint32_t shape = fuzz_take(g, 1), offset = fuzz_take(g, 2) % REGISTERS;

    /* As the bus does it: 1, 2, 4 or 8 bytes. Most are words. */
    virtio_mmio_access(&g->mmio, offset, &data, shape < 224 ? 4 : 1U << shape % 4, write);
}

void fuzz_guest_run(struct fuzz_guest *g, const uint8_t *data, size_t size,
                    void (*host)(struct fuzz_guest *g))
{
    enum { START, READ, WRITE, MEMORY, DESCRIPTOR, PUBLISH, OFFER, HOST, OPERATIONS };

    g->data = data;
    g->left = size;
    g->was_active = false;
    memset(g->memory.regions[0].host, 0, FUZZ_MEMORY);
    set(g, VIRTIO_MMIO_STATUS, 0);
    while (g->left > 0) {
        uint32_t operation = fuzz_take(g, 1) % OPERATIONS;
        if (operation == START) {
            start(g);
        } else if (operation == READ || operation == WRITE) {
            access_register(g, operation == WRITE);
        } else if (operation == MEMORY) {
            write_memory(g);
        } else if (operation == DESCRIPTOR) {
            write_descriptor(g);
        } else if (operation == PUBLISH) {
            publish(g, fuzz_take(g, 1), (uint16_t)fuzz_take(g, 1));
        } else if (operation == OFFER) {
            uint32_t queue = fuzz_take(g, 1), at = FUZZ_DATA + fuzz_take(g, 2) % FUZZ_DATA;
            fuzz_offer(g, queue, at, fuzz_take(g, 2), queue & 4);
        } else {
            host(g);
        }
        serve(g);
    }
}
