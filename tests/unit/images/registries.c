/* registries.conf: what a name means, and where it is to be had. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "images/registries.h"
#include "runtime/spec/spec.h"

static struct arena a;
static struct error err;

static struct registries *config(const char *text)
{
    struct registries *r = registries_new(&a);

    cr_assert_eq(registries_add(r, text, strlen(text), "first.conf", &err), 0, "%s", err.message);
    return r;
}

static struct reference parse(const char *text)
{
    struct reference ref;

    cr_assert_eq(reference_parse(&a, text, &ref, &err), 0, "%s", err.message);
    reference_default_tag(&ref);
    return ref;
}

/* "docker.io/library/a:latest b.c/a:latest"; NULL and err. */
static const char *candidates(struct registries *r, const char *name)
{
    struct reference ref = parse(name), *out;
    struct buffer b = {.arena = &a};
    size_t n;

    if (registries_candidates(r, &ref, &out, &n, &err) < 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        buffer_printf(&b, "%s%s", i ? " " : "", reference_format(&a, &out[i]));
    return b.data;
}

/* "host:repository", with ! before it when insecure and ~ when a mirror. */
static const char *endpoints(struct registries *r, const char *name, bool for_push)
{
    struct reference ref = parse(name);
    struct registry_endpoint *out;
    struct buffer b = {.arena = &a};
    size_t n;

    if (registries_endpoints(r, &ref, for_push, &out, &n, &err) < 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        buffer_printf(&b, "%s%s%s%s/%s", i ? " " : "", out[i].is_mirror ? "~" : "",
                      out[i].insecure ? "!" : "", out[i].host, out[i].repository);
    return b.data;
}

Test(registries, without_configuration)
{
    struct registries *r = registries_new(&a);

    cr_expect_str_eq(candidates(r, "alpine"), "docker.io/library/alpine:latest");
    cr_expect_str_eq(candidates(r, "a/b:1"), "docker.io/a/b:1");
    cr_expect_str_eq(candidates(r, "ghcr.io/a/b"), "ghcr.io/a/b:latest");
    cr_expect_str_eq(endpoints(r, "docker.io/alpine", false), "docker.io/library/alpine");
    cr_expect_str_eq(endpoints(r, "localhost:5000/x/y:1", false), "localhost:5000/x/y");
}

Test(registries, short_names)
{
    struct registries *r = config("unqualified-search-registries = ['b.org', 'docker.io', 'c.org/deep']\n"
                                  "[aliases]\n'web' = 'quay.io/o/web'\n'gone' = 'quay.io/o/gone'\n");

    cr_expect_str_eq(candidates(r, "a:1"), "b.org/a:1 docker.io/library/a:1 c.org/deep/a:1");
    cr_expect_str_eq(candidates(r, "web:2"), "quay.io/o/web:2");
    cr_expect_str_eq(candidates(r, "o/web"),
                     "b.org/o/web:latest docker.io/o/web:latest c.org/deep/o/web:latest");

    const char *second = "short-name-mode = 'enforcing'\n[aliases]\n'gone' = ''\n'web' = 'x.org/web'\n";
    cr_assert_eq(registries_add(r, second, strlen(second), "second.conf", &err), 0, "%s", err.message);
    cr_expect_str_eq(candidates(r, "web"), "x.org/web:latest");
    cr_expect_null(candidates(r, "gone"));
    cr_expect(strstr(err.message, "enforcing") && strstr(err.message, "b.org/gone"), "%s", err.message);

    /* Not an error where somebody can be asked; nobody is when the mode says so. */
    cr_expect(registries_let_ask(r));
    cr_expect_str_eq(candidates(r, "gone"),
                     "b.org/gone:latest docker.io/library/gone:latest c.org/deep/gone:latest");
    const char *silent = "short-name-mode = 'disabled'\ncredential-helpers = ['a', 'containers-auth.json']\n";
    cr_assert_eq(registries_add(r, silent, strlen(silent), "silent.conf", &err), 0, "%s", err.message);
    cr_expect_not(registries_let_ask(r));
    cr_expect_eq(registries_credential_helpers(r)->n, 2);

    const char *third = "unqualified-search-registries = []\n";
    cr_assert_eq(registries_add(r, third, strlen(third), "third.conf", &err), 0, "%s", err.message);
    cr_expect_null(candidates(r, "gone"));
    cr_expect(strstr(err.message, "third.conf") && strstr(err.message, "docker.io/gone"), "%s", err.message);
}

Test(registries, endpoints)
{
    struct registries *r = config(
        "[[registry]]\nprefix = 'example.com/foo'\nlocation = 'internal.net/bar'\n"
        "[[registry.mirror]]\nlocation = 'm0.local/mirror-for-foo/'\n"
        "[[registry.mirror]]\nlocation = 'm1.local:5000'\ninsecure = true\n"
        "[[registry]]\nlocation = 'example.com'\ninsecure = true\n"
        "[[registry]]\nprefix = 'example.com/foo/blocked'\nblocked = true\n"
        "[[registry]]\nprefix = '*.wild.org'\n[[registry.mirror]]\nlocation = 'near/wild'\n"
        "[[registry]]\nprefix = '*.far.wild.org'\nlocation = 'elsewhere.org'\n"
        "[[registry]]\nprefix = 'docker.io'\n[[registry.mirror]]\nlocation = 'hub.local'\npull-from-mirror = "
        "'digest-only'\n"
        "[[registry.mirror]]\nlocation = 'tags.local'\npull-from-mirror = 'tag-only'\n"
        "[[registry]]\nprefix = 'q.io'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'qm'\n"
        "[[registry]]\nprefix = 'one.io/img:1'\nlocation = 'two.io/img'\n");
#define D "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const struct {
        const char *name, *endpoints;
    } samples[] = {
        {"example.com/foo/image:1",
         "~m0.local/mirror-for-foo/image ~!m1.local:5000/image internal.net/bar/image"},
        {"example.com/food", "!example.com/food"},
        {"example.com/x", "!example.com/x"},
        {"example.com:5000/x", "example.com:5000/x"},
        {"example.community/x", "example.community/x"},
        {"a.wild.org/x/y", "~near/wild/x/y a.wild.org/x/y"},
        {"b.a.wild.org/x", "~near/wild/x b.a.wild.org/x"},
        {"a.far.wild.org/x", "elsewhere.org/x"},
        {"wild.org/x", "wild.org/x"},
        {"notwild.org/x", "notwild.org/x"},
        {"docker.io/a", "~tags.local/library/a docker.io/library/a"},
        {"docker.io/a" D, "~hub.local/library/a docker.io/library/a"},
        {"q.io/a", "q.io/a"},
        {"q.io/a" D, "~qm/a q.io/a"},
        {"one.io/img:1", "two.io/img"},
        {"one.io/img:12", "one.io/img"},
        {"one.io/img:2", "one.io/img"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const char *found = endpoints(r, samples[i].name, false);
        cr_expect(found, "%s: %s", samples[i].name, err.message);
        if (found)
            cr_expect_str_eq(found, samples[i].endpoints, "%s: %s", samples[i].name, found);
    }
    cr_expect_str_eq(endpoints(r, "example.com/foo/image:1", true), "internal.net/bar/image");
    cr_expect_null(endpoints(r, "example.com/foo/blocked:1", false));
    cr_expect(strstr(err.message, "blocked by first.conf"), "%s", err.message);
    cr_expect_null(endpoints(r, "example.com/foo/blocked/too", true));
}

Test(registries, a_later_file_wins)
{
    struct registries *r = config("[[registry]]\nlocation = 'a.io'\nblocked = true\n");
    const char *second = "[[registry]]\nprefix = 'a.io'\ninsecure = true\n";

    cr_expect_null(endpoints(r, "a.io/x", false));
    cr_assert_eq(registries_add(r, second, strlen(second), "second.conf", &err), 0, "%s", err.message);
    cr_expect_str_eq(endpoints(r, "a.io/x", false), "!a.io/x");
}

static void put(const char *directory, const char *name, const char *text)
{
    cr_assert_eq(file_mkdir_parents(directory, 0755, &err), 0, "%s", err.message);
    cr_assert_eq(
        file_replace(AT_FDCWD, arena_printf(&a, "%s/%s", directory, name), 0644, text, strlen(text), &err), 0,
        "%s", err.message);
}

Test(registries, files)
{
    char home[] = "/tmp/hull-registries.XXXXXX";
    struct registries *r;

    cr_assert(mkdtemp(home));
    setenv("HOME", home, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("CONTAINERS_REGISTRIES_CONF");
    const char *directory = arena_printf(&a, "%s/.config/containers", home),
               *more = arena_printf(&a, "%s/registries.conf.d", directory);
    put(directory, "registries.conf",
        "unqualified-search-registries = ['a.io']\n[[registry]]\nlocation = 'x.io'\n");
    put(more, "2.conf", "[[registry]]\nlocation = 'x.io'\nblocked = true\n");
    put(more, "1.conf",
        "unqualified-search-registries = ['b.io']\n[[registry]]\nlocation = 'x.io'\ninsecure = true\n");
    put(more, "3.conf~", "nonsense");
    cr_assert_eq(registries_load(&a, &r, &err), 0, "%s", err.message);
    cr_expect_str_eq(candidates(r, "one"), "b.io/one:latest");
    cr_expect_null(endpoints(r, "x.io/a", false));
    cr_expect(strstr(err.message, "2.conf"), "%s", err.message);

    setenv("CONTAINERS_REGISTRIES_CONF", arena_printf(&a, "%s/1.conf", more), 1);
    cr_assert_eq(registries_load(&a, &r, &err), 0, "%s", err.message);
    cr_expect_str_eq(endpoints(r, "x.io/a", false), "!x.io/a");
    setenv("CONTAINERS_REGISTRIES_CONF", arena_printf(&a, "%s/none.conf", more), 1);
    cr_expect_eq(registries_load(&a, &r, &err), -1);
    cr_expect(strstr(err.message, "none.conf"), "%s", err.message);

    unsetenv("CONTAINERS_REGISTRIES_CONF");
    put(more, "4.conf", "nonsense");
    cr_expect_eq(registries_load(&a, &r, &err), -1);
    cr_expect(strstr(err.message, "4.conf:1"), "%s", err.message);
    cr_expect_eq(file_remove_tree(AT_FDCWD, home, &err), 0);
}

/* What an endpoint's mirror makes of a name must be a name again. */
Test(registries, a_location_that_makes_no_name)
{
    struct registries *r = config("[[registry]]\nprefix = 'a.io/x'\nlocation = 'b.io'\n");

    cr_expect_null(endpoints(r, "a.io/x", false));
    cr_expect(strstr(err.message, "no HOST/REPOSITORY"), "%s", err.message);
    cr_expect_str_eq(endpoints(r, "a.io/x/y", false), "b.io/y");
}

Test(registries, mistakes)
{
    static const struct {
        const char *text, *says;
    } samples[] = {
        {"[[registry]]\n", "neither prefix nor location"},
        {"[registry]\n", "registry"},
        {"[[registry]]\nlocation = 'https://a.io'", "no HOST[:PORT][/PATH]"},
        {"[[registry]]\nlocation = 'A B'", "no HOST[:PORT][/PATH]"},
        {"[[registry]]\nlocation = 'a.io:99999999'", "no HOST[:PORT][/PATH]"},
        {"[[registry]]\nlocation = 'a.io/../etc'", "no HOST[:PORT][/PATH]"},
        {"[[registry]]\nprefix = '*.a.io/x'", "with *."},
        {"[[registry]]\nprefix = 'a.*.io'", "no HOST"},
        {"[[registry]]\nprefix = '*.'", "with *."},
        {"[[registry]]\nlocation = 'a.io'\n[[registry.mirror]]", "location"},
        {"[[registry]]\nlocation = 'a.io'\ninsecure = 'yes'", "insecure"},
        {"[[registry]]\nlocation = 'a.io'\n[[registry.mirror]]\nlocation = 'm'\npull-from-mirror = 'never'",
         "pull-from-mirror"},
        {"[[registry]]\nlocation = 'a.io'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "
         "'m'\npull-from-mirror = 'all'",
         "only one of them"},
        {"short-name-mode = 'sometimes'", "short-name-mode"},
        {"unqualified-search-registries = 'docker.io'", "unqualified-search-registries"},
        {"unqualified-search-registries = ['docker.io/a b']", "no HOST"},
        {"unqualified-search-registries = ['hub']", "a dot or a port"},
        {"[aliases]\n'a.io/b' = 'c.io/d'", "short one"},
        {"[aliases]\n'b' = 'd'", "no full name"},
        {"[aliases]\n'b' = 'c.io/d:1'", "no full name"},
        {"[registries.search]\nregistries = ['a']", "version 1"},
        {"a = ", "first.conf:1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct registries *r = registries_new(&a);
        err = (struct error){0};
        cr_expect_eq(registries_add(r, samples[i].text, strlen(samples[i].text), "first.conf", &err), -1,
                     "%s", samples[i].text);
        cr_expect(strstr(err.message, samples[i].says) && strstr(err.message, "first.conf"), "%s: \"%s\"",
                  samples[i].text, err.message);
    }
}
