/* What a container uses, as the document that runc's `events` prints and engines parse. */
#pragma once

#include "base/json.h"
#include "cgroups/cgroup.h"
#include "runtime/container.h"

/** One event's "data": runc's names and its rules of what is left out, from @s and from the network interfaces of
 * process @pid. */
void stats_write(struct json_writer *w, const struct cgroup_stats *s, pid_t pid);

/** {"type":"stats","id":ID,"data":{...}} of an open cgroup; all that it takes is in @a. */
int stats_event(struct arena *a, const struct cgroup *cg, const struct container *c, char **text,
                size_t *length, struct error *err);
/** {"type":"oom","id":ID} */
char *oom_event(struct arena *a, const struct container *c, size_t *length);
