/*
 * The bounded ring: see ring.h. One writer (the thread), one reader; both counters only grow, and the block of number N is
 * slot N % RING_BLOCKS. The reader's block is given back when it asks for the next one.
 */
#include "images/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A slot that may be filled; false: nobody wants more. */
static bool wait_for_slot(struct ring_source *r)
{
    bool go;

    pthread_mutex_lock(&r->mutex);
    while (!r->stops && r->written - r->read == RING_BLOCKS)
        pthread_cond_wait(&r->changed, &r->mutex);
    go = !r->stops;
    pthread_mutex_unlock(&r->mutex);
    return go;
}

static void publish(struct ring_source *r)
{
    pthread_mutex_lock(&r->mutex);
    r->written++;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

static bool fill(struct ring_source *r, const unsigned char *data, size_t n)
{
    while (n) {
        size_t part = n < RING_BLOCK ? n : RING_BLOCK, slot = r->written % RING_BLOCKS;

        if (!wait_for_slot(r))
            return false;
        memcpy(r->memory + slot * RING_BLOCK, data, part);
        r->length[slot] = part;
        publish(r);
        data += part;
        n -= part;
    }
    return true;
}

static void *run(void *argument)
{
    struct ring_source *r = argument;
    const void *data;
    ssize_t n;

    do {
        n = r->from->read(r->from, &data, &r->error);
    } while (n > 0 && fill(r, data, (size_t)n));
    pthread_mutex_lock(&r->mutex);
    r->ended = true;
    r->failed = n < 0;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

static ssize_t ring_read(struct source *s, const void **data, struct error *err)
{
    struct ring_source *r = (struct ring_source *)s;
    ssize_t n;

    pthread_mutex_lock(&r->mutex);
    if (r->holds) {
        r->read++;
        pthread_cond_signal(&r->changed);
    }
    while (r->read == r->written && !r->ended)
        pthread_cond_wait(&r->changed, &r->mutex);
    r->holds = r->read != r->written;
    if (r->holds) {
        *data = r->memory + (size_t)(r->read % RING_BLOCKS) * RING_BLOCK;
        n = (ssize_t)r->length[r->read % RING_BLOCKS];
    } else if (r->failed) {
        *err = r->error;
        n = -1;
    } else {
        n = 0;
    }
    pthread_mutex_unlock(&r->mutex);
    return n;
}

int ring_source_init(struct ring_source *r, struct source *from, struct error *err)
{
    int rc;

    *r = (struct ring_source){.source.read = ring_read,
                              .from = from,
                              .mutex = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER,
                              .memory = malloc((size_t)RING_BLOCKS * RING_BLOCK)};
    if (!r->memory)
        return error_set(err, ENOMEM, "a ring of blocks");
    rc = pthread_create(&r->thread, NULL, run, r);
    if (rc == 0)
        return 0;
    free(r->memory);
    r->memory = NULL;
    return error_set(err, rc, "start a thread");
}

void ring_source_stop(struct ring_source *r)
{
    if (!r->memory)
        return;
    pthread_mutex_lock(&r->mutex);
    r->stops = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    pthread_join(r->thread, NULL);
    free(r->memory);
    r->memory = NULL;
}
