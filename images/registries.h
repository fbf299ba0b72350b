/*
 * registries.conf (version 2), which all container tools share: which registries a short name may mean, and where the images
 * of a registry are really to be had: mirrors, other locations, blocked and insecure ones.
 *
 *     $CONTAINERS_REGISTRIES_CONF, and no other file; else
 *     $XDG_CONFIG_HOME/containers/registries.conf (~/.config), else /etc/containers/registries.conf; then
 *     /etc/containers/registries.conf.d/NAME.conf and the user's, by name: later ones win
 *
 * See containers-registries.conf(5), containers-registries.conf.d(5).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "images/reference.h"

struct registries; /* what the files say */

/* Where an image may be had. */
struct registry_endpoint {
    const char *host;       /* HOST[:PORT]; "docker.io" stands for Docker Hub */
    const char *repository; /* "library/alpine" */
    bool insecure;          /* plain HTTP and unknown certificates will do */
    bool is_mirror;
};

/** Read the files that the environment leads to. That there are none is no error. */
int registries_load(struct arena *a, struct registries **out, struct error *err);

/** One file's text, for tests and fuzzers; may be called again to add to the same @r. */
struct registries *registries_new(struct arena *a);
int registries_add(struct registries *r, const char *text, size_t length, const char *file,
                   struct error *err);

/** Who is to be asked for credentials: see auth_find_in_order(). */
const struct string_list *registries_credential_helpers(const struct registries *r);

/** There is a person to ask which of several names is meant. false: short-name-mode does not want that; else several
 * candidates are no error even where it is enforcing. */
bool registries_let_ask(struct registries *r);

/** The full names that @ref may stand for, to be tried in this order: itself, unless it is short. */
int registries_candidates(struct registries *r, const struct reference *ref, struct reference **out,
                          size_t *n, struct error *err);

/** Where to look for @ref, which has a domain, in this order: mirrors (unless @for_push), then the registry itself. */
int registries_endpoints(struct registries *r, const struct reference *ref, bool for_push,
                         struct registry_endpoint **out, size_t *n, struct error *err);
