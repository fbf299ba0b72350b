/* A source read ahead by a thread of its own, so that what stands before it works while its reader does. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "images/source.h"

enum { RING_BLOCKS = 2, RING_BLOCK = 128 << 10 };

struct ring_source {
    struct source source, *from;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned char *memory;            /* RING_BLOCKS of RING_BLOCK */
    size_t length[RING_BLOCKS];       /* of each block */
    unsigned written, read;           /* blocks so far; read <= written <= read + RING_BLOCKS */
    bool holds, ended, failed, stops; /* holds: the reader has block `read` in its hands */
    struct error error;               /* of `from`, when it failed */
};

/** From now on, until ring_source_stop(), @from belongs to the thread. */
int ring_source_init(struct ring_source *r, struct source *from, struct error *err);
/** Let the thread end after the block that it is at, and wait for it. */
void ring_source_stop(struct ring_source *r);
