/*
 * The channel to the agent: one end of a stream socket, whose other end vsock joins to the guest's connection to
 * AGENT_PORT_CONTROL. Cuts the stream into messages, and holds what the guest has not taken yet.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "base/error.h"
#include "sandbox/agent.h"

enum { AGENT_CHANNEL_MAX_IN = sizeof(struct agent_error) + AGENT_MAX_WORDS };

struct agent_channel {
    int fd; /* not blocking */
    size_t in_length;
    char *out; /* [out_start, out_end) waits to be written */
    size_t out_start, out_end, out_size;
    char in[sizeof(struct agent_header) + AGENT_CHANNEL_MAX_IN];
};

/** Over @fd, which becomes the channel's. The longest message to be sent has @max_out bytes of payload. */
int agent_channel_init(struct agent_channel *ch, int fd, size_t max_out, struct error *err);
void agent_channel_destroy(struct agent_channel *ch);

/** Read what has come. 1: go on; 0: the agent closed the connection, with nothing of a message left; -1: failed. */
int agent_channel_read(struct agent_channel *ch, struct error *err);
/** The next message that is whole. 1: *@h is its header, and @payload has room for AGENT_CHANNEL_MAX_IN; 0: none is; -1:
 * it is one that nobody sends. */
int agent_channel_next(struct agent_channel *ch, struct agent_header *h, void *payload, struct error *err);

/** Put a message behind those that wait. False: there is no room. */
bool agent_channel_send(struct agent_channel *ch, enum agent_type type, const struct iovec *payload,
                        size_t n);
/** Write as much as goes. -1: failed. */
int agent_channel_flush(struct agent_channel *ch, struct error *err);

static inline bool agent_channel_has_output(const struct agent_channel *ch)
{
    return ch->out_start < ch->out_end;
}
