/* What images/registry*.c share: one call and how it is tried. */
#pragma once

#include "images/registry.h"

struct registry {
    struct arena arena; /* written to while it is opened only */
    struct http *http;
    const char *host, *repository;
    const char *base; /* "https://registry-1.docker.io" */
    bool insecure, for_push;
    struct http_tls tls;
    struct credentials credentials;
    bool has_credentials;
    unsigned retry_ms, idle_seconds, tries; /* 0: TRIES_MAX */
    _Atomic bool answered;                  /* it has, once: then what fails to connect may come back */

    pthread_mutex_t authenticating; /* held while a token is fetched */
    pthread_mutex_t lock;           /* of the following */
    unsigned generation;            /* how often authorization has changed */
    char *authorization;            /* "Authorization: ...", or NULL */
};

/* One call: what is asked, and how. */
struct call {
    const char *what; /* for messages: "manifest 3.20 of library/alpine" */
    enum http_method method;
    const char *path, *url; /* below the base; or a URL of the registry's own making */
    const char *headers[4]; /* NULL-terminated */
    const char *form;
    const char *authorization; /* in place of the registry's: of a token server */
    bool token;                /* this is the call for a token: a refusal cannot be cured by one */
    bool stream;
    size_t max_body;
    struct registry_upload *upload; /* PUT, PATCH: its bytes, so many from there on; its open() is called */
    uint64_t upload_offset, upload_length;
    const void *body; /* PUT: or these */
    size_t body_length;
    unsigned idle_seconds;
    uint64_t wait_ms; /* out: how long the registry wants to be left alone */
};

enum outcome { OUTCOME_OK, OUTCOME_AGAIN /* it may get better: @err says what was wrong */, OUTCOME_FAILED };

/** Once, with authentication and redirections. On OUTCOME_OK the status is 2xx. */
enum outcome registry_try(struct registry *r, struct http_exchange *x, struct call *c, struct error *err);

/* How often something has been tried in vain. */
struct retry {
    unsigned tries;
};

/** Pause before the next try; -1 when there were enough: @err says so then. */
int registry_pause(struct registry *r, struct retry *t, const struct call *c, struct error *err);

/** Try until it works or there is no hope. */
int registry_call(struct registry *r, struct http_exchange *x, struct call *c, struct error *err);

/** Become who the registry wants us to be; @seen: the generation that it has refused. */
int registry_authenticate(struct registry *r, const char *challenge, unsigned seen, struct error *err);

/** What a server has said, fit for a terminal: no control characters, and not without end. */
const char *registry_clean(struct arena *a, const char *text);

/** The registry's own words in an answer's body: " (manifest unknown)", or "". Cut to size, and clean. */
const char *registry_words(struct arena *a, const struct http_answer *answer);
