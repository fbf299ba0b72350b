/*
 * The agent proper: one conversation with the VMM (sandbox/agent.h), one container. What it needs of its surroundings is
 * given to it, so that it runs as PID 1 of a machine (main.c) and in a test's namespaces alike.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/agent.h"

struct agent_place {
    /* A connection to the VMM's @port: a descriptor, or -1. */
    int (*connect)(enum agent_port port, struct error *err);
    const char *shared; /* where the host's tree is mounted: AGENT_FS_MOUNT */
    const char *run;    /* a directory of the agent's own, on a tmpfs; it exists */
    bool set_clock;     /* the clock is ours: set it to the host's */
    const char *caches; /* the kernel is ours, and this its vm.drop_caches; NULL: it is not */
};

/**
 * Say HELLO on @control and serve until the container has ended and the VMM knows, or until an error that the VMM
 * has been told. -1: the connection itself failed. Reaps every child of the process. @control stays open.
 */
int agent_serve(const struct agent_place *place, int control, struct error *err);
