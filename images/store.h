/*
 * The image store: content-addressed, for any number of processes at once, without a daemon. Rootful in /var/lib/hull,
 * rootless in $XDG_DATA_HOME/hull.
 *
 *     blobs/sha256/HEX    manifests, indexes, configurations: small, whole or absent
 *     layers/KEY/         an unpacked layer: `tree`, its content; `layer.json` (images/layers.h); `skeleton`, what its
 *                         archive had besides (images/skeleton.h). KEY is its diff_id's HEX; or, where the
 *                         layer holds something of what is below it (hard links across layers, directories that it does
 *                         not describe), its ChainID's (config.md): it fits there only
 *                         ... or either and ".keep-UID-GID": a copy with other owners (images/owners.h)
 *     stacks/HEX          the keys of an image's layers, base first, a line each; HEX is its configuration's digest's
 *     names/NAME          an image's name ("/" written "+") or, for an image without one, its manifest's digest:
 *                         JSON, struct store_image
 *     containers/ID/      of `run --image`: config.json, upper, work and what else is the container's; `uses`: the digits of
 *                         the blobs and the keys of the layers that it needs, a line each
 *     mounts/HEX/         of `mount`: `root`, where the image of this configuration is mounted, and `uses`
 *     volumes/NAME/       a volume: images/volume.h
 *     tmp/NAME/           a session: what a process is making, locked (flock) for as long as that process lives
 *     lock                held shared while something is looked up and put to use, exclusively while a sweep decides
 *
 * Nothing becomes visible in blobs, layers or names before it is whole and verified: it is made in the session and renamed
 * into place. A killed process leaves an unlocked session, which the next sweep removes. A sweep keeps what a name, a
 * container or a living session uses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "images/digest.h"
#include "runtime/spec/spec.h"

struct store {
    struct arena *arena;
    const char *path; /* absolute */
    int dir, lock;
};

/** Where the store is when nobody says: see above. NULL with @err when the environment does not tell. */
const char *store_default_path(struct arena *a, bool rootless, struct error *err);

/** Open it, made if it is not there. @path: store_default_path() when NULL. */
int store_open(struct arena *a, const char *path, bool rootless, struct store *s, struct error *err);
void store_close(struct store *s);

/** Hold the store's lock until store_unlock(): shared while using what was found, exclusive for a sweep. A wait is
 * short: nobody downloads or unpacks under it. */
int store_lock(struct store *s, bool exclusive, struct error *err);
void store_unlock(struct store *s);

/* --- blobs --------------------------------------------------------------------------------------------------------- */

enum { STORE_BLOB_MAX = 8 << 20 }; /* of a manifest or configuration, bytes */

/** ENOENT in err->code when it is not there. */
int store_blob_read(const struct store *s, const char *digest, char **data, size_t *length,
                    struct error *err);
bool store_blob_exists(const struct store *s, const char *digest);

/* --- sessions ------------------------------------------------------------------------------------------------------ */

struct session {
    struct store *store;
    char name[40];
    int dir; /* of the session; its content dies with it */
};

int session_begin(struct store *s, struct session *session, struct error *err);
/** Removes what is left in it. Also after a failed begin. */
void session_end(struct session *session);

/** Keep what has been verified: the caller has computed @digest from these bytes. */
int session_put_blob(struct session *session, const char *digest, const void *data, size_t length,
                     struct error *err);

/** Keep blob or layer @key (a digest's digits, a layer's KEY) from being swept while this session lives, whether it is
 * there already or comes later. */
int session_use(struct session *session, const char *key, struct error *err);

/** One process unpacks a layer, others wait for it: take the lock on @key. A descriptor, which is closed to let go. */
int session_lock_layer(struct session *session, const char *key, int *lock, struct error *err);

/** Rename the session's directory @name (with `tree` and layer.json in it) to be layer @key, once all of it is on the
 * disk. That it is there already is success. */
int session_commit_layer(struct session *session, const char *name, const char *key, struct error *err);

/** Say which layers an image has, once all are there. */
int session_put_stack(struct session *session, const char *config, const struct string_list *keys,
                      struct error *err);

/* --- layers -------------------------------------------------------------------------------------------------------- */

bool store_layer_exists(const struct store *s, const char *key);

/** The keys of the layers of the image with configuration @config, base first. ENOENT in err->code: it is not whole. */
int store_stack(const struct store *s, const char *config, struct string_list *keys, struct error *err);

/** Absolute path of a layer's tree, for overlayfs. */
char *store_layer_path(const struct store *s, const char *key);

/* --- names --------------------------------------------------------------------------------------------------------- */

struct store_image {
    const char *name;     /* "docker.io/library/alpine:latest"; NULL: dangling */
    const char *manifest; /* digest of the manifest for one platform */
    const char *index;    /* of the index it was chosen from; NULL when there was none */
    uint64_t created_ns;  /* CLOCK_REALTIME when the name was given */
};

/** Give @image its name; an image that loses it stays, without a name, until a sweep of dangling ones. */
int store_name_set(struct store *s, const struct store_image *image, struct error *err);

/** The image with exactly this name (or, "sha256:...", this manifest without one). 1: found; 0: no. */
int store_name_get(const struct store *s, const char *name, struct store_image *image, struct error *err);

int store_name_remove(struct store *s, const char *name, struct error *err);

/** All, sorted by name. */
int store_names(const struct store *s, struct store_image **images, size_t *n, struct error *err);
