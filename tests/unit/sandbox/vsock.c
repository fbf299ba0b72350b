/* virtio-vsock, from the guest's side of the rings: connections by the rules, and all that is against them. */
#include "sandbox/virtio/vsock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/unit/sandbox/driver.h"

enum {
    RX,
    TX,
    EVENT,
    PORT = 1024,
    MINE = 5000, /* the guest's port */
    RING = 64,
    RX_AT = DRIVER_DATA,
    RX_SIZE = 4096,
    TX_AT = DRIVER_DATA + 0x100000,
    TX_STRIDE = 0x12000,
    HEADER = sizeof(struct virtio_vsock_hdr),
    WAIT_MS = 2000,
    QUIET_MS = 20,
};

static struct driver d;
static struct vsock v;
static uint32_t room, taken; /* what the guest says of its buffer */
static unsigned tx_slot;

static void open_vsock(void)
{
    struct error err = {0};
    cr_assert_eq(vsock_init(&v, &err), 0, "%s", err.message);
    room = 1 << 18;
    taken = tx_slot = 0;
}

/* After the ports were announced. */
static void run_guest(void)
{
    struct error err = {0};
    driver_open(&d, &v.device);
    cr_assert_eq(vsock_serve_in(&v, &d.loop, &d.mmio, &err), 0, "%s", err.message);
    cr_assert_eq(vsock_start(&v, NULL, &err), 0, "%s", err.message);
    driver_start(&d, DRIVER_FEATURES, RING);
}

static void close_vsock(void)
{
    vsock_destroy(&v);
    driver_close(&d);
}

TestSuite(sandbox_vsock, .init = open_vsock, .fini = close_vsock, .timeout = 60);

static void forward(uint32_t port, int in, int out)
{
    struct error err = {0};
    cr_assert_eq(vsock_forward(&v, port, in, out, &err), 0, "%s", err.message);
}

static void give_buffers(int n, uint32_t size)
{
    for (int i = 0; i < n; i++) {
        struct driver_buffer b = {RX_AT + RX_SIZE * (uint64_t)d.queues[RX].next_desc, size, true};
        driver_offer(&d.queues[RX], &b, 1);
    }
    driver_kick(&d, RX);
}

static struct virtio_vsock_hdr packet(uint16_t op, uint32_t port, uint32_t length)
{
    return (struct virtio_vsock_hdr){.src_cid = VSOCK_GUEST,
                                     .dst_cid = VSOCK_HOST,
                                     .src_port = MINE,
                                     .dst_port = port,
                                     .len = length,
                                     .type = VIRTIO_VSOCK_TYPE_STREAM,
                                     .op = op,
                                     .buf_alloc = room,
                                     .fwd_cnt = taken};
}

/* Make @h and @n bytes of @data available, not looking what h says. */
static void put(const struct virtio_vsock_hdr *h, const void *data, uint32_t n)
{
    uint64_t at = TX_AT + TX_STRIDE * (uint64_t)(tx_slot++ % 32);
    struct driver_buffer b[] = {{at, HEADER, false}, {at + 64, n, false}};
    memcpy(driver_at(&d, at), h, HEADER);
    if (n)
        memcpy(driver_at(&d, at + 64), data, n);
    driver_offer(&d.queues[TX], b, n ? 2 : 1);
    driver_kick(&d, TX);
}

static void say_with(uint16_t op, uint32_t port, const void *data, uint32_t n)
{
    struct virtio_vsock_hdr h = packet(op, port, n);
    put(&h, data, n);
    driver_run(&d, 0);
}

static void say(uint16_t op, uint32_t port)
{
    say_with(op, port, NULL, 0);
}

static void shut(uint32_t port, uint32_t flags)
{
    struct virtio_vsock_hdr h = packet(VIRTIO_VSOCK_OP_SHUTDOWN, port, 0);
    h.flags = flags;
    put(&h, NULL, 0);
    driver_run(&d, 0);
}

/* The next packet for the guest within @ms; its payload is at *data. */
static bool hear_within(struct virtio_vsock_hdr *h, const char **data, int ms)
{
    struct vring_used_elem e;
    *h = (struct virtio_vsock_hdr){0};
    driver_run(&d, 0);
    if (!driver_used(&d.queues[RX], &e)) {
        driver_run(&d, ms);
        if (!driver_used(&d.queues[RX], &e))
            return false;
    }
    char *at = driver_at(&d, d.queues[RX].desc[e.id].addr);
    cr_assert_geq(e.len, HEADER);
    memcpy(h, at, HEADER);
    cr_assert_eq(e.len, HEADER + h->len);
    if (data)
        *data = at + HEADER;
    taken += h->len;
    return true;
}

static bool hear(struct virtio_vsock_hdr *h, const char **data)
{
    for (int waited = 0; waited < WAIT_MS; waited += QUIET_MS)
        if (hear_within(h, data, QUIET_MS))
            return true;
    return false;
}

static bool silent(void)
{
    struct virtio_vsock_hdr h;
    return !hear_within(&h, NULL, QUIET_MS);
}

/* The next packet is this one, for the connection between @port and MINE. */
static void expect(uint16_t op, uint32_t port, uint32_t flags)
{
    struct virtio_vsock_hdr h;
    cr_assert(hear(&h, NULL), "nothing came where operation %u should", op);
    cr_expect(h.src_cid == VSOCK_HOST && h.dst_cid == VSOCK_GUEST && h.type == VIRTIO_VSOCK_TYPE_STREAM);
    cr_expect(h.src_port == port && h.dst_port == MINE);
    cr_expect_eq(h.op, op, "operation %u where %u should come", h.op, op);
    cr_expect_eq(h.flags, flags);
    cr_expect_eq(h.len, 0);
    if (op != VIRTIO_VSOCK_OP_RST)
        cr_expect_eq(h.buf_alloc, VSOCK_BUFFER);
}

static void expect_data(const char *text)
{
    struct virtio_vsock_hdr h;
    const char *data = "";
    cr_assert(hear(&h, &data), "nothing came where \"%s\" should", text);
    cr_expect(h.op == VIRTIO_VSOCK_OP_RW && h.len == strlen(text) && memcmp(data, text, h.len) == 0,
              "%.*s, not %s", (int)h.len, data, text);
}

static void join(uint32_t port)
{
    say(VIRTIO_VSOCK_OP_REQUEST, port);
    expect(VIRTIO_VSOCK_OP_RESPONSE, port, 0);
}

/* What comes out of @fd within a while; "" for its end. */
static const char *read_text(int fd)
{
    static char text[256];
    cr_assert_eq(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, WAIT_MS), 1);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

Test(sandbox_vsock, a_connection_carries_both_ways_and_ends)
{
    int in[2], out[2];
    cr_assert(!pipe(in) && !pipe(out));
    forward(PORT, in[0], out[1]);
    run_guest();
    give_buffers(16, RX_SIZE);
    join(PORT);
    say_with(VIRTIO_VSOCK_OP_RW, PORT, "to the host", 11);
    cr_expect_str_eq(read_text(out[0]), "to the host");
    cr_assert_eq(write(in[1], "to the guest", 12), 12);
    expect_data("to the guest");

    cr_assert_eq(write(in[1], "last", 4), 4);
    close(in[1]);
    expect_data("last");
    expect(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    say_with(VIRTIO_VSOCK_OP_RW, PORT, "and more", 8);
    cr_expect_str_eq(read_text(out[0]), "and more", "half a connection is one");
    shut(PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    cr_expect_str_eq(read_text(out[0]), "");
    cr_expect(silent());
    shut(PORT, VIRTIO_VSOCK_SHUTDOWN_RCV);
    expect(VIRTIO_VSOCK_OP_RST, PORT, 0);
    cr_expect(vsock_drained(&v, PORT));
    close(out[0]);
}

Test(sandbox_vsock, what_is_not_forwarded_is_reset)
{
    struct virtio_vsock_hdr h, answer;
    int out[2];
    cr_assert(!pipe(out));
    forward(PORT, -1, out[1]);
    run_guest();
    give_buffers(16, RX_SIZE);
    say(VIRTIO_VSOCK_OP_REQUEST, PORT + 1);
    expect(VIRTIO_VSOCK_OP_RST, PORT + 1, 0);
    say_with(VIRTIO_VSOCK_OP_RW, PORT, "x", 1);
    expect(VIRTIO_VSOCK_OP_RST, PORT, 0);
    say(VIRTIO_VSOCK_OP_RESPONSE, PORT);
    expect(VIRTIO_VSOCK_OP_RST, PORT, 0);

    h = packet(VIRTIO_VSOCK_OP_REQUEST, PORT, 0);
    h.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
    put(&h, NULL, 0);
    cr_assert(hear(&answer, NULL));
    cr_expect(answer.op == VIRTIO_VSOCK_OP_RST && answer.type == VIRTIO_VSOCK_TYPE_SEQPACKET);
    h = packet(VIRTIO_VSOCK_OP_REQUEST, PORT, 0);
    h.dst_cid = 77;
    put(&h, NULL, 0);
    cr_assert(hear(&answer, NULL));
    cr_expect(answer.op == VIRTIO_VSOCK_OP_RST && answer.src_cid == 77 && answer.dst_cid == VSOCK_GUEST);

    say(VIRTIO_VSOCK_OP_RST, PORT + 1); /* never answered: it would go on for ever */
    h = packet(VIRTIO_VSOCK_OP_REQUEST, PORT, 0);
    h.src_cid = 4; /* that is not who it is */
    put(&h, NULL, 0);
    struct driver_buffer piece = {TX_AT, HEADER - 1, false};
    driver_offer(&d.queues[TX], &piece, 1);
    driver_kick(&d, TX);
    cr_expect(silent());
    cr_expect_eq(v.connections[0].phase, VSOCK_LISTENING);
    close(out[0]);
}

Test(sandbox_vsock, each_port_once)
{
    int out[2];
    struct virtio_vsock_hdr h, answer;
    cr_assert(!pipe(out));
    forward(PORT, open("/dev/null", O_RDONLY | O_CLOEXEC), out[1]);
    run_guest();
    give_buffers(16, RX_SIZE);
    join(PORT);
    expect(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    h = packet(VIRTIO_VSOCK_OP_REQUEST, PORT, 0);
    h.src_port = MINE + 1;
    put(&h, NULL, 0);
    cr_assert(hear(&answer, NULL));
    cr_expect(answer.op == VIRTIO_VSOCK_OP_RST && answer.dst_port == MINE + 1);
    say_with(VIRTIO_VSOCK_OP_RW, PORT, "first", 5);
    cr_expect_str_eq(read_text(out[0]), "first", "the first goes on");
    say(VIRTIO_VSOCK_OP_RST, PORT);
    cr_expect_str_eq(read_text(out[0]), "");
    say(VIRTIO_VSOCK_OP_REQUEST, PORT);
    expect(VIRTIO_VSOCK_OP_RST, PORT, 0);
    close(out[0]);
}

Test(sandbox_vsock, input_is_not_read_before_somebody_wants_it)
{
    int in[2], waiting = 0;
    cr_assert(!pipe(in));
    cr_assert_eq(write(in[1], "typed ahead", 11), 11);
    forward(PORT, dup(in[0]), -1);
    run_guest();
    give_buffers(16, RX_SIZE);
    cr_expect(silent());
    cr_assert_eq(ioctl(in[0], FIONREAD, &waiting), 0);
    cr_expect_eq(waiting, 11);
    join(PORT);
    struct virtio_vsock_hdr h;
    const char *data;
    while (hear(&h, &data) && h.op != VIRTIO_VSOCK_OP_RW)
        cr_expect(h.op == VIRTIO_VSOCK_OP_SHUTDOWN && h.flags == VIRTIO_VSOCK_SHUTDOWN_RCV);
    cr_expect(h.len == 11 && memcmp(data, "typed ahead", 11) == 0);
    cr_expect_eq(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0, "the description is others', too");
    close(in[0]);
    close(in[1]);
}

Test(sandbox_vsock, directions_that_are_not_there_are_shut)
{
    int out[2];
    cr_assert(!pipe(out));
    forward(PORT, -1, out[1]);
    forward(PORT + 1, -1, -1);
    run_guest();
    give_buffers(16, RX_SIZE);
    join(PORT);
    expect(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    join(PORT + 1);
    expect(VIRTIO_VSOCK_OP_SHUTDOWN, PORT + 1, VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV);
    say_with(VIRTIO_VSOCK_OP_RW, PORT + 1, "on its way", 10);
    cr_expect(silent(), "into the void");

    close(out[0]); /* nobody reads any more */
    say_with(VIRTIO_VSOCK_OP_RW, PORT, "x", 1);
    expect(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV);
    cr_expect(vsock_drained(&v, PORT));
}

Test(sandbox_vsock, against_the_rules_is_reset)
{
    static const struct {
        const char *why;
        uint16_t op;
        uint32_t length, payload;
    } wrong[] = {
        {"longer than the packet", VIRTIO_VSOCK_OP_RW, 11, 10},
        {"much longer", VIRTIO_VSOCK_OP_RW, UINT32_MAX, 10},
        {"no payload at all", VIRTIO_VSOCK_OP_RW, 1, 0},
        {"no such operation", 8, 0, 0},
        {"no such operation", UINT16_MAX, 0, 0},
        {"operation 0", VIRTIO_VSOCK_OP_INVALID, 0, 0},
        {"a second request", VIRTIO_VSOCK_OP_REQUEST, 0, 0},
        {"a response to nothing", VIRTIO_VSOCK_OP_RESPONSE, 0, 0},
    };
    int out[VSOCK_MAX_PORTS][2];
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        cr_assert(!pipe(out[i]));
        forward(PORT + (uint32_t)i, -1, out[i][1]);
    }
    run_guest();
    give_buffers(60, RX_SIZE);
    for (uint32_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        join(PORT + i);
        expect(VIRTIO_VSOCK_OP_SHUTDOWN, PORT + i, VIRTIO_VSOCK_SHUTDOWN_SEND);
        struct virtio_vsock_hdr h = packet(wrong[i].op, PORT + i, wrong[i].length);
        put(&h, "0123456789", wrong[i].payload);
        expect(VIRTIO_VSOCK_OP_RST, PORT + i, 0);
        cr_expect_str_eq(read_text(out[i][0]), "", "%s", wrong[i].why);
        close(out[i][0]);
    }
}

Test(sandbox_vsock, data_after_the_end_is_reset)
{
    int out[2];
    cr_assert(!pipe(out));
    forward(PORT, -1, out[1]);
    run_guest();
    give_buffers(16, RX_SIZE);
    join(PORT);
    expect(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    shut(PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    say_with(VIRTIO_VSOCK_OP_RW, PORT, "x", 1);
    expect(VIRTIO_VSOCK_OP_RST, PORT, 0);
    close(out[0]);
}

/* Send until the credit is used up. */
static void fill(uint32_t port, uint32_t *sent, uint32_t *forwarded)
{
    static char block[32 << 10];
    struct virtio_vsock_hdr h;
    for (;;) {
        uint32_t n = VSOCK_BUFFER - (*sent - *forwarded);
        n = n < sizeof(block) ? n : sizeof(block);
        if (n > 0) {
            say_with(VIRTIO_VSOCK_OP_RW, port, block, n);
            *sent += n;
        } else if (hear_within(&h, NULL, 100)) {
            cr_assert_eq(h.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
            *forwarded = h.fwd_cnt;
        } else {
            return;
        }
    }
}

Test(sandbox_vsock, credit_for_the_guest)
{
    int out[2], other[2], room_in_pipe;
    uint32_t sent = 0, forwarded = 0;
    struct virtio_vsock_hdr h;
    static char block[1 << 20];
    cr_assert(!pipe(out) && !pipe(other));
    room_in_pipe = fcntl(out[1], F_GETPIPE_SZ);
    forward(PORT, -1, out[1]);
    forward(PORT + 1, -1, other[1]);
    run_guest();
    give_buffers(60, RX_SIZE);
    for (uint32_t port = PORT; port < PORT + 2; port++) {
        join(port);
        expect(VIRTIO_VSOCK_OP_SHUTDOWN, port, VIRTIO_VSOCK_SHUTDOWN_SEND);
    }
    fill(PORT, &sent, &forwarded);
    cr_expect(sent >= VSOCK_BUFFER && sent <= VSOCK_BUFFER + (uint32_t)room_in_pipe, "%u", sent);
    cr_expect(!vsock_drained(&v, PORT));

    say_with(VIRTIO_VSOCK_OP_RW, PORT + 1, "beside it", 9);
    cr_expect_str_eq(read_text(other[0]), "beside it", "a reader who does not read stops nobody else");

    say(VIRTIO_VSOCK_OP_CREDIT_REQUEST, PORT);
    expect(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, 0);
    for (uint32_t got = 0; got < sent;) {
        ssize_t n = read(out[0], block, sizeof(block));
        cr_assert_gt(n, 0);
        got += (uint32_t)n;
    }
    cr_assert(hear(&h, NULL), "room is told of unasked");
    cr_expect(h.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE && h.src_port == PORT);
    while (!vsock_drained(&v, PORT))
        cr_assert_eq(poll(&(struct pollfd){.fd = v.idle, .events = POLLIN}, 1, WAIT_MS), 1);
    while (hear_within(&h, NULL, QUIET_MS))
        ;
    say(VIRTIO_VSOCK_OP_CREDIT_REQUEST, PORT);
    cr_assert(hear(&h, NULL));
    cr_expect_eq(h.fwd_cnt, sent);

    /* Beyond the credit: two packets, as there may be room that was not worth telling of. */
    forwarded = sent;
    fill(PORT, &sent, &forwarded);
    struct virtio_vsock_hdr more = packet(VIRTIO_VSOCK_OP_RW, PORT, 64 << 10);
    put(&more, block, 64 << 10);
    put(&more, block, 64 << 10);
    expect(VIRTIO_VSOCK_OP_RST, PORT, 0);
    close(out[0]);
    close(other[0]);
}

Test(sandbox_vsock, credit_of_the_guest)
{
    int in[2];
    char block[5000];
    struct virtio_vsock_hdr h;
    memset(block, 'x', sizeof(block));
    cr_assert(!pipe(in));
    forward(PORT, in[0], open("/dev/null", O_WRONLY | O_CLOEXEC));
    run_guest();
    give_buffers(60, RX_SIZE);
    room = 1000;
    join(PORT);
    cr_assert_eq(write(in[1], block, sizeof(block)), sizeof(block));
    cr_assert(hear(&h, NULL));
    cr_expect_eq(h.len, 1000);
    cr_expect(silent());
    say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT);
    cr_assert(hear(&h, NULL));
    cr_expect_eq(h.len, 1000);
    taken += 12345; /* a lie: more than was sent */
    say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT);
    cr_expect(silent());
    taken -= 12345;
    room = UINT32_MAX; /* as much as you like */
    say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT);
    cr_assert(hear(&h, NULL));
    cr_expect_eq(h.len, 3000);
    close(in[1]);
    expect(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
}

Test(sandbox_vsock, small_buffers)
{
    int in[2];
    struct vring_used_elem e;
    struct virtio_vsock_hdr h;
    cr_assert(!pipe(in));
    forward(PORT, in[0], open("/dev/null", O_WRONLY | O_CLOEXEC));
    run_guest();
    give_buffers(3, HEADER);
    say(VIRTIO_VSOCK_OP_REQUEST, PORT);
    driver_run(&d, 0);
    for (int i = 0; i < 3; i++)
        cr_expect(driver_used(&d.queues[RX], &e) && e.len == 0, "back, empty");
    give_buffers(4, HEADER + 1);
    expect(VIRTIO_VSOCK_OP_RESPONSE, PORT, 0);
    cr_assert_eq(write(in[1], "abc", 3), 3);
    expect_data("a");
    expect_data("b");
    expect_data("c");
    cr_assert_eq(write(in[1], "d", 1), 1);
    cr_expect(!hear_within(&h, NULL, QUIET_MS), "nothing to put it into");
    give_buffers(1, RX_SIZE);
    expect_data("d");
    close(in[1]);
}

/* A guest that asks and takes no answers costs no memory and no time. */
Test(sandbox_vsock, resets_are_bounded)
{
    struct vring_used_elem e;
    unsigned said = 0, done = 0, heard = 0;
    struct virtio_vsock_hdr h = packet(VIRTIO_VSOCK_OP_REQUEST, 9, 0), answer;
    run_guest();
    for (int round = 0; round < 20; round++) {
        for (; said - done < RING; said++)
            put(&h, NULL, 0);
        driver_run(&d, 0); /* comes back: nothing is left to do */
        for (; driver_used(&d.queues[TX], &e); done++)
            ;
    }
    cr_expect_eq(done, VSOCK_MAX_RESETS);
    while (heard < said) {
        unsigned before = heard;
        give_buffers(16, RX_SIZE);
        for (; hear_within(&answer, NULL, 0); heard++)
            cr_assert_eq(answer.op, VIRTIO_VSOCK_OP_RST);
        cr_assert_gt(heard, before);
    }
    for (; driver_used(&d.queues[TX], &e); done++)
        ;
    cr_expect_eq(done, said);
    cr_expect_eq(heard, said);
}

enum { BULK = 9 << 20 };

static int pattern(unsigned char **at)
{
    int fd = memfd_create("bulk", MFD_CLOEXEC);
    cr_assert(fd >= 0 && ftruncate(fd, BULK) == 0);
    *at = mmap(NULL, BULK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(*at, MAP_FAILED);
    return fd;
}

/* Regular files on both ends, odd lengths: rings wrap, credit and buffers run out over and over. */
Test(sandbox_vsock, all_of_it_arrives)
{
    unsigned char *source, *copy, *seen = malloc(BULK);
    int in = pattern(&source), out = pattern(&copy);
    uint32_t sent = 0, got = 0, forwarded = 0, state = 1, outstanding = 0;
    bool ended = false;
    for (size_t i = 0; i < BULK; i++)
        source[i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    forward(PORT, in, dup(out));
    run_guest();
    give_buffers(RING - 1, 3001);
    join(PORT);
    room = 100000;
    while (sent < BULK || !ended) {
        struct virtio_vsock_hdr h;
        const char *data;
        uint32_t n = 1 + (state = state * 1664525 + 1013904223) % 65000;
        n = n < BULK - sent ? n : BULK - sent;
        n = n < VSOCK_BUFFER - (sent - forwarded) ? n : VSOCK_BUFFER - (sent - forwarded);
        say_with(VIRTIO_VSOCK_OP_RW, PORT, source + sent, n);
        sent += n;
        while (hear_within(&h, &data, n ? 0 : QUIET_MS)) {
            forwarded = h.fwd_cnt;
            outstanding++;
            cr_assert_neq(h.op, VIRTIO_VSOCK_OP_RST);
            cr_assert_leq(got + h.len, BULK);
            memcpy(seen + got, data, h.len);
            got += h.len;
            ended |= h.op == VIRTIO_VSOCK_OP_SHUTDOWN;
        }
        give_buffers((int)outstanding, 3001);
        outstanding = 0;
    }
    cr_expect_eq(got, BULK);
    cr_expect_eq(memcmp(seen, source, BULK), 0);
    while (!vsock_drained(&v, PORT))
        cr_assert_eq(poll(&(struct pollfd){.fd = v.idle, .events = POLLIN}, 1, WAIT_MS), 1);
    cr_expect_eq(memcmp(copy, source, BULK), 0);
    free(seen);
    close(out);
}

Test(sandbox_vsock, descriptors_that_do_not_block)
{
    int s[2], flags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    char block[4096] = "";
    size_t got = 0;
    uint32_t sent = 0, forwarded = 0;
    cr_assert_eq(socketpair(AF_UNIX, flags, 0, s), 0);
    forward(PORT, dup(s[1]), s[1]);
    run_guest();
    give_buffers(60, RX_SIZE);
    join(PORT);
    cr_assert_eq(write(s[0], "x", 1), 1);
    expect_data("x");
    fill(PORT, &sent, &forwarded); /* until write(2) says EAGAIN, and longer */
    while (got < sent) {
        ssize_t n = read(s[0], block, sizeof(block));
        if (n < 0)
            cr_assert_eq(poll(&(struct pollfd){.fd = s[0], .events = POLLIN}, 1, WAIT_MS), 1);
        got += n > 0 ? (size_t)n : 0;
    }
    say(VIRTIO_VSOCK_OP_RST, PORT);
    cr_expect_str_eq(read_text(s[0]), "", "both are closed");
    close(s[0]);
}

Test(sandbox_vsock, a_reset_of_the_device_ends_connections)
{
    int in[2], out[2];
    cr_assert(!pipe(in) && !pipe(out));
    forward(PORT, in[0], out[1]);
    run_guest();
    give_buffers(16, RX_SIZE);
    join(PORT);
    say_with(VIRTIO_VSOCK_OP_RW, PORT, "before", 6);
    driver_start(&d, DRIVER_FEATURES, RING);
    tx_slot = 0;
    cr_expect_str_eq(read_text(out[0]), "before");
    cr_expect_str_eq(read_text(out[0]), "");
    cr_assert_eq(poll(&(struct pollfd){.fd = in[1], .events = POLLOUT}, 1, WAIT_MS), 1);
    give_buffers(16, RX_SIZE);
    say(VIRTIO_VSOCK_OP_REQUEST, PORT);
    expect(VIRTIO_VSOCK_OP_RST, PORT, 0);
    close(in[1]);
    close(out[0]);
}

Test(sandbox_vsock, after_a_load_the_guest_is_told)
{
    struct virtio_mmio_state transport;
    struct vsock_state state;
    struct error err = {0};
    struct vring_used_elem e;
    struct driver_buffer b = {RX_AT, sizeof(struct virtio_vsock_event), true};
    forward(PORT, -1, open("/dev/null", O_WRONLY | O_CLOEXEC));
    run_guest();
    vsock_save(&v, &state);
    memset(driver_at(&d, RX_AT), 0xff, b.length);
    driver_offer(&d.queues[EVENT], &b, 1);
    driver_kick(&d, EVENT);
    driver_run(&d, 0);
    cr_expect(!driver_used(&d.queues[EVENT], &e));
    virtio_mmio_save(&d.mmio, &transport);
    state.ports[0]++;
    cr_expect_eq(vsock_load(&v, &state, &err), -1);
    state.ports[0]--;
    cr_expect_eq(vsock_load(&v, &state, &err), 0, "%s", err.message);
    cr_expect_eq(virtio_mmio_load(&d.mmio, &transport, &err), 0, "%s", err.message);
    driver_run(&d, 0);
    cr_expect(driver_used(&d.queues[EVENT], &e) && e.len == sizeof(struct virtio_vsock_event));
    cr_expect_eq(*(uint32_t *)driver_at(&d, RX_AT), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    give_buffers(2, RX_SIZE);
    join(PORT);
}

/* Another CPU of the guest's, that changes what the device is reading. */
static void *scribble(void *stop)
{
    static const uint32_t lengths[] = {HEADER, HEADER + 10, 0, UINT32_MAX, 64};
    struct vring_desc *const rings[] = {d.queues[0].desc,
                                        d.queues[1].desc}; /* where they stay, through every reset */
    uint32_t state = 1;
    while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE)) {
        state = state * 1664525 + 1013904223;
        struct vring_desc *desc = &rings[state >> 30 & 1][state >> 8 & 3];
        struct virtio_vsock_hdr *h = driver_at(&d, TX_AT);
        __atomic_store_n(&desc->len, lengths[(state >> 16) % ARRAY_SIZE(lengths)], __ATOMIC_RELAXED);
        __atomic_store_n(&desc->next, (uint16_t)(state >> 12 & 3), __ATOMIC_RELAXED);
        __atomic_store_n(&h->len, state >> 20, __ATOMIC_RELAXED);
        __atomic_store_n(&h->op, (uint16_t)(state >> 18 & 7), __ATOMIC_RELAXED);
    }
    return NULL;
}

Test(sandbox_vsock, memory_that_changes_while_it_is_read)
{
    bool stop = false;
    pthread_t other;
    unsigned broken = 0, refused = 0;
    forward(PORT, open("/dev/zero", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC));
    run_guest();
    d.mmio.complaints = 1000; /* none is written */
    cr_assert_eq(pthread_create(&other, NULL, scribble, &stop), 0);
    /* It is seen sooner or later: on one busy processor, later. */
    for (int i = 0; i < 3000 || (i < 3000000 && broken + refused == 0); i++) {
        struct driver_buffer in = {RX_AT, RX_SIZE, true},
                             out[] = {{TX_AT, HEADER, false}, {TX_AT + 64, 64, false}};
        struct virtio_vsock_hdr h = packet(VIRTIO_VSOCK_OP_RW, PORT, 64);
        memcpy(driver_at(&d, TX_AT), &h, HEADER);
        driver_offer(&d.queues[RX], &in, 1);
        driver_offer(&d.queues[TX], out, 2);
        driver_kick(&d, TX);
        driver_run(&d, 0);
        refused += v.connections[0].phase == VSOCK_CLOSED;
        v.connections[0].phase = VSOCK_CONNECTED; /* as if it had just begun */
        v.connections[0].peer_port = MINE;
        cr_assert_leq(v.n_resets, VSOCK_MAX_RESETS);
        if (!v.device.active) {
            broken++;
            driver_start(&d, DRIVER_FEATURES, RING);
        }
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(other, NULL);
    cr_expect_gt(broken + refused, 0, "it was seen");
}

Test(sandbox_vsock, its_configuration_is_the_guests_number)
{
    uint32_t half;
    run_guest();
    cr_expect_eq(driver_read(&d, 0x100), VSOCK_GUEST);
    cr_expect_eq(driver_read(&d, 0x104), 0);
    virtio_mmio_access(&d.mmio, 0x106, &half, 4, false);
    cr_expect_eq(half, 0, "over its end");
    cr_expect_eq(driver_read(&d, 0), 0x74726976);
}

Test(sandbox_vsock, too_many_ports)
{
    struct error err;
    run_guest();
    for (uint32_t i = 0; i < VSOCK_MAX_PORTS; i++)
        forward(PORT + i, -1, -1);
    int fd = dup(2);
    cr_expect_eq(vsock_forward(&v, 1, fd, -1, &err), -1);
    cr_expect_eq(fcntl(fd, F_GETFD), -1, "it has been closed");
    v.n--;
    cr_expect_eq(vsock_forward(&v, PORT, -1, -1, &err), -1, "twice");
}
