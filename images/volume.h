/*
 * Volumes: directories of the store that outlive the containers that write to them.
 *
 *     volumes/NAME/volume.json   what it is; there from when the volume is, never changed
 *     volumes/NAME/_data         its content
 *     volumes/NAME/used          it was used: the image's content is no longer copied to it
 *     volumes/NAME/tmp           a copy on its way to become _data
 *     containers/ID/volumes      the names of those that the container uses, a line each
 *
 * Who takes a volume for a container, or makes one, holds the store's lock (shared), and writes down the use first; who
 * removes one holds it exclusively: so none goes that is used. A directory without volume.json is what somebody left who was
 * killed: the next who makes that volume takes it over, a removal takes it away.
 */
#pragma once

#include "images/snapshot.h"

struct volume {
    const char *name, *path; /* of _data: absolute */
    const char *created;     /* RFC 3339 */
    bool anonymous;          /* made for one container: goes with it when that was asked for */
    bool used;
    struct string_list labels; /* KEY=VALUE */
};

/** Letters, digits, "_.-", the first no "_.-", at most 255. */
int volume_name_validate(const char *name, struct error *err);

/** Make it. 1: done; 0: there is one of that name already, which @v then is. The caller holds the store's lock. */
int volume_create(struct store *s, struct volume *v, struct error *err);

/** Read what is known of v->name. ENOENT in err->code: there is none. */
int volume_read(struct store *s, const char *name, struct volume *out, struct error *err);

/** For the container: note the use, make the volume if it is missing. The caller holds the store's lock. */
int volume_take(struct store *s, const struct snapshot *c, struct volume *v, struct error *err);

/** Names of all volumes, sorted. */
int volume_names(const struct store *s, struct string_list *names, struct error *err);

/** Names of those that a container uses. */
int volume_names_of(const struct store *s, const char *id, struct string_list *names, struct error *err);

/** Ids of the containers that use it. */
int volume_users(const struct store *s, const char *name, struct string_list *ids, struct error *err);

enum volume_removal {
    VOLUME_NAMED,     /* an error if it is used or is not there */
    VOLUME_ANONYMOUS, /* only those that are anonymous and not used */
    VOLUME_UNUSED,    /* only those that are not used */
};

/** Remove those of @names (NULL: of all, and what was left half made), at once; @removed (or NULL) gets the names of those that went. Takes the store's lock. */
int volume_remove(struct store *s, const struct string_list *names, enum volume_removal which,
                  struct string_list *removed, struct error *err);

/* At a volume's first use it gets what the image has at @destination, below the root directory @root. */
struct volume_fill {
    int dir; /* volumes/NAME */
    const char *destination;
    uint32_t uid, gid; /* whose it is when the image has nothing there */
    bool no_copy;
};
int volume_open(const struct store *s, const char *name, struct error *err); /* for .dir */
int volume_fill(const struct volume_fill *f, int root, struct error *err);
