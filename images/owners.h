/*
 * Layers for a user's container in which the user keeps his own id (run --userns=keep-id without root).
 *
 * Without root files cannot be shown with other owners than they have, so each layer is copied, once for all containers in which
 * the user has the same id: to layers/KEY.keep-UID-GID, as whole as any layer, and swept when no container uses it.
 *
 * In numbers of the user namespace in which layers were unpacked (namespaces/subids.h: the user is 0, what /etc/subuid gives
 * him is 1, 2 ...): what the image says is owned by u belongs to u + 1 when u < UID, to 0 when u = UID, else to u.
 */
#pragma once

#include "base/copy_tree.h"
#include "images/snapshot.h"

struct owners {
    uint32_t uid, gid; /* the user's, in the container */
};

/** The key of layer @key's copy. */
const char *owners_key(struct arena *a, const char *key, const struct owners *o);

/** Make the copies that are missing, of @keys. As root of the user's own namespace. */
int owners_copy(struct store *s, const struct string_list *keys, const struct owners *o, struct error *err);

/** For containers/ID/owners. ENOENT is no error: *@out is not set then, and 0 is returned; 1 when it was there. */
int owners_write(const struct store *s, const struct snapshot *c, const struct owners *o, struct error *err);
int owners_read(struct arena *a, const struct snapshot *c, struct owners *out, struct error *err);

/** For copy_tree_as(): of a container's file, whose it is in an image. */
struct copy_owners owners_undo(const struct owners *o);

/** The ranges of the container's user namespace, from those of subids_find(). */
int owners_maps(struct arena *a, const char *what, const struct id_maps *all, uint32_t own,
                struct id_maps *out, struct error *err);
