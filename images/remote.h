/* Images at registries: which endpoint answers for a name, and what it answers with, as an origin. */
#pragma once

#include "images/origin.h"
#include "images/registry.h"

struct remote {
    struct arena *arena;
    struct http *http;
    struct registries *registries;
    struct registry_settings settings;
    /** Which of the @n names does a person mean by @text? NULL: there is nobody to ask. -1 with @err. */
    int (*choose)(const char *text, char *const *names, size_t n, struct error *err);
};

/** Read the configuration, begin the thread that speaks. Also after a failure: remote_stop(). */
int remote_start(struct remote *r, struct arena *a, const struct registry_settings *settings,
                 struct error *err);
void remote_stop(struct remote *r);

/* An image that was found. */
struct remote_image {
    struct origin origin;
    struct remote *remote;
    struct registry *registry;
    struct reference reference; /* with its domain and tag or digest */
    struct registry_manifest manifest;
};

/** Ask the registries that @text may mean, and their mirrors, in order, for its manifest. The caller closes the image.
 * 1: its digest is one of @known (which ends with NULL; may be NULL), and nothing was fetched. */
int remote_find(struct remote *r, const char *text, const char *const *known, struct remote_image *out,
                struct error *err);
void remote_image_close(struct remote_image *i);

/** Open the registry of @text, a full or short name, for a push. */
int remote_open_for_push(struct remote *r, const char *text, struct reference *reference,
                         struct registry **out, struct error *err);

/** Do these credentials open the registry @host ("ghcr.io")? */
int remote_check_login(struct remote *r, const char *host, struct error *err);
