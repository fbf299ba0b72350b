/*
 * Credentials for registries, from the files that container tools share (containers-auth.json(5), docker's config.json):
 *
 *     --authfile or $REGISTRY_AUTH_FILE, and no other file; else the first that has something to say of
 *     $XDG_RUNTIME_DIR/containers/auth.json (/run/containers/UID/auth.json where there is no such variable),
 *     $XDG_CONFIG_HOME/containers/auth.json (~/.config), $DOCKER_CONFIG/config.json (~/.docker)
 *
 * In a file: credHelpers for the host, then auths by the longest key that begins the image's name, then credsStore. Helpers
 * are programs docker-credential-NAME. No message of this code holds a secret, and no secret is in a program's arguments.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "runtime/spec/spec.h"

struct credentials {
    const char *user, *password;
    const char *identity_token; /* in place of both: an OAuth 2 refresh token */
};

/** For an image at @host/@repository (@repository NULL: the registry itself). @authfile: --authfile, or NULL.
 * 1: found; 0: there are none. */
int auth_find(struct arena *a, const char *authfile, const char *host, const char *repository,
              struct credentials *out, struct error *err);

/** Keep what has been checked: @key is HOST[/PATH]. The file (0600) is replaced whole, or a helper that it names is told. */
int auth_store(struct arena *a, const char *authfile, const char *key, const struct credentials *c,
               struct error *err);

/** Forget; 1, or 0 when there was nothing for @key in the file that auth_store() writes. */
int auth_erase(struct arena *a, const char *authfile, const char *key, struct error *err);

/* The same, as registries.conf's credential-helpers say: names of programs, and "containers-auth.json" for the files above,
 * in the order to be asked. NULL or empty: the files. What is stored goes to the first that takes it; what is erased, from all. */

int auth_find_in_order(struct arena *a, const struct string_list *helpers, const char *authfile,
                       const char *host, const char *repository, struct credentials *out, struct error *err);
int auth_store_in_order(struct arena *a, const struct string_list *helpers, const char *authfile,
                        const char *key, const struct credentials *c, struct error *err);
int auth_erase_in_order(struct arena *a, const struct string_list *helpers, const char *authfile,
                        const char *key, struct error *err);

/** Forget all of the file; returns how many there were. */
int auth_erase_all(struct arena *a, const char *authfile, struct error *err);

/** The file that auth_store() writes. NULL with @err when the environment does not tell. */
const char *auth_path(struct arena *a, const char *authfile, struct error *err);
