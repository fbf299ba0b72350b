/*
 * The VMM's part of the conversation that makes a guest into a container (sandbox/agent.h): what has been said, what may
 * come next, what is answered. Descriptors, threads and clocks are elsewhere (hull_vmm.c): events go in by calls, what
 * follows from them comes out by `struct conversation_ops`.
 *
 *     BOOTING --HELLO--> CREATING --CREATED--> CREATED --hull: continue--> WAITING --start--> STARTING --STARTED--> RUNNING
 *                                                  (run: no WAITING)           any of these from CREATED on --EXITED--> OVER
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "sandbox/agent.h"

enum conversation_state {
    CONVERSATION_BOOTING,
    CONVERSATION_CREATING,
    CONVERSATION_CREATED, /* and hull knows */
    CONVERSATION_WAITING, /* for start */
    CONVERSATION_STARTING,
    CONVERSATION_RUNNING,
    CONVERSATION_OVER, /* with a status */
    CONVERSATION_STATES,
};

struct conversation_ops {
    /** Say this to the agent. False: there is no room now; conversation_retry() when there is. */
    bool (*send)(void *context, enum agent_type type, const struct iovec *payload, size_t n);
    /** A new state has been reached. */
    void (*reached)(void *context, enum conversation_state state);
    /** For hull's log. */
    void (*log)(void *context, unsigned level, const char *words);
};

struct conversation {
    const struct conversation_ops *ops;
    void *context;

    /* What CREATE says. */
    const char *id;
    const void *config;
    size_t config_length;
    uint32_t flags;       /* enum agent_flags */
    bool waits_for_start; /* create, not run */

    enum conversation_state state;
    struct agent_window window;
    uint64_t kept_signals; /* bit n - 1: signal n came and has not been said yet */
    bool kept_window, kept_start;
    uint64_t forget_began, forget_said; /* when FORGET was first, and last, while the files are many */
    uint32_t boot_us;                   /* HELLO's */
    uint32_t status;                    /* EXITED's, in OVER */
};

/** A message of the agent's; @payload is the caller's copy of @h->length bytes. -1: it ends the conversation; @err says
 * why, in the agent's words or in ours. */
int conversation_message(struct conversation *c, const struct agent_header *h, const void *payload,
                         struct error *err);

/** hull has answered SYNC_READY. -1: it may not say that now. */
int conversation_continue(struct conversation *c, struct error *err);
/** The byte in the fifo. Ignored where none is waited for. */
void conversation_start(struct conversation *c);

/** From any state: kept until the container is created. */
void conversation_signal(struct conversation *c, unsigned number);
void conversation_window(struct conversation *c, const struct agent_window *window);
/** The guest should forget files (@more: it was asked before, and its files have become still more). First their names; when
 * that has not helped within a second their contents, too. @now: CLOCK_MONOTONIC, ns. Nothing of it is kept. */
void conversation_forget(struct conversation *c, bool more, uint64_t now);
/** There is room again. */
void conversation_retry(struct conversation *c);

const char *conversation_state_name(enum conversation_state state); /* "while the guest boots" */
