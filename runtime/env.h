/* The environment of a container's process. */
#pragma once

#include "base/arena.h"
#include "runtime/spec/spec.h"

/** The value of @name in a NULL-terminated list, or NULL. */
const char *env_get(char *const *env, const char *name);

/** process.env with each name once (the last given), HOME, and what tells of @listen_fds descriptors of socket
 *  activation (sd_listen_fds(3); 0: none). To be called inside the container, whose /etc/passwd it reads. */
char **env_make(struct arena *a, const struct spec_process *p, unsigned listen_fds);
