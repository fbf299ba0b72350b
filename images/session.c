/*
 * Sessions: what a process is making in the store; see store.h. The directory is made and locked by flock(2) under the
 * store's shared lock. So an unlocked one that a sweep sees belongs to nobody alive.
 *
 * A session says what it uses by empty files, use-KEY, in its directory. A sweep that runs meanwhile either sees the file,
 * or was over before it was there; the session then finds the layer gone, and makes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "images/store_private.h"

static int fresh_name(char name[static 40], struct error *err)
{
    uint64_t random[2];

    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return error_set(err, errno, "getrandom");
    snprintf(name, 40, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
    return 0;
}

static int begin_locked(struct session *session, struct error *err)
{
    const struct store *s = session->store;
    char path[64];

    snprintf(path, sizeof(path), STORE_TMP "/%s", session->name);
    if (mkdirat(s->dir, path, 0700) < 0)
        return error_set(err, errno, "image store %s: begin a session", s->path);
    session->dir = openat(s->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (session->dir >= 0 && flock(session->dir, LOCK_EX | LOCK_NB) == 0)
        return 0;
    error_set(err, errno, "image store %s: begin a session", s->path);
    session_end(session);
    return -1;
}

int session_begin(struct store *s, struct session *session, struct error *err)
{
    int rc;

    *session = (struct session){.store = s, .dir = -1};
    if (fresh_name(session->name, err) < 0 || store_lock(s, false, err) < 0)
        return -1;
    rc = begin_locked(session, err);
    store_unlock(s);
    return rc;
}

void session_end(struct session *session)
{
    char path[64];

    if (!session->store)
        return;
    snprintf(path, sizeof(path), STORE_TMP "/%s", session->name);
    file_remove_tree(session->store->dir, path, NULL); /* what stays is for the next sweep */
    fd_closep(&session->dir);
    *session = (struct session){.dir = -1};
}

/* A damaged one is replaced. */
static bool has_already(const struct store *s, const char *digest, const void *data, size_t length)
{
    char *old;
    size_t old_length;

    return store_blob_read(s, digest, &old, &old_length, NULL) == 0 && old_length == length &&
           memcmp(old, data, length) == 0;
}

int session_put_blob(struct session *session, const char *digest, const void *data, size_t length,
                     struct error *err)
{
    const struct store *s = session->store;
    const char *final = arena_printf(s->arena, STORE_BLOBS "/%s", digest_hex(digest));

    if (session_use(session, digest_hex(digest), err) < 0)
        return -1;
    if (has_already(s, digest, data, length))
        return 0;
    if (store_write_synced(session->dir, digest_hex(digest), data, length) < 0 ||
        renameat(session->dir, digest_hex(digest), s->dir, final) < 0)
        return error_set(err, errno, "image store %s: write %s", s->path, digest);
    return 0;
}

int session_use(struct session *session, const char *key, struct error *err)
{
    char name[160];
    int rc = -1;

    snprintf(name, sizeof(name), "use-%s", key);
    if (store_lock(session->store, false, err) < 0)
        return -1;
    _cleanup_(fd_closep) int fd =
        openat(session->dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    rc = fd < 0 ? error_set(err, errno, "image store %s: use %s", session->store->path, key) : 0;
    store_unlock(session->store);
    return rc;
}

int session_lock_layer(struct session *session, const char *key, int *lock, struct error *err)
{
    const struct store *s = session->store;
    const char *path = arena_printf(s->arena, STORE_TMP "/lock-%s", key);

    for (;;) {
        _cleanup_(fd_closep) int fd = openat(s->dir, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat st;

        if (fd < 0 || (flock(fd, LOCK_EX) < 0 && errno != EINTR) || fstat(fd, &st) < 0)
            return error_set(err, errno, "image store %s: lock layer %s", s->path, key);
        /* A sweep removes lock files that nobody holds; this one may have been it. */
        if (st.st_nlink > 0) {
            *lock = steal_fd(&fd);
            return 0;
        }
    }
}

int session_commit_layer(struct session *session, const char *name, const char *key, struct error *err)
{
    const struct store *s = session->store;
    const char *final = arena_printf(s->arena, STORE_LAYERS "/%s", key);

    if (syncfs(session->dir) < 0)
        return error_set(err, errno, "image store %s: write layer %s to the disk", s->path, key);
    if (renameat(session->dir, name, s->dir, final) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        return error_set(err, errno, "image store %s: keep layer %s", s->path, key);
    return 0;
}

int session_put_stack(struct session *session, const char *config, const struct string_list *keys,
                      struct error *err)
{
    const struct store *s = session->store;
    const char *final = arena_printf(s->arena, STORE_STACKS "/%s", digest_hex(config));
    struct buffer b = {.arena = s->arena};

    buffer_puts(&b, "");
    for (size_t i = 0; i < keys->n; i++)
        buffer_printf(&b, "%s\n", keys->v[i]);
    if (store_write_synced(session->dir, "stack", b.data, b.length) < 0 ||
        renameat(session->dir, "stack", s->dir, final) < 0)
        return error_set(err, errno, "image store %s: write %s", s->path, final);
    return 0;
}
