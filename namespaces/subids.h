/* Subordinate ids (subuid(5), subgid(5)): which ids of the host a user may map into user namespaces. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "runtime/spec/spec.h"

/** The next range in *@text, lines "name:start:count" or "uid:start:count", that is the user's (@name may be NULL). Moves
 * *@text on; lines that are not like that are skipped. False: no more. */
bool subids_next(const char **text, const char *name, uint32_t uid, uint32_t *start, uint32_t *count);

/** The whole of a user's ids for a user namespace in which it is root: its own id is 0, what /etc/subuid and /etc/subgid give
 * it follows. Without any, only its own. */
int subids_find(struct arena *a, struct id_maps *uids, struct id_maps *gids, struct error *err);

/** Become root of a user namespace with these ids. Before any thread is started. */
int subids_become_root(struct arena *a, struct error *err);

/** The same for one action, in a child, because nobody comes back from a user namespace. Who is root already does it himself. */
int subids_run_as_root(struct arena *a, int (*action)(void *argument, struct error *err), void *argument,
                       struct error *err);
