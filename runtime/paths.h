/* Small things that create and exec share. */
#pragma once

#include "runtime/container.h"
#include "runtime/spawn.h"

/** Where compiled filters are kept: /run/hull-cache, or $XDG_RUNTIME_DIR/hull-cache rootless; NULL when there
 * is no such place. */
const char *runtime_cache_dir(const struct runtime *rt);

/** --pid-file and --pidfd-socket, either may be NULL. */
int runtime_announce_pid(struct arena *a, const struct spawned *p, const char *pid_file,
                         const char *pidfd_socket, struct error *err);
