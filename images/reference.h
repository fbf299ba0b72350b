/*
 * Image references as people write them, by the grammar that docker and podman share (distribution/reference):
 *
 *     [DOMAIN/]PATH[:TAG][@DIGEST]      DOMAIN = HOST[:PORT], with a dot, a port, or "localhost"
 *
 * "alpine" has no domain: which registry it is at is for the store (what is there) or registries.conf (where to look).
 * A name at docker.io without a slash is below library/; index.docker.io is docker.io.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

struct reference {
    const char *domain; /* "docker.io", "localhost:5000"; NULL for a short name */
    const char *path;   /* "library/alpine" */
    const char *tag;    /* NULL when there is none */
    const char *digest; /* NULL, or valid (images/digest.h) */
};

enum { REFERENCE_MAX = 255 /* of the name without tag and digest: the grammar's limit */ };

/** Parse and normalize. The error says which part is wrong, and what would be right. */
int reference_parse(struct arena *a, const char *text, struct reference *out, struct error *err);

/** The same name at @domain: what a short name may mean. */
struct reference reference_at(struct arena *a, const struct reference *r, const char *domain);

/** Without a tag and digest the tag is "latest". */
void reference_default_tag(struct reference *r);

/** As it is kept and shown: everything that is there, in the order above. */
char *reference_format(struct arena *a, const struct reference *r);

/** Domain and path alone. */
char *reference_name(struct arena *a, const struct reference *r);
