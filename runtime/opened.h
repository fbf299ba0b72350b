/* A container that a command works on: its state, and a hold on its first process. */
#pragma once

#include "runtime/container.h"
#include "runtime/state.h"

struct opened {
    int dir, pidfd; /* pidfd: -1 when the container is stopped, or not created yet */
    struct container container;
    struct state_extra extra;
};

/** Load @id, with its lock if @lock. Even on failure @o is to be closed. */
int open_container(const struct runtime *rt, const char *id, bool lock, struct opened *o, struct error *err);
void opened_close(struct opened *o);

/** What is done inside, or to the processes inside, needs the guest's agent, which does not answer such yet: an error
 * for sandboxes that says so. @what: "exec", "update" ... */
int refuse_sandbox(const struct container *c, const char *what, struct error *err);
