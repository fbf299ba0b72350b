/*
 * How long a guest may boot. A distribution's kernel on an emulated machine needs 10 to 40 s; one that shares a busy host with
 * many others gets little of it and needs longer, which is no reason to give it up. So what counts is the processor's time
 * that the sandbox has had: a window of wall time is followed by another as long as the guest goes on.
 *
 * Given up is who has hardly run in a window (it waits for what does not come), and who has had more than anybody needs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PATIENCE_WINDOW_NS     60000000000ULL
#define PATIENCE_WINDOW_CPU_NS 3000000000ULL
#define PATIENCE_CPU_NS        120000000000ULL

struct patience {
    uint64_t window, window_cpu; /* when the window began; processor time by then */
};

/** Nanoseconds until the window is over; 0: it is. */
static inline uint64_t patience_left(const struct patience *p, uint64_t now)
{
    uint64_t until = p->window + PATIENCE_WINDOW_NS;

    return now < until ? until - now : 0;
}

/** The window is over: is there another? @cpu: processor time so far. */
static inline bool patience_renew(struct patience *p, uint64_t now, uint64_t cpu)
{
    if (cpu - p->window_cpu < PATIENCE_WINDOW_CPU_NS || cpu > PATIENCE_CPU_NS)
        return false;
    *p = (struct patience){.window = now, .window_cpu = cpu};
    return true;
}
