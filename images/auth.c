/*
 * Reading credentials; see auth.h. A key is a host or a beginning of an image's name; docker writes URLs
 * ("https://quay.io/v1/"), of which the host counts. Docker Hub has several names, all one here.
 */
#include "images/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "images/auth_private.h"
#include "runtime/spec/decode.h"

#define DOCKER "docker.io"

/* --- one file ------------------------------------------------------------------------------------------------------ */

static const struct field entry_table_fields[] = {
    STRING("auth", struct auth_entry, auth),
    STRING("identitytoken", struct auth_entry, identity_token),
    STRING("username", struct auth_entry, user),
    STRING("password", struct auth_entry, password),
};
TABLE(entry_table, KEYED(struct auth_entry, key));

static const struct field helper_table_fields[] = {STRING("value", struct spec_annotation, value)};
TABLE(helper_table, KEYED(struct spec_annotation, key), .value_is_field = true);

static const struct field auth_table_fields[] = {
    MAP("auths", struct auth_file, entries, n_entries, &entry_table),
    MAP("credHelpers", struct auth_file, helpers, n_helpers, &helper_table),
    STRING("credsStore", struct auth_file, store),
};
TABLE(auth_table);

int auth_decode(struct arena *a, const char *text, size_t length, const char *file, struct auth_file *out,
                struct error *err)
{
    struct json *json;

    *out = (struct auth_file){0};
    if (length == 0) /* an empty file is what `touch` makes: nothing is in it yet */
        return 0;
    if (json_parse(a, text, length, file, &json, err) < 0)
        return -1;
    if (json->type != JSON_OBJECT)
        return error_set(err, 0, "%s: an object is expected: {\"auths\": {...}}", file);
    return decode_document(a, json, text, &auth_table, file, out, err);
}

/* --- keys ---------------------------------------------------------------------------------------------------------- */

static bool host_is(const char *host, size_t n, const char *wanted)
{
    return strlen(wanted) == n && memcmp(host, wanted, n) == 0;
}

static bool is_docker(const char *host, size_t n)
{
    static const char *const names[] = {DOCKER, "index." DOCKER, "registry-1." DOCKER};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (host_is(host, n, names[i]))
            return true;
    return false;
}

bool auth_key_matches(const char *key, const char *wanted)
{
    bool url = strncmp(key, "https://", 8) == 0 || strncmp(key, "http://", 7) == 0;
    const char *host = url ? strstr(key, "//") + 2 : key;
    size_t n = strcspn(host, "/"), w = strcspn(wanted, "/");
    const char *path = url ? "" : host + n; /* of a URL the path is the API's */

    while (*path == '/' && !path[1])
        path++;
    if (strcmp(path, wanted + w) != 0)
        return false;
    return is_docker(wanted, w) ? is_docker(host, n) : n == w && memcmp(host, wanted, n) == 0;
}

/* "quay.io/o/n", then "quay.io/o", then "quay.io". */
static const struct auth_entry *find_entry(struct arena *a, const struct auth_file *f, const char *host,
                                           const char *repository)
{
    char *name = repository ? arena_printf(a, "%s/%s", host, repository) : arena_strdup(a, host), *slash;

    for (;;) {
        for (size_t i = 0; i < f->n_entries; i++) {
            const struct auth_entry *e = &f->entries[i];
            if ((e->auth || e->identity_token || e->user) && auth_key_matches(e->key, name))
                return e;
        }
        if (!(slash = strrchr(name, '/')))
            return NULL;
        *slash = '\0';
    }
}

const char *auth_helper_for(const struct auth_file *f, const char *host)
{
    for (size_t i = 0; i < f->n_helpers; i++)
        if (auth_key_matches(f->helpers[i].key, host))
            return f->helpers[i].value;
    return NULL;
}

/* --- entries ------------------------------------------------------------------------------------------------------- */

/* base64(USER ":" PASSWORD). No message shows what it holds. */
static int decode_auth(struct arena *a, const struct auth_entry *e, const char *file, struct credentials *out,
                       struct error *err)
{
    size_t length = strlen(e->auth);
    char *text = arena_alloc(a, length + 1), *colon;
    int n = EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)e->auth, (int)length);

    /* What "=" stood for comes as NUL; docker has written NULs at the end besides. */
    if (n < 0 || strspn(e->auth + strcspn(e->auth, "="), "=") > 2 || !(colon = strchr(text, ':')) ||
        colon == text)
        return error_set(err, 0, "%s: auths[\"%.200s\"].auth is not the base64 form of USER:PASSWORD", file,
                         e->key);
    *colon = '\0';
    out->user = text;
    out->password = colon + 1;
    return 1;
}

static int take_entry(struct arena *a, const struct auth_entry *e, const char *file, struct credentials *out,
                      struct error *err)
{
    *out = (struct credentials){.user = e->user, .password = e->password ? e->password : ""};
    if (e->identity_token) {
        out->identity_token = e->identity_token;
        return 1;
    }
    return e->auth ? decode_auth(a, e, file, out, err) : 1;
}

struct helper_answer {
    char *user, *secret;
};

static const struct field helper_answer_table_fields[] = {
    STRING("Username", struct helper_answer, user),
    STRING("Secret", struct helper_answer, secret),
};
TABLE(helper_answer_table);

int auth_helper_ask(struct arena *a, const char *helper, const char *host, struct credentials *out,
                    struct error *err)
{
    struct helper_answer answer = {0};
    struct spec_complaints complaints = {.arena = a};
    struct decoder decoder = {.arena = a, .complaints = &complaints};
    struct json *json;
    char *text;
    int found = auth_helper_run(a, helper, "get", auth_helper_url(a, host), &text, err);

    if (found <= 0)
        return found;
    decoder.text = text;
    if (json_parse(a, text, strlen(text), "its answer", &json, &(struct error){0}) < 0 ||
        json->type != JSON_OBJECT)
        return error_set(err, 0, "docker-credential-%s: its answer is not JSON {\"Username\", \"Secret\"}",
                         helper);
    decode_object(&decoder, NULL, json, &helper_answer_table, &answer);
    if (complaints.list.n || !answer.secret || !answer.user)
        return error_set(err, 0, "docker-credential-%s: its answer lacks Username or Secret", helper);
    *out = (struct credentials){.user = answer.user, .password = answer.secret};
    if (strcmp(answer.user, "<token>") == 0)
        *out = (struct credentials){.identity_token = answer.secret};
    return 1;
}

int auth_lookup(struct arena *a, const struct auth_file *f, const char *file, const char *host,
                const char *repository, struct credentials *out, struct error *err)
{
    const char *helper = auth_helper_for(f, host);
    const struct auth_entry *entry;

    if (helper)
        return auth_helper_ask(a, helper, host, out, err);
    if ((entry = find_entry(a, f, host, repository)))
        return take_entry(a, entry, file, out, err);
    return f->store ? auth_helper_ask(a, f->store, host, out, err) : 0;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

static const char *in_environment(struct arena *a, const char *variable, const char *rest)
{
    const char *value = getenv(variable);

    return value && *value == '/' ? arena_printf(a, "%s%s", value, rest) : NULL;
}

static const char *named_file(const char *authfile)
{
    const char *variable = getenv("REGISTRY_AUTH_FILE");

    return authfile ? authfile : variable && *variable ? variable : NULL;
}

/* The file that belongs to podman, skopeo, buildah and Hull alike. */
static const char *primary_file(struct arena *a)
{
    const char *path = in_environment(a, "XDG_RUNTIME_DIR", "/containers/auth.json");

    return path ? path : arena_printf(a, "/run/containers/%u/auth.json", geteuid());
}

const char *auth_path(struct arena *a, const char *authfile, struct error *err)
{
    const char *named = named_file(authfile), *path = named ? named : primary_file(a);

    if (named && !*named) {
        error_set(err, 0, "--authfile: the name of a file is expected");
        return NULL;
    }
    return path;
}

/* #syscalls: openat read fstat close */
static int find_in(struct arena *a, const char *file, bool named, const char *host, const char *repository,
                   struct credentials *out, struct error *err)
{
    struct auth_file f;
    char *text;
    size_t length;

    if (file_read(AT_FDCWD, file, AUTH_FILE_MAX, a, &text, &length, err) < 0) {
        /* Of the files that nobody named, those of another user (HOME is not always one's own) are no business of ours. */
        if (err->code != ENOENT && err->code != ENOTDIR && (named || err->code != EACCES))
            return -1;
        error_clear(err);
        return 0;
    }
    if (auth_decode(a, text, length, file, &f, err) < 0)
        return -1;
    return auth_lookup(a, &f, file, host, repository, out, err);
}

int auth_find(struct arena *a, const char *authfile, const char *host, const char *repository,
              struct credentials *out, struct error *err)
{
    const char *named = named_file(authfile), *home = in_environment(a, "HOME", "");
    const char *config = in_environment(a, "XDG_CONFIG_HOME", "/containers/auth.json"),
               *docker = in_environment(a, "DOCKER_CONFIG", "/config.json");
    int found = 0;

    *out = (struct credentials){0};
    if (named)
        return find_in(a, named, true, host, repository, out, err);
    const char *files[] = {
        primary_file(a),
        config || !home ? config : arena_printf(a, "%s/.config/containers/auth.json", home),
        docker || !home ? docker : arena_printf(a, "%s/.docker/config.json", home),
    };
    for (size_t i = 0; i < ARRAY_SIZE(files) && found == 0; i++)
        if (files[i])
            found = find_in(a, files[i], false, host, repository, out, err);
    return found;
}
