/*
 * libFuzzer target for the walk of a split queue. The input makes the queue's own descriptors and two more tables that
 * may be indirect ones, six bytes each; the rings are where they belong, or anywhere. Whatever a chain is made of, its
 * buffers are in memory, no more than are allowed, and the walk ends.
 */
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/virtio/queue.h"
#include "tests/fuzz/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MEMORY = 0x2000,
    AVAIL = 0x400,
    USED = 0x600,
    TABLES = 0x800,
    DESCRIPTORS = 96,
    PLACES = 6,
    RECORD = 6
};

static void check_chain(const struct virtqueue_chain *c, const struct guest_memory *m,
                        const struct virtqueue *q)
{
    const unsigned char *memory = m->regions[0].host;
    uint64_t bytes = 0;

    fuzz_check(c->n_out + c->n_in > 0 && c->n_out + c->n_in <= q->size &&
               c->n_out + c->n_in <= VIRTQUEUE_MAX_CHAIN);
    for (size_t i = 0; i < c->n_out + c->n_in; i++) {
        const unsigned char *start = c->v[i].iov_base;
        fuzz_check(start >= memory && start < memory + MEMORY && c->v[i].iov_len > 0 &&
                   c->v[i].iov_len <= (size_t)(memory + MEMORY - start));
        bytes += c->v[i].iov_len;
    }
    fuzz_check(bytes == c->out_bytes + c->in_bytes && bytes <= VIRTQUEUE_MAX_BYTES);
}

/* Descriptors 0..31 are the queue's; 32..63 and 64..95 are at TABLES, 512 bytes each. */
static void write_descriptor(struct guest_memory *m, unsigned i, const uint8_t *r)
{
    struct vring_desc d = {.addr = (uint64_t)r[0] << 5,
                           .len = (uint32_t)(r[1] << (r[4] >> 4)),
                           .flags = r[2] & 7,
                           .next = r[3] % 40};
    uint64_t at = i < 32 ? 16 * i : TABLES + 16 * (i - 32ULL);

    if (d.flags & VRING_DESC_F_INDIRECT && !(r[5] & 7)) { /* a table that is one */
        d.addr = TABLES + (r[5] & 8 ? 512 : 0);
        d.len = 16U * (r[1] % 33);
    }
    memory_write(m, at, &d, sizeof(d));
}

static void pop_all(struct virtqueue *q, const struct guest_memory *m, uint8_t mode)
{
    static struct virtqueue_chain chain;

    for (int i = 0; i < 2 * VIRTQUEUE_MAX_SIZE && virtqueue_pop_or_wait(q, m, &chain) > 0; i++) {
        check_chain(&chain, m, q);
        if (mode & 1) {
            virtqueue_put_back(q);
            if (virtqueue_pop(q, m, &chain) != 1)
                break;
        }
        char copy[64] = {0};
        fuzz_check(iov_to_buffer(chain.v, chain.n_out, mode, copy, sizeof(copy)) <= sizeof(copy));
        if (mode & 2) /* into the rings, too, if the guest wants that */
            iov_from_buffer(chain.v + chain.n_out, chain.n_in, 0, copy, sizeof(copy));
        virtqueue_push(q, m, chain.head, (uint32_t)chain.in_bytes);
        (void)virtqueue_should_interrupt(q, m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct virtqueue q = {.max_size = VIRTQUEUE_MAX_SIZE, .avail = AVAIL, .used = USED};
    struct guest_memory m = {.n = 1, .regions = {{.size = MEMORY, .host = calloc(1, MEMORY)}}};
    uint16_t avail[2 + 32] = {0};

    fuzz_check(m.regions[0].host);
    if (size > PLACES + 32) {
        q.size = (uint16_t)(data[0] & 64 ? 1U << data[0] % 12 : 32);
        q.event_index = data[1] & 1;
        if (data[0] & 128) {
            q.desc = (uint64_t)data[3] << 4;
            q.avail = (uint64_t)data[4] << 5;
            q.used = (uint64_t)data[5] << 5;
        }
        avail[1] = data[2];
        for (unsigned i = 0; i < 32; i++)
            avail[2 + i] = data[PLACES + i] % 40;
        const uint8_t *r = data + PLACES + 32;
        for (unsigned i = 0; i < DESCRIPTORS && (size_t)(data + size - r) >= RECORD; i++, r += RECORD)
            write_descriptor(&m, i, r);
        memory_write(&m, AVAIL, avail, sizeof(avail));
        fuzz_check((virtqueue_enable(&q, &m) == 0) == q.ready);
        pop_all(&q, &m, data[1] >> 1);
    }
    free(m.regions[0].host);
    return 0;
}
