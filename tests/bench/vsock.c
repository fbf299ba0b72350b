/*
 * How fast virtio-vsock moves bytes: a guest of this program's own (a thread that drives the rings, no KVM) sends 1 GiB to a
 * descriptor of the host's, and takes 1 GiB from one. Beside it, the same pipe without a guest.
 *
 *     make tests/bench/vsock && tests/bench/vsock
 */
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "sandbox/virtio/vsock.h"

enum {
    RX,
    TX,
    PORT = 1024,
    RING = 256,
    BLOCK = 64 << 10,
    RX_BUFFER = 4096, /* as Linux gives them */
    RX_AT = 4 << 20,
    TX_AT = 8 << 20,
    TX_SLOTS = 32,
    HEADER = sizeof(struct virtio_vsock_hdr),
};

#define TOTAL (1ULL << 30)

struct guest_queue {
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t seen, told; /* used entries taken; avail->idx at the last kick */
};

static struct guest_memory memory;
static struct virtio_mmio mmio;
static struct vsock vsock;
static struct loop loop;
static struct guest_queue queues[3];

static void need(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "bench/vsock: %s\n", what);
    exit(1);
}

static void set(uint32_t offset, uint32_t value)
{
    virtio_mmio_access(&mmio, offset, &value, sizeof(value), true);
}

static void start_guest(void)
{
    set(VIRTIO_MMIO_STATUS, 3);
    set(VIRTIO_MMIO_DRIVER_FEATURES, 1U << VIRTIO_RING_F_EVENT_IDX);
    set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
    set(VIRTIO_MMIO_STATUS, 3 | 8);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t at = 0x10000 * (i + 1);
        queues[i] = (struct guest_queue){.desc = memory_at(&memory, at, 1),
                                         .avail = memory_at(&memory, at + 0x4000, 1),
                                         .used = memory_at(&memory, at + 0x6000, 1)};
        set(VIRTIO_MMIO_QUEUE_SEL, i);
        set(VIRTIO_MMIO_QUEUE_NUM, RING);
        set(VIRTIO_MMIO_QUEUE_DESC_LOW, at);
        set(VIRTIO_MMIO_QUEUE_AVAIL_LOW, at + 0x4000);
        set(VIRTIO_MMIO_QUEUE_USED_LOW, at + 0x6000);
        set(VIRTIO_MMIO_QUEUE_READY, 1);
    }
    set(VIRTIO_MMIO_STATUS, 3 | 8 | 4);
    need(vsock.device.active, "the device is not active");
}

static void publish(unsigned i, uint16_t head)
{
    struct guest_queue *q = &queues[i];

    q->avail->ring[q->avail->idx % RING] = head;
    __atomic_store_n(&q->avail->idx, (uint16_t)(q->avail->idx + 1), __ATOMIC_RELEASE);
}

/* Only if the device wants one, as a driver does (2.7.10). */
static void kick(unsigned i)
{
    struct guest_queue *q = &queues[i];
    uint16_t event, now = q->avail->idx;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    event = __atomic_load_n((uint16_t *)&q->used->ring[RING], __ATOMIC_SEQ_CST);
    if (vring_need_event(event, now, q->told))
        set(VIRTIO_MMIO_QUEUE_NOTIFY, i);
    q->told = now;
}

static bool take_used(unsigned i, struct vring_used_elem *e)
{
    struct guest_queue *q = &queues[i];

    if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->seen)
        return false;
    *e = q->used->ring[q->seen++ % RING];
    return true;
}

/* Sleep until the device has something, having said that it is wanted. */
static void wait_for_interrupt(void)
{
    eventfd_t n;

    for (unsigned i = 0; i < 2; i++)
        __atomic_store_n(&queues[i].avail->ring[RING], queues[i].seen, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < 2; i++)
        if (__atomic_load_n(&queues[i].used->idx, __ATOMIC_SEQ_CST) != queues[i].seen)
            return;
    need(poll(&(struct pollfd){.fd = mmio.interrupt, .events = POLLIN}, 1, 10000) == 1, "no interrupt came");
    need(eventfd_read(mmio.interrupt, &n) == 0, "eventfd");
}

static uint32_t sent, taken, peer_forwarded;

static bool say(uint16_t op, uint32_t length)
{
    static uint16_t slot;
    uint64_t at = TX_AT + (BLOCK + 64ULL) * (slot % TX_SLOTS);
    uint16_t head = (uint16_t)(slot % TX_SLOTS * 2);
    struct virtio_vsock_hdr h = {.src_cid = VSOCK_GUEST,
                                 .dst_cid = VSOCK_HOST,
                                 .src_port = 5000,
                                 .dst_port = PORT,
                                 .len = length,
                                 .type = VIRTIO_VSOCK_TYPE_STREAM,
                                 .op = op,
                                 .buf_alloc = 256 << 10,
                                 .fwd_cnt = taken};

    if ((uint16_t)(queues[TX].avail->idx - queues[TX].seen) >= TX_SLOTS)
        return false;
    slot++;
    memory_write(&memory, at, &h, sizeof(h));
    queues[TX].desc[head] = (struct vring_desc){
        .addr = at, .len = HEADER, .flags = length ? VRING_DESC_F_NEXT : 0, .next = (uint16_t)(head + 1)};
    queues[TX].desc[head + 1] = (struct vring_desc){.addr = at + 64, .len = length};
    publish(TX, head);
    kick(TX);
    return true;
}

/* Take what the device has brought; its buffers go back to it. Bytes of payload. */
static uint32_t hear(void)
{
    static uint32_t answered;
    struct vring_used_elem e;
    struct virtio_vsock_hdr h;
    uint32_t bytes = 0;
    bool any = false;

    while (take_used(TX, &e))
        ;
    while (take_used(RX, &e)) {
        memory_read(&memory, queues[RX].desc[e.id].addr, &h, sizeof(h));
        need(h.op != VIRTIO_VSOCK_OP_RST, "the connection was reset");
        peer_forwarded = h.fwd_cnt;
        bytes += h.len;
        publish(RX, (uint16_t)e.id);
        any = true;
    }
    if (any)
        kick(RX);
    taken += bytes;
    if (taken - answered >= 64 << 10 && say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0))
        answered = taken;
    return bytes;
}

static void *serve(void *unused)
{
    struct error err;

    (void)unused;
    need(loop_run(&loop, &err) == 0, "the loop failed");
    return NULL;
}

static void *read_all(void *fd)
{
    static char block[256 << 10];

    for (uint64_t got = 0; got < TOTAL;) {
        ssize_t n = read(*(int *)fd, block, sizeof(block));
        need(n > 0, "read");
        got += (uint64_t)n;
    }
    return NULL;
}

static void *write_all(void *fd)
{
    static char block[BLOCK];

    for (uint64_t done = 0; done < TOTAL; done += sizeof(block))
        need(write(*(int *)fd, block, sizeof(block)) == sizeof(block), "write");
    return NULL;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void tell(const char *what, double began)
{
    printf("%-44s %6.0f MB/s\n", what, (double)TOTAL / 1e6 / (now() - began));
}

/* One gibibyte to the host; at its end all of it has left the VMM. */
static void send_all(void)
{
    for (uint64_t done = 0; done < TOTAL;) {
        hear();
        if (sent - peer_forwarded + BLOCK <= VSOCK_BUFFER && say(VIRTIO_VSOCK_OP_RW, BLOCK)) {
            sent += BLOCK;
            done += BLOCK;
        } else {
            wait_for_interrupt();
        }
    }
}

static void open_guest(int in, int out, pthread_t *thread)
{
    struct error err;

    sent = taken = peer_forwarded = 0;
    need(memory_create(&memory, MEMORY_MIN, &err) == 0 && loop_init(&loop, &err) == 0 &&
             vsock_init(&vsock, &err) == 0 && vsock_forward(&vsock, PORT, in, out, &err) == 0 &&
             virtio_mmio_init(&mmio, &vsock.device, &memory, &err) == 0 &&
             vsock_serve_in(&vsock, &loop, &mmio, &err) == 0 && vsock_start(&vsock, NULL, &err) == 0 &&
             pthread_create(thread, NULL, serve, NULL) == 0,
         "set-up");
    start_guest();
    for (uint32_t i = 0; i < RING; i++) {
        queues[RX].desc[i] = (struct vring_desc){
            .addr = RX_AT + (uint64_t)RX_BUFFER * i, .len = RX_BUFFER, .flags = VRING_DESC_F_WRITE};
        publish(RX, (uint16_t)i);
    }
    kick(RX);
    say(VIRTIO_VSOCK_OP_REQUEST, 0);
    wait_for_interrupt();
}

static void close_guest(pthread_t thread)
{
    loop_stop(&loop);
    pthread_join(thread, NULL);
    vsock_destroy(&vsock);
    virtio_mmio_destroy(&mmio);
    loop_destroy(&loop);
    memory_destroy(&memory);
}

int main(void)
{
    int to[2], from[2];
    pthread_t service, other;
    double began;

    need(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0, "pipe");
    began = now();
    need(pthread_create(&other, NULL, read_all, &to[0]) == 0, "thread");
    write_all(&to[1]);
    pthread_join(other, NULL);
    tell("a pipe alone", began);

    open_guest(-1, open("/dev/null", O_WRONLY | O_CLOEXEC), &service);
    began = now();
    send_all();
    tell("guest to /dev/null", began);
    close_guest(service);

    open_guest(from[0], to[1], &service);
    began = now();
    need(pthread_create(&other, NULL, read_all, &to[0]) == 0, "thread");
    send_all();
    pthread_join(other, NULL);
    tell("guest to a pipe and its reader", began);

    began = now();
    need(pthread_create(&other, NULL, write_all, &from[1]) == 0, "thread");
    for (uint64_t got = 0; got < TOTAL;) {
        uint32_t n = hear();
        got += n;
        if (n == 0)
            wait_for_interrupt();
    }
    pthread_join(other, NULL);
    tell("a pipe and its writer to the guest (4 KiB)", began);
    close_guest(service);
    return 0;
}
