/*
 * Registers, negotiation and the status machine of virtio-mmio (virtio 1.2, sections 2.1, 3.1 and 4.2.2).
 *
 *     reset -> ACKNOWLEDGE -> DRIVER -> FEATURES_OK -> DRIVER_OK        (a bit that is set stays until the reset)
 *                             features   queues         the device works
 *
 * A register takes a write only in the phase that it belongs to: features between DRIVER and FEATURES_OK, queues between
 * FEATURES_OK and DRIVER_OK and not while the queue is ready. All else is ignored, as a write to a register that is
 * not there. So what the device works with cannot change below it (CVE-2026-5747): features are latched at FEATURES_OK,
 * a queue is checked and latched when it becomes ready. A device that finds its driver broken sets DEVICE_NEEDS_RESET and is
 * not called again before a reset.
 */
/* #syscalls(vcpu io fs): futex write */
#include "sandbox/virtio/mmio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/log.h"

enum {
    MAGIC = 0x74726976, /* "virt" */
    VERSION = 2,
    VENDOR = 0x4c4c5548, /* "HULL" */
    MAX_COMPLAINTS = 8,  /* a guest may not fill the host's log */
};

#define TRANSPORT_FEATURES                                                                                   \
    (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)

_Static_assert((int)VIRTIO_MMIO_NOTIFY == VIRTIO_MMIO_QUEUE_NOTIFY, "4.2.2");

static bool has(const struct virtio_mmio *t, uint32_t bits)
{
    return (t->state.status & bits) == bits;
}

static uint64_t offered(const struct virtio_mmio *t)
{
    return t->device->ops->features | TRANSPORT_FEATURES;
}

static void signal_eventfd(int fd)
{
    /* Not to be had is only a counter at its end, which is readable as well. */
    if (eventfd_write(fd, 1) < 0)
        return;
}

static void raise_interrupt(struct virtio_mmio *t, uint32_t why)
{
    __atomic_fetch_or(&t->interrupt_status, why, __ATOMIC_SEQ_CST);
    signal_eventfd(t->interrupt);
}

static void interrupt(struct virtio_device *d, unsigned queue)
{
    if (virtqueue_should_interrupt(&d->queues[queue], d->memory))
        raise_interrupt(d->transport, VIRTIO_MMIO_INT_VRING);
}

static void config_changed(struct virtio_device *d)
{
    struct virtio_mmio *t = d->transport;

    t->state.config_generation++;
    if (has(t, VIRTIO_CONFIG_S_DRIVER_OK))
        raise_interrupt(t, VIRTIO_MMIO_INT_CONFIG);
}

static void needs_reset(struct virtio_mmio *t, const struct error *err)
{
    t->device->active = false;
    t->state.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    if (has(t, VIRTIO_CONFIG_S_DRIVER_OK))
        raise_interrupt(t, VIRTIO_MMIO_INT_CONFIG);
    if (t->complaints++ < MAX_COMPLAINTS)
        log_warning("virtio-%s: %s; it waits for a reset by the guest", t->device->ops->name, err->message);
}

static void kick_all(struct virtio_mmio *t)
{
    for (unsigned i = 0; i < t->device->ops->n_queues; i++)
        signal_eventfd(t->kick[i]);
}

static void reset(struct virtio_mmio *t)
{
    struct virtio_device *d = t->device;

    d->active = false;
    d->ops->reset(d);
    d->features = 0;
    memset(d->queues, 0, sizeof(d->queues));
    for (unsigned i = 0; i < d->ops->n_queues; i++)
        d->queues[i].max_size = d->ops->queue_size;
    __atomic_store_n(&t->interrupt_status, 0, __ATOMIC_SEQ_CST);
    t->state = (struct virtio_mmio_state){.version = VIRTIO_MMIO_STATE_VERSION,
                                          .device_id = d->ops->id,
                                          .config_generation = t->state.config_generation};
}

static bool features_agree(const struct virtio_mmio *t)
{
    return (t->state.driver_features & ~offered(t)) == 0 &&
           (t->state.driver_features & (1ULL << VIRTIO_F_VERSION_1));
}

static int activate(struct virtio_mmio *t, struct error *err)
{
    struct virtio_device *d = t->device;

    d->active = true;
    if (d->ops->activate(d, err) < 0) {
        d->active = false;
        return -1;
    }
    kick_all(t); /* for what was made available, and what the host has had to say, before */
    return 0;
}

/* Bits come in this order, each on those before it. */
static void write_status(struct virtio_mmio *t, uint32_t value)
{
    static const uint32_t order[] = {VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
                                     VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK};
    struct virtio_mmio_state *s = &t->state;
    struct error err;

    if (value == 0) {
        reset(t);
        return;
    }
    s->status |= value & VIRTIO_CONFIG_S_FAILED;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (s->status & order[i])
            continue;
        if (!(value & order[i]) || (s->status & (VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET)))
            return;
        if (order[i] == VIRTIO_CONFIG_S_FEATURES_OK) {
            if (!features_agree(t))
                return; /* the bit stays clear, by which the driver knows */
            t->device->features = s->driver_features;
        }
        s->status |= order[i];
        if (order[i] == VIRTIO_CONFIG_S_DRIVER_OK && activate(t, &err) < 0)
            needs_reset(t, &err);
    }
}

static struct virtqueue *selected(struct virtio_mmio *t)
{
    return t->state.queue_sel < t->device->ops->n_queues ? &t->device->queues[t->state.queue_sel] : NULL;
}

static void write_ready(struct virtio_mmio *t, struct virtqueue *q, uint32_t value)
{
    if (value != 1) {
        q->ready = false;
        return;
    }
    if (!q->ready) {
        q->event_index = t->device->features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
        (void)virtqueue_enable(q, t->device->memory); /* the driver reads back whether it is */
    }
}

static void set_half(uint64_t *to, bool high, uint32_t value)
{
    *to = high ? (*to & UINT32_MAX) | (uint64_t)value << 32 : (*to & ~(uint64_t)UINT32_MAX) | value;
}

/* QueueReady's phase is that of the others, but it is the one that may be written while the queue is ready. */
static void write_queue(struct virtio_mmio *t, uint64_t offset, uint32_t value)
{
    static const struct {
        uint16_t offset, member;
    } addresses[] = {
        {VIRTIO_MMIO_QUEUE_DESC_LOW, offsetof(struct virtqueue, desc)},
        {VIRTIO_MMIO_QUEUE_AVAIL_LOW, offsetof(struct virtqueue, avail)},
        {VIRTIO_MMIO_QUEUE_USED_LOW, offsetof(struct virtqueue, used)},
    };
    struct virtqueue *q = selected(t);

    if (!q || !has(t, VIRTIO_CONFIG_S_FEATURES_OK) ||
        (t->state.status &
         (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET)))
        return;
    if (offset == VIRTIO_MMIO_QUEUE_READY)
        write_ready(t, q, value);
    else if (q->ready)
        return;
    else if (offset == VIRTIO_MMIO_QUEUE_NUM)
        q->size = value <= UINT16_MAX ? (uint16_t)value : 0;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        if (offset == addresses[i].offset || offset == addresses[i].offset + 4U)
            set_half((uint64_t *)((char *)q + addresses[i].member), offset != addresses[i].offset, value);
}

static void write_register(struct virtio_mmio *t, uint64_t offset, uint32_t value)
{
    struct virtio_mmio_state *s = &t->state;

    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        s->device_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        s->driver_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        if (has(t, VIRTIO_CONFIG_S_DRIVER) && !has(t, VIRTIO_CONFIG_S_FEATURES_OK) &&
            s->driver_features_sel < 2)
            set_half(&s->driver_features, s->driver_features_sel == 1, value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        s->queue_sel = value;
        break;
    case VIRTIO_MMIO_STATUS:
        write_status(t, value);
        break;
    default:
        write_queue(t, offset, value);
    }
}

static uint32_t read_register(struct virtio_mmio *t, uint64_t offset)
{
    const struct virtqueue *q = selected(t);

    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return t->device->ops->id;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return t->state.device_features_sel < 2 ? offered(t) >> (32 * t->state.device_features_sel) : 0;
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return q ? q->max_size : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return q ? q->ready : 0;
    case VIRTIO_MMIO_STATUS:
        return t->state.status;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return t->state.config_generation;
    case VIRTIO_MMIO_SHM_LEN_LOW: /* no shared memory region: all ones */
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return UINT32_MAX;
    default:
        return 0;
    }
}

static void access_config(struct virtio_mmio *t, uint32_t offset, void *data, uint32_t length, bool write)
{
    struct virtio_device *d = t->device;

    if (offset > d->ops->config_length || length > d->ops->config_length - offset)
        return;
    if (!write)
        d->ops->read_config(d, offset, data, length);
    else if (d->ops->write_config && has(t, VIRTIO_CONFIG_S_DRIVER))
        d->ops->write_config(d, offset, data, length);
}

/* True when the access needs no lock, and has been done. */
static bool access_unlocked(struct virtio_mmio *t, uint64_t offset, uint32_t *value, bool write)
{
    uint32_t *status = &t->interrupt_status;

    if (offset == VIRTIO_MMIO_INTERRUPT_STATUS && !write)
        *value = __atomic_load_n(status, __ATOMIC_SEQ_CST);
    else if (offset == VIRTIO_MMIO_INTERRUPT_ACK && write)
        __atomic_fetch_and(status, ~*value, __ATOMIC_SEQ_CST);
    else if (offset != VIRTIO_MMIO_QUEUE_NOTIFY || !write)
        return false;
    else if (*value < t->device->ops->n_queues)
        signal_eventfd(t->kick[*value]);
    return true;
}

void virtio_mmio_access(void *transport, uint64_t offset, void *data, uint32_t length, bool write)
{
    struct virtio_mmio *t = transport;
    uint32_t value = 0;

    if (!write)
        memset(data, 0, length);
    if (offset >= VIRTIO_MMIO_CONFIG) {
        virtio_mmio_lock(t);
        access_config(t, (uint32_t)(offset - VIRTIO_MMIO_CONFIG), data, length, write);
        virtio_mmio_unlock(t);
        return;
    }
    if (length != sizeof(value) || offset % sizeof(value) != 0)
        return; /* 4.2.2.2: registers are accessed in words */
    if (write)
        memcpy(&value, data, sizeof(value));
    if (!access_unlocked(t, offset, &value, write)) {
        virtio_mmio_lock(t);
        if (write)
            write_register(t, offset, value);
        else
            value = read_register(t, offset);
        virtio_mmio_unlock(t);
    }
    if (!write)
        memcpy(data, &value, sizeof(value));
}

bool virtio_mmio_serve(struct virtio_mmio *t, unsigned queue)
{
    struct virtio_device *d = t->device;
    struct error err = {0};

    if (!d->active)
        return false;
    int rc = d->ops->serve(d, queue, &err);
    if (rc < 0)
        needs_reset(t, &err);
    return rc > 0;
}

void virtio_mmio_lock(struct virtio_mmio *t)
{
    (void)pthread_mutex_lock(&t->lock);
}

void virtio_mmio_unlock(struct virtio_mmio *t)
{
    (void)pthread_mutex_unlock(&t->lock);
}

int virtio_mmio_init(struct virtio_mmio *t, struct virtio_device *d, const struct guest_memory *m,
                     struct error *err)
{
    *t = (struct virtio_mmio){.device = d, .interrupt = -1};
    pthread_mutex_init(&t->lock, NULL);
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        t->kick[i] = -1;
    if (d->ops->n_queues > VIRTIO_MAX_QUEUES)
        return error_set(err, EINVAL, "virtio-%s with %u queues", d->ops->name, d->ops->n_queues);
    d->memory = m;
    d->transport = t;
    d->interrupt = interrupt;
    d->config_changed = config_changed;
    t->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->interrupt < 0)
        return error_set(err, errno, "eventfd for the interrupt of virtio-%s", d->ops->name);
    for (unsigned i = 0; i < d->ops->n_queues; i++)
        if ((t->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            return error_set(err, errno, "eventfd for queue %u of virtio-%s", i, d->ops->name);
    reset(t);
    return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *t)
{
    fd_closep(&t->interrupt);
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        fd_closep(&t->kick[i]);
    pthread_mutex_destroy(&t->lock);
}

void virtio_mmio_save(struct virtio_mmio *t, struct virtio_mmio_state *s)
{
    *s = t->state;
    s->interrupt_status = t->interrupt_status;
    memcpy(s->queues, t->device->queues, sizeof(s->queues));
}

/* The same truths that the status machine keeps: each bit on those before it, features that were offered, queues that
 * are in memory. */
static bool state_is_sound(const struct virtio_mmio *t, const struct virtio_mmio_state *s)
{
    const uint32_t known = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                           VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK |
                           VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;
    uint32_t negotiated = s->status & VIRTIO_CONFIG_S_FEATURES_OK;
    const struct virtio_mmio with = {.device = t->device, .state = {.driver_features = s->driver_features}};

    if ((s->status & ~known) || ((s->status & VIRTIO_CONFIG_S_DRIVER_OK) && !negotiated) ||
        (negotiated && !features_agree(&with)))
        return false;
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        const struct virtqueue *q = &s->queues[i];
        bool ours = i < t->device->ops->n_queues;
        if (q->max_size != (ours ? t->device->ops->queue_size : 0) ||
            (q->ready && (!negotiated || !virtqueue_valid(q, t->device->memory))))
            return false;
    }
    return true;
}

int virtio_mmio_load(struct virtio_mmio *t, const struct virtio_mmio_state *s, struct error *err)
{
    struct virtio_device *d = t->device;

    if (s->version != VIRTIO_MMIO_STATE_VERSION || s->device_id != d->ops->id)
        return error_set(
            err, 0,
            "saved state of virtio-%s: version %u of device %u, where version %u of device %u belongs",
            d->ops->name, s->version, s->device_id, VIRTIO_MMIO_STATE_VERSION, d->ops->id);
    if (!state_is_sound(t, s))
        return error_set(err, 0, "saved state of virtio-%s contradicts itself or this machine", d->ops->name);
    reset(t);
    t->state = *s;
    t->interrupt_status = s->interrupt_status;
    t->state.interrupt_status = 0;
    memset(t->state.queues, 0, sizeof(t->state.queues));
    memcpy(d->queues, s->queues, sizeof(d->queues));
    for (unsigned i = 0; i < d->ops->n_queues; i++)
        d->queues[i].signalled_valid =
            false; /* an interrupt may have been lost on the way: one too many is none */
    d->features = s->status & VIRTIO_CONFIG_S_FEATURES_OK ? s->driver_features : 0;
    if (!has(t, VIRTIO_CONFIG_S_DRIVER_OK) || (s->status & VIRTIO_CONFIG_S_NEEDS_RESET))
        return 0;
    return activate(t, err);
}
