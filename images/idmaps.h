/*
 * The ids of containers that root gives a user namespace (hull run --userns, --uidmap ...): containers/ID/idmap, a line a
 * range, "uid|gid CONTAINER HOST SIZE". It is there as long as the container is, as what the container wrote belongs to these
 * ids; so the files of all containers say which ranges are taken.
 */
#pragma once

#include "images/snapshot.h"

struct idmaps {
    struct id_maps uids, gids;
};

/** Give the container these ids: write them down, and let what is its own belong to them. */
int idmaps_set(struct store *s, const struct snapshot *c, const struct idmaps *maps, struct error *err);

/** Let upper and work of the overlay @place (struct snapshot_mount) belong to these ids. */
int idmaps_own(struct store *s, const struct snapshot *c, const char *place, const struct idmaps *maps,
               struct error *err);

/** The same as idmaps_set() with @size ids of the user "containers" in /etc/subuid and /etc/subgid that no container of the store has. Takes
 * the store's lock. */
int idmaps_allocate(struct store *s, const struct snapshot *c, uint32_t size, struct idmaps *out,
                    struct error *err);

/** What was set; none: uids.n is 0. */
int idmaps_read(struct arena *a, const struct snapshot *c, struct idmaps *out, struct error *err);

/** A mount of the directory @fd in which its files have the owners that the container sees: for who looks at what it wrote.
 * A descriptor, -1 with @err. */
int idmaps_undo(const struct idmaps *maps, int fd, struct error *err);
