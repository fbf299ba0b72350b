/* The features document: valid JSON, and nothing in it that decoding or libseccomp would refuse. */
#include <criterion/criterion.h>
#include <string.h>

#include "runtime/container.h"
#include "runtime/seccomp.h"
#include "runtime/spec/decode.h"

Test(features, document)
{
    struct arena a = {0};
    struct error err = {0};
    struct json *json;
    size_t length;
    char *text;

    cr_assert_eq(features_document(&a, &text, &length, &err), 0, "%s", err.message);
    cr_assert_eq(json_parse(&a, text, length, "features", &json, &err), 0, "%s", err.message);
    cr_assert_str_eq(json_get(json, "ociVersionMin")->text, "1.0.0");
    cr_assert_str_eq(json_get(json, "ociVersionMax")->text, SPEC_VERSION);
    const struct json *linux_ = json_get(json, "linux");
    cr_assert_eq(json_get(linux_, "namespaces")->count, (size_t)NS_COUNT);
    cr_assert_eq(json_get(json_get(linux_, "cgroup"), "v2")->boolean, true);
    cr_assert_eq(json_get(json, "hooks")->count, (size_t)HOOK_COUNT);
    const struct json *caps = json_get(linux_, "capabilities");
    for (size_t i = 0; i < caps->count; i++)
        cr_assert_eq(capability_from_name(caps->items[i].text), (int)i);
    arena_free(&a);
}

static void all_in(const char *const *names, const char *const *decoded)
{
    for (; *names; names++)
        cr_assert_geq(name_index(decoded, *names), 0, "%s is promised but not decoded", *names);
}

Test(features, what_is_promised_is_decoded)
{
    all_in(seccomp_known_actions(), seccomp_action_names);
    all_in(seccomp_known_operators(), seccomp_operator_names);
    all_in(seccomp_known_architectures(), seccomp_architecture_names);
    all_in(seccomp_known_flags(), seccomp_flag_names);
    all_in(seccomp_supported_flags(), seccomp_flag_names);
}
