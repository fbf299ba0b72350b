/* Hostile manifests, indexes and configurations: a typed view in which everything holds, or words about what does not. */
#include <stdlib.h>
#include <string.h>

#include "images/digest.h"
#include "images/manifest.h"

static struct error err;

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_descriptor(const struct descriptor *d)
{
    check(d->digest && digest_valid(d->digest) && d->size <= INT64_MAX);
}

static void try_manifest(struct arena *a, const char *text, size_t length, const char *type)
{
    struct manifest m;
    struct platform host = platform_host();

    if (manifest_parse(a, text, length, type, &m, &err) < 0) {
        check(err.message[0]);
        return;
    }
    check(m.media_type);
    check(m.n_layers <= MANIFEST_MAX_LAYERS && m.n_entries <= MANIFEST_MAX_ENTRIES);
    if (m.is_index) {
        for (size_t i = 0; i < m.n_entries; i++)
            check_descriptor(&m.entries[i]);
        const struct descriptor *chosen = manifest_choose(a, &m, &host, &err);
        check(chosen ? !chosen->attestation : err.message[0] != '\0');
        return;
    }
    check_descriptor(&m.config);
    for (size_t i = 0; i < m.n_layers; i++)
        check_descriptor(&m.layers[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena a;
    const char *text = (const char *)data;
    struct image_config config;
    struct platform platform;

    error_clear(&err);
    try_manifest(&a, text, size, NULL);
    try_manifest(&a, text, size, MEDIA_OCI_INDEX);
    try_manifest(&a, text, size, MEDIA_DOCKER_MANIFEST);
    error_clear(&err);
    if (image_config_parse(&a, text, size, &config, &err) == 0)
        for (size_t i = 0; i < config.diff_ids.n; i++)
            check(digest_valid(config.diff_ids.v[i]));
    else
        check(err.message[0]);
    error_clear(&err);
    check(platform_parse(&a, arena_strndup(&a, text, size), &platform, &err) == 0 ? platform.os != NULL
                                                                                  : err.message[0] != '\0');
    arena_free(&a);
    return 0;
}
