/*
 * libFuzzer target for vsock's packets. The streams have no threads: the program says what is read and written. What
 * holds: no buffer has more in it than it is long, fwd_cnt follows what was taken, nothing is said on a connection
 * that is not there.
 */
#include <linux/virtio_vsock.h>
#include <string.h>

#include "sandbox/virtio/vsock.h"
#include "tests/fuzz/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RX, TX, PORT = 1024, PORTS = 3, PACKET_AT = FUZZ_DATA, PAYLOAD = 0x1000 };

static struct vsock vsock;

static void as_new(struct stream *s, uint32_t at)
{
    s->head = s->tail = s->noted = at;
    s->begun = s->finished = s->waiting = s->ended = false;
}

/* Most of what counts is right, so that states behind the first are reached. */
static void say(struct fuzz_guest *g)
{
    uint32_t shape = fuzz_take(g, 1);
    struct virtio_vsock_hdr h = {
        .src_cid = VSOCK_GUEST, .dst_cid = VSOCK_HOST, .type = VIRTIO_VSOCK_TYPE_STREAM};

    h.op = (uint16_t)(shape & 7);
    h.dst_port = PORT + (shape >> 3) % (PORTS + 1);
    h.src_port = shape & 64 ? 5000 : 5001;
    h.len = fuzz_take(g, 2) % PAYLOAD;
    h.flags = fuzz_take(g, 1);
    h.buf_alloc = fuzz_take(g, 3);
    h.fwd_cnt = fuzz_take(g, 2);
    memcpy(memory_at(&g->memory, PACKET_AT, sizeof(h)), &h, sizeof(h));
    fuzz_offer(g, TX, PACKET_AT, (uint32_t)sizeof(h) + (shape & 128 ? PAYLOAD : h.len), false);
}

/* What a stream's thread does. */
static void move(struct fuzz_guest *g)
{
    uint32_t what = fuzz_take(g, 1), n = fuzz_take(g, 3);
    struct vsock_connection *c = &vsock.connections[what % PORTS];

    if ((what & 64) && c->writes) {
        uint32_t held = c->out.tail - c->out.head;
        c->out.head += n < held ? n : held;
        c->out.ended |= what > 240 || (c->out.finished && n >= held);
    } else if (c->reads && c->in.begun && !c->in.ended) {
        uint32_t space = VSOCK_READ_AHEAD - (c->in.tail - c->in.head);
        c->in.tail += n < space ? n : space;
        c->in.ended = c->in.finished || what > 240;
    }
}

static void host(struct fuzz_guest *g)
{
    uint32_t what = fuzz_take(g, 1);

    if (what < 160)
        say(g);
    else if (what < 200)
        fuzz_offer(g, RX, 0xc000, what & 1 ? 0x1000 : fuzz_take(g, 1), true);
    else
        move(g);
    for (unsigned i = 0; i < PORTS; i++) {
        const struct vsock_connection *c = &vsock.connections[i];
        fuzz_check(!c->writes || c->out.tail - c->out.head <= VSOCK_BUFFER);
        fuzz_check(!c->reads || c->in.tail - c->in.head <= VSOCK_READ_AHEAD);
        fuzz_check(c->phase == VSOCK_CONNECTED || c->due == 0);
        fuzz_check(c->phase != VSOCK_LISTENING || (c->sent == 0 && c->received == 0));
    }
    fuzz_check(vsock.n_resets <= VSOCK_MAX_RESETS && vsock.first_reset < VSOCK_MAX_RESETS);
}

static void open_once(struct fuzz_guest *g)
{
    struct error err;

    /* Descriptors that nobody uses: one port with both directions, and one with each. */
    fuzz_check(vsock_init(&vsock, &err) == 0);
    for (unsigned i = 0; i < PORTS; i++)
        fuzz_check(vsock_forward(&vsock, PORT + i, i != 1 ? dup(0) : -1, i != 2 ? dup(0) : -1, &err) == 0);
    fuzz_guest_open(g, &vsock.device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_guest guest;

    if (!guest.memory.n)
        open_once(&guest);
    guest.mmio.complaints = 1000; /* none is written */
    vsock.first_reset = vsock.n_resets = vsock.next = 0;
    vsock.transport_reset = size & 1;
    for (unsigned i = 0; i < PORTS; i++) {
        struct vsock_connection *c = &vsock.connections[i];
        c->peer_port = c->due = c->shut = c->peer_shut = c->sent = c->received = c->peer_buffer =
            c->peer_forwarded = 0;
        c->phase = VSOCK_LISTENING;
        as_new(&c->in, 0U - 1000);
        as_new(&c->out, 0);
    }
    fuzz_guest_run(&guest, data, size, host);
    return 0;
}
