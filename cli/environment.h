/* What the command line's defaults take from where hull was started: user, user namespace, environment
 * variables. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

/** True without root on the host: another effective user, or root of a user namespace (runc's
 * --rootless=auto). */
bool environment_is_rootless(void);

/**
 * The state directory without --root: /run/hull; where environment_is_rootless() $XDG_RUNTIME_DIR/hull, else
 * /run/user/UID/hull, else /tmp/hull-UID, which is made here and must be the caller's own, because anyone can
 * write to /tmp.
 */
int environment_root(struct arena *a, bool rootless, const char **root, struct error *err);

/** The number of descriptors that systemd passed to this very process (sd_listen_fds(3)), from 3 on. */
int listen_fds(unsigned *n, struct error *err);
