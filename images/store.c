/*
 * The store's directories, lock and blobs; see store.h. Made on first use, each directory 0700: what images hold (set-id
 * programs of layers above all) is not for other users of the host to reach.
 */
#include "images/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "images/store_private.h"

enum { STACK_MAX = 64 << 10 };

static const char *const directories[] = {"blobs",     STORE_BLOBS,      STORE_LAYERS, STORE_STACKS,
                                          STORE_NAMES, STORE_CONTAINERS, STORE_TMP};

const char *store_default_path(struct arena *a, bool rootless, struct error *err)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (!rootless)
        return "/var/lib/hull";
    if (data && *data == '/')
        return arena_printf(a, "%s/hull", data);
    if (home && *home == '/')
        return arena_printf(a, "%s/.local/share/hull", home);
    error_set(err, 0, "where images are kept: neither XDG_DATA_HOME nor HOME is an absolute path: set one");
    return NULL;
}

static int make_directories(int dir, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        if (mkdirat(dir, directories[i], 0700) < 0 && errno != EEXIST)
            return error_set(err, errno, "make directory %s", directories[i]);
    return 0;
}

int store_open(struct arena *a, const char *path, bool rootless, struct store *s, struct error *err)
{
    _cleanup_(fd_closep) int dir = -1, lock = -1;

    *s = (struct store){.arena = a, .dir = -1, .lock = -1};
    if (!path && !(path = store_default_path(a, rootless, err)))
        return -1;
    s->path = path_absolute(a, path);
    if (!s->path)
        return error_set(err, errno, "image store %s", path);
    dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 && errno == ENOENT) {
        if (file_mkdir_parents(s->path, 0700, err) < 0)
            return error_wrap(err, "image store");
        dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (dir < 0)
        return error_set(err, errno, "image store %s", s->path);
    /* Each time: people remove what takes much room. */
    if (make_directories(dir, err) < 0)
        return error_wrap(err, "image store %s", s->path);
    lock = openat(dir, STORE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return error_set(err, errno, "image store %s: open its lock", s->path);
    s->dir = steal_fd(&dir);
    s->lock = steal_fd(&lock);
    return 0;
}

void store_close(struct store *s)
{
    fd_closep(&s->lock);
    fd_closep(&s->dir);
    s->lock = s->dir = -1;
}

int store_lock(struct store *s, bool exclusive, struct error *err)
{
    while (flock(s->lock, exclusive ? LOCK_EX : LOCK_SH) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "lock the image store %s", s->path);
    return 0;
}

void store_unlock(struct store *s)
{
    flock(s->lock, LOCK_UN);
}

int store_list(const struct store *s, const char *directory, struct string_list *names, struct error *err)
{
    int fd = openat(s->dir, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);

    *names = (struct string_list){0};
    if (!d) {
        fd_closep(&fd);
        return error_set(err, errno, "list %s/%s", s->path, directory);
    }
    size_t room = 0;
    for (struct dirent *e; errno = 0, (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (names->n + 1 >= room) {
            size_t more = room ? room * 2 : 64;
            names->v = arena_grow(s->arena, names->v, room * sizeof(char *), more * sizeof(char *));
            room = more;
        }
        names->v[names->n++] = arena_strdup(s->arena, e->d_name);
        names->v[names->n] = NULL;
    }
    return errno ? error_set(err, errno, "list %s/%s", s->path, directory) : 0;
}

int store_write_synced(int dir, const char *name, const void *data, size_t length)
{
    _cleanup_(fd_closep) int fd =
        openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    return fd < 0 || fd_write_all(fd, data, length) < 0 || fsync(fd) < 0 ? -1 : 0;
}

/* --- blobs --------------------------------------------------------------------------------------------------------- */

static const char *blob_path(const struct store *s, const char *digest)
{
    return arena_printf(s->arena, STORE_BLOBS "/%s", digest_hex(digest));
}

int store_blob_read(const struct store *s, const char *digest, char **data, size_t *length, struct error *err)
{
    if (file_read(s->dir, blob_path(s, digest), STORE_BLOB_MAX, s->arena, data, length, err) < 0)
        return error_wrap(err, "image store %s", s->path);
    return 0;
}

bool store_blob_exists(const struct store *s, const char *digest)
{
    return faccessat(s->dir, blob_path(s, digest), F_OK, 0) == 0;
}

/* --- layers -------------------------------------------------------------------------------------------------------- */

bool store_layer_exists(const struct store *s, const char *key)
{
    return faccessat(s->dir, arena_printf(s->arena, STORE_LAYERS "/%s", key), F_OK, 0) == 0;
}

char *store_layer_path(const struct store *s, const char *key)
{
    return arena_printf(s->arena, "%s/" STORE_LAYERS "/%s/tree", s->path, key);
}

static bool key_valid(const char *key)
{
    return strlen(key) == DIGEST_HEX && strspn(key, "0123456789abcdef") == DIGEST_HEX;
}

int store_stack(const struct store *s, const char *config, struct string_list *keys, struct error *err)
{
    const char *path = arena_printf(s->arena, STORE_STACKS "/%s", digest_hex(config));
    char *text, *line;

    if (file_read(s->dir, path, STACK_MAX, s->arena, &text, NULL, err) < 0)
        return error_wrap(err, "image store %s", s->path);
    *keys = (struct string_list){.v = arena_new_n(s->arena, strlen(text) / DIGEST_HEX + 1, char *)};
    while ((line = strsep(&text, "\n")) && *line) {
        if (!key_valid(line))
            return error_set(err, 0, "image store %s: %s is damaged: remove the image and pull it again",
                             s->path, path);
        keys->v[keys->n++] = line;
    }
    return 0;
}
