/*
 * A chain is one FUSE request and the room for its reply (5.11.6). It is handed to the server as it lies in the guest's
 * memory; what the server must not read twice it copies. Requests are answered in the order in which they come, except
 * one that waits for a lock of the host's: it is kept aside and tried again when another request may have freed the lock,
 * and every FUSE_SERVER_RETRY_MS for locks that others hold. More than FS_MAX_WAITING cannot wait; the server's own
 * limit answers those with an error before.
 *
 * State to save: the queues and the waiting chains' heads; the server's tables live with its descriptors.
 */
/* #syscalls(fs): timerfd_settime read */
#include "sandbox/virtio/fs.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

enum { REQUESTS_A_TURN = 64 };

/* Section 5.11.4. */
struct fs_config {
    char tag[FS_TAG_SIZE];
    uint32_t num_request_queues; /* without the high priority one */
};

static int broken(struct error *err)
{
    return error_set(err, 0, "the driver has broken the rules of its ring");
}

/* True when the chain is answered. */
static bool answer(struct virtio_device *d, unsigned queue, const struct virtqueue_chain *c)
{
    struct virtio_fs *f = d->state;
    ssize_t n =
        fuse_server_handle(f->server, c->v, c->n_out, c->v + c->n_out, c->n_in, c->out_bytes, c->in_bytes);

    if (n == FUSE_SERVER_LATER)
        return false;
    if (virtqueue_push(&d->queues[queue], d->memory, c->head, (uint32_t)n) == 0)
        d->interrupt(d, queue);
    return true;
}

static int ask_again_later(struct virtio_fs *f, struct error *err)
{
    static const struct itimerspec soon = {.it_value.tv_nsec = FUSE_SERVER_RETRY_MS * 1000000L};

    return timerfd_settime(f->timer, 0, &soon, NULL) < 0 ? error_set(err, errno, "timer for virtio-fs") : 0;
}

static int keep(struct virtio_fs *f, unsigned queue, const struct virtqueue_chain *c, struct error *err)
{
    unsigned i = 0;

    while (i < FS_MAX_WAITING && f->waiting[i].used)
        i++;
    if (i == FS_MAX_WAITING)
        return error_set(err, 0, "more than %d requests wait for locks", FS_MAX_WAITING);
    f->waiting[i].used = true;
    f->waiting[i].queue = queue;
    f->waiting[i].chain = *c;
    f->n_waiting++;
    return ask_again_later(f, err);
}

static int retry(struct virtio_fs *f, struct error *err)
{
    f->progress = fuse_server_progress(f->server);
    for (unsigned i = 0; i < FS_MAX_WAITING; i++) {
        struct fs_waiting *w = &f->waiting[i];
        if (w->used && answer(&f->device, w->queue, &w->chain)) {
            w->used = false;
            f->n_waiting--;
        }
    }
    return f->n_waiting > 0 ? ask_again_later(f, err) : 0;
}

static int serve(struct virtio_device *d, unsigned queue, struct error *err)
{
    struct virtio_fs *f = d->state;
    struct virtqueue *q = &d->queues[queue];
    struct virtqueue_chain chain;
    int rc = 1;

    if (f->forget)
        fuse_server_reset(f->server);
    f->forget = false;
    virtqueue_want_kick(q, d->memory, false);
    for (int i = 0; i < REQUESTS_A_TURN && !q->broken; i++) {
        if ((rc = virtqueue_pop_or_wait(q, d->memory, &chain)) <= 0)
            break;
        if (!answer(d, queue, &chain) && keep(f, queue, &chain, err) < 0)
            return -1;
        if (f->n_waiting > 0 && f->progress != fuse_server_progress(f->server) && retry(f, err) < 0)
            return -1;
    }
    return rc < 0 || q->broken ? broken(err) : rc;
}

/* The timer: there is no queue to look into, only those that wait. Called with the device's lock held. */
static void tick(void *context, uint32_t events)
{
    struct virtio_fs *f = context;
    uint64_t expirations;
    struct error err;

    (void)events;
    if (read(f->timer, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
        return;
    /* A timer that cannot be set again: they are tried with the next requests. */
    if (f->n_waiting > 0)
        (void)retry(f, &err);
}

static void read_config(struct virtio_device *d, uint32_t offset, void *to, uint32_t length)
{
    const struct virtio_fs *f = d->state;
    struct fs_config config = {.num_request_queues = FS_QUEUES - 1};

    memcpy(config.tag, f->tag, sizeof(config.tag));
    memcpy(to, (const char *)&config + offset, length);
}

static int activate(struct virtio_device *d, struct error *err)
{
    (void)d, (void)err;
    return 0;
}

/* In a vCPU's thread, which may close no descriptors and shall not have to wait for many. */
static void reset(struct virtio_device *d)
{
    struct virtio_fs *f = d->state;

    for (unsigned i = 0; i < FS_MAX_WAITING && f->n_waiting > 0; i++) {
        f->n_waiting -= f->waiting[i].used;
        f->waiting[i].used = false;
    }
    f->forget = true;
}

static const struct virtio_ops fs_ops = {
    .name = "fs",
    .id = VIRTIO_ID_FS_,
    .n_queues = FS_QUEUES,
    .queue_size = FS_QUEUE_SIZE,
    .config_length = sizeof(struct fs_config),
    .read_config = read_config,
    .activate = activate,
    .serve = serve,
    .reset = reset,
};

int fs_init(struct virtio_fs *f, const struct fuse_export *e, const char *tag, struct error *err)
{
    *f = (struct virtio_fs){.device = {.ops = &fs_ops, .state = f}, .timer = -1};
    if (strlen(tag) > FS_TAG_SIZE)
        return error_set(err, 0, "a virtio-fs tag of more than %d bytes: %s", FS_TAG_SIZE, tag);
    memcpy(f->tag, tag, strlen(tag));
    void *waiting = mmap(NULL, FS_MAX_WAITING * sizeof(*f->waiting), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (waiting == MAP_FAILED)
        return error_set(err, errno, "memory for virtio-fs");
    f->waiting = waiting;
    f->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (f->timer < 0)
        error_set(err, errno, "timer for virtio-fs");
    else if ((f->server = fuse_server_create(e, err)))
        return 0;
    fs_destroy(f);
    return -1;
}

void fs_destroy(struct virtio_fs *f)
{
    fuse_server_destroy(f->server);
    f->server = NULL;
    fd_closep(&f->timer);
    f->timer = -1;
    if (f->waiting)
        munmap(f->waiting, FS_MAX_WAITING * sizeof(*f->waiting));
    f->waiting = NULL;
}

int fs_serve_in(struct virtio_fs *f, struct loop *l, struct virtio_mmio *t, struct error *err)
{
    struct loop_source timer = {
        .fd = f->timer, .events = EPOLLIN, .transport = t, .ready = tick, .context = f};

    return loop_add_device(l, t, err) < 0 || loop_add(l, &timer, err) < 0 ? -1 : 0;
}

int fs_confine_thread(struct virtio_fs *f, struct error *err)
{
    return fuse_thread_confine(f->server, err);
}
