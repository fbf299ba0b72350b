/* What the files of images/auth*.c share; and one file's text, for tests and fuzzers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "images/auth.h"
#include "runtime/spec/spec.h"

enum { AUTH_FILE_MAX = 1 << 20 };

struct auth_entry {
    char *key; /* "quay.io/o", "https://index.docker.io/v1/" */
    char *auth, *identity_token, *user, *password;
};

struct auth_file {
    struct auth_entry *entries;
    size_t n_entries;
    struct spec_annotation *helpers; /* by host */
    size_t n_helpers;
    char *store; /* the helper for every host */
};

int auth_decode(struct arena *a, const char *text, size_t length, const char *file, struct auth_file *out,
                struct error *err);

/** 1: found; 0: not; a helper is run. */
int auth_lookup(struct arena *a, const struct auth_file *f, const char *file, const char *host,
                const char *repository, struct credentials *out, struct error *err);

/** The helper for @host, NULL when there is none. */
const char *auth_helper_for(const struct auth_file *f, const char *host);

/** Is @key, as it stands in a file, what is meant by HOST[/PATH]? */
bool auth_key_matches(const char *key, const char *wanted);

/** Run docker-credential-@name with @action, @input on its standard input. 1: *output is what it says; 0: it says that it does not
 * have such credentials. */
int auth_helper_run(struct arena *a, const char *name, const char *action, const char *input, char **output,
                    struct error *err);

/** Ask docker-credential-@helper. 1: found; 0: not. */
int auth_helper_ask(struct arena *a, const char *helper, const char *host, struct credentials *out,
                    struct error *err);

/** Have it keep @c for @key; forget what it has, if @c is NULL: 1, or 0 when it had nothing. */
int auth_helper_tell(struct arena *a, const char *helper, const char *key, const struct credentials *c,
                     struct error *err);

/** What a helper calls @host. */
const char *auth_helper_url(struct arena *a, const char *host);
