/* The split queue: what a driver may do, and that what it may not do breaks the queue and nothing else. */
#include "sandbox/virtio/queue.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/sandbox/driver.h"

enum { SIZE = 8 };

/* A queue without a device: rings at 64 KiB. */
static struct driver d;
static struct virtqueue q;
static struct driver_queue *r;
static struct virtqueue_chain c;

static void open_queue(void)
{
    struct error err;
    cr_assert_eq(memory_create(&d.memory, MEMORY_MIN, &err), 0);
    q = (struct virtqueue){
        .size = SIZE, .max_size = SIZE, .desc = 0x10000, .avail = 0x11000, .used = 0x12000};
    cr_assert_eq(virtqueue_enable(&q, &d.memory), 0);
    r = &d.queues[0];
    *r = (struct driver_queue){.desc = driver_at(&d, q.desc),
                               .avail = driver_at(&d, q.avail),
                               .used = driver_at(&d, q.used),
                               .size = SIZE};
}

static void close_queue(void)
{
    memory_destroy(&d.memory);
}

TestSuite(sandbox_virtqueue, .init = open_queue, .fini = close_queue);

Test(sandbox_virtqueue, chains_come_in_order_and_go_back)
{
    struct vring_used_elem e;
    struct driver_buffer b[] = {
        {DRIVER_DATA, 5, false}, {DRIVER_DATA + 100, 7, false}, {DRIVER_DATA + 200, 9, true}};
    cr_expect_eq(virtqueue_pop(&q, &d.memory, &c), 0);
    for (int round = 0; round < 100; round++) {
        uint16_t first = driver_offer(r, b, 3), second = driver_offer(r, b + 2, 1);
        cr_assert_eq(virtqueue_pop(&q, &d.memory, &c), 1);
        cr_expect_eq(c.head, first);
        cr_expect(c.n_out == 2 && c.n_in == 1 && c.out_bytes == 12 && c.in_bytes == 9);
        cr_expect_eq(c.v[1].iov_base, driver_at(&d, DRIVER_DATA + 100));
        cr_assert_eq(virtqueue_pop(&q, &d.memory, &c), 1);
        cr_expect(c.head == second && c.n_out == 0 && c.n_in == 1);
        cr_expect_eq(virtqueue_pop_or_wait(&q, &d.memory, &c), 0);
        cr_expect_eq(virtqueue_push(&q, &d.memory, second, 3), 0);
        cr_expect_eq(virtqueue_push(&q, &d.memory, first, 4), 0);
        cr_expect(driver_used(r, &e) && e.id == second && e.len == 3);
        cr_expect(driver_used(r, &e) && e.id == first && e.len == 4);
    }
    cr_expect(!driver_used(r, &e));
}

Test(sandbox_virtqueue, put_back_comes_again)
{
    struct driver_buffer b = {DRIVER_DATA, 5, false};
    uint16_t head = driver_offer(r, &b, 1);
    cr_assert_eq(virtqueue_pop(&q, &d.memory, &c), 1);
    virtqueue_put_back(&q);
    cr_assert_eq(virtqueue_pop(&q, &d.memory, &c), 1);
    cr_expect_eq(c.head, head);
    cr_expect_eq(virtqueue_pop(&q, &d.memory, &c), 0);
}

Test(sandbox_virtqueue, indirect_tables)
{
    struct vring_desc *table = driver_at(&d, DRIVER_DATA);
    table[0] =
        (struct vring_desc){.addr = DRIVER_DATA + 4096, .len = 10, .flags = VRING_DESC_F_NEXT, .next = 2};
    table[2] = (struct vring_desc){.addr = DRIVER_DATA + 8192, .len = 20, .flags = VRING_DESC_F_WRITE};
    r->desc[0] =
        (struct vring_desc){.addr = DRIVER_DATA, .len = 3 * sizeof(*table), .flags = VRING_DESC_F_INDIRECT};
    driver_publish(r, 0);
    cr_assert_eq(virtqueue_pop(&q, &d.memory, &c), 1);
    cr_expect(c.n_out == 1 && c.n_in == 1 && c.out_bytes == 10 && c.in_bytes == 20);

    /* after a descriptor of the ring's own, too (2.7.5.3.1 forbids NEXT in the indirect one, not before it) */
    r->desc[1] = (struct vring_desc){.addr = DRIVER_DATA, .len = 1, .flags = VRING_DESC_F_NEXT, .next = 0};
    driver_publish(r, 1);
    cr_assert_eq(virtqueue_pop(&q, &d.memory, &c), 1);
    cr_expect(c.n_out == 2 && c.n_in == 1);
}

/* One chain a case, from descriptor 0; the indirect table is at DRIVER_DATA. */
struct broken {
    const char *why;
    struct vring_desc own[2], table[2];
};

enum {
    NEXT = VRING_DESC_F_NEXT,
    WRITE = VRING_DESC_F_WRITE,
    INDIRECT = VRING_DESC_F_INDIRECT,
    AT = DRIVER_DATA
};

static const struct broken broken[] = {
    {"an empty buffer", {{AT, 0, 0, 0}}, {{0}}},
    {"a buffer outside", {{MEMORY_MIN, 1, 0, 0}}, {{0}}},
    {"a buffer over the end", {{MEMORY_MIN - 1, 2, 0, 0}}, {{0}}},
    {"an end that wraps", {{UINT64_MAX, 2, 0, 0}}, {{0}}},
    {"more bytes than one request may have", {{AT, VIRTQUEUE_MAX_BYTES + 1, WRITE, 0}}, {{0}}},
    {"the same in two", {{AT, VIRTQUEUE_MAX_BYTES, NEXT, 1}, {AT, 1, WRITE, 0}}, {{0}}},
    {"a loop", {{AT, 1, NEXT, 1}, {AT, 1, NEXT, 0}}, {{0}}},
    {"next is outside the table", {{AT, 1, NEXT, SIZE}}, {{0}}},
    {"readable after writable", {{AT, 1, WRITE | NEXT, 1}, {AT, 1, 0, 0}}, {{0}}},
    {"an indirect table with next", {{AT, 32, INDIRECT | NEXT, 1}, {AT, 1, 0, 0}}, {{AT, 1, 0, 0}}},
    {"an empty table", {{AT, 0, INDIRECT, 0}}, {{0}}},
    {"a table of a piece", {{AT, 24, INDIRECT, 0}}, {{AT, 1, 0, 0}}},
    {"a table outside", {{MEMORY_MIN - 16, 32, INDIRECT, 0}}, {{0}}},
    {"a table in a table", {{AT, 32, INDIRECT, 0}}, {{AT, 32, INDIRECT, 0}}},
    {"a loop in a table", {{AT, 32, INDIRECT, 0}}, {{AT, 1, NEXT, 1}, {AT, 1, NEXT, 0}}},
    {"next is outside the indirect table", {{AT, 32, INDIRECT, 0}}, {{AT, 1, NEXT, 2}}},
};

Test(sandbox_virtqueue, broken_chains_break_the_queue)
{
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        close_queue();
        open_queue();
        memcpy(r->desc, broken[i].own, sizeof(broken[i].own));
        memcpy(driver_at(&d, DRIVER_DATA), broken[i].table, sizeof(broken[i].table));
        driver_publish(r, 0);
        cr_expect_eq(virtqueue_pop(&q, &d.memory, &c), -1, "%s", broken[i].why);
        cr_expect(q.broken);
        cr_expect_eq(virtqueue_pop(&q, &d.memory, &c), -1, "it stays broken: %s", broken[i].why);
        cr_expect_eq(virtqueue_push(&q, &d.memory, 0, 0), -1);
        cr_expect(!virtqueue_should_interrupt(&q, &d.memory));
        cr_expect_eq(r->used->idx, 0);
    }
}

Test(sandbox_virtqueue, broken_rings)
{
    driver_publish(r, SIZE); /* a head that is none */
    cr_expect_eq(virtqueue_pop(&q, &d.memory, &c), -1);
    close_queue();
    open_queue();
    r->avail->idx = SIZE + 1; /* more than there is room for */
    cr_expect_eq(virtqueue_pop(&q, &d.memory, &c), -1);
    close_queue();
    open_queue();
    cr_expect_eq(virtqueue_push(&q, &d.memory, SIZE, 0), -1);
    cr_expect(q.broken);
}

Test(sandbox_virtqueue, places_that_a_queue_cannot_have)
{
    static const struct virtqueue bad[] = {
        {.size = 0, .max_size = 8, .desc = 0x1000, .avail = 0x2000, .used = 0x3000},
        {.size = 6, .max_size = 8, .desc = 0x1000, .avail = 0x2000, .used = 0x3000},
        {.size = 16, .max_size = 8, .desc = 0x1000, .avail = 0x2000, .used = 0x3000},
        {.size = 2048, .max_size = 2048, .desc = 0x10000, .avail = 0x20000, .used = 0x30000},
        {.size = 8, .max_size = 8, .desc = 0x1008, .avail = 0x2000, .used = 0x3000},
        {.size = 8, .max_size = 8, .desc = 0x1000, .avail = 0x2001, .used = 0x3000},
        {.size = 8, .max_size = 8, .desc = 0x1000, .avail = 0x2000, .used = 0x3002},
        {.size = 8, .max_size = 8, .desc = MEMORY_MIN - 112, .avail = 0x2000, .used = 0x3000},
        {.size = 8, .max_size = 8, .desc = 0x1000, .avail = MEMORY_MIN - 20, .used = 0x3000},
        {.size = 8, .max_size = 8, .desc = 0x1000, .avail = 0x2000, .used = MEMORY_MIN - 68},
        {.size = 8, .max_size = 8, .desc = UINT64_MAX & ~15ULL, .avail = 0x2000, .used = 0x3000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        q = bad[i];
        cr_expect_eq(virtqueue_enable(&q, &d.memory), -1, "case %zu", i);
        cr_expect(!q.ready);
        cr_expect_eq(virtqueue_pop(&q, &d.memory, &c), 0, "a queue that is not ready has nothing");
    }
    q = (struct virtqueue){
        .size = 8, .max_size = 8, .desc = MEMORY_MIN - 128, .avail = MEMORY_MIN - 150, .used = 0x3000};
    cr_expect_eq(virtqueue_enable(&q, &d.memory), 0, "to the last byte");
}

Test(sandbox_virtqueue, interrupts_by_flag)
{
    cr_expect(!virtqueue_should_interrupt(&q, &d.memory), "nothing was pushed");
    virtqueue_push(&q, &d.memory, 0, 0);
    cr_expect(virtqueue_should_interrupt(&q, &d.memory));
    cr_expect(!virtqueue_should_interrupt(&q, &d.memory), "once for each");
    r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    virtqueue_push(&q, &d.memory, 0, 0);
    cr_expect(!virtqueue_should_interrupt(&q, &d.memory));
    virtqueue_want_kick(&q, &d.memory, false);
    cr_expect_eq(r->used->flags, VRING_USED_F_NO_NOTIFY);
    cr_expect_eq(virtqueue_pop_or_wait(&q, &d.memory, &c), 0);
    cr_expect_eq(r->used->flags, 0);
}

Test(sandbox_virtqueue, interrupts_by_event_index)
{
    uint16_t *used_event = &r->avail->ring[SIZE];
    uint16_t *avail_event = (uint16_t *)&r->used->ring[SIZE];
    struct driver_buffer b = {DRIVER_DATA, 5, false};
    q.event_index = true;
    for (unsigned i = 0; i < 70000; i++) { /* over the wrap of 16 bits */
        bool wanted = i % 3 == 0;
        *used_event = (uint16_t)(wanted ? i : i + 1);
        virtqueue_push(&q, &d.memory, 0, 0);
        cr_assert_eq(virtqueue_should_interrupt(&q, &d.memory), wanted, "at %u", i);
    }
    *used_event = (uint16_t)(70000 + 1);
    for (int i = 0; i < 4; i++) /* passed within a batch */
        virtqueue_push(&q, &d.memory, 0, 0);
    cr_expect(virtqueue_should_interrupt(&q, &d.memory));

    driver_offer(r, &b, 1);
    cr_expect_eq(virtqueue_pop(&q, &d.memory, &c), 1);
    virtqueue_want_kick(&q, &d.memory, false);
    cr_expect_eq(*avail_event, 0, "not to want is to leave it");
    cr_expect_eq(virtqueue_pop_or_wait(&q, &d.memory, &c), 0);
    cr_expect_eq(*avail_event, 1);
}

Test(sandbox_virtqueue, copies_between_flat_and_scattered)
{
    char a[4] = "abc", b[4] = "def", out[8] = "";
    struct iovec v[] = {{a, 3}, {b, 3}};
    cr_expect_eq(iov_to_buffer(v, 2, 2, out, 8), 4);
    cr_expect_str_eq(out, "cdef");
    cr_expect_eq(iov_to_buffer(v, 2, 6, out, 8), 0);
    cr_expect_eq(iov_from_buffer(v, 2, 1, "XYZ", 3), 3);
    cr_expect_str_eq(a, "aXY");
    cr_expect_str_eq(b, "Zef");
    cr_expect_eq(iov_from_buffer(v, 2, 5, "123", 3), 1);
}
