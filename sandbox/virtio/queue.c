/*
 * The split virtqueue (virtio 1.2, section 2.7). What the guest may change under our hands is read once into a local
 * (load16(), copy_once()) and only that is used. A descriptor walk cannot be endless: every step but the one into an
 * indirect table, which there is once at most, adds a buffer, and the number of buffers is bounded.
 *
 * Offsets (2.7.6, 2.7.8): available = flags, idx, ring[size] of 2 bytes, used_event; used = flags, idx, ring[size] of 8
 * bytes, avail_event. x86-64 only: the guest's byte order is ours.
 */
#include "sandbox/virtio/queue.h"

#include <linux/virtio_ring.h>
#include <string.h>

#include "base/cleanup.h"

enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4, AVAIL_ENTRY = 2, USED_ENTRY = 8 };

static uint64_t avail_bytes(const struct virtqueue *q)
{
    return RING_ENTRIES + AVAIL_ENTRY * (uint64_t)q->size + 2;
}

static uint64_t used_bytes(const struct virtqueue *q)
{
    return RING_ENTRIES + USED_ENTRY * (uint64_t)q->size + 2;
}

static uint16_t load16(const unsigned char *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}

static void store16(unsigned char *p, uint16_t value)
{
    __atomic_store_n((uint16_t *)p, value, __ATOMIC_RELEASE);
}

/* The barrier keeps the compiler from reading the original again instead of the copy. */
static void copy_once(void *to, const void *from, size_t length)
{
    memcpy(to, from, length);
    __asm__ volatile("" : : "r"(to) : "memory");
}

static int break_queue(struct virtqueue *q)
{
    q->broken = true;
    return -1;
}

bool virtqueue_valid(const struct virtqueue *q, const struct guest_memory *m)
{
    return q->size > 0 && (q->size & (q->size - 1)) == 0 && q->size <= q->max_size &&
           q->size <= VIRTQUEUE_MAX_SIZE && q->desc % VRING_DESC_ALIGN_SIZE == 0 &&
           q->avail % VRING_AVAIL_ALIGN_SIZE == 0 && q->used % VRING_USED_ALIGN_SIZE == 0 &&
           memory_at(m, q->desc, sizeof(struct vring_desc) * q->size) &&
           memory_at(m, q->avail, avail_bytes(q)) && memory_at(m, q->used, used_bytes(q));
}

int virtqueue_enable(struct virtqueue *q, const struct guest_memory *m)
{
    if (!virtqueue_valid(q, m))
        return -1;
    q->next_avail = q->next_used = q->signalled = 0;
    q->signalled_valid = q->ready = true;
    q->broken = false;
    return 0;
}

/* The descriptors of one chain as they are walked: the queue's own table, then perhaps an indirect one. */
struct table {
    const unsigned char *entries;
    uint32_t n;
    bool indirect;
};

static int enter_indirect(struct table *t, const struct vring_desc *d, const struct guest_memory *m)
{
    if (t->indirect || (d->flags & VRING_DESC_F_NEXT) || d->len == 0 || d->len % sizeof(*d) != 0)
        return -1;
    t->entries = memory_at(m, d->addr, d->len);
    t->n = d->len / sizeof(*d);
    t->indirect = true;
    return t->entries ? 0 : -1;
}

static int add_buffer(struct virtqueue_chain *c, const struct vring_desc *d, const struct guest_memory *m,
                      size_t limit)
{
    bool in = d->flags & VRING_DESC_F_WRITE;
    void *host = d->len > 0 ? memory_at(m, d->addr, d->len) : NULL;

    if (!host || c->n_out + c->n_in == limit || (!in && c->n_in > 0) ||
        c->out_bytes + c->in_bytes + d->len > VIRTQUEUE_MAX_BYTES)
        return -1;
    c->v[c->n_out + c->n_in] = (struct iovec){.iov_base = host, .iov_len = d->len};
    *(in ? &c->n_in : &c->n_out) += 1;
    *(in ? &c->in_bytes : &c->out_bytes) += d->len;
    return 0;
}

static int walk(struct virtqueue_chain *c, struct table t, const struct guest_memory *m, size_t limit)
{
    uint32_t i = c->head;

    for (;;) {
        struct vring_desc d;
        if (i >= t.n)
            return -1;
        copy_once(&d, t.entries + i * sizeof(d), sizeof(d));
        if (d.flags & VRING_DESC_F_INDIRECT) {
            if (enter_indirect(&t, &d, m) < 0)
                return -1;
            i = 0;
            continue;
        }
        if (add_buffer(c, &d, m, limit) < 0)
            return -1;
        if (!(d.flags & VRING_DESC_F_NEXT))
            return 0;
        i = d.next;
    }
}

int virtqueue_pop(struct virtqueue *q, const struct guest_memory *m, struct virtqueue_chain *chain)
{
    if (q->broken)
        return -1;
    if (!q->ready)
        return 0;
    const unsigned char *avail = memory_at(m, q->avail, avail_bytes(q));
    struct table t = {.entries = memory_at(m, q->desc, sizeof(struct vring_desc) * q->size), .n = q->size};
    if (!avail || !t.entries)
        return break_queue(q);

    uint16_t waiting = load16(avail + RING_INDEX) - q->next_avail;
    if (waiting == 0)
        return 0;
    if (waiting > q->size)
        return break_queue(q);
    chain->head = load16(avail + RING_ENTRIES + AVAIL_ENTRY * (size_t)(q->next_avail % q->size));
    chain->n_out = chain->n_in = 0;
    chain->out_bytes = chain->in_bytes = 0;
    size_t limit = q->size < VIRTQUEUE_MAX_CHAIN ? q->size : VIRTQUEUE_MAX_CHAIN;
    if (walk(chain, t, m, limit) < 0)
        return break_queue(q);
    q->next_avail++;
    return 1;
}

int virtqueue_pop_or_wait(struct virtqueue *q, const struct guest_memory *m, struct virtqueue_chain *chain)
{
    int rc = virtqueue_pop(q, m, chain);

    if (rc != 0 || !q->ready)
        return rc;
    virtqueue_want_kick(q, m, true);
    return virtqueue_pop(q, m, chain);
}

void virtqueue_put_back(struct virtqueue *q)
{
    q->next_avail--;
}

int virtqueue_push(struct virtqueue *q, const struct guest_memory *m, uint16_t head, uint32_t written)
{
    unsigned char *used = q->ready && !q->broken ? memory_at(m, q->used, used_bytes(q)) : NULL;
    struct vring_used_elem e = {.id = head, .len = written};

    if (!used || head >= q->size)
        return break_queue(q);
    memcpy(used + RING_ENTRIES + USED_ENTRY * (size_t)(q->next_used % q->size), &e, sizeof(e));
    store16(used + RING_INDEX, ++q->next_used);
    return 0;
}

/* 2.7.7.2, 2.7.10: with the event index, when used->idx passes used_event; without, unless the flag says no. */
bool virtqueue_should_interrupt(struct virtqueue *q, const struct guest_memory *m)
{
    const unsigned char *avail = q->ready && !q->broken ? memory_at(m, q->avail, avail_bytes(q)) : NULL;
    uint16_t old = q->signalled, now = q->next_used;
    bool known = q->signalled_valid;

    if (!avail || (known && old == now))
        return false;
    q->signalled = now;
    q->signalled_valid = true;
    /* What was pushed must be visible before the driver's wish is read: it writes the wish, then looks. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!q->event_index)
        return !(load16(avail + RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
    uint16_t event = load16(avail + RING_ENTRIES + AVAIL_ENTRY * (size_t)q->size);
    return !known || (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void virtqueue_want_kick(struct virtqueue *q, const struct guest_memory *m, bool want)
{
    unsigned char *used = q->ready && !q->broken ? memory_at(m, q->used, used_bytes(q)) : NULL;

    if (!used)
        return;
    if (!q->event_index)
        store16(used + RING_FLAGS, want ? 0 : VRING_USED_F_NO_NOTIFY);
    else if (want) /* not to want is to leave the index where it is: behind */
        store16(used + RING_ENTRIES + USED_ENTRY * (size_t)q->size, q->next_avail);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Walk @length bytes at @offset of @v; @flat is filled from them, or written to them. */
static size_t iov_copy(const struct iovec *v, size_t n, size_t offset, unsigned char *flat, size_t length,
                       bool to_flat)
{
    size_t done = 0;

    for (size_t i = 0; i < n && done < length; i++) {
        if (offset >= v[i].iov_len) {
            offset -= v[i].iov_len;
            continue;
        }
        size_t part = v[i].iov_len - offset;
        if (part > length - done)
            part = length - done;
        unsigned char *guest = (unsigned char *)v[i].iov_base + offset;
        if (to_flat)
            copy_once(flat + done, guest, part);
        else
            memcpy(guest, flat + done, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t iov_to_buffer(const struct iovec *v, size_t n, size_t offset, void *to, size_t length)
{
    return iov_copy(v, n, offset, to, length, true);
}

size_t iov_from_buffer(const struct iovec *v, size_t n, size_t offset, const void *from, size_t length)
{
    return iov_copy(v, n, offset, (unsigned char *)from, length, false);
}
