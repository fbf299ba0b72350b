/*
 * From a name to an endpoint that has it (remote.h). A short name may mean several full ones, each at mirrors and then at
 * its registry. The first that has the manifest serves the layers as well. That one does not have it, or cannot be
 * reached, leads to the next; when none is left, what the registry itself said is told, as it is the one that the user
 * knows of, and of several names all are listed.
 */
#include "images/remote.h"

#include <string.h>

#include "base/buffer.h"
#include "base/log.h"

int remote_start(struct remote *r, struct arena *a, const struct registry_settings *settings,
                 struct error *err)
{
    *r = (struct remote){.arena = a, .settings = *settings};
    if (registries_load(a, &r->registries, err) < 0)
        return -1;
    r->settings.helpers = registries_credential_helpers(r->registries);
    return http_start(&r->http, err);
}

void remote_stop(struct remote *r)
{
    http_stop(r->http);
    r->http = NULL;
}

/* --- the origin ---------------------------------------------------------------------------------------------------- */

static int remote_document(struct origin *o, struct arena *a, const struct descriptor *d, char **data,
                           size_t *length, struct error *err)
{
    const struct remote_image *i = (const struct remote_image *)o;
    struct registry_manifest m;

    /* Manifests and other blobs are to be had at different places; what has a manifest's type is one. */
    if (d->media_type && strstr(d->media_type, "manifest")) {
        if (registry_manifest(i->registry, a, d->digest, &m, err) < 0)
            return -1;
        *data = m.data;
        *length = m.length;
        return 0;
    }
    if (registry_blob_read(i->registry, a, d, data, err) < 0)
        return -1;
    *length = d->size;
    return 0;
}

static int remote_open(struct origin *o, const struct descriptor *d, struct source **layer, struct error *err)
{
    return registry_blob_open(((struct remote_image *)o)->registry, d, layer, err);
}

static void remote_close(struct origin *o, struct source *layer)
{
    (void)o;
    registry_blob_close(layer);
}

static void remote_cancel(struct origin *o)
{
    http_cancel(((struct remote_image *)o)->remote->http);
}

/* --- finding ------------------------------------------------------------------------------------------------------- */

/* 1: what it has is known; 0: it is not, or the registry does not say. */
static int ask_digest(struct registry *r, const char *tag_or_digest, const char *const *known,
                      struct error *err)
{
    char digest[DIGEST_SIZE];
    int rc = known ? registry_manifest_digest(r, tag_or_digest, digest, err) : 0;

    if (rc <= 0)
        return rc;
    for (; *known; known++)
        if (strcmp(*known, digest) == 0)
            return 1;
    return 0;
}

enum { TRIES_OF_MIRRORS = 2 };

static int ask(struct remote *r, const struct registry_endpoint *e, const struct reference *ref,
               const char *const *known, bool last, struct remote_image *out, struct error *err)
{
    const char *which = ref->digest ? ref->digest : ref->tag;
    int rc;

    if (registry_open(r->http, e, &r->settings, false, &out->registry, err) < 0)
        return -1;
    registry_set_tries(out->registry, last ? 0 : TRIES_OF_MIRRORS);
    rc = ask_digest(out->registry, which, known, err);
    if (rc == 0 && registry_manifest(out->registry, r->arena, which, &out->manifest, err) == 0) {
        registry_set_tries(out->registry, 0);
        return 0;
    }
    remote_image_close(out);
    return rc > 0 ? 1 : -1;
}

static int ask_endpoints(struct remote *r, const struct reference *ref, const char *const *known,
                         struct remote_image *out, struct error *err)
{
    struct registry_endpoint *endpoints;
    size_t n;

    if (registries_endpoints(r->registries, ref, false, &endpoints, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        int rc = ask(r, &endpoints[i], ref, known, i + 1 == n, out, err);
        if (rc >= 0)
            return rc;
        if (i + 1 < n)
            log_info("%s%s, the next is asked", endpoints[i].is_mirror ? "mirror " : "", err->message);
    }
    return -1;
}

/* One, if there is somebody to choose it. */
static int find_candidates(struct remote *r, const char *text, const struct reference *short_name,
                           struct reference **candidates, size_t *n, struct error *err)
{
    bool ask = r->choose && registries_let_ask(r->registries);

    if (registries_candidates(r->registries, short_name, candidates, n, err) < 0)
        return -1;
    if (!ask || *n == 1)
        return 0;
    char **names = arena_new_n(r->arena, *n, char *);
    for (size_t i = 0; i < *n; i++)
        names[i] = reference_format(r->arena, &(*candidates)[i]);
    int chosen = r->choose(text, names, *n, err);
    if (chosen < 0)
        return -1;
    *candidates += chosen;
    *n = 1;
    return 0;
}

int remote_find(struct remote *r, const char *text, const char *const *known, struct remote_image *out,
                struct error *err)
{
    struct reference short_name, *candidates;
    size_t n;

    *out = (struct remote_image){.origin = {.document = remote_document,
                                            .open = remote_open,
                                            .close = remote_close,
                                            .cancel = remote_cancel},
                                 .remote = r};
    if (reference_parse(r->arena, text, &short_name, err) < 0)
        return -1;
    reference_default_tag(&short_name);
    if (find_candidates(r, text, &short_name, &candidates, &n, err) < 0)
        return -1;
    struct buffer failures = {.arena = r->arena};
    for (size_t i = 0; i < n; i++) {
        out->reference = candidates[i];
        int rc = ask_endpoints(r, &candidates[i], known, out, err);
        if (rc >= 0)
            return rc;
        buffer_printf(&failures, "%s%s", i ? "; " : "", err->message);
    }
    if (n > 1)
        return error_set(err, 0, "\"%s\" was found nowhere: %.3000s", text, failures.data);
    return -1;
}

void remote_image_close(struct remote_image *i)
{
    registry_close(i->registry);
    i->registry = NULL;
}

int remote_open_for_push(struct remote *r, const char *text, struct reference *reference,
                         struct registry **out, struct error *err)
{
    struct reference short_name, *candidates;
    struct registry_endpoint *endpoints;
    size_t n;

    if (reference_parse(r->arena, text, &short_name, err) < 0)
        return -1;
    reference_default_tag(&short_name);
    if (short_name.digest)
        return error_set(err, 0, "\"%s\": what is pushed gets a tag, not a digest", text);
    if (registries_candidates(r->registries, &short_name, &candidates, &n, err) < 0)
        return -1;
    *reference = candidates[0];
    if (registries_endpoints(r->registries, reference, true, &endpoints, &n, err) < 0)
        return -1;
    return registry_open(r->http, &endpoints[n - 1], &r->settings, true, out, err);
}

int remote_check_login(struct remote *r, const char *host, struct error *err)
{
    const struct reference any = {.domain = host, .path = "login", .tag = "latest"};
    struct registry_endpoint *endpoints, e;
    struct registry *registry;
    size_t n;
    int rc;

    if (registries_endpoints(r->registries, &any, true, &endpoints, &n, err) < 0)
        return -1;
    e = endpoints[n - 1];
    e.repository = ""; /* no image in particular */
    if (registry_open(r->http, &e, &r->settings, false, &registry, err) < 0)
        return -1;
    rc = registry_ping(registry, err);
    registry_close(registry);
    return rc;
}
