/*
 * What is pulled: manifests, small blobs, and blobs as sources.
 *
 * A blob's source holds `offset`, the bytes that its reader has had. When a transfer ends before d->size bytes, the next one asks
 * for the rest by Range; a registry that answers with the whole (200) has the beginning read and thrown away, so the reader sees no
 * seam, and the digest that it computes shows whether both halves belonged together. Tries count until there is progress.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "images/registry_private.h"

enum { PROGRESS = 1 << 20 /* bytes that make a new beginning of the count of tries */ };

#define ACCEPT                                                                                               \
    "Accept: " MEDIA_OCI_INDEX ", " MEDIA_DOCKER_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST

/* --- whole documents ----------------------------------------------------------------------------------------------- */

static int digest_of(const void *data, size_t length, char out[DIGEST_SIZE], struct error *err)
{
    unsigned char bytes[32];
    unsigned n = sizeof(bytes);

    if (EVP_Digest(data, length, bytes, &n, EVP_sha256(), NULL) != 1)
        return error_set(err, 0, "sha256");
    digest_format(bytes, out);
    return 0;
}

/* GET @path into the arena. */
static int get(struct registry *r, struct arena *a, struct call *c, char **data, size_t *length,
               char media_type[sizeof(((struct http_answer *)0)->content_type)], struct error *err)
{
    struct http_exchange x;
    int result;

    if (http_exchange_init(r->http, &x, err) < 0)
        return -1;
    result = registry_call(r, &x, c, err);
    if (result == 0) {
        *length = x.answer.body_length;
        *data = arena_copy(a, x.answer.body ? x.answer.body : "", *length);
        if (media_type)
            strcpy(media_type, x.answer.content_type);
    }
    http_exchange_destroy(&x);
    return result;
}

/* "application/json; charset=utf-8": the parameters and a type that says nothing of images are left out. */
static const char *media_type_of(struct arena *a, char *text)
{
    static const char may_hold[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./+-_";

    text[strcspn(text, "; \t")] = '\0';
    return strncmp(text, "application/vnd.", 16) == 0 && text[strspn(text, may_hold)] == '\0'
               ? arena_strdup(a, text)
               : NULL;
}

int registry_manifest(struct registry *r, struct arena *a, const char *tag_or_digest,
                      struct registry_manifest *out, struct error *err)
{
    char type[sizeof(((struct http_answer *)0)->content_type)];
    bool by_digest = strchr(tag_or_digest, ':');
    struct call c = {
        .what = arena_printf(a, "manifest of %s%c%s", r->repository, by_digest ? '@' : ':', tag_or_digest),
        .path = arena_printf(a, "/v2/%s/manifests/%s", r->repository, tag_or_digest),
        .headers = {ACCEPT},
        .max_body = REGISTRY_MANIFEST_MAX,
    };

    if (get(r, a, &c, &out->data, &out->length, type, err) < 0 ||
        digest_of(out->data, out->length, out->digest, err) < 0)
        return -1;
    out->media_type = media_type_of(a, type);
    if (by_digest && strcmp(out->digest, tag_or_digest) != 0)
        return error_set(err, 0,
                         "%s: %s: what came has the digest %s: it is damaged, or not what was asked for",
                         r->host, c.what, out->digest);
    return 0;
}

int registry_manifest_digest(struct registry *r, const char *tag_or_digest, char digest[DIGEST_SIZE],
                             struct error *err)
{
    struct arena a = {0};
    struct http_exchange x;
    struct call c = {
        .what = arena_printf(&a, "manifest of %s%c%s", r->repository, strchr(tag_or_digest, ':') ? '@' : ':',
                             tag_or_digest),
        .method = HTTP_HEAD,
        .path = arena_printf(&a, "/v2/%s/manifests/%s", r->repository, tag_or_digest),
        .headers = {ACCEPT},
    };
    int result = http_exchange_init(r->http, &x, err) < 0 ? -1 : registry_call(r, &x, &c, err);

    if (result == 0 && digest_valid(x.answer.content_digest)) {
        memcpy(digest, x.answer.content_digest, DIGEST_SIZE);
        result = 1;
    }
    http_exchange_destroy(&x);
    arena_free(&a);
    return result;
}

int registry_blob_read(struct registry *r, struct arena *a, const struct descriptor *d, char **data,
                       struct error *err)
{
    char digest[DIGEST_SIZE];
    size_t length = 0;
    struct call c = {
        .what = arena_printf(a, "blob %s of %s", d->digest, r->repository),
        .path = arena_printf(a, "/v2/%s/blobs/%s", r->repository, d->digest),
        .max_body = (size_t)d->size + (d->size == 0),
    };

    if (d->size > HTTP_BODY_MAX)
        return error_set(err, EFBIG, "%s: %s: %llu bytes", r->host, c.what, (unsigned long long)d->size);
    if (get(r, a, &c, data, &length, NULL, err) < 0 || digest_of(*data, length, digest, err) < 0)
        return -1;
    if (length != d->size || strcmp(digest, d->digest) != 0)
        return error_set(
            err, 0,
            "%s: %s: what came has %zu bytes and the digest %s: it is damaged, or not what was asked for",
            r->host, c.what, length, digest);
    return 0;
}

int registry_blob_exists(struct registry *r, const char *digest, struct error *err)
{
    struct arena a = {0};
    struct http_exchange x;
    struct error e;
    struct call c = {
        .what = arena_printf(&a, "blob %s of %s", digest, r->repository),
        .method = HTTP_HEAD,
        .path = arena_printf(&a, "/v2/%s/blobs/%s", r->repository, digest),
    };
    int result = http_exchange_init(r->http, &x, &e) < 0 ? -1 : registry_call(r, &x, &c, &e) == 0;

    if (result == 0 && e.code != ENOENT)
        result = -1;
    if (result < 0 && err)
        *err = e;
    http_exchange_destroy(&x);
    arena_free(&a);
    return result;
}

/* --- blobs as sources ---------------------------------------------------------------------------------------------- */

struct blob {
    struct source source;
    struct registry *registry;
    struct arena arena;
    struct http_exchange exchange;
    struct call call;
    char range[64];
    const char *digest;
    uint64_t size, skip, last_failure;
    _Atomic uint64_t offset;
    bool active;
    struct retry retry;
};

static int fail(const struct blob *b, struct error *err, const char *fmt, ...) _printf_(3, 4);

static int fail(const struct blob *b, struct error *err, const char *fmt, ...)
{
    char text[200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return error_set(err, 0, "%s: %s: %s", b->registry->host, b->call.what, text);
}

/* The headers are here: from where on, and how much? */
static int check_answer(struct blob *b, struct error *err)
{
    const struct http_answer *answer = &b->exchange.answer;
    const char *bytes = answer->content_range;
    char *end;
    uint64_t rest;

    b->skip = b->offset;
    if (answer->status == 206) {
        if (strncasecmp(bytes, "bytes ", 6) != 0 || strtoull(bytes + 6, &end, 10) != b->offset || *end != '-')
            return fail(b, err, "asked for what follows byte %llu, it answers with another part",
                        (unsigned long long)b->offset);
        b->skip = 0;
    } else if (answer->status != 200) {
        return fail(b, err, "status %d where the blob should be", answer->status);
    }
    rest = b->size - b->offset + b->skip;
    if (answer->content_length >= 0 && (uint64_t)answer->content_length != rest)
        return fail(b, err, "it has %llu bytes there, and the manifest says %llu",
                    (unsigned long long)(b->size - rest) + (unsigned long long)answer->content_length,
                    (unsigned long long)b->size);
    return 0;
}

/* @err says what went wrong; pause, or give up. */
static int pause_blob(struct blob *b, struct error *err)
{
    b->active = false;
    if (b->offset - b->last_failure >= PROGRESS)
        b->retry.tries = 0;
    b->last_failure = b->offset;
    return registry_pause(b->registry, &b->retry, &b->call, err);
}

static int begin(struct blob *b, struct error *err)
{
    for (;;) {
        b->call.headers[0] = NULL;
        if (b->offset) {
            snprintf(b->range, sizeof(b->range), "Range: bytes=%llu-", (unsigned long long)b->offset);
            b->call.headers[0] = b->range;
        }
        enum outcome outcome = registry_try(b->registry, &b->exchange, &b->call, err);
        if (outcome == OUTCOME_OK) {
            b->active = true;
            return check_answer(b, err);
        }
        if (outcome == OUTCOME_FAILED || pause_blob(b, err) < 0)
            return -1;
    }
}

/* The transfer is over before all is here. */
static int resume(struct blob *b, struct error *err)
{
    const struct http_answer *answer = &b->exchange.answer;

    if (http_cancelled(b->registry->http))
        return error_set(err, ECANCELED, "%s: %s", b->registry->host, b->call.what);
    fail(b, err, "broken off after %llu of %llu bytes: %s", (unsigned long long)b->offset,
         (unsigned long long)b->size,
         answer->code == CURLE_OK ? "the registry ended it"
         : *answer->problem       ? answer->problem
                                  : curl_easy_strerror(answer->code));
    b->call.wait_ms = 0;
    return pause_blob(b, err);
}

static ssize_t blob_read(struct source *s, const void **data, struct error *err)
{
    struct blob *b = (struct blob *)s;

    for (;;) {
        if (!b->active && b->offset == b->size)
            return 0;
        if (!b->active && begin(b, err) < 0)
            return -1;
        size_t n = http_read(&b->exchange, data), skipped = n < b->skip ? n : (size_t)b->skip;
        if (n == 0 && b->offset == b->size) {
            b->active = false;
            return 0;
        }
        if (n == 0) {
            if (resume(b, err) < 0)
                return -1;
            continue;
        }
        b->skip -= skipped;
        *data = (const char *)*data + skipped;
        n -= skipped;
        if (n > b->size - b->offset) {
            http_abort(&b->exchange);
            return fail(b, err, "more bytes than the %llu of the manifest", (unsigned long long)b->size);
        }
        b->offset += n;
        if (n)
            return (ssize_t)n;
    }
}

int registry_blob_open(struct registry *r, const struct descriptor *d, struct source **out, struct error *err)
{
    struct blob *b = calloc(1, sizeof(*b));

    if (!b)
        return error_set(err, ENOMEM, "blob");
    b->source.read = blob_read;
    b->registry = r;
    b->size = d->size;
    b->digest = arena_strdup(&b->arena, d->digest);
    b->call = (struct call){
        .what = arena_printf(&b->arena, "blob %s of %s", d->digest, r->repository),
        .path = arena_printf(&b->arena, "/v2/%s/blobs/%s", r->repository, d->digest),
        .stream = true,
    };
    if (http_exchange_init(r->http, &b->exchange, err) < 0) {
        arena_free(&b->arena);
        free(b);
        return -1;
    }
    *out = &b->source;
    return 0;
}

void registry_blob_close(struct source *blob)
{
    struct blob *b = (struct blob *)blob;

    if (!b)
        return;
    http_exchange_destroy(&b->exchange);
    arena_free(&b->arena);
    free(b);
}

uint64_t registry_blob_received(const struct source *blob)
{
    return ((const struct blob *)blob)->offset;
}
