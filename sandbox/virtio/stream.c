/*
 * A ring with one writer and one reader: `tail` is moved by who puts bytes in, `head` by who takes them out, each after
 * it has done so; both run freely, their difference is what the ring holds.
 *
 * Sleep and waking: the thread that has nothing to do says so in `waiting`, looks once more, then sleeps until `wake`.
 * The other side moves its index, then looks at `waiting`. With both in one order (SEQ_CST) one of the two always sees
 * the other. A wake too many does no harm.
 */
/* #syscalls(stream): read write poll close futex madvise munmap exit rt_sigprocmask */
#include "sandbox/virtio/stream.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "sandbox/virtio/queue.h"

enum {
    CHUNK = 64 << 10, /* of one read or write: what a pipe takes, so that room is told of as it comes */
    STACK = 256 << 10,
};

#define load(p)         __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store(p, value) __atomic_store_n((p), (value), __ATOMIC_SEQ_CST)

static void signal_eventfd(int fd)
{
    /* Not to be had is only a counter at its end, which is readable as well. */
    if (fd >= 0 && eventfd_write(fd, 1) < 0)
        return;
}

static uint32_t held(const struct stream *s)
{
    return load(&s->tail) - load(&s->head);
}

/* ---- the thread ---- */

static void drain(int eventfd)
{
    eventfd_t n;

    if (eventfd_read(eventfd, &n) < 0)
        return; /* nothing was in it */
}

/* Wait for the device's side. The first call only says so, and lets the caller look once more. */
static void rest(struct stream *s, bool *said)
{
    if (!*said) {
        store(&s->waiting, true);
    } else {
        (void)poll(&(struct pollfd){.fd = s->wake, .events = POLLIN}, 1, -1);
        drain(s->wake);
    }
    *said = !*said;
}

/* The part of the ring from @at on that lies in one piece, at most @length bytes. */
static uint32_t piece(const struct stream *s, uint32_t at, uint32_t length)
{
    uint32_t to_end = s->size - (at & (s->size - 1));

    return length < to_end ? length : to_end;
}

static unsigned char *place(const struct stream *s, uint32_t at)
{
    return s->ring + (at & (s->size - 1));
}

/* True when it may be tried again: the description is somebody's O_NONBLOCK, or a signal came. */
static bool write_again(int fd)
{
    if (errno != EAGAIN)
        return errno == EINTR;
    (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
    return true;
}

static void write_out(struct stream *s)
{
    bool said = false;

    for (;;) {
        bool finished = load(&s->finished); /* before the ring: what was put before it counts */
        uint32_t head = load(&s->head), n = piece(s, head, held(s));
        if (load(&s->abandoned) || (n == 0 && finished))
            return;
        if (n == 0) {
            if (said)
                signal_eventfd(s->idle);
            rest(s, &said);
            continue;
        }
        ssize_t written = write(s->fd, place(s, head), n < CHUNK ? n : CHUNK);
        if (written < 0 && !write_again(s->fd))
            return;
        if (written > 0)
            store(&s->head, head + (uint32_t)written);
        if (load(&s->head) - load(&s->noted) >= s->size / 4)
            signal_eventfd(s->notify);
    }
}

static void read_in(struct stream *s)
{
    bool said = false;

    while (!load(&s->finished)) {
        uint32_t tail = load(&s->tail), space = s->size - held(s);
        if (!load(&s->begun) || space < s->size / 4) {
            rest(s, &said);
            continue;
        }
        struct pollfd p[] = {{.fd = s->wake, .events = POLLIN}, {.fd = s->fd, .events = POLLIN}};
        (void)poll(p, 2, -1);
        if (p[0].revents) {
            drain(s->wake);
            said = false; /* whoever woke us took it back */
        }
        if (!p[1].revents)
            continue;
        uint32_t n = piece(s, tail, space);
        ssize_t got = read(s->fd, place(s, tail), n < CHUNK ? n : CHUNK);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return; /* the end; a terminal that has hung up says EIO */
        if (got > 0) {
            store(&s->tail, tail + (uint32_t)got);
            signal_eventfd(s->notify);
        }
    }
}

static void *run(void *stream)
{
    struct stream *s = stream;

    if (s->confine)
        s->confine();
    if (s->direction == STREAM_OUTPUT)
        write_out(s);
    else
        read_in(s);
    fd_closep(&s->fd);
    store(&s->ended, true);
    signal_eventfd(s->notify);
    signal_eventfd(s->idle);
    return NULL;
}

/* ---- the device's side ---- */

static void wake(struct stream *s)
{
    store(&s->waiting, false);
    signal_eventfd(s->wake);
}

int stream_init(struct stream *s, enum stream_direction direction, int fd, uint32_t size, int notify,
                struct error *err)
{
    *s = (struct stream){
        .direction = direction, .fd = fd, .wake = -1, .notify = notify, .idle = -1, .size = size};
    /* Pages that no stream has needed yet cost nothing. */
    void *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        return error_set(err, errno, "%u bytes for a stream", size);
    s->ring = ring;
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return s->wake < 0 ? error_set(err, errno, "eventfd for a stream") : 0;
}

int stream_start(struct stream *s, void (*confine)(void), struct error *err)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    s->confine = confine;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&s->thread, &attributes, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    s->running = code == 0;
    return s->running ? 0 : error_set(err, code, "thread for a stream");
}

void stream_destroy(struct stream *s)
{
    if (s->running) {
        store(&s->abandoned, true);
        stream_finish(s);
        pthread_join(s->thread, NULL);
    }
    fd_closep(&s->fd);
    fd_closep(&s->wake);
    if (s->ring)
        munmap(s->ring, s->size);
    *s = (struct stream){.fd = -1, .wake = -1, .ended = true};
}

uint32_t stream_available(const struct stream *s)
{
    return held(s);
}

uint32_t stream_pending(const struct stream *s)
{
    return load(&s->ended) ? 0 : held(s);
}

uint32_t stream_space(const struct stream *s)
{
    return s->size - stream_pending(s);
}

bool stream_ended(const struct stream *s)
{
    return load(&s->ended);
}

bool stream_drained(const struct stream *s)
{
    return stream_pending(s) == 0;
}

uint32_t stream_put(struct stream *s, const struct iovec *v, size_t n, size_t offset, uint32_t length)
{
    uint32_t tail = load(&s->tail), fits = stream_space(s);

    if (load(&s->ended))
        return length;
    length = length < fits ? length : fits;
    uint32_t first = piece(s, tail, length);
    uint32_t done = (uint32_t)iov_to_buffer(v, n, offset, place(s, tail), first);
    if (done == first && first < length)
        done += (uint32_t)iov_to_buffer(v, n, offset + first, s->ring, length - first);
    store(&s->tail, tail + done);
    if (load(&s->waiting))
        wake(s);
    return done;
}

uint32_t stream_take(struct stream *s, const struct iovec *v, size_t n, size_t offset, uint32_t length)
{
    uint32_t head = load(&s->head), there = stream_available(s);

    length = length < there ? length : there;
    uint32_t first = piece(s, head, length);
    uint32_t done = (uint32_t)iov_from_buffer(v, n, offset, place(s, head), first);
    if (done == first && first < length)
        done += (uint32_t)iov_from_buffer(v, n, offset + first, s->ring, length - first);
    store(&s->head, head + done);
    if (load(&s->waiting) && s->size - held(s) >= s->size / 4)
        wake(s);
    return done;
}

void stream_begin(struct stream *s)
{
    store(&s->begun, true);
    wake(s);
}

void stream_finish(struct stream *s)
{
    store(&s->finished, true);
    wake(s);
}
