/*
 * What is pushed (distribution-spec, "Push"): a blob that is not there yet is mounted from another repository of the registry, or
 * uploaded by POST, which gives a place, and PUT of all of it there. An upload that breaks off begins again at another
 * place; what is left at the first one is the registry's to sweep. Then the manifest, once all it speaks of is there.
 */
#include <errno.h>
#include <string.h>

#include "images/registry_private.h"

enum { COMMIT_SECONDS = 600 /* a registry hashes what it has got before it answers */ };

/* The place of an upload, with the digest that ends it. */
static const char *upload_url(const struct registry *r, struct arena *a, const char *location,
                              const char *digest, struct error *err)
{
    CURLU *u = curl_url();
    char *text = NULL, *scheme = NULL;
    const char *result = NULL, *query = arena_printf(a, "digest=%s", digest);

    if (u && *location && curl_url_set(u, CURLUPART_URL, r->base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_QUERY, query, CURLU_APPENDQUERY | CURLU_URLENCODE) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "https") == 0 || (r->insecure && strcmp(scheme, "http") == 0)) &&
        curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
        result = arena_strdup(a, text);
    else
        error_set(err, 0, "%s: it says that blob %s goes to \"%s\", which is no place for it", r->host,
                  digest, registry_clean(a, location));
    curl_free(text);
    curl_free(scheme);
    curl_url_cleanup(u);
    return result;
}

/* Ask for a place: 201 is a mount that worked, 202 has the place in Location. */
static int start_upload(struct registry *r, struct arena *a, struct http_exchange *x,
                        const struct registry_upload *u, const char *mount_from, const char **url,
                        struct error *err)
{
    struct call c = {
        .what = arena_printf(a, "upload of blob %s to %s", u->digest, r->repository),
        .method = HTTP_POST,
        .path = mount_from ? arena_printf(a, "/v2/%s/blobs/uploads/?mount=%s&from=%s", r->repository,
                                          u->digest, mount_from)
                           : arena_printf(a, "/v2/%s/blobs/uploads/", r->repository),
    };

    if (registry_call(r, x, &c, err) < 0)
        return -1;
    if (x->answer.status == 201)
        return PUSHED_MOUNTED;
    *url = upload_url(r, a, x->answer.location, u->digest, err);
    return *url ? PUSHED_SENT : -1;
}

static int send_blob(struct registry *r, struct arena *a, struct http_exchange *x, struct registry_upload *u,
                     struct error *err)
{
    struct retry retry = {0};
    const char *mount_from = u->mount_from;

    for (;;) {
        struct call c = {
            .what = arena_printf(a, "upload of blob %s to %s", u->digest, r->repository),
            .method = HTTP_PUT,
            .headers = {"Content-Type: application/octet-stream"},
            .upload = u,
            .idle_seconds = COMMIT_SECONDS,
        };
        int started = start_upload(r, a, x, u, mount_from, &c.url, err);
        if (started != PUSHED_SENT)
            return started;
        enum outcome outcome = registry_try(r, x, &c, err);
        if (outcome == OUTCOME_OK)
            return PUSHED_SENT;
        if (outcome == OUTCOME_FAILED || registry_pause(r, &retry, &c, err) < 0)
            return -1;
        mount_from = NULL;
    }
}

int registry_push_blob(struct registry *r, struct registry_upload *u, struct error *err)
{
    struct arena a = {0};
    struct http_exchange x;
    int result = registry_blob_exists(r, u->digest, err);

    if (result)
        return result < 0 ? -1 : PUSHED_THERE;
    result = http_exchange_init(r->http, &x, err) < 0 ? -1 : send_blob(r, &a, &x, u, err);
    http_exchange_destroy(&x);
    arena_free(&a);
    return result;
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
