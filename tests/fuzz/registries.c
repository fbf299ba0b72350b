/*
 * libFuzzer target for registries.conf: the input is a file of it. Whatever it says, each place that it leads to is a host and a
 * repository that can stand in a URL, and there is at least one unless there is an error.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "images/registries.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_endpoints(struct registries *r, const struct reference *ref, struct error *err)
{
    struct registry_endpoint *endpoints;
    size_t n;

    if (registries_endpoints(r, ref, false, &endpoints, &n, err) < 0) {
        check(*err->message != '\0');
        return;
    }
    check(n > 0 && !endpoints[n - 1].is_mirror);
    for (size_t i = 0; i < n; i++) {
        check(*endpoints[i].host && !strpbrk(endpoints[i].host, "/@?#% \t\r\n\\"));
        check(*endpoints[i].repository && !strpbrk(endpoints[i].repository, ":@?#% \t\r\n\\"));
        check(!strstr(endpoints[i].repository, ".."));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"alpine", "a/b:1", "docker.io/library/a:1", "a.b/c/d:1",
                                        "localhost:5000/x"};
    static struct arena arena;
    static struct error err;
    struct registries *r = registries_new(&arena);

    if (registries_add(r, (const char *)data, size, "fuzz", &err) < 0)
        check(*err.message != '\0');
    else
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            struct reference ref, *candidates;
            size_t n;
            check(reference_parse(&arena, names[i], &ref, &err) == 0);
            reference_default_tag(&ref);
            if (registries_candidates(r, &ref, &candidates, &n, &err) < 0)
                continue;
            for (size_t k = 0; k < n; k++) {
                check(candidates[k].domain && candidates[k].path);
                check_endpoints(r, &candidates[k], &err);
            }
        }
    arena_free(&arena);
    return 0;
}
