/* See volume.h. */
#include "images/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/copy_tree.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/timestamp.h"
#include "images/store_private.h"

enum { JSON_MAX = 1 << 20, USES_MAX = 1 << 20, NAME_MAX_LENGTH = 255, EXIT_USED = 2 /* podman's */ };

int volume_name_validate(const char *name, struct error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(name);

    if (n > 0 && n <= NAME_MAX_LENGTH && strspn(name, letters) == n && !strchr("_.-", name[0]))
        return 0;
    return error_set(
        err, 0, "volume name \"%.64s\": must be letters, digits and _ . -, and begin with a letter or digit",
        name);
}

static const char *volume_path(const struct store *s, const char *name, const char *file)
{
    return arena_printf(s->arena, STORE_VOLUMES "/%s%s", name, file);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool lists(const struct string_list *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->v[i], name) == 0)
            return true;
    return false;
}

static void append(struct arena *a, struct string_list *list, const char *text)
{
    list->v = arena_grow(a, list->v, list->n * sizeof(*list->v), (list->n + 1) * sizeof(*list->v));
    list->v[list->n++] = (char *)text;
}

/* --- making and reading -------------------------------------------------------------------------------------------- */

static const char *describe(struct arena *a, const struct volume *v, size_t *length)
{
    struct json_writer w = json_writer_begin(a, false);

    json_object(&w);
    json_key(&w, "created");
    json_string(&w, v->created);
    json_key(&w, "anonymous");
    json_bool(&w, v->anonymous);
    json_key(&w, "labels");
    json_array(&w);
    for (size_t i = 0; i < v->labels.n; i++)
        json_string(&w, v->labels.v[i]);
    json_array_end(&w);
    json_object_end(&w);
    return json_writer_end(&w, length);
}

/* Whole or not at all, and by one of those who make it at once. 1: by us. */
static int write_description(const struct store *s, int dir, struct volume *v, struct error *err)
{
    char temporary[64];
    struct timespec now;
    size_t length;

    clock_gettime(CLOCK_REALTIME, &now);
    v->created = timestamp_format(&now, true, arena_alloc(s->arena, TIMESTAMP_SIZE));
    const char *text = describe(s->arena, v, &length);
    snprintf(temporary, sizeof(temporary), ".volume.json.%d", getpid());
    _cleanup_(fd_closep) int fd =
        openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int code =
        fd < 0 || fd_write_all(fd, text, length) < 0 || linkat(dir, temporary, dir, "volume.json", 0) < 0
            ? errno
            : 0;
    unlinkat(dir, temporary, 0);
    return code == 0 ? 1 : code == EEXIST ? 0 : error_set(err, code, "volume %s: write volume.json", v->name);
}

int volume_open(const struct store *s, const char *name, struct error *err)
{
    int fd = openat(s->dir, volume_path(s, name, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? error_set(err, errno, "volume %s", name) : fd;
}

int volume_create(struct store *s, struct volume *v, struct error *err)
{
    _cleanup_(fd_closep) int dir = -1;

    if (volume_name_validate(v->name, err) < 0)
        return -1;
    if ((mkdirat(s->dir, STORE_VOLUMES, 0700) < 0 && errno != EEXIST) ||
        (mkdirat(s->dir, volume_path(s, v->name, ""), 0700) < 0 && errno != EEXIST))
        return error_set(err, errno, "image store %s: make volume %s", s->path, v->name);
    dir = volume_open(s, v->name, err);
    if (dir < 0)
        return -1;
    if (mkdirat(dir, "_data", 0755) < 0 && errno != EEXIST)
        return error_set(err, errno, "volume %s: make _data", v->name);
    int made = write_description(s, dir, v, err);
    if (made < 0 || volume_read(s, v->name, v, err) < 0)
        return -1;
    return made;
}

int volume_read(struct store *s, const char *name, struct volume *out, struct error *err)
{
    const struct json *labels;
    struct json *json;
    char *text;
    size_t length;

    if (volume_name_validate(name, err) < 0)
        return -1;
    if (file_read(s->dir, volume_path(s, name, "/volume.json"), JSON_MAX, s->arena, &text, &length, err) < 0)
        return err->code == ENOENT ? error_set(err, ENOENT, "volume %s: there is none of that name", name)
                                   : -1;
    if (json_parse(s->arena, text, length, "volume.json", &json, err) < 0)
        return error_wrap(err, "volume %s", name);
    *out = (struct volume){.name = name,
                           .path = arena_printf(s->arena, "%s/" STORE_VOLUMES "/%s/_data", s->path, name),
                           .created = json_get_string(json, "created"),
                           .anonymous = json_get_bool(json, "anonymous"),
                           .used = faccessat(s->dir, volume_path(s, name, "/used"), F_OK, 0) == 0};
    labels = json_get(json, "labels");
    for (size_t i = 0; labels && labels->type == JSON_ARRAY && i < labels->count; i++)
        if (labels->items[i].type == JSON_STRING)
            append(s->arena, &out->labels, labels->items[i].text);
    return 0;
}

static int list_all(const struct store *s, struct string_list *names, struct error *err)
{
    *names = (struct string_list){0};
    if (faccessat(s->dir, STORE_VOLUMES, F_OK, 0) == 0 && store_list(s, STORE_VOLUMES, names, err) < 0)
        return -1;
    if (names->n)
        qsort(names->v, names->n, sizeof(*names->v), compare);
    return 0;
}

int volume_names(const struct store *s, struct string_list *names, struct error *err)
{
    struct string_list all;

    *names = (struct string_list){0};
    if (list_all(s, &all, err) < 0)
        return -1;
    for (size_t i = 0; i < all.n; i++)
        if (faccessat(s->dir, volume_path(s, all.v[i], "/volume.json"), F_OK, 0) == 0)
            append(s->arena, names, all.v[i]);
    return 0;
}

/* --- use ----------------------------------------------------------------------------------------------------------- */

int volume_take(struct store *s, const struct snapshot *c, struct volume *v, struct error *err)
{
    const char *line = arena_printf(s->arena, "%s\n", v->name);
    _cleanup_(fd_closep) int fd = -1;

    if (volume_name_validate(v->name, err) < 0)
        return -1;
    fd = openat(c->dir, "volumes", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fd_write_all(fd, line, strlen(line)) < 0)
        return error_set(err, errno, "container %s: note the use of volume %s", c->id, v->name);
    return volume_create(s, v, err) < 0 ? -1 : 0;
}

int volume_names_of(const struct store *s, const char *id, struct string_list *names, struct error *err)
{
    const char *path = arena_printf(s->arena, STORE_CONTAINERS "/%s/volumes", id);
    char *text, *line;

    *names = (struct string_list){0};
    if (file_read(s->dir, path, USES_MAX, s->arena, &text, NULL, err) < 0) {
        if (err->code != ENOENT)
            return -1;
        error_clear(err);
        return 0;
    }
    while ((line = strsep(&text, "\n")))
        if (*line && !lists(names, line))
            append(s->arena, names, line);
    return 0;
}

int volume_users(const struct store *s, const char *name, struct string_list *ids, struct error *err)
{
    struct string_list all, names;

    *ids = (struct string_list){0};
    if (snapshot_ids(s, &all, err) < 0)
        return -1;
    for (size_t i = 0; i < all.n; i++) {
        if (volume_names_of(s, all.v[i], &names, err) < 0)
            return -1;
        if (lists(&names, name))
            append(s->arena, ids, all.v[i]);
    }
    return 0;
}

/* --- removal ------------------------------------------------------------------------------------------------------- */

/* 1: it may go; 0: it stays. What is no volume is what is left of one that was never whole. */
static int may_go(struct store *s, const char *name, enum volume_removal which, struct error *err)
{
    struct string_list users;
    struct volume v;
    bool whole = volume_read(s, name, &v, err) == 0;

    if (!whole && (which == VOLUME_NAMED || err->code != ENOENT))
        return -1;
    error_clear(err);
    if (whole && which == VOLUME_ANONYMOUS && !v.anonymous)
        return 0;
    if (volume_users(s, name, &users, err) < 0)
        return -1;
    if (!users.n || which != VOLUME_NAMED)
        return !users.n;
    error_set(err, EBUSY, "volume %s is used by container %s%s", name, users.v[0],
              users.n > 1 ? " and others" : "");
    err->exit_code = EXIT_USED;
    return -1;
}

/* Out of sight under the lock, removed by the session's end. */
static int remove_locked(struct session *session, const struct string_list *names, enum volume_removal which,
                         struct string_list *removed, struct error *err)
{
    struct store *s = session->store;

    for (size_t i = 0; i < names->n; i++) {
        const char *name = names->v[i];
        int go = may_go(s, name, which, err);

        if (go < 0)
            return -1;
        if (go == 0)
            continue;
        if (renameat(s->dir, volume_path(s, name, ""), session->dir,
                     arena_printf(s->arena, "volume-%s", name)) < 0) {
            if (errno == ENOENT)
                continue;
            return error_set(err, errno, "remove volume %s", name);
        }
        if (removed)
            append(s->arena, removed, name);
    }
    return 0;
}

int volume_remove(struct store *s, const struct string_list *names, enum volume_removal which,
                  struct string_list *removed, struct error *err)
{
    struct session session;
    struct string_list all;
    int rc;

    if (!names && list_all(s, &all, err) < 0)
        return -1;
    names = names ? names : &all;
    if (!names->n)
        return 0;
    if (session_begin(s, &session, err) < 0)
        return -1;
    rc = store_lock(s, true, err);
    if (rc == 0) {
        rc = remove_locked(&session, names, which, removed, err);
        store_unlock(s);
    }
    session_end(&session);
    return rc;
}

/* --- the first use ------------------------------------------------------------------------------------------------- */

static int is_empty(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            return false;
    return d != NULL;
}

/* The copy becomes the content at once, by taking the place of the empty directory. */
static int copy_up(const struct volume_fill *f, int from, struct error *err)
{
    struct stat st;

    if (file_remove_tree(f->dir, "tmp", err) < 0)
        return -1;
    if (mkdirat(f->dir, "tmp", 0700) < 0)
        return error_set(err, errno, "make a directory for the copy");
    _cleanup_(fd_closep) int to = openat(f->dir, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (to < 0)
        return error_set(err, errno, "open the directory for the copy");
    if (!f->no_copy && copy_tree(from, to, err) < 0)
        return -1;
    if (fstat(from, &st) < 0 || copy_metadata(to, &st) < 0 || renameat(f->dir, "tmp", f->dir, "_data") < 0)
        return error_set(err, errno, "put the copy in place");
    return 0;
}

static int fill(const struct volume_fill *f, int root, struct error *err)
{
    if (faccessat(f->dir, "used", F_OK, 0) == 0)
        return 0;
    if (is_empty(f->dir, "_data")) {
        _cleanup_(fd_closep) int from = path_open(root, f->destination, O_RDONLY | O_DIRECTORY, 0);
        if (from < 0 && errno != ENOENT && errno != ENOTDIR)
            return error_set(err, errno, "open %s of the image", f->destination);
        if (from >= 0 && copy_up(f, from, err) < 0)
            return error_wrap(err, "copy the image's %s", f->destination);
        if (from < 0 && fchownat(f->dir, "_data", f->uid, f->gid, AT_SYMLINK_NOFOLLOW) < 0)
            return error_set(err, errno, "give it to user %u, group %u", f->uid, f->gid);
    }
    _cleanup_(fd_closep) int used = openat(f->dir, "used", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return used < 0 ? error_set(err, errno, "note that it is used") : 0;
}

int volume_fill(const struct volume_fill *f, int root, struct error *err)
{
    if (flock(f->dir, LOCK_EX) < 0)
        return error_set(err, errno, "lock it");
    int rc = fill(f, root, err);
    flock(f->dir, LOCK_UN);
    return rc;
}
