/*
 * virtio-vsock (virtio 1.2, section 5.10) whose host end is in this process: the guest (CID 3) may connect to ports of the
 * host (CID 2) that were announced before it ran, each once, and is then joined to descriptors. Streams only. All else
 * that it tries is answered with RST.
 *
 *     vsock_init(); vsock_forward()...; virtio_mmio_init(); vsock_serve_in(); vsock_start(); the machine runs
 *
 * What may be in flight is bounded by the buffers made in vsock_forward(): VSOCK_BUFFER to the host (what the guest is
 * given credit for), VSOCK_READ_AHEAD to the guest.
 */
#pragma once

#include "sandbox/virtio/loop.h"
#include "sandbox/virtio/stream.h"

enum {
    VSOCK_HOST = 2,
    VSOCK_GUEST = 3,
    VSOCK_MAX_PORTS = 8,
    VSOCK_BUFFER = 256 << 10,
    VSOCK_READ_AHEAD = 128 << 10,
    VSOCK_MAX_RESETS = 64, /* that wait to be sent */
    VSOCK_STATE_VERSION = 1,
};

enum vsock_phase { VSOCK_LISTENING, VSOCK_CONNECTED, VSOCK_CLOSED };

struct vsock_connection {
    uint32_t port, peer_port;
    enum vsock_phase phase;
    uint32_t due;                         /* packets to be sent: 1 << operation */
    uint32_t shut, peer_shut;             /* VIRTIO_VSOCK_SHUTDOWN_*: that we sent, that came */
    uint32_t sent, received;              /* bytes of payload, modulo 2^32 */
    uint32_t peer_buffer, peer_forwarded; /* buf_alloc and fwd_cnt of the peer's last packet */
    bool reads, writes;                   /* there is an `in`, an `out` */
    struct stream in, out;                /* from the host's descriptor; to it */
};

struct vsock_reset { /* an answer to somebody without a connection */
    uint64_t cid;    /* whom the guest took us for */
    uint32_t port, peer_port;
    uint16_t type;
};

struct vsock {
    struct virtio_device device;
    struct vsock_connection connections[VSOCK_MAX_PORTS];
    unsigned n, next; /* whose turn it is */
    struct vsock_reset resets[VSOCK_MAX_RESETS];
    unsigned first_reset, n_resets;
    bool transport_reset; /* an event that is due: the guest's connections are gone (5.10.6.7) */
    int notify;           /* eventfd: a stream has something for the guest */
    int idle;             /* eventfd, readable (until it is read) when an output has run empty or ended */
};

/* Saved: what the guest may go on with. Connections are not in it: their other ends are descriptors of this process. After
 * a load the guest is told that they are gone (5.10.6.7), and may connect anew. */
struct vsock_state {
    uint32_t version, n;
    uint32_t ports[VSOCK_MAX_PORTS];
};

int vsock_init(struct vsock *v, struct error *err);
void vsock_destroy(
    struct vsock *v); /* waits for a read or write that is under way: not for the end of a process */

/** The guest may connect to @port. What comes from it is written to @out_fd, what is read from @in_fd is sent to it; -1:
 * that direction is shut from the beginning. The descriptors are vsock's from here on (also after a failure) and are
 * closed, each by itself, when their direction is over: @in_fd at its end or when the guest takes no more, @out_fd when the
 * guest sends no more and all is written. @in_fd is not read before the guest has connected. */
int vsock_forward(struct vsock *v, uint32_t port, int in_fd, int out_fd, struct error *err);

int vsock_serve_in(struct vsock *v, struct loop *l, struct virtio_mmio *t, struct error *err);

/** Make the threads of the descriptors, one each; every one calls @confine (unless NULL) first. */
int vsock_start(struct vsock *v, void (*confine)(void), struct error *err);

/** All that the guest has sent to @port (and that the VMM has seen) is written, or cannot be. From any thread; `idle` says
 * when to ask again. */
bool vsock_drained(const struct vsock *v, uint32_t port);

/** While no vCPU, no loop and no stream runs; before or after the transport's. */
void vsock_save(const struct vsock *v, struct vsock_state *s);
int vsock_load(struct vsock *v, const struct vsock_state *s, struct error *err);
