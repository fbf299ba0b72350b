/*
 * The features document (runtime-spec features.md, features-linux.md): what this build recognizes, whatever
 * the host has. Only seccomp's supportedFlags ask the kernel. The lists are those that decoding and
 * validation use, so that the document cannot promise what they refuse.
 */
#include "config.h"

#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "namespaces/rootfs.h"
#include "runtime/container.h"
#include "runtime/launch.h"
#include "runtime/sandbox.h"
#include "runtime/seccomp.h"
#include "runtime/spec/decode.h"

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_names(struct json_writer *w, const char *key, const char *const *names)
{
    json_key(w, key);
    json_array(w);
    for (size_t i = 0; names[i]; i++)
        json_string(w, names[i]);
    json_array_end(w);
}

static void write_sorted(struct json_writer *w, const char *key, const char *const *names)
{
    const char **sorted;
    size_t n = 0;

    while (names[n])
        n++;
    sorted = arena_new_n(w->arena, n + 1, const char *);
    memcpy(sorted, names, n * sizeof(*names));
    qsort(sorted, n, sizeof(*sorted), compare_names);
    write_names(w, key, sorted);
}

struct flag {
    const char *name;
    bool value;
};

static void write_flags(struct json_writer *w, const char *key, const struct flag *flags, size_t n)
{
    json_key(w, key);
    json_object(w);
    for (size_t i = 0; i < n; i++) {
        json_key(w, flags[i].name);
        json_bool(w, flags[i].value);
    }
    json_object_end(w);
}

#define WRITE_FLAGS(w, key, ...)                                                                             \
    do {                                                                                                     \
        static const struct flag flags_[] = {__VA_ARGS__};                                                   \
        write_flags(w, key, flags_, ARRAY_SIZE(flags_));                                                     \
    } while (0)

static void write_capabilities(struct json_writer *w)
{
    const char *name;

    json_key(w, "capabilities");
    json_array(w);
    for (int cap = 0; (name = capability_name(cap)); cap++)
        json_string(w, name);
    json_array_end(w);
}

static void write_hooks(struct json_writer *w)
{
    json_key(w, "hooks");
    json_array(w);
    for (enum hook_type type = 0; type < HOOK_COUNT; type++)
        json_string(w, hook_name(type));
    json_array_end(w);
}

static void write_seccomp(struct json_writer *w)
{
    json_key(w, "seccomp");
    json_object(w);
    json_key(w, "enabled");
    json_bool(w, true);
    write_names(w, "actions", seccomp_known_actions());
    write_names(w, "operators", seccomp_known_operators());
    write_names(w, "archs", seccomp_known_architectures());
    write_names(w, "knownFlags", seccomp_known_flags());
    write_names(w, "supportedFlags", seccomp_supported_flags());
    json_object_end(w);
}

static void write_linux(struct json_writer *w)
{
    json_key(w, "linux");
    json_object(w);
    write_sorted(w, "namespaces", namespace_names);
    write_capabilities(w);
    WRITE_FLAGS(w, "cgroup", {"v1", true}, {"v2", true}, {"systemd", HAVE_SYSTEMD},
                {"systemdUser", HAVE_SYSTEMD}, {"rdma", true});
    write_seccomp(w);
    WRITE_FLAGS(w, "apparmor", {"enabled", true});
    WRITE_FLAGS(w, "selinux", {"enabled", true});
    json_key(w, "memoryPolicy");
    json_object(w);
    write_names(w, "modes", memory_policy_modes);
    write_names(w, "flags", memory_policy_flags);
    json_object_end(w);
    WRITE_FLAGS(w, "intelRdt", {"enabled", true}, {"schemata", true}, {"monitoring", true});
    json_key(w, "mountExtensions");
    json_object(w);
    WRITE_FLAGS(w, "idmap", {"enabled", true});
    json_object_end(w);
    WRITE_FLAGS(w, "netDevices", {"enabled", true});
    json_object_end(w);
}

int features_document(struct arena *a, char **text, size_t *length, struct error *err)
{
    static const char *const annotations[] = {KEEP_GROUPS_ANNOTATION, SANDBOX_ANNOTATIONS, NULL};
    const struct scmp_version *seccomp = seccomp_version();
    struct json_writer w = json_writer_begin(a, true);
    size_t n_options;

    (void)err;
    json_object(&w);
    json_key(&w, "ociVersionMin");
    json_string(&w, "1.0.0");
    json_key(&w, "ociVersionMax");
    json_string(&w, SPEC_VERSION);
    write_hooks(&w);
    write_names(&w, "mountOptions", mount_option_names(&n_options));
    write_linux(&w);
    json_key(&w, "annotations");
    json_object(&w);
    json_key(&w, ISOLATION_ANNOTATION);
    json_string(&w, "container,vm");
    json_key(&w, "io.github.seccomp.libseccomp.version");
    json_string(&w, arena_printf(a, "%u.%u.%u", seccomp->major, seccomp->minor, seccomp->micro));
    json_object_end(&w);
    write_names(&w, "potentiallyUnsafeConfigAnnotations", annotations);
    json_object_end(&w);
    *text = json_writer_end(&w, length);
    return 0;
}
