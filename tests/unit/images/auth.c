/* Credentials: which entry of a file is meant, what is kept on writing, helpers; and the challenges that ask for them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "images/auth_private.h"
#include "images/challenge.h"

static struct arena a;
static struct error err;
static struct credentials c;

/* "user:password", "token=...", "" for none; NULL and err. */
static const char *look(const char *text, const char *host, const char *repository)
{
    struct auth_file f;
    int found;

    if (auth_decode(&a, text, strlen(text), "auth.json", &f, &err) < 0 ||
        (found = auth_lookup(&a, &f, "auth.json", host, repository, &c, &err)) < 0)
        return NULL;
    return !found             ? ""
           : c.identity_token ? arena_printf(&a, "token=%s", c.identity_token)
                              : arena_printf(&a, "%s:%s", c.user, c.password);
}

#define A "\"auth\":\"YTpiOmM=\"" /* a:b:c */
#define B "\"auth\":\"eDp5\""     /* x:y */

Test(auth, which_entry)
{
    static const char file[] =
        "{\"auths\":{\"quay.io\":{" A "},\"quay.io/o\":{" B
        "},\"quay.io/o/n/deep\":{\"identitytoken\":\"t\"},"
        "\"https://old.io/v1/\":{" A "},\"https://index.docker.io/v1/\":{" B "},\"empty.io\":{}}}";
    static const struct {
        const char *host, *repository, *found;
    } samples[] = {
        {"quay.io", "other", "a:b:c"},
        {"quay.io", "o/n", "x:y"},
        {"quay.io", "o", "x:y"},
        {"quay.io", "other/o", "a:b:c"},
        {"quay.io", "oo", "a:b:c"},
        {"quay.io", "o/n/deep", "token=t"},
        {"quay.io", "o/n/deeper", "x:y"},
        {"quay.io", NULL, "a:b:c"},
        {"quay.io:443", "o", ""},
        {"uay.io", "o", ""},
        {"old.io", "x", "a:b:c"},
        {"docker.io", "library/a", "x:y"},
        {"registry-1.docker.io", "a", "x:y"},
        {"empty.io", "a", ""},
        {"v1", "a", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const char *found = look(file, samples[i].host, samples[i].repository);
        cr_expect(found, "%s", err.message);
        if (found)
            cr_expect_str_eq(found, samples[i].found, "%s/%s: %s", samples[i].host, samples[i].repository,
                             found);
    }
    cr_expect_str_eq(look("{\"auths\":{\"docker.io\":{" A "}}}", "docker.io", "x"), "a:b:c");
    cr_expect_str_eq(look("", "a.io", "x"), "");
    cr_expect_str_eq(look("{}", "a.io", "x"), "");
    cr_expect_str_eq(look("{\"auths\":{\"a.io\":{\"username\":\"u\",\"password\":\"p\"}}}", "a.io", "x"),
                     "u:p");
}

Test(auth, mistakes_are_told_without_the_secret)
{
    static const struct {
        const char *text, *says;
    } samples[] = {
        {"[]", "an object is expected"},
        {"{\"auths\":[]}", "auths"},
        {"{\"auths\":{\"a.io\":7}}", "a.io"},
        {"{\"auths\":{\"a.io\":{\"auth\":[\"c2VjcmV0\"]}}}", "a.io"},
        {"{\"auths\":{\"a.io\":{\"auth\":\"c2VjcmV0\"}}}", "base64"},     /* no colon */
        {"{\"auths\":{\"a.io\":{\"auth\":\"OnNlY3JldA==\"}}}", "base64"}, /* no user */
        {"{\"auths\":{\"a.io\":{\"auth\":\"c2VjcmV0!\"}}}", "base64"},
        {"{\"auths\":{\"a.io\":{\"auth\":\"c2VjcmV0\"", "auth.json"},
        {"{\"credsStore\":\"../../bin/sh\"}", "no credential helper"},
        {"{\"credHelpers\":{\"a.io\":\"x;id\"}}", "no credential helper"},
        {"{\"credsStore\":\"there-is-none-such\"}", "docker-credential-there-is-none-such"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        err = (struct error){0};
        cr_expect_null(look(samples[i].text, "a.io", "x"), "%s", samples[i].text);
        cr_expect(strstr(err.message, samples[i].says), "%s: \"%s\"", samples[i].text, err.message);
        cr_expect(!strstr(err.message, "c2VjcmV0") && !strstr(err.message, "secret"), "%s", err.message);
    }
}

static char directory[64];

/* A directory with programs docker-credential-NAME, alone in $PATH but for the shell's own. */
static void make_helpers(void)
{
    static const struct {
        const char *name, *script;
    } helpers[] = {
        {"good", "read url; [ \"$1\" = get ] && echo "
                 "'{\"ServerURL\":\"x\",\"Username\":\"'\"$url\"'\",\"Secret\":\"s\"}'"},
        {"token", "echo '{\"Username\":\"<token>\",\"Secret\":\"s\"}'"},
        {"none", "echo 'credentials not found in native keychain'; exit 1"},
        {"bad", "echo nonsense"},
        {"dies", "exit 3"},
        {"endless",
         "while :; do echo "
         "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; done"},
        {"keeps", "cat >\"$0.$1\""},
    };
    strcpy(directory, "/tmp/hull-auth.XXXXXX");
    cr_assert(mkdtemp(directory));
    for (size_t i = 0; i < ARRAY_SIZE(helpers); i++) {
        const char *path = arena_printf(&a, "%s/docker-credential-%s", directory, helpers[i].name);
        const char *text = arena_printf(&a, "#!/bin/sh\n%s\n", helpers[i].script);
        cr_assert_eq(file_replace(AT_FDCWD, path, 0755, text, strlen(text), &err), 0, "%s", err.message);
    }
    setenv("PATH", arena_printf(&a, "%s:/usr/bin:/bin", directory), 1);
}

static void remove_helpers(void)
{
    if (*directory)
        file_remove_tree(AT_FDCWD, directory, &err);
}

Test(auth, helpers, .init = make_helpers, .fini = remove_helpers)
{
    cr_expect_str_eq(look("{\"credHelpers\":{\"a.io\":\"good\"}}", "a.io", "x"), "a.io:s", "%s", err.message);
    cr_expect_str_eq(look("{\"credHelpers\":{\"a.io\":\"good\"},\"auths\":{\"b.io\":{" A "}}}", "b.io", "x"),
                     "a:b:c");
    cr_expect_str_eq(look("{\"credHelpers\":{\"index.docker.io\":\"good\"}}", "docker.io", "x"),
                     "https://index.docker.io/v1/:s");
    cr_expect_str_eq(look("{\"credsStore\":\"token\",\"auths\":{\"a.io\":{}}}", "a.io", "x"), "token=s");
    cr_expect_str_eq(look("{\"credsStore\":\"none\"}", "a.io", "x"), "");
    cr_expect_null(look("{\"credsStore\":\"bad\"}", "a.io", "x"));
    cr_expect(strstr(err.message, "not JSON"), "%s", err.message);
    cr_expect_null(look("{\"credsStore\":\"dies\"}", "a.io", "x"));
    cr_expect(strstr(err.message, "exit status 3"), "%s", err.message);
    cr_expect_null(look("{\"credsStore\":\"endless\"}", "a.io", "x"));
    cr_expect(strstr(err.message, "docker-credential-endless"), "%s", err.message);
}

/* registries.conf's credential-helpers: in this order, past those that fail or know nothing. */
Test(auth, order, .init = make_helpers, .fini = remove_helpers)
{
    static const struct {
        const char *helpers[4], *user;
    } samples[] = {
        {{NULL}, "f"},
        {{"containers-auth.json", "good"}, "f"},
        {{"good", "containers-auth.json"}, "a.io"},
        {{"none", "dies", "containers-auth.json"}, "f"},
        {{"absent", "good"}, "a.io"},
        {{"none"}, NULL},
    };
    const char *file = arena_printf(&a, "%s/auth.json", directory);
    const char *text = "{\"auths\":{\"a.io\":{\"username\":\"f\"}}}";
    const struct credentials user = {.user = "u", .password = "p"};

    cr_assert_eq(file_replace(AT_FDCWD, file, 0600, text, strlen(text), &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct string_list list = {.v = (char **)samples[i].helpers};
        while (list.v[list.n])
            list.n++;
        int found = auth_find_in_order(&a, &list, file, "a.io", "x", &c, &err);
        cr_expect_eq(found, samples[i].user != NULL, "%zu: %s", i, err.message);
        if (found > 0)
            cr_expect_str_eq(c.user, samples[i].user, "%zu", i);
    }
    char *dies[] = {"none", "dies"}, *keeps[] = {"dies", "keeps", "containers-auth.json"};
    struct string_list list = {.v = dies, .n = 2};
    cr_expect_eq(auth_find_in_order(&a, &list, file, "a.io", "x", &c, &err), -1);
    cr_expect(strstr(err.message, "docker-credential-dies"), "%s", err.message);
    list = (struct string_list){.v = keeps, .n = 3};
    cr_expect_eq(auth_store_in_order(&a, &list, file, "a.io", &user, &err), 0, "%s", err.message);
    cr_expect_eq(access(arena_printf(&a, "%s/docker-credential-keeps.store", directory), F_OK), 0);
    cr_expect_eq(auth_find(&a, file, "a.io", "x", &c, &err), 1);
    cr_expect_str_eq(c.user, "f"); /* was not told */
    list = (struct string_list){.v = keeps + 1, .n = 2};
    cr_expect_eq(auth_erase_in_order(&a, &list, file, "a.io", &err), 1, "%s", err.message);
    cr_expect_eq(auth_find(&a, file, "a.io", "x", &c, &err), 0);
}

static char *content(const char *path)
{
    char *text = NULL;

    cr_assert_eq(file_read(AT_FDCWD, path, 1 << 20, &a, &text, NULL, &err), 0, "%s", err.message);
    return text;
}

Test(auth, writing, .init = make_helpers, .fini = remove_helpers)
{
    const char *path = arena_printf(&a, "%s/deep/er/auth.json", directory), *text;
    const struct credentials user = {.user = "u", .password = "p:q"},
                             colon = {.user = "u:v", .password = "p"};
    struct stat st;

    cr_assert_eq(auth_store(&a, path, "quay.io/o", &user, &err), 0, "%s", err.message);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(auth_find(&a, path, "quay.io", "o/n", &c, &err), 1, "%s", err.message);
    cr_expect_str_eq(c.user, "u");
    cr_expect_str_eq(c.password, "p:q");
    cr_expect_eq(auth_find(&a, path, "quay.io", "x", &c, &err), 0);
    cr_expect_eq(auth_store(&a, path, "quay.io", &colon, &err), -1);

    /* What others keep there stays; Docker Hub's other name is replaced, not joined. */
    text = "{\"more\":{\"x\":[1]},\"auths\":{\"https://index.docker.io/v1/\":{" A "},\"b.io\":{" B
           ",\"email\":\"e\"}}}";
    cr_assert_eq(file_replace(AT_FDCWD, path, 0644, text, strlen(text), &err), 0);
    cr_assert_eq(auth_store(&a, path, "docker.io", &user, &err), 0, "%s", err.message);
    text = content(path);
    cr_expect(strstr(text, "\"more\"") && strstr(text, "\"email\"") && !strstr(text, "index.docker.io"), "%s",
              text);
    cr_expect_str_eq(look(text, "docker.io", "a"), "u:p:q");
    cr_expect_eq(auth_erase(&a, path, "docker.io", &err), 1, "%s", err.message);
    cr_expect_eq(auth_erase(&a, path, "docker.io", &err), 0);
    cr_expect_str_eq(look(content(path), "b.io", "a"), "x:y");
    cr_expect_eq(auth_erase_all(&a, path, &err), 1);
    cr_expect_str_eq(look(content(path), "b.io", "a"), "");
    cr_expect(strstr(content(path), "\"more\""));

    text = "{\"auths\":";
    cr_assert_eq(file_replace(AT_FDCWD, path, 0600, text, strlen(text), &err), 0);
    cr_expect_eq(auth_store(&a, path, "a.io", &user, &err), -1);
    cr_expect_str_eq(content(path), "{\"auths\":");
}

/* The first file that has something to say counts; one that is named counts alone. */
Test(auth, files, .init = make_helpers, .fini = remove_helpers)
{
    static const struct {
        const char *variable, *directory, *file, *content;
    } files[] = {
        {"HOME", "h/.docker", "config.json",
         "{\"auths\":{\"a.io\":{\"username\":\"home\"},\"b.io\":{\"username\":\"home\"}}}"},
        {"XDG_CONFIG_HOME", "c/containers", "auth.json", "{\"auths\":{\"a.io\":{\"username\":\"config\"}}}"},
        {"XDG_RUNTIME_DIR", "r/containers", "auth.json", "{\"auths\":{\"a.io\":{\"username\":\"run\"}}}"},
    };
    unsetenv("DOCKER_CONFIG");
    unsetenv("REGISTRY_AUTH_FILE");
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        const char *path = arena_printf(&a, "%s/%s", directory, files[i].directory);
        cr_assert_eq(file_mkdir_parents(path, 0755, &err), 0, "%s", err.message);
        cr_assert_eq(file_replace(AT_FDCWD, arena_printf(&a, "%s/%s", path, files[i].file), 0600,
                                  files[i].content, strlen(files[i].content), &err),
                     0);
        setenv(files[i].variable, arena_printf(&a, "%s/%c", directory, *files[i].directory), 1);
    }
    cr_assert_eq(auth_find(&a, NULL, "a.io", "x", &c, &err), 1, "%s", err.message);
    cr_expect_str_eq(c.user, "run");
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    cr_assert_eq(auth_find(&a, NULL, "a.io", "x", &c, &err), 1, "%s", err.message);
    cr_expect_str_eq(c.user, "config");
    cr_assert_eq(auth_find(&a, NULL, "b.io", "x", &c, &err), 1, "%s", err.message);
    cr_expect_str_eq(c.user, "home");
    setenv("DOCKER_CONFIG", "/nonexistent", 1);
    cr_expect_eq(auth_find(&a, NULL, "b.io", "x", &c, &err), 0);
    setenv("REGISTRY_AUTH_FILE", arena_printf(&a, "%s/h/.docker/config.json", directory), 1);
    cr_assert_eq(auth_find(&a, NULL, "a.io", "x", &c, &err), 1, "%s", err.message);
    cr_expect_str_eq(c.user, "home");
    cr_assert_eq(
        auth_find(&a, arena_printf(&a, "%s/c/containers/auth.json", directory), "a.io", "x", &c, &err), 1);
    cr_expect_str_eq(c.user, "config");
}

Test(auth, writing_goes_to_the_helper, .init = make_helpers, .fini = remove_helpers)
{
    const char *path = arena_printf(&a, "%s/auth.json", directory), *text = "{\"credsStore\":\"keeps\"}";
    const struct credentials user = {.user = "u", .password = "p"};

    cr_assert_eq(file_replace(AT_FDCWD, path, 0600, text, strlen(text), &err), 0);
    cr_assert_eq(auth_store(&a, path, "a.io", &user, &err), 0, "%s", err.message);
    cr_expect_str_eq(content(path), text);
    cr_expect_str_eq(content(arena_printf(&a, "%s/docker-credential-keeps.store", directory)),
                     "{\"ServerURL\":\"a.io\",\"Username\":\"u\",\"Secret\":\"p\"}");
    cr_expect_eq(auth_erase(&a, path, "a.io", &err), 1, "%s", err.message);
    cr_expect_str_eq(content(arena_printf(&a, "%s/docker-credential-keeps.erase", directory)), "a.io");
}

Test(challenge, grammar)
{
    static const struct {
        const char *text;
        enum challenge_scheme scheme;
        const char *realm, *service, *scope;
    } samples[] = {
        {"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", CHALLENGE_BEARER,
         "https://a/t", "s", "repository:x:pull"},
        {"bearer Realm = https://a/t , service=s", CHALLENGE_BEARER, "https://a/t", "s", NULL},
        {"Basic realm=\"a, b\"", CHALLENGE_BASIC, "a, b", NULL, NULL},
        {"Basic", CHALLENGE_BASIC, NULL, NULL, NULL},
        {"Basic realm=\"x\", Bearer realm=\"https://a/t\",service=\"s\"", CHALLENGE_BEARER, "https://a/t",
         "s", NULL},
        {"Bearer realm=\"https://a/t\", Basic realm=\"x\"", CHALLENGE_BEARER, "https://a/t", NULL, NULL},
        {"Negotiate, Basic realm=\"x\"", CHALLENGE_BASIC, "x", NULL, NULL},
        {"Bearer realm=\"a\\\"b\"", CHALLENGE_BEARER, "a\"b", NULL, NULL},
        {"Bearer service=\"s\"", CHALLENGE_NONE, NULL, NULL, NULL},
        {"Bearer realm=\"https://a", CHALLENGE_NONE, NULL, NULL, NULL},
        {"Bearer realm=\"a\nb\"", CHALLENGE_NONE, NULL, NULL, NULL},
        {"Bearer realm=\"a\\", CHALLENGE_NONE, NULL, NULL, NULL},
        {"Digest realm=\"x\"", CHALLENGE_NONE, NULL, NULL, NULL},
        {"", CHALLENGE_NONE, NULL, NULL, NULL},
        {"=\"\",,,;", CHALLENGE_NONE, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const struct challenge ch = challenge_parse(&a, samples[i].text);
        cr_expect_eq(ch.scheme, samples[i].scheme, "%s", samples[i].text);
#define SAME(m)                                                                                              \
    cr_expect(ch.m &&samples[i].m ? strcmp(ch.m, samples[i].m) == 0 : ch.m == samples[i].m, "%s: %s",        \
              samples[i].text, ch.m)
        SAME(realm);
        SAME(service);
        SAME(scope);
    }
}
