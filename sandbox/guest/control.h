/* The agent's end of the control connection: sandbox/agent.h's messages, whole or not at all. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "sandbox/agent.h"

struct control_message {
    struct agent_header header;
    void *payload; /* header.length bytes, and a NUL */
};

/** Wait for the next message; a longer one than @max is an error. 1, 0 at the end of the connection, -1. */
int control_receive(int fd, struct arena *a, uint32_t max, struct control_message *m, struct error *err);

int control_send(int fd, enum agent_type type, const void *payload, uint32_t length, struct error *err);
/** ERROR with @why's codes and words. */
int control_send_error(int fd, const struct error *why, struct error *err);
int control_send_log(int fd, uint32_t level, const char *words, struct error *err);
