/*
 * Manifests, indexes (image-spec manifest.md, image-index.md; Docker's "Image Manifest V2, Schema 2") and configurations
 * (config.md), by the tables of the specification's decoder. The two families say the same with other media types, which
 * two tables here tell apart.
 *
 * What a registry sends is hostile: a member of the wrong type, a size beyond all sense, an index within an index, too
 * many layers are errors that name the member.
 */
#include "images/manifest.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/buffer.h"
#include "base/json.h"
#include "images/digest.h"
#include "runtime/spec/decode.h"

enum { SCHEMA_VERSION = 2 };
#define SIZE_LIMIT (1ULL << 40) /* of anything a descriptor describes, bytes */

static const struct {
    const char *media_type;
    bool is_index;
} documents[] = {
    {MEDIA_OCI_INDEX, true},
    {MEDIA_OCI_MANIFEST, false},
    {MEDIA_DOCKER_INDEX, true},
    {MEDIA_DOCKER_MANIFEST, false},
};

#define FOREIGN_OCI    "application/vnd.oci.image.layer.nondistributable.v1.tar"
#define FOREIGN_DOCKER "application/vnd.docker.image.rootfs.foreign.diff.tar"

static const struct {
    const char *media_type;
    enum compression compression;
} layer_types[] = {
    {MEDIA_OCI_LAYER, COMPRESSION_NONE},
    {MEDIA_OCI_LAYER "+gzip", COMPRESSION_GZIP},
    {MEDIA_OCI_LAYER "+zstd", COMPRESSION_ZSTD},
    {MEDIA_DOCKER_LAYER, COMPRESSION_NONE},
    {MEDIA_DOCKER_LAYER ".gzip", COMPRESSION_GZIP},
    {MEDIA_DOCKER_LAYER ".zstd", COMPRESSION_ZSTD},
    {FOREIGN_OCI, COMPRESSION_NONE},
    {FOREIGN_OCI "+gzip", COMPRESSION_GZIP},
    {FOREIGN_OCI "+zstd", COMPRESSION_ZSTD},
    {FOREIGN_DOCKER ".gzip", COMPRESSION_GZIP},
};

/* --- tables -------------------------------------------------------------------------------------------------------- */

static const struct field platform_table_fields[] = {
    STRING("os", struct platform, os),
    STRING("architecture", struct platform, architecture),
    STRING("variant", struct platform, variant),
};
TABLE(platform_table);

static void take_attestation(struct decoder *d, const struct place *at, const struct json *json, void *target)
{
    (void)d, (void)at;
    *(bool *)target = json_get(json, "vnd.docker.reference.type") != NULL;
}

static void check_digest(struct decoder *d, const struct place *at, const char *digest)
{
    struct error e;

    if (digest && digest_check(digest, "digest", &e) < 0)
        complain_at(d, at, "%s", e.message);
}

static void descriptor_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)json;
    check_digest(d, at, ((const struct descriptor *)object)->digest);
}

static const struct field descriptor_table_fields[] = {
    STRING("mediaType", struct descriptor, media_type),
    STRING("digest", struct descriptor, digest, .flags = REQUIRED),
    U64("size", struct descriptor, size, RANGE(0, SIZE_LIMIT), .flags = REQUIRED),
    OBJECT("platform", struct descriptor, platform, &platform_table),
    CUSTOM("annotations", struct descriptor, attestation, take_attestation),
};
TABLE(descriptor_table, ELEMENT(struct descriptor), .done = descriptor_done);

static void layer_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    struct descriptor *layer = object;

    descriptor_done(d, at, json, object);
    for (size_t i = 0; layer->media_type && i < ARRAY_SIZE(layer_types); i++)
        if (strcmp(layer->media_type, layer_types[i].media_type) == 0) {
            layer->compression = layer_types[i].compression;
            return;
        }
    complain_at(d, at, "mediaType %s: not a file system layer that Hull knows: tar, tar+gzip or tar+zstd",
                quoted(d->arena, layer->media_type ? layer->media_type : ""));
}

static const struct table layer_table = {TABLE_(descriptor_table_fields), ELEMENT(struct descriptor),
                                         .done = layer_done};

static const struct field manifest_table_fields[] = {
    STRING("mediaType", struct manifest, media_type),
    OBJECT("config", struct manifest, config, &descriptor_table, .flags = REQUIRED),
    LIST("layers", struct manifest, layers, n_layers, &layer_table, .flags = REQUIRED,
         .max = MANIFEST_MAX_LAYERS),
};
TABLE(manifest_table);

static const struct field index_table_fields[] = {
    STRING("mediaType", struct manifest, media_type),
    LIST("manifests", struct manifest, entries, n_entries, &descriptor_table, .flags = REQUIRED,
         .max = MANIFEST_MAX_ENTRIES),
};
TABLE(index_table);

static const struct field image_key_table_fields[] = {};
TABLE(image_key_table, KEYED(struct image_key, name));

static const struct field label_table_fields[] = {
    STRING("value", struct spec_annotation, value, .flags = MAY_BE_EMPTY),
};
TABLE(label_table, KEYED(struct spec_annotation, key), .value_is_field = true);

static const struct field run_table_fields[] = {
    STRING("User", struct image_config, user),
    STRING("WorkingDir", struct image_config, working_dir),
    STRING("StopSignal", struct image_config, stop_signal),
    STRINGS("Env", struct image_config, env),
    STRINGS("Entrypoint", struct image_config, entrypoint),
    STRINGS("Cmd", struct image_config, cmd),
    MAP("Volumes", struct image_config, volumes, n_volumes, &image_key_table),
    MAP("ExposedPorts", struct image_config, exposed_ports, n_exposed_ports, &image_key_table),
    MAP("Labels", struct image_config, labels, n_labels, &label_table),
};
TABLE(run_table);

static void check_diff_ids(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    const struct image_config *c = object;

    (void)json;
    for (size_t i = 0; i < c->diff_ids.n; i++)
        check_digest(d, at, c->diff_ids.v[i]);
}

static const struct field rootfs_table_fields[] = {
    STRINGS("diff_ids", struct image_config, diff_ids, .flags = REQUIRED, .max = MANIFEST_MAX_LAYERS),
};
TABLE(rootfs_table, .done = check_diff_ids);

static const struct field history_table_fields[] = {
    STRING("created", struct image_history, created),
    STRING("created_by", struct image_history, created_by),
    STRING("comment", struct image_history, comment),
    BOOL("empty_layer", struct image_history, empty_layer),
};
TABLE(history_table, ELEMENT(struct image_history));

static const struct field config_table_fields[] = {
    STRING("os", struct image_config, platform.os),
    STRING("architecture", struct image_config, platform.architecture),
    STRING("variant", struct image_config, platform.variant),
    STRING("created", struct image_config, created),
    STRING("author", struct image_config, author),
    INLINE("config", &run_table),
    INLINE("rootfs", &rootfs_table, .flags = REQUIRED),
    LIST("history", struct image_config, history, n_history, &history_table, .max = MANIFEST_MAX_ENTRIES),
};
TABLE(config_table);

/* --- documents ----------------------------------------------------------------------------------------------------- */

/* What the document is: it says so itself, or the registry did, or (OCI allows to leave it out) its members tell. */
static int find_kind(const struct json *json, const char *given, struct manifest *out, struct error *err)
{
    const char *own = json_get_string(json, "mediaType"), *type = own ? own : given;

    if (own && given && strcmp(own, given) != 0)
        return error_set(err, 0, "the manifest says that it is %.100s, the registry said %.100s", own, given);
    if (json_get_u64(json, "schemaVersion") != SCHEMA_VERSION)
        return error_set(err, 0,
                         "the manifest's schemaVersion is not 2: of before 2016; push the image anew");
    if (!type)
        type = json_get(json, "manifests") ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
        if (strcmp(type, documents[i].media_type) == 0) {
            /* One document that is read as a manifest here and as an index there (CVE-2021-41190). */
            if (json_get(json, documents[i].is_index ? "layers" : "manifests"))
                return error_set(err, 0, "the manifest has both layers and manifests: it cannot be trusted");
            *out = (struct manifest){.is_index = documents[i].is_index};
            return 0;
        }
    return error_set(err, 0, "%.100s is not an image: it should be one of OCI's or Docker's manifests", type);
}

int manifest_parse(struct arena *a, const char *text, size_t length, const char *media_type,
                   struct manifest *out, struct error *err)
{
    struct json *json;

    if (json_parse(a, text, length, "manifest", &json, err) < 0 || find_kind(json, media_type, out, err) < 0)
        return -1;
    if (decode_document(a, json, text, out->is_index ? &index_table : &manifest_table, "manifest", out, err) <
        0)
        return -1;
    if (!out->media_type)
        out->media_type = arena_strdup(a, media_type      ? media_type
                                          : out->is_index ? MEDIA_OCI_INDEX
                                                          : MEDIA_OCI_MANIFEST);
    return 0;
}

int image_config_parse(struct arena *a, const char *text, size_t length, struct image_config *out,
                       struct error *err)
{
    struct json *json;

    *out = (struct image_config){0};
    if (json_parse(a, text, length, "image configuration", &json, err) < 0)
        return -1;
    return decode_document(a, json, text, &config_table, "image configuration", out, err);
}

/* --- platforms ----------------------------------------------------------------------------------------------------- */

/* What uname(2) calls a machine, in Go's words, which images use. */
static const struct {
    const char *machine, *architecture, *variant;
} machines[] = {
    {"x86_64", "amd64", NULL},    {"aarch64", "arm64", "v8"}, {"armv7l", "arm", "v7"},
    {"armv6l", "arm", "v6"},      {"i686", "386", NULL},      {"riscv64", "riscv64", NULL},
    {"ppc64le", "ppc64le", NULL}, {"s390x", "s390x", NULL},   {"loongarch64", "loong64", NULL},
    {"mips64", "mips64le", NULL}, {"ppc64", "ppc64", NULL},
};

struct platform platform_host(void)
{
    static struct utsname host;

    uname(&host);
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
        if (strcmp(host.machine, machines[i].machine) == 0)
            return (struct platform){.os = "linux",
                                     .architecture = (char *)machines[i].architecture,
                                     .variant = (char *)machines[i].variant};
    return (struct platform){.os = "linux", .architecture = host.machine};
}

int platform_parse(struct arena *a, const char *text, struct platform *out, struct error *err)
{
    char *parts[3] = {0}, *rest = arena_strdup(a, text);
    size_t n = 0;

    for (char *part; (part = strsep(&rest, "/")); n++) {
        if (n == ARRAY_SIZE(parts) || !*part)
            return error_set(err, 0,
                             "platform \"%.100s\": write OS/ARCHITECTURE[/VARIANT], as linux/arm64/v8", text);
        parts[n] = part;
    }
    if (n == 1) { /* "arm64" */
        parts[1] = parts[0];
        parts[0] = "linux";
    }
    *out = (struct platform){.os = parts[0], .architecture = parts[1], .variant = parts[2]};
    return 0;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* 0: does not fit. An arm variant runs those of lower numbers; whoever says none fits all, but worse. */
static int fitness(const struct platform *has, const struct platform *wanted)
{
    if (!same(has->os, wanted->os) || !same(has->architecture, wanted->architecture))
        return 0;
    if (same(has->variant, wanted->variant) || (!has->variant && !wanted->variant))
        return 100;
    if (!has->variant || !wanted->variant)
        return 50;
    if (has->variant[0] == 'v' && wanted->variant[0] == 'v' && !has->variant[2] && !wanted->variant[2] &&
        has->variant[1] < wanted->variant[1])
        return 10 + has->variant[1] - '0';
    return 0;
}

static const char *platform_format(struct arena *a, const struct platform *p)
{
    return arena_printf(a, "%s/%s%s%s", p->os ? p->os : "?", p->architecture ? p->architecture : "?",
                        p->variant ? "/" : "", p->variant ? p->variant : "");
}

const struct descriptor *manifest_choose(struct arena *a, const struct manifest *index,
                                         const struct platform *p, struct error *err)
{
    const struct descriptor *best = NULL;
    struct buffer there = {.arena = a};
    int best_fitness = 0;

    for (size_t i = 0; i < index->n_entries; i++) {
        const struct descriptor *entry = &index->entries[i];
        int fits = entry->attestation ? 0 : fitness(&entry->platform, p);

        if (fits > best_fitness) {
            best = entry;
            best_fitness = fits;
        }
        if (!entry->attestation)
            buffer_printf(&there, "%s%s", there.length ? ", " : "", platform_format(a, &entry->platform));
    }
    if (best)
        return best;
    /* An index of one image that does not say what it is for is for everyone. */
    if (index->n_entries == 1 && !index->entries[0].platform.os && !index->entries[0].attestation)
        return &index->entries[0];
    error_set(err, 0, "there is no image for %s, but for: %.2000s", platform_format(a, p),
              there.length ? there.data : "nothing");
    return NULL;
}
