/*
 * What is pushed (distribution-spec, "Push"): a blob that is not there yet is mounted from another repository of the registry, or
 * uploaded: POST gives a place, and PUT sends all of it there. Then the manifest, once all it speaks of is there.
 *
 *     NOWHERE  POST -> SURE, or mounted                     (again: the same)
 *     SURE     PUT of all, or PATCH of the rest and PUT of nothing -> done     (again: UNSURE)
 *     UNSURE   GET of the place -> SURE, with the bytes that the registry says it has; NOWHERE where it says none
 *
 * What is left at a place that was given up is the registry's to sweep. A registry that finds all at once too large (413; a
 * proxy before it, most often) gets pieces of CHUNK bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "images/registry_private.h"

enum {
    COMMIT_SECONDS = 600, /* a registry hashes what it has got before it answers */
    CHUNK = 16 << 20,
    PROGRESS = 1 << 20, /* bytes that make a new beginning of the count of tries */
};

enum state { NOWHERE, SURE, UNSURE, DONE };

struct sending {
    struct registry *registry;
    struct arena *arena;
    struct http_exchange *exchange;
    struct registry_upload *upload;
    enum state state;
    int result;        /* enum registry_pushed, once DONE */
    const char *place; /* an URL, without the digest */
    uint64_t offset;   /* so much is there */
    uint64_t chunk;    /* at most so much at once; 0: all */
    uint64_t last_failure;
    struct call call;
    struct retry retry;
};

/* The place of an upload; @digest is what ends it, or NULL. */
static const char *upload_url(const struct sending *s, const char *location, const char *digest,
                              struct error *err)
{
    const struct registry *r = s->registry;
    CURLU *u = curl_url();
    char *text = NULL, *scheme = NULL;
    const char *result = NULL, *query = digest ? arena_printf(s->arena, "digest=%s", digest) : NULL;

    if (u && *location && curl_url_set(u, CURLUPART_URL, r->base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, CURLU_DISALLOW_USER) == CURLUE_OK &&
        (!query ||
         curl_url_set(u, CURLUPART_QUERY, query, CURLU_APPENDQUERY | CURLU_URLENCODE) == CURLUE_OK) &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "https") == 0 || (r->insecure && strcmp(scheme, "http") == 0)) &&
        curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
        result = arena_strdup(s->arena, text);
    else
        error_set(err, 0, "%s: it says that blob %s goes to \"%s\", which is no place for it", r->host,
                  s->upload->digest, registry_clean(s->arena, location));
    curl_free(text);
    curl_free(scheme);
    curl_url_cleanup(u);
    return result;
}

/* Location is where the next request goes; a registry may say another each time. */
static enum outcome take_place(struct sending *s, struct error *err)
{
    s->place = upload_url(s, s->exchange->answer.location, NULL, err);
    return s->place ? OUTCOME_OK : OUTCOME_FAILED;
}

/* "0-1023", or, as some say it, "bytes=0-1023": so many bytes are there; 0 when it does not say. */
static uint64_t received(const struct http_answer *answer)
{
    const char *text = answer->range;
    char *end;

    if (strncmp(text, "bytes=", 6) == 0)
        text += 6;
    if (strncmp(text, "0-", 2) != 0 || text[2] < '0' || text[2] > '9')
        return 0;
    uint64_t last = strtoull(text + 2, &end, 10);
    return *end == '\0' && last > 0 && last < UINT64_MAX ? last + 1
                                                         : 0; /* "0-0" says nothing of one that is empty */
}

static enum outcome try(struct sending *s, struct call c, struct error *err)
{
    c.what = arena_printf(s->arena, "upload of blob %s to %s", s->upload->digest, s->registry->repository);
    s->call = c;
    return registry_try(s->registry, s->exchange, &s->call, err);
}

/* Ask for a place: 201 is a mount that worked, 202 has the place in Location. */
static enum outcome begin(struct sending *s, struct error *err)
{
    const char *repository = s->registry->repository, *from = steal_ptr(&s->upload->mount_from);
    struct call c = {.method = HTTP_POST,
                     .path = from ? arena_printf(s->arena, "/v2/%s/blobs/uploads/?mount=%s&from=%s",
                                                 repository, s->upload->digest, from)
                                  : arena_printf(s->arena, "/v2/%s/blobs/uploads/", repository)};
    enum outcome outcome = try(s, c, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    s->offset = s->last_failure = 0;
    s->state = s->exchange->answer.status == 201 ? DONE : SURE;
    s->result = PUSHED_MOUNTED;
    return s->state == DONE ? OUTCOME_OK : take_place(s, err);
}

/* A request broke off: how much of it has arrived? */
static enum outcome find_out(struct sending *s, struct error *err)
{
    struct call c = {.method = HTTP_GET, .url = s->place, .max_body = REGISTRY_MANIFEST_MAX};
    enum outcome outcome = try(s, c, err);
    uint64_t there = outcome == OUTCOME_OK ? received(&s->exchange->answer) : 0;

    if (outcome == OUTCOME_AGAIN)
        return outcome;
    error_clear(err);
    s->state = there > 0 && there <= s->upload->size ? SURE : NOWHERE;
    if (s->state == NOWHERE)
        return OUTCOME_OK;
    s->offset = there;
    if (there >= s->last_failure + PROGRESS)
        s->retry.tries = 0;
    s->last_failure = there;
    return *s->exchange->answer.location ? take_place(s, err) : OUTCOME_OK;
}

static enum outcome send_part(struct sending *s, struct error *err)
{
    uint64_t left = s->upload->size - s->offset, length = s->chunk && s->chunk < left ? s->chunk : left;
    struct call c = {
        .method = HTTP_PATCH,
        .url = s->place,
        .headers = {"Content-Type: application/octet-stream",
                    arena_printf(s->arena, "Content-Range: %llu-%llu", (unsigned long long)s->offset,
                                 (unsigned long long)(s->offset + length - 1))},
        .upload = s->upload,
        .upload_offset = s->offset,
        .upload_length = length,
        .idle_seconds = COMMIT_SECONDS};
    enum outcome outcome = try(s, c, err);
    uint64_t there = received(&s->exchange->answer);

    if (outcome != OUTCOME_OK)
        return outcome;
    if (there && there != s->offset + length) {
        error_set(err, 0, "%s: %s: it has %llu bytes, and %llu were sent", s->registry->host, s->call.what,
                  (unsigned long long)there, (unsigned long long)(s->offset + length));
        return OUTCOME_FAILED;
    }
    s->offset += length;
    return take_place(s, err);
}

/* What ends it: all of the blob, or nothing more. */
static enum outcome finish(struct sending *s, struct error *err)
{
    bool all = s->offset == 0;
    const char *url = upload_url(s, s->place, s->upload->digest, err);
    struct call c = {.method = HTTP_PUT,
                     .url = url,
                     .headers = {"Content-Type: application/octet-stream"},
                     .upload = all ? s->upload : NULL,
                     .upload_length = s->upload->size,
                     .idle_seconds = COMMIT_SECONDS};
    enum outcome outcome = url ? try(s, c, err) : OUTCOME_FAILED;

    if (outcome == OUTCOME_OK) {
        s->state = DONE;
        s->result = PUSHED_SENT;
    }
    return outcome;
}

static enum outcome send_all(struct sending *s, struct error *err)
{
    enum outcome outcome = OUTCOME_OK;

    while (outcome == OUTCOME_OK && (s->chunk || s->offset) && s->offset < s->upload->size)
        outcome = send_part(s, err);
    if (outcome == OUTCOME_OK)
        outcome = finish(s, err);
    if (outcome == OUTCOME_AGAIN)
        s->state = UNSURE;
    return outcome;
}

static enum outcome (*const steps[])(struct sending *s, struct error *err) = {
    [NOWHERE] = begin, [SURE] = send_all, [UNSURE] = find_out};

static int send_blob(struct sending *s, struct error *err)
{
    while (s->state != DONE) {
        enum outcome outcome = steps[s->state](s, err);

        if (outcome == OUTCOME_FAILED && s->state == SURE && s->exchange->answer.status == 413 && !s->chunk) {
            error_clear(err);
            s->chunk = CHUNK;
            s->state = NOWHERE;
        } else if (outcome == OUTCOME_FAILED ||
                   (outcome == OUTCOME_AGAIN && registry_pause(s->registry, &s->retry, &s->call, err) < 0)) {
            return -1;
        }
    }
    return s->result;
}

int registry_push_blob(struct registry *r, struct registry_upload *u, struct error *err)
{
    struct arena a = {0};
    struct http_exchange x;
    struct sending s = {.registry = r, .arena = &a, .exchange = &x, .upload = u};
    int result = registry_blob_exists(r, u->digest, err);

    if (result)
        return result < 0 ? -1 : PUSHED_THERE;
    result = http_exchange_init(r->http, &x, err) < 0 ? -1 : send_blob(&s, err);
    http_exchange_destroy(&x);
    arena_free(&a);
    return result;
}

int registry_mount_blob(struct registry *r, const char *digest, const char *from)
{
    struct arena a = {0};
    struct http_exchange x;
    struct error err = {0};
    struct call c = {
        .what = arena_printf(&a, "blob %s from %s", digest, from),
        .method = HTTP_POST,
        .path = arena_printf(&a, "/v2/%s/blobs/uploads/?mount=%s&from=%s", r->repository, digest, from)};
    bool mounted = http_exchange_init(r->http, &x, &err) == 0 &&
                   registry_try(r, &x, &c, &err) == OUTCOME_OK && x.answer.status == 201;

    if (err.message[0])
        log_debug("%s", err.message);
    http_exchange_destroy(&x);
    arena_free(&a);
    return mounted;
}

int registry_push_manifest(struct registry *r, const char *tag_or_digest, const char *media_type,
                           const char *data, size_t length, struct error *err)
{
    struct arena a = {0};
    struct http_exchange x;
    struct call c = {
        .what = arena_printf(&a, "manifest %s for %s", tag_or_digest, r->repository),
        .method = HTTP_PUT,
        .path = arena_printf(&a, "/v2/%s/manifests/%s", r->repository, tag_or_digest),
        .headers = {arena_printf(&a, "Content-Type: %s", media_type)},
        .body = data,
        .body_length = length,
        .idle_seconds = COMMIT_SECONDS,
    };
    int result = http_exchange_init(r->http, &x, err) < 0 ? -1 : registry_call(r, &x, &c, err);

    http_exchange_destroy(&x);
    arena_free(&a);
    return result;
}
