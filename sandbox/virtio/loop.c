/*
 * One round is: collect what became ready, mark its slot, then one turn for each marked slot, in order. A device that has
 * not finished within its turn stays marked, and the next round does not wait. So with n busy devices each gets a turn
 * of n, whatever a guest does with its kicks.
 *
 * A descriptor that became ready and was removed within the same round is only a slot that is free again, or one that
 * is called for nothing.
 */
/* #syscalls(io fs): epoll_wait epoll_pwait epoll_ctl write futex */
#include "sandbox/virtio/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { EVENTS_A_ROUND = 32, STOP = LOOP_MAX_SOURCES };

static int watch(struct loop *l, int fd, uint32_t events, uint32_t slot)
{
    struct epoll_event e = {.events = events, .data.u32 = slot};

    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e);
}

int loop_init(struct loop *l, struct error *err)
{
    *l = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    /* Level-triggered and never read: once stopped, stopped for good. */
    if (l->epoll < 0 || l->stop < 0 || watch(l, l->stop, EPOLLIN, STOP) < 0) {
        error_set(err, errno, "set up the thread that serves devices");
        loop_destroy(l);
        return -1;
    }
    return 0;
}

void loop_destroy(struct loop *l)
{
    fd_closep(&l->epoll);
    fd_closep(&l->stop);
}

int loop_add(struct loop *l, const struct loop_source *source, struct error *err)
{
    unsigned i = 0;

    while (i < LOOP_MAX_SOURCES && l->slots[i].used)
        i++;
    if (i == LOOP_MAX_SOURCES)
        return error_set(err, 0, "more than %d descriptors to serve devices with", LOOP_MAX_SOURCES);
    /* EPERM: a regular file. It is always ready, so there is nothing to wait for. */
    if (watch(l, source->fd, source->events | EPOLLET, i) < 0 && errno != EPERM)
        return error_set(err, errno, "wait for descriptor %d", source->fd);
    l->slots[i].source = *source;
    l->slots[i].used = true;
    l->slots[i].turn = false;
    l->slots[i].events = 0;
    return (int)i;
}

void loop_remove(struct loop *l, int handle)
{
    l->slots[handle].used = l->slots[handle].turn = false;
    /* Fails only for what never was waited for. */
    (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->slots[handle].source.fd, NULL);
}

int loop_add_device(struct loop *l, struct virtio_mmio *t, struct error *err)
{
    for (unsigned i = 0; i < t->device->ops->n_queues; i++) {
        struct loop_source kick = {.fd = t->kick[i], .events = EPOLLIN, .transport = t, .queue = i};
        if (loop_add(l, &kick, err) < 0)
            return error_wrap(err, "virtio-%s", t->device->ops->name);
    }
    return 0;
}

/* The slot may be another's, or nobody's, once its handler has run. */
static void take_turn(struct loop *l, unsigned i)
{
    struct loop_source s = l->slots[i].source;
    uint32_t events = l->slots[i].events;

    l->slots[i].turn = false;
    l->slots[i].events = 0;
    if (s.transport)
        virtio_mmio_lock(s.transport);
    if (s.ready && events)
        s.ready(s.context, events);
    if (s.transport) {
        if (virtio_mmio_serve(s.transport, s.queue) && l->slots[i].used)
            l->slots[i].turn = true;
        virtio_mmio_unlock(s.transport);
    }
}

int loop_turn(struct loop *l, int timeout_ms, struct error *err)
{
    struct epoll_event events[EVENTS_A_ROUND];
    bool stopped = false;

    for (unsigned i = 0; i < LOOP_MAX_SOURCES && timeout_ms != 0; i++)
        if (l->slots[i].turn)
            timeout_ms = 0;
    int n = epoll_wait(l->epoll, events, EVENTS_A_ROUND, timeout_ms);
    if (n < 0 && errno != EINTR)
        return error_set(err, errno, "wait for kicks of the guest");
    for (int i = 0; i < n; i++) {
        unsigned slot = events[i].data.u32;
        if (slot == STOP) {
            stopped = true;
        } else if (l->slots[slot].used) {
            l->slots[slot].turn = true;
            l->slots[slot].events |= events[i].events;
        }
    }
    for (unsigned i = 0; i < LOOP_MAX_SOURCES && !stopped; i++)
        if (l->slots[i].turn)
            take_turn(l, i);
    return !stopped;
}

int loop_run(struct loop *l, struct error *err)
{
    int rc;

    do {
        rc = loop_turn(l, -1, err);
    } while (rc > 0);
    return rc;
}

void loop_stop(struct loop *l)
{
    /* Not to be had is only a counter at its end, which is readable as well. */
    if (eventfd_write(l->stop, 1) < 0)
        return;
}
