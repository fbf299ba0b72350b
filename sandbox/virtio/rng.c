/*
 * A guest decides how much it asks for, not how much host time that costs: a request gets at most RNG_MAX_REQUEST bytes
 * (fewer than asked for is what the driver must expect, 5.4.6.2), and all together RNG_BYTES_A_SECOND after a burst.
 * When the allowance is used up, requests wait in the ring for the timer. Nothing of it needs to be saved.
 */
/* #syscalls(io): getrandom timerfd_settime clock_gettime */
#include "sandbox/virtio/rng.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>

enum { REQUESTS_A_TURN = 16, REQUEST_COST = 64, WAIT_MS = 10 };

#define NS_A_SECOND 1000000000ULL

static void refill(struct rng *r)
{
    struct timespec t;

    if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
        return;
    uint64_t now = (uint64_t)t.tv_sec * NS_A_SECOND + (uint64_t)t.tv_nsec, passed = now - r->counted_ns;
    if (passed > NS_A_SECOND) /* more than fills it; and the product below has an end */
        passed = NS_A_SECOND;
    r->allowance += (int64_t)(passed * RNG_BYTES_A_SECOND / NS_A_SECOND);
    if (r->allowance > RNG_BURST)
        r->allowance = RNG_BURST;
    r->counted_ns = now;
}

/* Straight into the guest's memory. A short answer is an answer; none at all is the host's failure. */
static int fill(const struct virtqueue_chain *c, uint32_t *written, struct error *err)
{
    size_t left = c->in_bytes < RNG_MAX_REQUEST ? c->in_bytes : RNG_MAX_REQUEST;

    for (size_t i = 0; i < c->n_in && left > 0; i++) {
        const struct iovec *v = &c->v[c->n_out + i];
        size_t part = v->iov_len < left ? v->iov_len : left;
        ssize_t got = getrandom(v->iov_base, part, 0);
        if (got < 0 && errno != EINTR)
            return error_set(err, errno, "getrandom for the guest");
        if (got > 0)
            *written += (uint32_t)got;
        if (got < (ssize_t)part)
            break;
        left -= part;
    }
    return 0;
}

static int serve(struct virtio_device *d, unsigned queue, struct error *err)
{
    static const struct itimerspec soon = {.it_value.tv_nsec = WAIT_MS * 1000000L};
    struct rng *r = d->state;
    struct virtqueue *q = &d->queues[queue];
    struct virtqueue_chain chain;
    int rc = 1;

    refill(r);
    virtqueue_want_kick(q, d->memory, false);
    for (int i = 0; i < REQUESTS_A_TURN; i++) {
        uint32_t written = 0;
        if (r->allowance <= 0) {
            rc = timerfd_settime(r->timer, 0, &soon, NULL);
            break;
        }
        if ((rc = virtqueue_pop_or_wait(q, d->memory, &chain)) <= 0)
            break;
        if (fill(&chain, &written, err) < 0)
            return -1;
        r->allowance -= written + REQUEST_COST;
        virtqueue_push(q, d->memory, chain.head, written);
    }
    d->interrupt(d, queue);
    return rc < 0 ? error_set(err, 0, "the driver has broken the rules of its ring") : rc;
}

static int activate(struct virtio_device *d, struct error *err)
{
    (void)d, (void)err;
    return 0;
}

static void reset(struct virtio_device *d)
{
    (void)d; /* the allowance stays: a reset buys no entropy */
}

static const struct virtio_ops rng_ops = {
    .name = "rng",
    .id = VIRTIO_ID_RNG_,
    .n_queues = 1,
    .queue_size = 64,
    .activate = activate,
    .serve = serve,
    .reset = reset,
};

int rng_init(struct rng *r, struct error *err)
{
    *r = (struct rng){.device = {.ops = &rng_ops, .state = r}, .allowance = RNG_BURST};
    r->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    refill(r);
    return r->timer < 0 ? error_set(err, errno, "timer for virtio-rng") : 0;
}

void rng_destroy(struct rng *r)
{
    fd_closep(&r->timer);
}

int rng_serve_in(struct rng *r, struct loop *l, struct virtio_mmio *t, struct error *err)
{
    struct loop_source timer = {.fd = r->timer, .events = EPOLLIN, .transport = t};

    return loop_add_device(l, t, err) < 0 || loop_add(l, &timer, err) < 0 ? -1 : 0;
}
