/* References: what docker and podman take and refuse, and what each part becomes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "images/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *or_none(const char *s)
{
    return s ? s : "-";
}

Test(reference, good)
{
    static const struct {
        const char *text, *domain, *path, *tag, *digest, *shown;
    } samples[] = {
        {"alpine", "-", "alpine", "-", "-", "alpine"},
        {"alpine:3.18", "-", "alpine", "3.18", "-", "alpine:3.18"},
        {"library/alpine", "-", "library/alpine", "-", "-", "library/alpine"},
        {"docker.io/alpine", "docker.io", "library/alpine", "-", "-", "docker.io/library/alpine"},
        {"index.docker.io/a/b:c", "docker.io", "a/b", "c", "-", "docker.io/a/b:c"},
        {"ghcr.io/o/n:tag", "ghcr.io", "o/n", "tag", "-", "ghcr.io/o/n:tag"},
        {"localhost/x", "localhost", "x", "-", "-", "localhost/x"},
        {"localhost:5000/x/y-z__a.b:V_1", "localhost:5000", "x/y-z__a.b", "V_1", "-",
         "localhost:5000/x/y-z__a.b:V_1"},
        {"127.0.0.1:5000/x", "127.0.0.1:5000", "x", "-", "-", "127.0.0.1:5000/x"},
        {"[::1]:5000/x", "[::1]:5000", "x", "-", "-", "[::1]:5000/x"},
        {"HOST.example/x", "HOST.example", "x", "-", "-", "HOST.example/x"},
        {"a.b/x@sha256:" HEX, "a.b", "x", "-", "sha256:" HEX, "a.b/x@sha256:" HEX},
        {"a.b/x:t@sha256:" HEX, "a.b", "x", "t", "sha256:" HEX, "a.b/x:t@sha256:" HEX},
        {"a---b", "-", "a---b", "-", "-", "a---b"},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        struct arena a = {0};
        struct reference r;
        struct error err = {0};
        cr_assert_eq(reference_parse(&a, samples[i].text, &r, &err), 0, "%s", err.message);
        cr_expect_str_eq(or_none(r.domain), samples[i].domain);
        cr_expect_str_eq(or_none(r.path), samples[i].path);
        cr_expect_str_eq(or_none(r.tag), samples[i].tag);
        cr_expect_str_eq(or_none(r.digest), samples[i].digest);
        cr_expect_str_eq(reference_format(&a, &r), samples[i].shown);
        arena_free(&a);
    }
}

Test(reference, bad)
{
    static const char *const samples[] = {"",
                                          "/",
                                          "/a",
                                          "a/",
                                          "a//b",
                                          ":tag",
                                          "a:",
                                          "a:.b",
                                          "a:-b",
                                          "Alpine",
                                          "a/B",
                                          "a b",
                                          "a@",
                                          "a@sha256:1",
                                          "a@md5:" HEX,
                                          "a_.b",
                                          "a___b",
                                          "a..b",
                                          "-a",
                                          "a-",
                                          "../a",
                                          "a/../b",
                                          "a.b:x/c",
                                          "a.b:123456/c",
                                          "-a.b/c",
                                          "a\nb",
                                          "[::1/x",
                                          "a.b/",
                                          HEX,
                                          "a@sha256:" HEX "0",
                                          "\xc3\xa9",
                                          "a:b c",
                                          "a?b",
                                          "a%2fb",
                                          "a+b",
                                          "http://a/b",
                                          "docker://a/b"};
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        struct arena a = {0};
        struct reference r;
        struct error err = {0};
        cr_expect_eq(reference_parse(&a, samples[i], &r, &err), -1, "%s", samples[i]);
        cr_expect(strlen(err.message) > 0);
        arena_free(&a);
    }
}

Test(reference, lengths)
{
    struct arena a = {0};
    struct reference r;
    struct error err;
    char name[400], tag[400];

    memset(name, 'a', sizeof(name));
    name[255] = '\0';
    cr_expect_eq(reference_parse(&a, name, &r, &err), 0);
    name[255] = 'a', name[256] = '\0';
    cr_expect_eq(reference_parse(&a, name, &r, &err), -1);
    snprintf(tag, sizeof(tag), "a:%.128s", name);
    cr_expect_eq(reference_parse(&a, tag, &r, &err), 0);
    snprintf(tag, sizeof(tag), "a:%.129s", name);
    cr_expect_eq(reference_parse(&a, tag, &r, &err), -1);
    arena_free(&a);
}

Test(reference, short_names_at_a_registry)
{
    struct arena a = {0};
    struct reference r, full;
    struct error err;

    cr_assert_eq(reference_parse(&a, "alpine", &r, &err), 0);
    reference_default_tag(&r);
    full = reference_at(&a, &r, "docker.io");
    cr_expect_str_eq(reference_format(&a, &full), "docker.io/library/alpine:latest");
    full = reference_at(&a, &r, "quay.io");
    cr_expect_str_eq(reference_format(&a, &full), "quay.io/alpine:latest");
    cr_expect_str_eq(reference_name(&a, &full), "quay.io/alpine");
    arena_free(&a);
}
