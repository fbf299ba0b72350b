/* The driver that driver.h tells of. Queue i's rings are at (i + 1) * 64 KiB. */
#include "tests/unit/sandbox/driver.h"

#include <criterion/criterion.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

enum { QUEUE_STRIDE = 0x10000, AVAIL = 0x4000, USED = 0x6000, STATUS_ALL = 1 | 2 | 8 | 4 };

void driver_open(struct driver *d, struct virtio_device *device)
{
    struct error err = {0};
    *d = (struct driver){.mmio.interrupt = -1};
    cr_assert_eq(memory_create(&d->memory, MEMORY_MIN, &err), 0, "%s", err.message);
    cr_assert_eq(loop_init(&d->loop, &err), 0, "%s", err.message);
    cr_assert_eq(virtio_mmio_init(&d->mmio, device, &d->memory, &err), 0, "%s", err.message);
}

void driver_close(struct driver *d)
{
    virtio_mmio_destroy(&d->mmio);
    loop_destroy(&d->loop);
    memory_destroy(&d->memory);
}

uint32_t driver_read(struct driver *d, uint32_t offset)
{
    uint32_t value = 0;
    virtio_mmio_access(&d->mmio, offset, &value, sizeof(value), false);
    return value;
}

void driver_write(struct driver *d, uint32_t offset, uint32_t value)
{
    virtio_mmio_access(&d->mmio, offset, &value, sizeof(value), true);
}

void *driver_at(struct driver *d, uint64_t address)
{
    return memory_at(&d->memory, address, 1);
}

void driver_set_queue(struct driver *d, unsigned i, uint16_t size)
{
    uint64_t at = QUEUE_STRIDE * (i + 1ULL);
    d->queues[i] = (struct driver_queue){.at = at,
                                         .desc = driver_at(d, at),
                                         .avail = driver_at(d, at + AVAIL),
                                         .used = driver_at(d, at + USED),
                                         .size = size};
    memset(d->queues[i].desc, 0, QUEUE_STRIDE);
    driver_write(d, VIRTIO_MMIO_QUEUE_SEL, i);
    driver_write(d, VIRTIO_MMIO_QUEUE_NUM, size);
    driver_write(d, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)at);
    driver_write(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)at + AVAIL);
    driver_write(d, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)at + USED);
}

void driver_start(struct driver *d, uint64_t features, uint16_t size)
{
    driver_write(d, VIRTIO_MMIO_STATUS, 0);
    driver_write(d, VIRTIO_MMIO_STATUS, 1);
    driver_write(d, VIRTIO_MMIO_STATUS, 1 | 2);
    for (uint32_t half = 0; half < 2; half++) {
        driver_write(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
        driver_write(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> (32 * half)));
    }
    driver_write(d, VIRTIO_MMIO_STATUS, 1 | 2 | 8);
    for (unsigned i = 0; i < d->mmio.device->ops->n_queues; i++) {
        driver_set_queue(d, i, size);
        driver_write(d, VIRTIO_MMIO_QUEUE_READY, 1);
        cr_assert_eq(driver_read(d, VIRTIO_MMIO_QUEUE_READY), 1);
    }
    driver_write(d, VIRTIO_MMIO_STATUS, STATUS_ALL);
    cr_assert_eq(driver_read(d, VIRTIO_MMIO_STATUS), STATUS_ALL);
}

void driver_publish(struct driver_queue *q, uint16_t head)
{
    q->avail->ring[q->avail->idx % q->size] = head;
    __atomic_store_n(&q->avail->idx, (uint16_t)(q->avail->idx + 1), __ATOMIC_RELEASE);
}

uint16_t driver_offer(struct driver_queue *q, const struct driver_buffer *buffers, size_t n)
{
    uint16_t head = q->next_desc;
    for (size_t i = 0; i < n; i++) {
        struct vring_desc *d = &q->desc[q->next_desc];
        q->next_desc = (uint16_t)((q->next_desc + 1) % q->size);
        *d = (struct vring_desc){.addr = buffers[i].at,
                                 .len = buffers[i].length,
                                 .flags = (buffers[i].in ? VRING_DESC_F_WRITE : 0) |
                                          (i + 1 < n ? VRING_DESC_F_NEXT : 0),
                                 .next = q->next_desc};
    }
    driver_publish(q, head);
    return head;
}

void driver_kick(struct driver *d, unsigned queue)
{
    driver_write(d, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

bool driver_used(struct driver_queue *q, struct vring_used_elem *e)
{
    if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->seen)
        return false;
    *e = q->used->ring[q->seen++ % q->size];
    return true;
}

static bool turns_left(const struct loop *l)
{
    for (unsigned i = 0; i < LOOP_MAX_SOURCES; i++)
        if (l->slots[i].turn)
            return true;
    return false;
}

void driver_run(struct driver *d, int ms)
{
    struct error err = {0};
    do {
        cr_assert_eq(loop_turn(&d->loop, 0, &err), 1, "%s", err.message);
    } while (turns_left(&d->loop) ||
             poll(&(struct pollfd){.fd = d->loop.epoll, .events = POLLIN}, 1, ms) > 0);
}

uint64_t driver_interrupts(struct driver *d)
{
    eventfd_t n = 0;
    return eventfd_read(d->mmio.interrupt, &n) < 0 ? 0 : n;
}
