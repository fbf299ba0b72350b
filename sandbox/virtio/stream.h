/*
 * Bytes between a device and a descriptor of the host's, which may be anything: pipe, terminal, socket, file. One
 * direction, one ring of bytes, one thread, which alone uses the descriptor.
 *
 * Why a thread: an inherited descriptor cannot be made O_NONBLOCK (the flag is on the open file description, which
 * others use too), a write to a terminal or a shared pipe may wait although poll() said it would not, and files do not
 * epoll. A thread that blocks in read(2) or write(2) delays nobody: the device's side never waits, it looks how much
 * is there or fits.
 *
 *     output: stream_put()... stream_finish() -> the rest is written, the descriptor closed, ended
 *     input:  stream_begin() -> read until its end or stream_finish() -> the descriptor closed, ended
 *
 * The device's functions are for one thread at a time (its own, or under the transport's lock).
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

enum stream_direction { STREAM_INPUT, STREAM_OUTPUT };

struct stream {
    enum stream_direction direction;
    int fd;   /* the thread's, once that runs; closed at the end */
    int wake; /* eventfd, for the thread */
    int notify; /* eventfd of the device's, not owned: told of input, of its end, and of much room in the output */
    int idle; /* eventfd or -1, not owned: told when the output has run empty, or ended */
    unsigned char *ring;
    uint32_t size;                   /* bytes, a power of two */
    uint32_t head, tail;             /* atomic, free-running: bytes taken out, bytes put in */
    uint32_t noted;                  /* atomic: the head that the device's peer was told of (output) */
    bool begun, finished, abandoned; /* atomic: the device's wishes */
    bool waiting;                    /* atomic: the thread wants to be woken */
    bool ended; /* atomic: the thread has closed the descriptor; for input, what is in the ring remains */
    bool running;
    void (*confine)(void);
    pthread_t thread;
};

/** @fd becomes the stream's. After a failure, too, stream_destroy() releases all. */
int stream_init(struct stream *s, enum stream_direction direction, int fd, uint32_t size, int notify,
                struct error *err);
/** Make the thread; it calls @confine (unless NULL) first. It has all signals blocked. */
int stream_start(struct stream *s, void (*confine)(void), struct error *err);
/** Waits for a read or write that is under way; what is in the ring is lost. */
void stream_destroy(struct stream *s);

uint32_t stream_available(const struct stream *s); /* input: bytes to take */
uint32_t stream_space(const struct stream *s);     /* output: bytes that fit */
uint32_t stream_pending(const struct stream *s); /* output: bytes that were put and are still to be written */
bool stream_ended(const struct stream *s);
bool stream_drained(const struct stream *s); /* output: all that was put is written, or never will be */

/** At most @length bytes at @offset of @v, and no more than fit; into the void when the stream has ended. How many. */
uint32_t stream_put(struct stream *s, const struct iovec *v, size_t n, size_t offset, uint32_t length);
/** At most @length bytes into @v at @offset, and no more than are there. How many. */
uint32_t stream_take(struct stream *s, const struct iovec *v, size_t n, size_t offset, uint32_t length);

void stream_begin(struct stream *s);  /* input: read from now on */
void stream_finish(struct stream *s); /* input: no more is wanted; output: no more comes */
