/*
 * The connections' state machine (virtio 1.2, section 5.10.6):
 *
 *     LISTENING --REQUEST--> CONNECTED --RST, SHUTDOWN of both directions, a packet against the rules, reset--> CLOSED
 *
 * What is to be sent is never queued: it follows from a connection's state (due bits, bytes in `in`, ends of streams), and
 * is made into a packet when the guest has given a buffer for it. Only RSTs for those who have no connection are kept, in
 * a bounded ring; while that is full no packet is taken from the guest. So whatever a guest sends or refuses to take, it
 * costs no memory, and no turn goes on for ever.
 *
 * Credit (5.10.6.3): the guest may send as much as `out` has room for; what goes beyond is against the rules. A packet
 * to the guest is no longer than the room that it says it has; it may lie about that, which is its own loss.
 */
/* #syscalls(io): write futex */
#include "sandbox/virtio/vsock.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum {
    RX,
    TX,
    EVENT,
    QUEUES,
    PACKETS_A_TURN = 64,
    MAX_PAYLOAD = 64 << 10,
    TELL_CREDIT = VSOCK_BUFFER / 4, /* that much room is new: the guest is told */
    SHUT_BOTH = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND,
    HEADER = sizeof(struct virtio_vsock_hdr),
};

/* ---- one connection ---- */

/* fwd_cnt: bytes that have left the buffer for good. */
static uint32_t forwarded(const struct vsock_connection *c)
{
    return c->received - (c->writes ? stream_pending(&c->out) : 0);
}

static uint32_t credit(const struct vsock_connection *c)
{
    uint32_t in_flight = c->sent - c->peer_forwarded;

    return in_flight < c->peer_buffer ? c->peer_buffer - in_flight : 0;
}

static uint32_t sendable(const struct vsock_connection *c)
{
    uint32_t n = c->reads && !(c->peer_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) ? stream_available(&c->in) : 0;

    n = n < credit(c) ? n : credit(c);
    return n < MAX_PAYLOAD ? n : MAX_PAYLOAD;
}

/* The directions that are over on our side. The end of input is only seen once all before it has been taken. */
static uint32_t over(const struct vsock_connection *c)
{
    uint32_t flags = 0;

    if (!c->reads || (stream_ended(&c->in) && stream_available(&c->in) == 0))
        flags |= VIRTIO_VSOCK_SHUTDOWN_SEND;
    if (!c->writes || (stream_ended(&c->out) && !(c->peer_shut & VIRTIO_VSOCK_SHUTDOWN_SEND)))
        flags |= VIRTIO_VSOCK_SHUTDOWN_RCV;
    return flags;
}

/* What the connection has to say next; INVALID: nothing. */
static enum virtio_vsock_op next_operation(const struct vsock_connection *c)
{
    if (c->phase != VSOCK_CONNECTED)
        return VIRTIO_VSOCK_OP_INVALID;
    if (c->due & 1U << VIRTIO_VSOCK_OP_RESPONSE)
        return VIRTIO_VSOCK_OP_RESPONSE;
    if (sendable(c) > 0)
        return VIRTIO_VSOCK_OP_RW;
    if (over(c) & ~c->shut)
        return VIRTIO_VSOCK_OP_SHUTDOWN;
    if ((c->due & 1U << VIRTIO_VSOCK_OP_CREDIT_UPDATE) || forwarded(c) - c->out.noted >= TELL_CREDIT)
        return VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    return VIRTIO_VSOCK_OP_INVALID;
}

/* What the guest has sent is still written; what it has not taken is not wanted any more. */
static void close_connection(struct vsock_connection *c)
{
    c->phase = VSOCK_CLOSED;
    c->due = 0;
    if (c->reads)
        stream_finish(&c->in);
    if (c->writes)
        stream_finish(&c->out);
}

static void accept_connection(struct vsock_connection *c, const struct virtio_vsock_hdr *h)
{
    c->phase = VSOCK_CONNECTED;
    c->peer_port = h->src_port;
    c->peer_buffer = h->buf_alloc;
    c->peer_forwarded = h->fwd_cnt;
    c->due = 1U << VIRTIO_VSOCK_OP_RESPONSE;
    if (c->reads)
        stream_begin(&c->in);
}

/* ---- from the guest: one function an operation; false: against the rules ---- */

static bool on_shutdown(struct vsock_connection *c, const struct virtio_vsock_hdr *h,
                        const struct virtqueue_chain *chain)
{
    (void)chain;
    c->peer_shut |= h->flags & SHUT_BOTH;
    if (c->reads && (c->peer_shut & VIRTIO_VSOCK_SHUTDOWN_RCV))
        stream_finish(&c->in);
    if (c->writes && (c->peer_shut & VIRTIO_VSOCK_SHUTDOWN_SEND))
        stream_finish(&c->out);
    return c->peer_shut != SHUT_BOTH; /* both: the answer is RST, too, and that is a clean end */
}

static bool on_data(struct vsock_connection *c, const struct virtio_vsock_hdr *h,
                    const struct virtqueue_chain *chain)
{
    uint32_t length = h->len;

    if (length > chain->out_bytes - HEADER || (c->peer_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) ||
        length > (c->writes ? stream_space(&c->out) : VSOCK_BUFFER))
        return false;
    c->received += c->writes ? stream_put(&c->out, chain->v, chain->n_out, HEADER, length) : length;
    return true;
}

static bool on_credit_update(struct vsock_connection *c, const struct virtio_vsock_hdr *h,
                             const struct virtqueue_chain *chain)
{
    (void)c, (void)h, (void)chain; /* every packet brings that */
    return true;
}

static bool on_credit_request(struct vsock_connection *c, const struct virtio_vsock_hdr *h,
                              const struct virtqueue_chain *chain)
{
    (void)h, (void)chain;
    c->due |= 1U << VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    return true;
}

typedef bool operation(struct vsock_connection *c, const struct virtio_vsock_hdr *h,
                       const struct virtqueue_chain *chain);

static operation *const operations[] = {
    [VIRTIO_VSOCK_OP_SHUTDOWN] = on_shutdown,
    [VIRTIO_VSOCK_OP_RW] = on_data,
    [VIRTIO_VSOCK_OP_CREDIT_UPDATE] = on_credit_update,
    [VIRTIO_VSOCK_OP_CREDIT_REQUEST] = on_credit_request,
};

static struct vsock_connection *find(struct vsock *v, uint32_t port)
{
    for (unsigned i = 0; i < v->n; i++)
        if (v->connections[i].port == port)
            return &v->connections[i];
    return NULL;
}

/* There is room: receive() looked. */
static void answer_reset(struct vsock *v, const struct virtio_vsock_hdr *h)
{
    v->resets[(v->first_reset + v->n_resets++) % VSOCK_MAX_RESETS] = (struct vsock_reset){
        .cid = h->dst_cid, .port = h->dst_port, .peer_port = h->src_port, .type = h->type};
}

static void handle(struct vsock *v, const struct virtio_vsock_hdr *h, const struct virtqueue_chain *chain)
{
    struct vsock_connection *c = NULL;

    if (h->src_cid != VSOCK_GUEST)
        return;
    if (h->dst_cid == VSOCK_HOST && h->type == VIRTIO_VSOCK_TYPE_STREAM)
        c = find(v, h->dst_port);
    if (c && c->phase == VSOCK_LISTENING && h->op == VIRTIO_VSOCK_OP_REQUEST) {
        accept_connection(c, h);
        return;
    }
    if (!c || c->phase != VSOCK_CONNECTED || c->peer_port != h->src_port) {
        if (h->op != VIRTIO_VSOCK_OP_RST)
            answer_reset(v, h);
        return;
    }
    c->peer_buffer = h->buf_alloc;
    c->peer_forwarded = h->fwd_cnt;
    if (h->op == VIRTIO_VSOCK_OP_RST) {
        close_connection(c);
    } else if (h->op >= ARRAY_SIZE(operations) || !operations[h->op] || !operations[h->op](c, h, chain)) {
        close_connection(c);
        answer_reset(v, h);
    }
}

/* ---- the queues: 1: more to do; 0: not now; -1: broken ---- */

static int receive(struct vsock *v)
{
    struct virtqueue *q = &v->device.queues[TX];
    struct virtqueue_chain chain;
    struct virtio_vsock_hdr h;

    virtqueue_want_kick(q, v->device.memory, false);
    for (int i = 0; i < PACKETS_A_TURN; i++) {
        if (v->n_resets == VSOCK_MAX_RESETS)
            return 0; /* the guest takes nothing: goes on when it gives buffers */
        int rc = virtqueue_pop_or_wait(q, v->device.memory, &chain);
        if (rc <= 0)
            return rc;
        if (iov_to_buffer(chain.v, chain.n_out, 0, &h, sizeof(h)) == sizeof(h))
            handle(v, &h, &chain);
        virtqueue_push(q, v->device.memory, chain.head, 0);
    }
    return 1;
}

/* The connection whose turn it is to say something, or NULL. */
static struct vsock_connection *speaker(struct vsock *v)
{
    for (unsigned i = 0; i < v->n; i++) {
        struct vsock_connection *c = &v->connections[(v->next + i) % v->n];
        if (next_operation(c) == VIRTIO_VSOCK_OP_INVALID)
            continue;
        v->next = (v->next + i + 1) % v->n;
        return c;
    }
    return NULL;
}

static struct virtio_vsock_hdr header(const struct vsock_connection *c, enum virtio_vsock_op op)
{
    return (struct virtio_vsock_hdr){.src_cid = VSOCK_HOST,
                                     .dst_cid = VSOCK_GUEST,
                                     .src_port = c->port,
                                     .dst_port = c->peer_port,
                                     .type = VIRTIO_VSOCK_TYPE_STREAM,
                                     .op = op,
                                     .buf_alloc = VSOCK_BUFFER,
                                     .fwd_cnt = forwarded(c)};
}

/* The packet of @c that is due next, into the buffer @v of @room bytes for payload. */
static struct virtio_vsock_hdr speak(struct vsock_connection *c, const struct iovec *v, size_t n,
                                     uint64_t room)
{
    struct virtio_vsock_hdr h = header(c, next_operation(c));

    __atomic_store_n(&c->out.noted, h.fwd_cnt, __ATOMIC_SEQ_CST);
    c->due &= ~(1U << h.op | 1U << VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    if (h.op == VIRTIO_VSOCK_OP_SHUTDOWN)
        h.flags = c->shut |= over(c);
    if (h.op == VIRTIO_VSOCK_OP_RW) {
        uint32_t length = sendable(c);
        h.len = stream_take(&c->in, v, n, HEADER, length < room ? length : (uint32_t)room);
        c->sent += h.len;
    }
    return h;
}

static struct virtio_vsock_hdr take_reset(struct vsock *v)
{
    const struct vsock_reset *r = &v->resets[v->first_reset];

    v->first_reset = (v->first_reset + 1) % VSOCK_MAX_RESETS;
    v->n_resets--;
    return (struct virtio_vsock_hdr){.src_cid = r->cid,
                                     .dst_cid = VSOCK_GUEST,
                                     .src_port = r->port,
                                     .dst_port = r->peer_port,
                                     .type = r->type,
                                     .op = VIRTIO_VSOCK_OP_RST};
}

static int transmit(struct vsock *v)
{
    struct virtqueue *q = &v->device.queues[RX];
    struct virtqueue_chain chain;

    virtqueue_want_kick(q, v->device.memory, false);
    for (int i = 0; i < PACKETS_A_TURN; i++) {
        struct vsock_connection *c = v->n_resets ? NULL : speaker(v);
        if (!c && !v->n_resets)
            return 0;
        int rc = virtqueue_pop_or_wait(q, v->device.memory, &chain);
        if (rc <= 0)
            return rc;
        const struct iovec *in = chain.v + chain.n_out;
        uint32_t written = 0;
        if (chain.in_bytes > HEADER) { /* smaller buffers come back empty */
            struct virtio_vsock_hdr h = c ? speak(c, in, chain.n_in, chain.in_bytes - HEADER) : take_reset(v);
            iov_from_buffer(in, chain.n_in, 0, &h, sizeof(h));
            written = HEADER + h.len;
        }
        virtqueue_push(q, v->device.memory, chain.head, written);
    }
    return 1;
}

static int tell_event(struct vsock *v)
{
    static const struct virtio_vsock_event event = {.id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET};
    struct virtqueue *q = &v->device.queues[EVENT];
    struct virtqueue_chain chain;

    if (!v->transport_reset)
        return 0;
    int rc = virtqueue_pop_or_wait(q, v->device.memory, &chain);
    if (rc <= 0)
        return rc;
    size_t n = iov_from_buffer(chain.v + chain.n_out, chain.n_in, 0, &event, sizeof(event));
    v->transport_reset = n < sizeof(event);
    virtqueue_push(q, v->device.memory, chain.head, (uint32_t)n);
    return v->transport_reset;
}

static int serve(struct virtio_device *d, unsigned queue, struct error *err)
{
    struct vsock *v = d->state;
    bool more;

    (void)queue; /* they depend on each other */
    int turns[] = {tell_event(v), receive(v), 0};
    bool held_up = v->n_resets == VSOCK_MAX_RESETS;
    turns[2] = transmit(v);
    more = held_up && v->n_resets < VSOCK_MAX_RESETS;
    for (size_t i = 0; i < ARRAY_SIZE(turns); i++) {
        if (turns[i] < 0)
            return error_set(err, 0, "the driver has broken the rules of its rings");
        more |= turns[i] > 0;
    }
    for (unsigned i = 0; i < QUEUES; i++)
        d->interrupt(d, i);
    return more;
}

/* ---- the device ---- */

static void read_config(struct virtio_device *d, uint32_t offset, void *to, uint32_t length)
{
    static const struct virtio_vsock_config config = {.guest_cid = VSOCK_GUEST};

    (void)d;
    memcpy(to, (const char *)&config + offset, length);
}

static int activate(struct virtio_device *d, struct error *err)
{
    (void)d, (void)err;
    return 0;
}

static void reset(struct virtio_device *d)
{
    struct vsock *v = d->state;

    for (unsigned i = 0; i < v->n; i++)
        if (v->connections[i].phase == VSOCK_CONNECTED)
            close_connection(&v->connections[i]);
    v->n_resets = 0;
}

static const struct virtio_ops vsock_ops = {
    .name = "vsock",
    .id = VIRTIO_ID_VSOCK_,
    .n_queues = QUEUES,
    .queue_size = 256,
    .config_length = sizeof(struct virtio_vsock_config),
    .read_config = read_config,
    .activate = activate,
    .serve = serve,
    .reset = reset,
};

int vsock_init(struct vsock *v, struct error *err)
{
    *v = (struct vsock){.device = {.ops = &vsock_ops, .state = v},
                        .notify = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                        .idle = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    return v->notify < 0 || v->idle < 0 ? error_set(err, errno, "eventfd for virtio-vsock") : 0;
}

void vsock_destroy(struct vsock *v)
{
    for (unsigned i = 0; i < v->n; i++) {
        stream_destroy(&v->connections[i].in);
        stream_destroy(&v->connections[i].out);
    }
    fd_closep(&v->notify);
    fd_closep(&v->idle);
}

int vsock_forward(struct vsock *v, uint32_t port, int in_fd, int out_fd, struct error *err)
{
    static const struct stream none = {.fd = -1, .wake = -1, .ended = true};

    if (v->n == VSOCK_MAX_PORTS || find(v, port)) {
        fd_closep(&in_fd);
        fd_closep(&out_fd);
        return error_set(err, 0, "port %u cannot be forwarded: it is already, or there are %d", port,
                         VSOCK_MAX_PORTS);
    }
    struct vsock_connection *c = &v->connections[v->n++];
    *c = (struct vsock_connection){
        .port = port, .reads = in_fd >= 0, .writes = out_fd >= 0, .in = none, .out = none};
    if (c->writes && stream_init(&c->out, STREAM_OUTPUT, out_fd, VSOCK_BUFFER, v->notify, err) < 0) {
        fd_closep(&in_fd);
        return -1;
    }
    c->out.idle = v->idle;
    return c->reads ? stream_init(&c->in, STREAM_INPUT, in_fd, VSOCK_READ_AHEAD, v->notify, err) : 0;
}

int vsock_serve_in(struct vsock *v, struct loop *l, struct virtio_mmio *t, struct error *err)
{
    struct loop_source streams = {.fd = v->notify, .events = EPOLLIN, .transport = t};

    return loop_add_device(l, t, err) < 0 || loop_add(l, &streams, err) < 0 ? -1 : 0;
}

int vsock_start(struct vsock *v, void (*confine)(void), struct error *err)
{
    for (unsigned i = 0; i < v->n; i++) {
        struct vsock_connection *c = &v->connections[i];
        if ((c->reads && stream_start(&c->in, confine, err) < 0) ||
            (c->writes && stream_start(&c->out, confine, err) < 0))
            return error_wrap(err, "port %u", c->port);
    }
    return 0;
}

bool vsock_drained(const struct vsock *v, uint32_t port)
{
    for (unsigned i = 0; i < v->n; i++)
        if (v->connections[i].port == port && v->connections[i].writes)
            return stream_drained(&v->connections[i].out);
    return true;
}

void vsock_save(const struct vsock *v, struct vsock_state *s)
{
    *s = (struct vsock_state){.version = VSOCK_STATE_VERSION, .n = v->n};
    for (unsigned i = 0; i < v->n; i++)
        s->ports[i] = v->connections[i].port;
}

int vsock_load(struct vsock *v, const struct vsock_state *s, struct error *err)
{
    bool same = s->version == VSOCK_STATE_VERSION && s->n == v->n;

    for (unsigned i = 0; same && i < v->n; i++)
        same = s->ports[i] == v->connections[i].port && v->connections[i].phase == VSOCK_LISTENING;
    if (!same)
        return error_set(err, 0, "saved state of virtio-vsock: of other ports, or another version");
    v->transport_reset = true;
    return 0;
}
