/* Manifests, indexes and configurations: both families, and what hostile ones say. */
#include <criterion/criterion.h>
#include <string.h>

#include "images/manifest.h"

#define HEX         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST      "\"digest\":\"sha256:" HEX "\",\"size\":7"
#define CONFIG      "\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\"," DIGEST "}"
#define LAYER(type) "{\"mediaType\":\"" type "\"," DIGEST "}"

static struct arena a;
static struct manifest m;
static struct error err;

static int parse(const char *text, const char *type)
{
    return manifest_parse(&a, text, strlen(text), type, &m, &err);
}

Test(manifest, oci)
{
    cr_assert_eq(parse("{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER(MEDIA_OCI_LAYER) "," LAYER(
                           MEDIA_OCI_LAYER "+gzip") "," LAYER(MEDIA_OCI_LAYER "+zstd") "]}",
                       NULL),
                 0, "%s", err.message);
    cr_expect(!m.is_index);
    cr_expect_str_eq(m.media_type, MEDIA_OCI_MANIFEST);
    cr_expect_eq(m.n_layers, 3);
    cr_expect_eq(m.layers[0].compression, COMPRESSION_NONE);
    cr_expect_eq(m.layers[1].compression, COMPRESSION_GZIP);
    cr_expect_eq(m.layers[2].compression, COMPRESSION_ZSTD);
    cr_expect_eq(m.layers[2].size, 7);
}

Test(manifest, docker)
{
    cr_assert_eq(parse("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_DOCKER_MANIFEST "\"," CONFIG
                       ",\"layers\":[" LAYER(MEDIA_DOCKER_LAYER ".gzip") "]}",
                       MEDIA_DOCKER_MANIFEST),
                 0, "%s", err.message);
    cr_expect_eq(m.layers[0].compression, COMPRESSION_GZIP);
}

Test(manifest, hostile)
{
    static const struct {
        const char *text, *type, *says;
    } samples[] = {
        {"", NULL, "manifest"},
        {"[]", NULL, "schemaVersion"},
        {"{\"schemaVersion\":1}", NULL, "schemaVersion"},
        {"{\"schemaVersion\":2}", NULL, "config"},
        {"{\"schemaVersion\":2," CONFIG "}", NULL, "layers"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"manifests\":[]}", NULL, "cannot be trusted"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", MEDIA_OCI_INDEX, "cannot be trusted"},
        {"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," CONFIG ",\"layers\":[]}",
         MEDIA_DOCKER_MANIFEST, "the registry said"},
        {"{\"schemaVersion\":2,\"mediaType\":\"text/html\"}", NULL, "text/html is not an image"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"sha256:" HEX "\"}]}", NULL, "size"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER("application/x-squashfs") "]}", NULL,
         "application/x-squashfs"},
        {"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:../../../etc/"
         "passwd\",\"size\":1},\"layers\":[]}",
         NULL, "not a digest"},
        {"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" HEX "\",\"size\":-1},\"layers\":[]}", NULL,
         "size"},
        {"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" HEX
         "\",\"size\":99999999999999},\"layers\":[]}",
         NULL, "size"},
        {"{\"schemaVersion\":2,\"config\":7,\"layers\":[]}", NULL, "config"},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        err = (struct error){0};
        cr_expect_eq(parse(samples[i].text, samples[i].type), -1, "%s", samples[i].text);
        cr_expect(strstr(err.message, samples[i].says), "%s: \"%s\"", samples[i].text, err.message);
    }
}

#define ENTRY(hex, platform) "{\"digest\":\"sha256:" hex "\",\"size\":7" platform "}"
#define PLATFORM(os, arch)   ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define VARIANT(arch, v)                                                                                     \
    ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\",\"variant\":\"" v "\"}"
#define H(c) c "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(manifest, the_right_platform)
{
    static const struct {
        const char *platform;
        char first;
    } samples[] = {{"linux/amd64", '0'},  {"linux/arm64", '1'},  {"linux/arm64/v8", '1'},
                   {"linux/arm/v7", '3'}, {"linux/arm/v8", '3'}, {"linux/arm/v6", '2'},
                   {"linux/arm/v5", 0},   {"linux/riscv64", 0},  {"windows/amd64", '4'},
                   {"arm64", '1'}};
    struct platform p;

    cr_assert_eq(
        parse(
            "{\"schemaVersion\":2,\"manifests\":[" ENTRY(H("0"), PLATFORM("linux", "amd64")) "," ENTRY(
                H("1"),
                VARIANT(
                    "arm64",
                    "v8")) "," ENTRY(H("2"),
                                     VARIANT(
                                         "arm",
                                         "v6")) "," ENTRY(H("3"),
                                                          VARIANT(
                                                              "arm",
                                                              "v7")) "," ENTRY(H("4"),
                                                                               PLATFORM(
                                                                                   "windows",
                                                                                   "amd64")) "," ENTRY(H("5"),
                                                                                                       PLATFORM(
                                                                                                           "u"
                                                                                                           "n"
                                                                                                           "k"
                                                                                                           "n"
                                                                                                           "o"
                                                                                                           "w"
                                                                                                           "n",
                                                                                                           "u"
                                                                                                           "n"
                                                                                                           "k"
                                                                                                           "n"
                                                                                                           "o"
                                                                                                           "w"
                                                                                                           "n") ",\"annotations\":{\"vnd.docker.reference.type\":"
                                                                                                                "\"attestation-manifest\"}") "]}",
            NULL),
        0, "%s", err.message);
    cr_expect(m.is_index && m.n_entries == 6);
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        cr_assert_eq(platform_parse(&a, samples[i].platform, &p, &err), 0);
        const struct descriptor *d = manifest_choose(&a, &m, &p, &err);
        cr_expect_eq(d ? d->digest[7] : 0, samples[i].first, "%s", samples[i].platform);
    }
    cr_expect(strstr(err.message, "") && !strstr(err.message, "unknown"));
    cr_expect_eq(platform_parse(&a, "a/b/c/d", &p, &err), -1);
    cr_expect_eq(platform_parse(&a, "a//c", &p, &err), -1);
    p = platform_host();
    cr_expect(p.architecture && strcmp(p.os, "linux") == 0);
}

Test(manifest, configuration)
{
    static const char text[] =
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2026-01-01T00:00:00Z\",\"config\":{"
        "\"User\":\"www\","
        "\"Env\":[\"A=1\"],\"Entrypoint\":null,\"Cmd\":[\"sh\",\"-c\",\"x\"],\"WorkingDir\":\"/"
        "srv\",\"Volumes\":{\"/data\":{}},"
        "\"ExposedPorts\":{\"80/tcp\":{}},\"Labels\":{\"k\":\"\"},\"StopSignal\":\"SIGINT\",\"Tty\":true},"
        "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" HEX
        "\"]},\"history\":[{\"created_by\":\"RUN x\"},"
        "{\"empty_layer\":true}]}";
    struct image_config c;

    cr_assert_eq(image_config_parse(&a, text, sizeof(text) - 1, &c, &err), 0, "%s", err.message);
    cr_expect_str_eq(c.user, "www");
    cr_expect_eq(c.entrypoint.n, 0);
    cr_expect_eq(c.cmd.n, 3);
    cr_expect_str_eq(c.volumes[0].name, "/data");
    cr_expect_str_eq(c.exposed_ports[0].name, "80/tcp");
    cr_expect_str_eq(c.labels[0].key, "k");
    cr_expect_eq(c.diff_ids.n, 1);
    cr_expect(c.history[1].empty_layer);
    cr_expect_str_eq(c.platform.architecture, "amd64");

    static const char bad[] = "{\"rootfs\":{\"diff_ids\":[\"sha256:/../..\"]}}";
    cr_expect_eq(image_config_parse(&a, bad, sizeof(bad) - 1, &c, &err), -1);
    cr_expect(strstr(err.message, "diff_ids") || strstr(err.message, "digest"), "%s", err.message);
}
