/*
 * Two queues without the multiport feature: what the guest could receive is never served; what it transmits goes to the
 * stream as far as that has room, and is done with at once. No state of the device's own needs to be saved.
 */
/* #syscalls(io): write futex */
#include "sandbox/virtio/console.h"

#include <inttypes.h>
#include <linux/virtio_console.h>
#include <stdio.h>
#include <string.h>

enum { RX, TX, QUEUES, REQUESTS_A_TURN = 64, NOTICE = 80 };

/* Say what was lost, once there is room to say it and something after it. */
static void tell_loss(struct console *c)
{
    char words[NOTICE];

    if (c->lost == 0 || stream_space(&c->out) < CONSOLE_BUFFER / 4)
        return;
    int n =
        snprintf(words, sizeof(words), "\n[hull-vmm: %" PRIu64 " bytes of the console are lost]\n", c->lost);
    stream_put(&c->out, &(struct iovec){words, (size_t)n}, 1, 0, (uint32_t)n);
    c->lost = 0;
}

static void show(struct console *c, const struct virtqueue_chain *chain)
{
    uint32_t length = (uint32_t)chain->out_bytes, shown = 0; /* at most VIRTQUEUE_MAX_BYTES */

    tell_loss(c);
    if (c->lost == 0) /* never a piece from between what is lost */
        shown = stream_put(&c->out, chain->v, chain->n_out, 0, length);
    c->lost += length - shown;
}

static int serve(struct virtio_device *d, unsigned queue, struct error *err)
{
    struct virtqueue *q = &d->queues[TX];
    struct virtqueue_chain chain;
    int rc = 1;

    (void)queue;
    virtqueue_want_kick(q, d->memory, false);
    for (int i = 0; i < REQUESTS_A_TURN; i++) {
        if ((rc = virtqueue_pop_or_wait(q, d->memory, &chain)) <= 0)
            break;
        show(d->state, &chain);
        virtqueue_push(q, d->memory, chain.head, 0);
    }
    d->interrupt(d, TX);
    return rc < 0 ? error_set(err, 0, "the driver has broken the rules of its ring") : rc;
}

static void read_config(struct virtio_device *d, uint32_t offset, void *to, uint32_t length)
{
    (void)d, (void)offset;
    memset(to, 0, length); /* all of it belongs to features that are not offered */
}

static int activate(struct virtio_device *d, struct error *err)
{
    (void)d, (void)err;
    return 0;
}

static void reset(struct virtio_device *d)
{
    (void)d; /* what was said was said */
}

static const struct virtio_ops console_ops = {
    .name = "console",
    .id = VIRTIO_ID_CONSOLE_,
    .n_queues = QUEUES,
    .queue_size = 64,
    .config_length = sizeof(struct virtio_console_config),
    .read_config = read_config,
    .activate = activate,
    .serve = serve,
    .reset = reset,
};

int console_init(struct console *c, int fd, struct error *err)
{
    *c = (struct console){.device = {.ops = &console_ops, .state = c}};
    return stream_init(&c->out, STREAM_OUTPUT, fd, CONSOLE_BUFFER, -1, err);
}

void console_destroy(struct console *c)
{
    stream_destroy(&c->out);
}

int console_serve_in(struct console *c, struct loop *l, struct virtio_mmio *t, struct error *err)
{
    (void)c;
    return loop_add_device(l, t, err);
}

int console_start(struct console *c, void (*confine)(void), struct error *err)
{
    return stream_start(&c->out, confine, err);
}

bool console_drained(const struct console *c)
{
    return stream_drained(&c->out);
}
