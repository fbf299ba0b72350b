/*
 * registries.conf: each file is decoded by the tables below, checked, and merged into one list of [[registry]] tables by prefix
 * and one of aliases. Looking up is a walk over the list: the longest prefix wins.
 *
 * A prefix matches whole parts of a name: "example.com" is not a prefix of "example.com:5000/a", which is another registry.
 */
#include "images/registries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "images/toml.h"
#include "runtime/spec/decode.h"

#define SYSTEM_DIRECTORY "/etc/containers"
#define DOCKER           "docker.io"

struct mirror {
    char *location, *pull;
    bool insecure;
};

struct rule {
    char *prefix, *location;
    bool insecure, blocked, by_digest_only;
    struct mirror *mirrors;
    size_t n_mirrors;
    const char *file;
};

struct alias {
    char *name, *value; /* "": taken back */
};

/* One file. */
struct document {
    struct string_list search, helpers;
    bool has_search, has_helpers;
    char *short_name_mode;
    struct rule *rules;
    size_t n_rules;
    struct alias *aliases;
    size_t n_aliases;
    const struct json *version1;
};

struct registries {
    struct arena *arena;
    struct string_list search, helpers;
    enum { PERMISSIVE, ENFORCING, DISABLED } mode; /* of short names */
    bool asks;                                     /* somebody chooses where there are several */
    const char *file; /* the last one read: where to write what is missing; NULL: there was none */
    struct rule *rules;
    size_t n_rules, rules_capacity;
    struct alias *aliases;
    size_t n_aliases, aliases_capacity;
};

/* --- tables -------------------------------------------------------------------------------------------------------- */

static const char *const pull_names[] = {"all", "digest-only", "tag-only", NULL};
static const char *const mode_names[] = {"enforcing", "permissive", "disabled", NULL};

static const struct field mirror_table_fields[] = {
    STRING("location", struct mirror, location, .flags = REQUIRED),
    BOOL("insecure", struct mirror, insecure),
    STRING("pull-from-mirror", struct mirror, pull, .flags = NAMES, .names = pull_names),
};
TABLE(mirror_table, ELEMENT(struct mirror));

static const struct field rule_table_fields[] = {
    STRING("prefix", struct rule, prefix),
    STRING("location", struct rule, location),
    BOOL("insecure", struct rule, insecure),
    BOOL("blocked", struct rule, blocked),
    BOOL("mirror-by-digest-only", struct rule, by_digest_only),
    LIST("mirror", struct rule, mirrors, n_mirrors, &mirror_table),
};
static void check_rule(struct decoder *d, const struct place *at, const struct json *json, void *object);
TABLE(rule_table, ELEMENT(struct rule), .done = check_rule);

static const struct field alias_table_fields[] = {
    STRING("value", struct alias, value, .flags = MAY_BE_EMPTY),
};
static void check_alias(struct decoder *d, const struct place *at, const struct json *json, void *object);
TABLE(alias_table, KEYED(struct alias, name), .value_is_field = true, .done = check_alias);

static const struct field document_table_fields[] = {
    STRINGS("unqualified-search-registries", struct document, search, AUX(struct document, has_search)),
    STRINGS("credential-helpers", struct document, helpers, AUX(struct document, has_helpers)),
    STRING("short-name-mode", struct document, short_name_mode, .flags = NAMES, .names = mode_names),
    LIST("registry", struct document, rules, n_rules, &rule_table),
    MAP("aliases", struct document, aliases, n_aliases, &alias_table),
    JSON("registries", struct document, version1),
};
static void check_document(struct decoder *d, const struct place *at, const struct json *json, void *object);
TABLE(document_table, .done = check_document);

/* --- checks -------------------------------------------------------------------------------------------------------- */

/* HOST[:PORT][/PATH]: @text without its slashes at the end, which people write. */
static bool is_location(struct arena *a, const char *text)
{
    struct reference r;
    struct error ignored;
    const char *slash = strchr(text, '/');

    /* The grammar is the references': a host becomes one by a path, and must be one even without a dot. */
    if (slash)
        return reference_parse(a, text, &r, &ignored) == 0 && (r.domain || !strchr(text, '@'));
    return reference_parse(a, arena_printf(a, "%s/a", text), &r, &ignored) == 0;
}

static void check_location(struct decoder *d, const struct place *at, const char *key, char *text)
{
    if (!text)
        return;
    for (size_t n = strlen(text); n && text[n - 1] == '/'; n--)
        text[n - 1] = '\0';
    if (!is_location(d->arena, text))
        complain_at(d, at, "%s: %s is no HOST[:PORT][/PATH]", key, quoted(d->arena, text));
}

static bool is_wildcard(const char *prefix)
{
    return strncmp(prefix, "*.", 2) == 0;
}

static void check_rule(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    struct rule *r = object;

    (void)json;
    check_location(d, at, "location", r->location);
    if (r->prefix && is_wildcard(r->prefix)) {
        if (strpbrk(r->prefix + 1, "*/:@") || !is_location(d->arena, r->prefix + 2))
            complain_at(d, at, "prefix: %s: with *. a prefix is a domain and no more: *.example.com",
                        quoted(d->arena, r->prefix));
    } else {
        check_location(d, at, "prefix", r->prefix);
    }
    if (!r->prefix && !r->location)
        complain_at(d, at, "neither prefix nor location is there");
    for (size_t i = 0; i < r->n_mirrors; i++) {
        check_location(d, at, "mirror location", r->mirrors[i].location);
        if (r->by_digest_only && r->mirrors[i].pull)
            complain_at(d, at,
                        "mirror-by-digest-only = true, and a mirror with pull-from-mirror: only one of them");
    }
}

static void check_alias(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    const struct alias *alias = object;
    struct reference r;
    struct error e;

    (void)json;
    if (reference_parse(d->arena, alias->name, &r, &e) < 0 || r.domain || r.tag || r.digest)
        complain_at(d, at, "an alias's name is a short one, without registry, tag and digest");
    else if (alias->value && *alias->value &&
             (reference_parse(d->arena, alias->value, &r, &e) < 0 || !r.domain || r.tag || r.digest))
        complain_at(d, at, "%s is no full name REGISTRY/PATH without tag and digest",
                    quoted(d->arena, alias->value));
}

static void check_document(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    const struct document *doc = object;

    if (doc->version1)
        complain_at(d, at,
                    "[registries.*] is version 1 of this file; version 2 has unqualified-search-registries "
                    "and [[registry]] (containers-registries.conf(5))");
    for (size_t i = 0; i < doc->search.n; i++) {
        struct reference r;
        struct error e;
        check_location(d, at, "unqualified-search-registries", doc->search.v[i]);
        /* What a short name becomes must not be a short name again. */
        if (reference_parse(d->arena, arena_printf(d->arena, "%s/a", doc->search.v[i]), &r, &e) == 0 &&
            !r.domain)
            complain_at(d, at, "unqualified-search-registries: %s: a host with a dot or a port is expected",
                        quoted(d->arena, doc->search.v[i]));
    }
    (void)json;
}

/* --- merging ------------------------------------------------------------------------------------------------------- */

#define GROW(r, list, type)                                                                                  \
    do {                                                                                                     \
        if ((r)->n_##list == (r)->list##_capacity) {                                                         \
            size_t more_ = (r)->list##_capacity ? 2 * (r)->list##_capacity : 16;                             \
            (r)->list =                                                                                      \
                arena_grow((r)->arena, (r)->list, (r)->n_##list * sizeof(type), more_ * sizeof(type));       \
            (r)->list##_capacity = more_;                                                                    \
        }                                                                                                    \
    } while (0)

static void add_rule(struct registries *r, struct rule rule, const char *file)
{
    size_t i = 0;

    rule.file = file;
    if (!rule.prefix)
        rule.prefix = rule.location;
    while (i < r->n_rules && strcmp(r->rules[i].prefix, rule.prefix) != 0)
        i++;
    GROW(r, rules, struct rule);
    r->rules[i] = rule;
    r->n_rules += i == r->n_rules;
}

static void add_alias(struct registries *r, struct alias alias)
{
    size_t i = 0;

    while (i < r->n_aliases && strcmp(r->aliases[i].name, alias.name) != 0)
        i++;
    GROW(r, aliases, struct alias);
    r->aliases[i] = alias;
    r->n_aliases += i == r->n_aliases;
}

struct registries *registries_new(struct arena *a)
{
    struct registries *r = arena_new(a, struct registries);

    r->arena = a;
    return r;
}

int registries_add(struct registries *r, const char *text, size_t length, const char *file, struct error *err)
{
    struct document doc = {0};
    struct json *json;

    if (toml_parse(r->arena, text, length, file, &json, err) < 0 ||
        decode_document(r->arena, json, text, &document_table, file, &doc, err) < 0)
        return -1;
    r->file = file;
    if (doc.has_search)
        r->search = doc.search;
    if (doc.has_helpers)
        r->helpers = doc.helpers;
    if (doc.short_name_mode)
        r->mode = strcmp(doc.short_name_mode, "enforcing") == 0  ? ENFORCING
                  : strcmp(doc.short_name_mode, "disabled") == 0 ? DISABLED
                                                                 : PERMISSIVE;
    for (size_t i = 0; i < doc.n_rules; i++)
        add_rule(r, doc.rules[i], file);
    for (size_t i = 0; i < doc.n_aliases; i++)
        if (doc.aliases[i].value)
            add_alias(r, doc.aliases[i]);
    return 0;
}

const struct string_list *registries_credential_helpers(const struct registries *r)
{
    return &r->helpers;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

/* 1: read; 0: there is none. */
static int add_file(struct registries *r, const char *file, struct error *err)
{
    char *text;
    size_t length;

    if (file_read(AT_FDCWD, file, TOML_MAX_SIZE, r->arena, &text, &length, err) < 0) {
        if (err->code != ENOENT && err->code != ENOTDIR)
            return -1;
        error_clear(err);
        return 0;
    }
    return registries_add(r, text, length, file, err) < 0 ? -1 : 1;
}

static int is_conf(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');

    return e->d_name[0] != '.' && dot && strcmp(dot, ".conf") == 0;
}

static int add_directory(struct registries *r, const char *directory, struct error *err)
{
    struct dirent **list = NULL;
    int n = scandir(directory, &list, is_conf, alphasort), result = 0;

    if (n < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_set(err, errno, "read %s", directory);
    for (int i = 0; i < n; i++) {
        if (result == 0 && add_file(r, arena_printf(r->arena, "%s/%s", directory, list[i]->d_name), err) < 0)
            result = -1;
        free(list[i]);
    }
    free(list);
    return result;
}

/* #syscalls: openat read fstat newfstatat getdents64 lseek close */
int registries_load(struct arena *a, struct registries **out, struct error *err)
{
    const char *named = getenv("CONTAINERS_REGISTRIES_CONF"), *config = getenv("XDG_CONFIG_HOME"),
               *home = getenv("HOME"), *user = NULL;
    struct registries *r = *out = registries_new(a);
    int found = 0;

    if (named && *named) {
        found = add_file(r, named, err);
        return found == 0  ? error_set(err, ENOENT, "CONTAINERS_REGISTRIES_CONF: %s", named)
               : found < 0 ? -1
                           : 0;
    }
    if (config && *config == '/')
        user = arena_printf(a, "%s/containers", config);
    else if (home && *home == '/')
        user = arena_printf(a, "%s/.config/containers", home);
    if (user && (found = add_file(r, arena_printf(a, "%s/registries.conf", user), err)) < 0)
        return -1;
    if (!found && add_file(r, SYSTEM_DIRECTORY "/registries.conf", err) < 0)
        return -1;
    /* shortnames.conf, which distributions install, says nothing of what a name means that it does not hold. */
    const char *main_file = r->file;
    if (add_directory(r, SYSTEM_DIRECTORY "/registries.conf.d", err) < 0 ||
        (user && add_directory(r, arena_printf(a, "%s/registries.conf.d", user), err) < 0))
        return -1;
    r->file = main_file;
    return 0;
}

bool registries_let_ask(struct registries *r)
{
    r->asks = r->mode != DISABLED;
    return r->asks;
}

/* --- looking up ---------------------------------------------------------------------------------------------------- */

static const char *const only_docker[] = {DOCKER};

int registries_candidates(struct registries *r, const struct reference *ref, struct reference **out,
                          size_t *n, struct error *err)
{
    const char *const *domains = (const char *const *)r->search.v;
    size_t count = r->search.n;

    *out = arena_new_n(r->arena, count + 1, struct reference);
    *n = 1;
    (*out)[0] = *ref;
    if (ref->domain)
        return 0;
    for (size_t i = 0; i < r->n_aliases; i++)
        if (strcmp(r->aliases[i].name, ref->path) == 0 && *r->aliases[i].value) {
            if (reference_parse(r->arena, r->aliases[i].value, *out, err) < 0)
                return -1;
            (*out)[0].tag = ref->tag;
            (*out)[0].digest = ref->digest;
            return 0;
        }
    if (count == 0 && r->file)
        return error_set(
            err, 0,
            "\"%s\" is a short name, and no registry is set to look for it: write the whole name "
            "(" DOCKER "/%s), or unqualified-search-registries = [\"" DOCKER "\"] in %s",
            ref->path, ref->path, r->file);
    if (count == 0) {
        domains = only_docker;
        count = 1;
    }
    if (count > 1 && r->mode == ENFORCING && !r->asks)
        return error_set(
            err, 0,
            "\"%s\" is a short name that %zu registries of %s may have, and short-name-mode is enforcing: "
            "write the whole name (%s/%s), or add an alias for it",
            ref->path, count, r->file, domains[0], ref->path);
    for (size_t i = 0; i < count; i++)
        /* A search registry may have a path: parse both together. */
        if (reference_parse(r->arena, arena_printf(r->arena, "%s/%s", domains[i], ref->path), &(*out)[i],
                            err) < 0)
            return -1;
        else {
            (*out)[i].tag = ref->tag;
            (*out)[i].digest = ref->digest;
        }
    *n = count;
    return 0;
}

/* How many bytes of @name (with tag and digest) @prefix covers; 0: it does not match. */
static size_t match(const char *name, const char *prefix)
{
    size_t n = strlen(prefix), host = strcspn(name, "/");

    if (is_wildcard(prefix)) {
        n--; /* the dot stays */
        return host > n && memcmp(name + host - n, prefix + 1, n) == 0 ? host : 0;
    }
    if (strncmp(name, prefix, n) != 0)
        return 0;
    /* ":" begins a port after a host, which is another registry then, and a tag after a path. */
    return name[n] == '\0' || name[n] == '/' || (n > host && (name[n] == ':' || name[n] == '@')) ? n : 0;
}

static const struct rule *find_rule(const struct registries *r, const char *name, size_t *covered)
{
    const struct rule *best = NULL;

    for (size_t i = 0; i < r->n_rules; i++) {
        size_t n = match(name, r->rules[i].prefix);
        if (n && (!best || strlen(r->rules[i].prefix) > strlen(best->prefix))) {
            best = &r->rules[i];
            *covered = n;
        }
    }
    return best;
}

/* @name with @location in place of its first @covered bytes, as an endpoint. */
static int rewrite(struct arena *a, const char *name, size_t covered, const char *location,
                   struct registry_endpoint *out, struct error *err)
{
    char *text = arena_printf(a, "%s%s", location, name + covered);
    size_t host = strcspn(text, "/");
    struct reference r;

    if (!text[host])
        return error_set(err, 0, "registries.conf makes \"%s\" of \"%s\", which is no HOST/REPOSITORY", text,
                         name);
    /* A host without dot and port is one here, whatever it would be in what people type. */
    if (reference_parse(a, text, &r, err) < 0)
        return error_wrap(err, "registries.conf makes of \"%s\"", name);
    out->host = r.domain ? r.domain : arena_strndup(a, text, host);
    out->repository =
        r.domain ? r.path : arena_printf(a, "%.*s", (int)strcspn(text + host + 1, ":@"), text + host + 1);
    return 0;
}

static bool mirror_serves(const struct rule *rule, const struct mirror *m, bool by_digest)
{
    if (rule->by_digest_only)
        return by_digest;
    return !m->pull || strcmp(m->pull, "all") == 0 || (strcmp(m->pull, "digest-only") == 0) == by_digest;
}

int registries_endpoints(struct registries *r, const struct reference *ref, bool for_push,
                         struct registry_endpoint **out, size_t *n, struct error *err)
{
    const char *name = reference_format(r->arena, ref);
    size_t covered = 0, count = 0;
    const struct rule *rule = find_rule(r, name, &covered);
    struct registry_endpoint *list =
        arena_new_n(r->arena, 1 + (rule ? rule->n_mirrors : 0), struct registry_endpoint);

    if (rule && rule->blocked)
        return error_set(err, EACCES, "\"%s\" is blocked by %s (prefix \"%s\")", name, rule->file,
                         rule->prefix);
    for (size_t i = 0; rule && !for_push && i < rule->n_mirrors; i++) {
        const struct mirror *m = &rule->mirrors[i];
        if (!mirror_serves(rule, m, ref->digest != NULL))
            continue;
        if (rewrite(r->arena, name, covered, m->location, &list[count], err) < 0)
            return -1;
        list[count].insecure = m->insecure;
        list[count++].is_mirror = true;
    }
    list[count] = (struct registry_endpoint){.host = ref->domain, .repository = ref->path};
    if (rule && rule->location && rewrite(r->arena, name, covered, rule->location, &list[count], err) < 0)
        return -1;
    list[count++].insecure = rule && rule->insecure;
    *out = list;
    *n = count;
    return 0;
}
