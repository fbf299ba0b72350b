/*
 * Writing credentials: `login` and `logout`. The file belongs to other tools as well, so everything else that it holds is
 * written back as it was. It is replaced by rename under a lock on its directory, so that two logins at once are both kept; a
 * symlink stands for the file that it leads to.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/file.h"
#include "images/auth_private.h"

/* The file while it is changed. */
struct edit {
    struct arena *arena;
    const char *path;
    int directory;     /* locked */
    struct json *json; /* NULL: there is none yet */
    struct auth_file file;
};

static void edit_end(struct edit *e)
{
    fd_closep(&e->directory);
}

/* #syscalls: openat read write fstat mkdir flock renameat unlinkat readlink close */
static int edit_begin(struct arena *a, const char *authfile, struct edit *e, struct error *err)
{
    char resolved[PATH_MAX], *slash, *text;
    const char *path = auth_path(a, authfile, err);
    size_t length;

    *e = (struct edit){.arena = a, .directory = -1};
    if (!path)
        return -1;
    e->path = realpath(path, resolved) ? arena_strdup(a, resolved) : path;
    char *directory = arena_strdup(a, e->path);
    if ((slash = strrchr(directory, '/')))
        slash[slash == directory] = '\0';
    if (!slash)
        directory = arena_strdup(a, ".");
    else if (file_mkdir_parents(directory, 0700, err) < 0)
        return -1;
    e->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->directory < 0 || flock(e->directory, LOCK_EX) < 0)
        return error_set(err, errno, "%s", directory);
    if (file_read(AT_FDCWD, e->path, AUTH_FILE_MAX, a, &text, &length, err) < 0) {
        if (err->code != ENOENT)
            return -1;
        error_clear(err);
        return 0;
    }
    if (auth_decode(a, text, length, e->path, &e->file, err) < 0)
        return -1;
    return length ? json_parse(a, text, length, e->path, &e->json, err) : 0;
}

static void write_entry(struct json_writer *w, struct arena *a, const char *key, const struct credentials *c)
{
    const char *text = arena_printf(a, "%s:%s", c->user, c->password);
    size_t n = strlen(text);
    unsigned char *base64 = arena_alloc(a, n / 3 * 4 + 5);

    EVP_EncodeBlock(base64, (const unsigned char *)text, (int)n);
    json_key(w, key);
    json_object(w);
    json_key(w, "auth");
    json_string(w, (const char *)base64);
    json_object_end(w);
}

/* The entries, but those for @key (NULL: but none of them); then the new one. */
static void write_entries(struct json_writer *w, const struct edit *e, const char *key,
                          const struct credentials *c)
{
    const struct json *auths = e->json ? json_get(e->json, "auths") : NULL;

    json_key(w, "auths");
    json_object(w);
    for (size_t i = 0; auths && auths->type == JSON_OBJECT && i < auths->count; i++)
        if (key && !auth_key_matches(auths->keys[i], key)) {
            json_key(w, auths->keys[i]);
            json_value(w, &auths->items[i]);
        }
    if (c)
        write_entry(w, e->arena, key, c);
    json_object_end(w);
}

static int edit_write(const struct edit *e, const char *key, const struct credentials *c, struct error *err)
{
    struct json_writer w = json_writer_begin(e->arena, true);
    const char *text;
    size_t length;

    json_object(&w);
    write_entries(&w, e, key, c);
    for (size_t i = 0; e->json && i < e->json->count; i++)
        if (strcmp(e->json->keys[i], "auths") != 0) {
            json_key(&w, e->json->keys[i]);
            json_value(&w, &e->json->items[i]);
        }
    json_object_end(&w);
    text = json_writer_end(&w, &length);
    return file_replace(AT_FDCWD, e->path, 0600, text, length, err);
}

static const char *helper_of(const struct edit *e, const char *key)
{
    const char *host = arena_strndup(e->arena, key, strcspn(key, "/"));
    const char *helper = auth_helper_for(&e->file, host);

    return helper ? helper : e->file.store;
}

int auth_helper_tell(struct arena *a, const char *helper, const char *key, const struct credentials *c,
                     struct error *err)
{
    struct json_writer w = json_writer_begin(a, false);
    const char *url = auth_helper_url(a, key);
    size_t length;
    char *output;

    if (!c)
        return auth_helper_run(a, helper, "erase", url, &output, err);
    json_object(&w);
    json_key(&w, "ServerURL");
    json_string(&w, url);
    json_key(&w, "Username");
    json_string(&w, c->user);
    json_key(&w, "Secret");
    json_string(&w, c->password);
    json_object_end(&w);
    return auth_helper_run(a, helper, "store", json_writer_end(&w, &length), &output, err) < 0 ? -1 : 0;
}

int auth_store(struct arena *a, const char *authfile, const char *key, const struct credentials *c,
               struct error *err)
{
    _cleanup_(edit_end) struct edit e;
    const char *helper;

    if (edit_begin(a, authfile, &e, err) < 0)
        return -1;
    if (strchr(c->user, ':'))
        return error_set(err, 0, "login: a user's name cannot hold \":\", which ends it in %s", e.path);
    helper = helper_of(&e, key);
    return helper ? auth_helper_tell(a, helper, key, c, err) : edit_write(&e, key, c, err);
}

int auth_erase(struct arena *a, const char *authfile, const char *key, struct error *err)
{
    _cleanup_(edit_end) struct edit e;
    const char *helper;
    bool found = false;

    if (edit_begin(a, authfile, &e, err) < 0)
        return -1;
    helper = helper_of(&e, key);
    if (helper)
        return auth_helper_tell(a, helper, key, NULL, err);
    for (size_t i = 0; i < e.file.n_entries; i++)
        found |= auth_key_matches(e.file.entries[i].key, key);
    return found ? (edit_write(&e, key, NULL, err) < 0 ? -1 : 1) : 0;
}

int auth_erase_all(struct arena *a, const char *authfile, struct error *err)
{
    _cleanup_(edit_end) struct edit e;

    if (edit_begin(a, authfile, &e, err) < 0)
        return -1;
    if (e.file.n_entries && edit_write(&e, NULL, NULL, err) < 0)
        return -1;
    return (int)e.file.n_entries;
}
