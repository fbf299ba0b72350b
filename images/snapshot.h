/*
 * A container's own part of the store, containers/ID: what it writes over its image's layers, and what is known of it.
 *
 *     uses         what of the store it needs, for sweeps (store.h)
 *     upper, work  overlayfs's: what the container wrote
 *     root         where its init mounts the overlay, in the container's own mount namespace: always empty on the host
 *     exit         locked (flock) by whoever looks after the container, as long as it lives; then says how it ended:
 *                  "STATUS SECONDS.NANOSECONDS\n", or "created\n" when it has not run yet. Empty and unlocked: its
 *                  keeper was killed
 *     config.json  for the runtime: the directory is the bundle
 *     overlays/N   the same as upper, work and root, for more overlays that are mounted in it
 *     container.json, log, attach, hosts, hostname, idmap (images/idmaps.h), volumes (images/volume.h)
 */
#pragma once

#include "images/find.h"

struct snapshot {
    const char *id;
    const char *path; /* absolute: the bundle */
    int dir;
    int exit; /* descriptor of the file, which holds the lock; -1 */
};

/** Make containers/@id for @image; the caller holds the store's lock. EEXIST in err->code: the name is taken. */
int snapshot_create(struct store *s, const char *id, const struct found_image *image, struct snapshot *out,
                    struct error *err);

/** Have @directory be as the root of an image with these layers, base first: owner, mode and time as the topmost layer says
 * that describes its root. -1 with errno. */
int snapshot_set_root(const struct store *s, const struct string_list *layers, int directory);

/** Open one that is there. ENOENT in err->code: there is none. */
int snapshot_open(struct store *s, const char *id, struct snapshot *out, struct error *err);
void snapshot_close(struct snapshot *c);

/** Remove all of it. What a user's container wrote as one of its other users is only removed from within its user
 * namespace: rootless callers are in one. */
int snapshot_remove(struct store *s, const char *id, struct error *err);

/** Ids of all, sorted. */
int snapshot_ids(const struct store *s, struct string_list *ids, struct error *err);

/* How one ended. */
struct snapshot_exit {
    bool alive;   /* its keeper is, or somebody else has the lock */
    bool created; /* it has not run yet */
    bool known;
    int status;       /* as a shell would say it */
    int64_t finished; /* seconds since 1970 */
};
int snapshot_exit_read(const struct snapshot *c, struct snapshot_exit *out, struct error *err);
/** The same for who has the lock, which the other one would lose. */
int snapshot_exit_of_locked(const struct snapshot *c, struct snapshot_exit *out, struct error *err);
/** Write it down; the lock stays. */
int snapshot_exit_write(const struct snapshot *c, int status, struct error *err);
/** It is made, and does not run yet. */
int snapshot_created_write(const struct snapshot *c, struct error *err);
/** It begins to run. The lock is held. */
int snapshot_exit_clear(const struct snapshot *c, struct error *err);

/** Look after a container that nobody looks after: wait for the lock, until snapshot_close(). */
int snapshot_lock(const struct snapshot *c, int64_t timeout_ms, struct error *err);

struct snapshot_mount {
    const struct store *store;
    const struct snapshot *snapshot;
    const char *place; /* where upper, work and root are, below the container's directory; NULL: there */
    const struct string_list *layers; /* base first */
    const char *lower;                /* instead: one directory of the host's */
    bool read_only;                   /* nothing is written: without upper and work */
    bool user_namespace;              /* the caller is in one, and so was who unpacked the layers */
    bool throw_away;                  /* never sync what it writes */
};

/** Make the directories for one more overlay, at m->place: "overlays/N". */
int snapshot_overlay(struct store *s, const struct snapshot_mount *m, struct error *err);

/** All those that were made so. */
int snapshot_overlays(struct store *s, const struct snapshot *c, struct snapshot_mount **out, size_t *n,
                      struct error *err);

/** Under the same lock as snapshot_create(): the container uses @image, too. */
int snapshot_use(struct store *s, const struct snapshot *c, const struct found_image *image,
                 struct error *err);

/** In the container's mount namespace: mount the overlay at root. */
int snapshot_mount(const struct snapshot_mount *m, struct error *err);

/** As root, for a container with the user namespace @userns (a descriptor; -1: none): the overlay as a detached mount, in
 * which the layers have the owners that the image says, in that namespace's ids. */
int snapshot_tree(const struct snapshot_mount *m, int userns, int *tree, struct error *err);
