/* The one container of a guest, between the agent's conversation and the engine (runtime/container.h). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "runtime/container.h"
#include "sandbox/guest/agent.h"

struct guest_container {
    struct arena *arena;
    const struct agent_place *place;
    struct runtime runtime;
    const char *id;
    pid_t pid;
    int pidfd;
    bool terminal;
    int master; /* of its terminal; -1: none */
    int stdin_fd, stdout_fd,
        stderr_fd; /* our ends of its pipes; with a terminal two copies of `master`, and -1 */
    int executed;  /* end of file: execve has worked, or its process is dead */
    int log;       /* what the engine logs, one JSON object a line */
};

/** Create it from @config. All descriptors of @c are -1 before, and the caller's to close. */
int guest_container_create(struct guest_container *c, const struct agent_create *how, const char *config,
                           size_t length, struct error *err);
int guest_container_start(struct guest_container *c, struct error *err);
void guest_container_resize(const struct guest_container *c, const struct agent_window *w);
