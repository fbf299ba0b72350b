/*
 * The thread that serves devices: it waits for kicks and for the host's descriptors, and gives each device that has
 * work one bounded turn at a time. A device is in one loop, a loop is one thread; a device that may wait for a disk
 * (virtio-fs) has a loop of its own.
 *
 * Sources are edge-triggered: something that became ready is told once. So a device that cannot go on (the guest has
 * given no buffers) may leave what is there, and looks again at the next kick; no guest can make the thread spin. A
 * handler takes what there is, and bears being called for nothing.
 *
 * Adding and removing is for the time before the loop runs, and for its own thread.
 */
#pragma once

#include "base/error.h"
#include "sandbox/virtio/mmio.h"

enum { LOOP_MAX_SOURCES = 128 };

struct loop_source {
    int fd;
    uint32_t events; /* EPOLLIN, EPOLLOUT; for a regular file, which is always ready, none is waited for */
    /* The device whose lock is held and who gets a turn for @queue afterwards; NULL: none. */
    struct virtio_mmio *transport;
    unsigned queue;
    void (*ready)(void *context, uint32_t events); /* NULL: only the device's turn */
    void *context;
};

struct loop {
    int epoll, stop;
    struct {
        struct loop_source source;
        bool used, turn;
        uint32_t events; /* that came, for this turn */
    } slots[LOOP_MAX_SOURCES];
};

int loop_init(struct loop *l, struct error *err);
void loop_destroy(struct loop *l); /* the sources' descriptors stay their owners' */

/** Wait for @source from now on. Its handle (>= 0), or -1. */
int loop_add(struct loop *l, const struct loop_source *source, struct error *err);
void loop_remove(struct loop *l, int handle); /* before the descriptor is closed */

/** The kicks of all queues of a device. */
int loop_add_device(struct loop *l, struct virtio_mmio *t, struct error *err);

/** Serve until loop_stop(). */
int loop_run(struct loop *l, struct error *err);

/** From any thread; also before loop_run(). For good. */
void loop_stop(struct loop *l);

/** One round: wait up to @timeout_ms (-1: for ever) unless turns are left, then give each source that is due its turn.
 * 1: go on; 0: stopped; -1: failed. loop_run() is made of these. */
int loop_turn(struct loop *l, int timeout_ms, struct error *err);
