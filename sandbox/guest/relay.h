/*
 * One direction of a stream: what comes from a descriptor goes to another, through a buffer of fixed size, and so does
 * the end. Neither end ever blocks; a slow sink makes the source wait.
 *
 * States: open (from >= 0), ending (from < 0, the buffer's rest is still to go), done (both < 0). When the sink is gone the
 * source is closed too, so that its writer hears of it (SIGPIPE) as it would without a relay.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { RELAY_BUFFER = 64 << 10 };

enum relay_end {
    RELAY_CLOSE,   /* the end of the source closes the sink */
    RELAY_END_KEY, /* the sink is a terminal: it gets the key that means the end of input there (VEOF) */
};

struct relay {
    int from, to; /* owned; -1 when closed */
    enum relay_end end_kind;
    bool last; /* nobody writes to the source any more: when it is empty it has ended */
    size_t start, end;
    char data[RELAY_BUFFER];
};

/** Takes both descriptors and makes them non-blocking. */
int relay_begin(struct relay *r, int from, int to, enum relay_end end_kind, struct error *err);

/** What to poll for: @fds[0] is the source, @fds[1] the sink. */
void relay_poll(const struct relay *r, struct pollfd fds[2]);

/** Move what can be moved now. */
void relay_step(struct relay *r, const struct pollfd fds[2]);

static inline bool relay_done(const struct relay *r)
{
    return r->from < 0 && r->to < 0;
}
