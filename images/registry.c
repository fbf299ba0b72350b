/*
 * One call to a registry: where it goes, what it carries, what its answer means. The same for all: see struct call.
 *
 *     send -> 401 of the registry's own: authenticate, again          (twice at most)
 *          -> 3xx of GET and HEAD: elsewhere, without credentials     (ten times at most)
 *          -> 408 429 5xx, a broken connection: OUTCOME_AGAIN
 *          -> 2xx: OUTCOME_OK; anything else: OUTCOME_FAILED
 *
 * Whether http:// will do is found out when an insecure registry is opened, and for such only.
 */
#include "images/registry.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "images/certs.h"
#include "images/registry_private.h"

enum {
    REDIRECTIONS_MAX = 10,
    REFUSALS_MAX = 2,
    TRIES_MAX = 6,
    RETRY_MS = 500,
    RETRY_MAX_MS = 30000,
    RETRY_AFTER_MAX_MS = 120000, /* who wants more is told to the user */
};

/* --- failures ------------------------------------------------------------------------------------------------------ */

/* What libcurl's failures mean. Those that are not here may get better. */
static const struct {
    CURLcode code;
    bool at_first_only; /* hopeless unless the registry has answered before */
    const char *hint;
} hopeless[] = {
    {CURLE_COULDNT_RESOLVE_HOST, true, ""},
    {CURLE_COULDNT_CONNECT, true, ""},
    {CURLE_COULDNT_RESOLVE_PROXY, false, " (from the environment)"},
    {CURLE_PEER_FAILED_VERIFICATION, false,
     " (its authority's certificate belongs into /etc/containers/certs.d/HOST/ca.crt; insecure = true in "
     "registries.conf does without)"},
    {CURLE_SSL_CONNECT_ERROR, false,
     " (a registry that speaks plain HTTP has to be insecure = true in registries.conf)"},
    {CURLE_SSL_CERTPROBLEM, false, " (of certs.d)"},
    {CURLE_SSL_CACERT_BADFILE, false, ""},
    {CURLE_URL_MALFORMAT, false, ""},
    {CURLE_UNSUPPORTED_PROTOCOL, false, ""},
    {CURLE_OUT_OF_MEMORY, false, ""},
    {CURLE_FAILED_INIT, false, ""},
};

/* Who cannot be connected to is a proxy, perhaps, of which the message has no more than the address. */
static const char *proxy_hint(void)
{
    static const char *const variables[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy",
                                            "ALL_PROXY"};

    for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
        const char *value = getenv(variables[i]);

        if (value && *value)
            return " (the environment names a proxy)";
    }
    return "";
}

/* TLS 1.3 refuses after the handshake, when something is read: a broken connection, but for OpenSSL's words. */
static bool wants_our_certificate(const char *problem)
{
    return strstr(problem, "alert") && strstr(problem, "certificate");
}

static enum outcome transfer_failed(struct registry *r, const struct http_exchange *x, const struct call *c,
                                    struct error *err)
{
    const struct http_answer *answer = &x->answer;
    _cleanup_(arena_free) struct arena a = {0};
    /* libcurl's words may hold a certificate's. */
    const char *problem =
        registry_clean(&a, *answer->problem ? answer->problem : curl_easy_strerror(answer->code));

    if (http_cancelled(r->http)) {
        error_set(err, ECANCELED, "%s: %s", r->host, c->what);
        return OUTCOME_FAILED;
    }
    if (answer->too_large) {
        error_set(err, 0, "%s: %s: the answer is larger than any honest one (more than %zu bytes)", r->host,
                  c->what, c->max_body);
        return OUTCOME_FAILED;
    }
    for (size_t i = 0; i < ARRAY_SIZE(hopeless); i++)
        if (hopeless[i].code == answer->code && !(hopeless[i].at_first_only && r->answered)) {
            error_set(err, 0, "%s: %s: %s%s", r->host, c->what, problem,
                      answer->code == CURLE_COULDNT_CONNECT ? proxy_hint() : hopeless[i].hint);
            return OUTCOME_FAILED;
        }
    if (wants_our_certificate(problem)) {
        error_set(err, 0,
                  "%s: %s: %s (it wants a certificate of ours: client.cert and client.key in "
                  "/etc/containers/certs.d/%s, or --cert-dir)",
                  r->host, c->what, problem, r->host);
        return OUTCOME_FAILED;
    }
    error_set(err, 0, "%s: %s: %s", r->host, c->what, problem);
    return OUTCOME_AGAIN;
}

static const struct {
    int status, code;
    bool again;
    const char *words;
} statuses[] = {
    {400, 0, false, "bad request"},        {401, EACCES, false, "credentials are wanted"},
    {403, EACCES, false, "access denied"}, {404, ENOENT, false, "not found"},
    {405, 0, false, "not allowed"},        {408, 0, true, "timeout"},
    {413, 0, false, "too large for it"},   {429, 0, true, "too many requests"},
    {500, 0, true, "internal error"},      {502, 0, true, "bad gateway"},
    {503, 0, true, "unavailable"},         {504, 0, true, "gateway timeout"},
};

static enum outcome status_failed(struct registry *r, const struct http_exchange *x, struct call *c,
                                  struct error *err)
{
    struct arena a = {0};
    const struct http_answer *answer = &x->answer;
    const char *words = "", *said = registry_words(&a, answer), *hint = "";
    bool again = false;
    int code = 0;

    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
        if (statuses[i].status == answer->status) {
            words = statuses[i].words;
            again = statuses[i].again;
            code = statuses[i].code;
        }
    if (code == EACCES && !c->token)
        hint = r->has_credentials ? "; the credentials that there are do not suffice" : "; see hull login";
    error_set(err, 0, "%s: %s: %d %s%s%s", r->host, c->what, answer->status, words, said, hint);
    if (err)
        err->code = code;
    c->wait_ms = answer->retry_after > UINT32_MAX ? UINT32_MAX : answer->retry_after * 1000;
    arena_free(&a);
    return again ? OUTCOME_AGAIN : OUTCOME_FAILED;
}

/* --- URLs ---------------------------------------------------------------------------------------------------------- */

struct url {
    char *scheme, *host, *port;
};

static void url_free(struct url *u)
{
    curl_free(u->scheme);
    curl_free(u->host);
    curl_free(u->port);
}

static int url_split(const char *text, struct url *out)
{
    CURLU *u = curl_url();
    bool good = u && curl_url_set(u, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_SCHEME, &out->scheme, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &out->host, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_PORT, &out->port, CURLU_DEFAULT_PORT) == CURLUE_OK;

    curl_url_cleanup(u);
    return good ? 0 : -1;
}

static bool same_origin(const char *left, const char *right)
{
    _cleanup_(url_free) struct url l = {0}, r = {0};

    return url_split(left, &l) == 0 && url_split(right, &r) == 0 && strcasecmp(l.scheme, r.scheme) == 0 &&
           strcasecmp(l.host, r.host) == 0 && strcmp(l.port, r.port) == 0;
}

/* Where @location leads from @base. Never from https to http, unless the registry is insecure anyway. */
static const char *redirect(const struct registry *r, struct arena *a, const char *base, const char *location,
                            const struct call *c, struct error *err)
{
    _cleanup_(url_free) struct url parts = {0};
    CURLU *u = curl_url();
    char *text = NULL;
    const char *result = NULL;

    if (u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK && url_split(text, &parts) == 0) {
        if (strcmp(parts.scheme, "https") == 0 || (r->insecure && strcmp(parts.scheme, "http") == 0))
            result = arena_strdup(a, text);
        else
            error_set(err, 0, "%s: %s: sent on by %s, which only an insecure registry may", r->host, c->what,
                      parts.scheme);
    } else {
        error_set(err, 0, "%s: %s: sent on to what is no URL", r->host, c->what);
    }
    curl_free(text);
    curl_url_cleanup(u);
    return result;
}

/* --- one call ------------------------------------------------------------------------------------------------------ */

static void set_progress(struct registry_upload *u, uint64_t sent)
{
    if (u->sent)
        atomic_store(u->sent, sent);
}

/* The part of it that the call is about. */
static int send_upload(struct http_exchange *x, const struct call *c, struct error *err)
{
    struct registry_upload *u = c->upload;
    const bool to_the_end = c->upload_offset + c->upload_length == u->size;
    struct source *s = NULL;
    const void *data;
    uint64_t left = c->upload_length;
    ssize_t n;
    bool over = false;

    set_progress(u, c->upload_offset);
    if (u->open(u->context, c->upload_offset, &s, err) < 0)
        return -1;
    while ((n = s->read(s, &data, err)) > 0 && ((uint64_t)n <= left || !to_the_end)) {
        size_t part = (uint64_t)n < left ? (size_t)n : (size_t)left;

        over = http_write(x, data, part) < 0;
        left -= part;
        if (over || (left == 0 && !to_the_end))
            break; /* the answer says why, or it was a part */
        set_progress(u, c->upload_offset + c->upload_length - left);
    }
    u->close(u->context, s);
    if (n < 0)
        return -1;
    if (!over && (left || (to_the_end && n)))
        return error_set(err, 0, "blob %s has %s than %llu bytes", u->digest, n ? "more" : "less",
                         (unsigned long long)u->size);
    return 0;
}

/* @ours: this goes to where credentials may go. *generation: of those that went. */
static int send_once(struct registry *r, struct http_exchange *x, const struct call *c, const char *url,
                     bool ours, unsigned *generation, struct error *err)
{
    struct arena a = {0};
    const char *headers[ARRAY_SIZE(c->headers) + 2];
    size_t n = 0;
    struct http_tls tls = r->tls;
    struct http_request request = {
        .method = c->method,
        .url = url,
        .headers = headers,
        .tls = &tls,
        .form = c->form,
        .upload_size = c->upload ? c->upload_length : c->body_length,
        .max_body = c->max_body,
        .stream = c->stream,
        .idle_seconds = c->idle_seconds ? c->idle_seconds : r->idle_seconds,
    };
    int result;

    while (n < ARRAY_SIZE(c->headers) && c->headers[n]) {
        headers[n] = c->headers[n];
        n++;
    }
    pthread_mutex_lock(&r->lock);
    *generation = r->generation;
    if (ours && !c->token && r->authorization)
        headers[n++] = arena_strdup(&a, r->authorization);
    pthread_mutex_unlock(&r->lock);
    if (ours && c->authorization)
        headers[n++] = c->authorization;
    headers[n] = NULL;
    if (!same_origin(r->base, url))
        tls.certificate = tls.key = NULL;
    result = http_begin(x, &request, err);
    arena_free(&a);
    if (result == 0 && c->upload)
        result = send_upload(x, c, err);
    else if (result == 0 && c->body_length)
        http_write(x, c->body, c->body_length); /* if it fails the answer says why */
    if (result < 0) {
        http_abort(x);
        return -1;
    }
    http_wait(x);
    return 0;
}

static bool redirects(const struct http_exchange *x, const struct call *c)
{
    int s = x->answer.status;

    return (c->method == HTTP_GET || c->method == HTTP_HEAD) && *x->answer.location &&
           (s == 301 || s == 302 || s == 303 || s == 307 || s == 308);
}

/* Is what came an answer at all? A refusal of what is being sent may cut the sending short. */
static bool is_answer(const struct http_exchange *x)
{
    const struct http_answer *answer = &x->answer;
    bool streams = x->request.stream && (answer->status == 200 || answer->status == 206);

    /* A stream still runs: how its transfer ends is not known, and not ours to read, yet. */
    return answer->status && !answer->too_large &&
           (streams || answer->status >= 400 || answer->code == CURLE_OK);
}

enum outcome registry_try(struct registry *r, struct http_exchange *x, struct call *c, struct error *err)
{
    _cleanup_(arena_free) struct arena a = {0};
    const char *first = c->url ? c->url : arena_printf(&a, "%s%s", r->base, c->path), *url = first;
    bool trusted = c->token || same_origin(r->base, first);
    int refusals = 0;

    c->wait_ms = 0;
    for (int hops = 0; hops <= REDIRECTIONS_MAX; hops++) {
        bool ours = trusted && same_origin(first, url);
        unsigned generation;
        if (send_once(r, x, c, url, ours, &generation, err) < 0)
            return OUTCOME_FAILED;
        if (!is_answer(x))
            return transfer_failed(r, x, c, err);
        r->answered = true;
        int status = x->answer.status;
        if (status >= 200 && status < 300)
            return OUTCOME_OK;
        if (status == 401 && ours && !c->token && refusals++ < REFUSALS_MAX) {
            if (registry_authenticate(r, x->answer.challenge, generation, err) < 0) {
                error_wrap(err, "%s: %s", r->host, c->what);
                return OUTCOME_FAILED;
            }
            if (c->upload) { /* what was to be sent has begun to be */
                error_set(err, 0, "%s: %s: 401", r->host, c->what);
                return OUTCOME_AGAIN;
            }
        } else if (redirects(x, c)) {
            if (!(url = redirect(r, &a, url, x->answer.location, c, err)))
                return OUTCOME_FAILED;
        } else {
            return status_failed(r, x, c, err);
        }
    }
    error_set(err, 0, "%s: %s: sent on more than %d times", r->host, c->what, REDIRECTIONS_MAX);
    return OUTCOME_FAILED;
}

/* --- again and again ----------------------------------------------------------------------------------------------- */

/* Between half of and all of @ms: those who failed together shall not come back together. */
static uint64_t with_jitter(uint64_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return ms / 2 + ((uint64_t)t.tv_nsec * 2654435761u >> 7) % (ms / 2 + 1);
}

/* #syscalls: futex clock_gettime */
int registry_pause(struct registry *r, struct retry *t, const struct call *c, struct error *err)
{
    uint64_t ms = (uint64_t)r->retry_ms << (t->tries < 16 ? t->tries : 16);

    unsigned tries = r->tries ? r->tries : TRIES_MAX;

    if (++t->tries >= tries)
        return error_wrap(err, "tried %u times", tries);
    if (c->wait_ms > (r->tries ? RETRY_MS : RETRY_AFTER_MAX_MS))
        return error_wrap(err, "not before %llu seconds from now", (unsigned long long)c->wait_ms / 1000);
    ms = with_jitter(ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms);
    log_debug("%s; again in %llu ms", err->message, (unsigned long long)(c->wait_ms > ms ? c->wait_ms : ms));
    http_sleep(r->http, c->wait_ms > ms ? c->wait_ms : ms);
    if (http_cancelled(r->http))
        return error_set(err, ECANCELED, "%s: %s", r->host, c->what);
    error_clear(err);
    return 0;
}

int registry_call(struct registry *r, struct http_exchange *x, struct call *c, struct error *err)
{
    struct retry retry = {0};

    for (;;) {
        enum outcome outcome = registry_try(r, x, c, err);
        if (outcome == OUTCOME_OK)
            return 0;
        if (outcome == OUTCOME_FAILED || registry_pause(r, &retry, c, err) < 0)
            return -1;
    }
}

/* --- a registry ---------------------------------------------------------------------------------------------------- */

void registry_set_tries(struct registry *r, unsigned tries)
{
    r->tries = tries;
}

int registry_ping(struct registry *r, struct error *err)
{
    struct http_exchange x;
    struct call c = {.what = "/v2/", .method = HTTP_GET, .path = "/v2/", .max_body = REGISTRY_MANIFEST_MAX};
    int result;

    if (http_exchange_init(r->http, &x, err) < 0)
        return -1;
    result = registry_call(r, &x, &c, err);
    http_exchange_destroy(&x);
    return result;
}

/* An insecure registry may speak TLS, with whatever certificate, or not: any answer over TLS decides. */
static int find_scheme(struct registry *r, struct error *err)
{
    struct http_exchange x;
    struct call c = {.what = "/v2/", .method = HTTP_GET, .path = "/v2/", .max_body = REGISTRY_MANIFEST_MAX};
    unsigned generation;
    int result;

    if (http_exchange_init(r->http, &x, err) < 0)
        return -1;
    result = send_once(r, &x, &c, arena_printf(&r->arena, "%s/v2/", r->base), false, &generation, err);
    if (result == 0 && x.answer.status == 0 && !http_cancelled(r->http) &&
        !wants_our_certificate(x.answer.problem))
        r->base = arena_printf(&r->arena, "http%s", r->base + strlen("https"));
    http_exchange_destroy(&x);
    return result;
}

static int set_up(struct registry *r, const struct registry_endpoint *e, const struct registry_settings *s,
                  struct error *err)
{
    bool docker = strcmp(e->host, "docker.io") == 0;
    int found;

    r->host = arena_strdup(&r->arena, e->host);
    r->repository = arena_strdup(&r->arena, e->repository);
    r->base = arena_printf(&r->arena, "https://%s", docker ? "registry-1.docker.io" : e->host);
    r->insecure = s->tls_verify == TLS_AS_CONFIGURED ? e->insecure : s->tls_verify == TLS_ANYTHING;
    r->tls.unverified = r->insecure;
    r->retry_ms = s->retry_ms ? s->retry_ms : RETRY_MS;
    r->idle_seconds = s->idle_seconds;
    if (s->credentials) {
        r->credentials = *s->credentials;
        r->has_credentials = true;
    } else {
        found = auth_find_in_order(&r->arena, s->helpers, s->authfile, r->host, r->repository,
                                   &r->credentials, err);
        if (found < 0)
            return error_wrap(err, "credentials for %s", r->host);
        r->has_credentials = found == 1;
    }
    if (certs_load(&r->arena, s->cert_dir, r->host, &r->tls, err) < 0)
        return error_wrap(err, "certificates for %s", r->host);
    return r->insecure ? find_scheme(r, err) : 0;
}

int registry_open(struct http *h, const struct registry_endpoint *e, const struct registry_settings *settings,
                  bool for_push, struct registry **out, struct error *err)
{
    static const struct registry_settings none;
    struct registry *r = calloc(1, sizeof(*r));

    if (!r)
        return error_set(err, ENOMEM, "%s", e->host);
    r->http = h;
    r->for_push = for_push;
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->authenticating, NULL);
    if (set_up(r, e, settings ? settings : &none, err) < 0) {
        registry_close(r);
        return -1;
    }
    *out = r;
    return 0;
}

void registry_close(struct registry *r)
{
    if (!r)
        return;
    free(r->authorization);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->authenticating);
    arena_free(&r->arena);
    free(r);
}
