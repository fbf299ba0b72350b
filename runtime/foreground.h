/* A foreground run or exec: forward signals and the terminal, reap, give the exit status. See foreground.c.
 */
#pragma once

#include <signal.h>

#include "base/arena.h"
#include "base/error.h"
#include "runtime/spawn.h"

/** Block all signals and make a descriptor of them; *@old is the mask before. */
int signals_take(int *signal_fd, sigset_t *old, struct error *err);

/** Until @p has ended: signals go to it, @master (-1: none) is relayed. *@exit_status: its own, or 128 +
 * signal. */
int foreground_wait(struct arena *a, const struct spawned *p, int signal_fd, int master, int *exit_status,
                    struct error *err);
