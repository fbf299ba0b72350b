/*
 * Containers in the store; see snapshot.h. What is made here is made under the store's shared lock, and its `uses` comes
 * first: a sweep sees all of it or nothing. Whoever is killed half-way leaves an unlocked directory, which `rm` takes.
 */
#include "images/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "images/store_private.h"

enum { LAYER_JSON_MAX = 64 << 10, MOUNT_MAX = 256 << 10, EXIT_MAX = 64, LOCK_POLL_MS = 10 };

#define CREATED "created\n" /* in the file exit */

static const char *container_path(const struct store *s, const char *id)
{
    return arena_printf(s->arena, STORE_CONTAINERS "/%s", id);
}

/* --- the directory ------------------------------------------------------------------------------------------------- */

/* Of more than one image: the container's own first, then a line that is empty. */
static int write_uses(struct store *s, int dir, const char *before, const struct found_image *image,
                      struct error *err)
{
    struct buffer b = {.arena = s->arena};

    buffer_puts(&b, before);
    buffer_printf(&b, "%s\n%s\n", digest_hex(image->manifest), digest_hex(image->config_digest));
    for (size_t i = 0; i < image->layers.n; i++)
        buffer_printf(&b, "%s\n", image->layers.v[i]);
    int fd = openat(dir, "uses", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd < 0 || fd_write_all(fd, b.data, b.length) < 0 ? error_set(err, errno, "write uses") : 0;
    fd_closep(&fd);
    return rc;
}

int snapshot_use(struct store *s, const struct snapshot *c, const struct found_image *image,
                 struct error *err)
{
    return write_uses(s, c->dir, "\n", image, err) < 0 ? error_wrap(err, "container %s", c->id) : 0;
}

/* What the topmost layer that describes the root directory says of it; 0755, root's, when none does. */
static void root_attributes(const struct store *s, const struct string_list *layers, struct stat *st)
{
    *st = (struct stat){.st_mode = 0755, .st_mtim.tv_nsec = UTIME_OMIT};
    for (size_t i = layers->n; i-- > 0;) {
        const char *path = arena_printf(s->arena, STORE_LAYERS "/%s/layer.json", layers->v[i]);
        const char *tree = arena_printf(s->arena, STORE_LAYERS "/%s/tree", layers->v[i]);
        const struct json *root;
        struct json *json;
        struct error ignored;
        char *text;
        size_t length;

        if (file_read(s->dir, path, LAYER_JSON_MAX, s->arena, &text, &length, &ignored) < 0 ||
            json_parse(s->arena, text, length, path, &json, &ignored) < 0 || !(root = json_get(json, "root")))
            continue;
        if (fstatat(s->dir, tree, st, AT_SYMLINK_NOFOLLOW) < 0)
            st->st_mtim.tv_nsec = UTIME_OMIT;
        st->st_mode = json_get_u64(root, "mode") & 07777;
        st->st_uid = (uid_t)json_get_u64(root, "uid");
        st->st_gid = (gid_t)json_get_u64(root, "gid");
        return;
    }
}

int snapshot_set_root(const struct store *s, const struct string_list *layers, int directory)
{
    struct stat st;

    root_attributes(s, layers, &st);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
    return fchown(directory, st.st_uid, st.st_gid) < 0 || fchmod(directory, st.st_mode) < 0 ||
                   futimens(directory, times) < 0
               ? -1
               : 0;
}

static int make_upper(struct store *s, int dir, const struct string_list *layers, struct error *err)
{
    struct stat st;

    root_attributes(s, layers, &st);
    if (mkdirat(dir, "upper", 0755) < 0 || mkdirat(dir, "work", 0700) < 0 || mkdirat(dir, "root", 0700) < 0 ||
        (layers->n == 0 && mkdirat(dir, "lower", 0755) < 0))
        return error_set(err, errno, "make the container's directories");
    /* a user's containers have their root directory from himself, who is root in them */
    if ((st.st_uid || st.st_gid) && geteuid() == 0 &&
        fchownat(dir, "upper", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "give the root directory to user %u, group %u", st.st_uid, st.st_gid);
    return fchmodat(dir, "upper", st.st_mode, 0) < 0 ? error_set(err, errno, "set the root directory's mode")
                                                     : 0;
}

/* overlays/N/mount: a line for each thing that snapshot_mount says. */
static int write_mount(struct store *s, int dir, const struct snapshot_mount *m, struct error *err)
{
    struct buffer b = {.arena = s->arena};

    buffer_puts(&b, m->read_only ? "read-only\n" : "");
    if (m->lower)
        buffer_printf(&b, "lower %s\n", m->lower);
    for (size_t i = 0; !m->lower && i < m->layers->n; i++)
        buffer_printf(&b, "layer %s\n", m->layers->v[i]);
    return file_replace(dir, "mount", 0600, b.data, b.length, err);
}

static int make_overlay(struct store *s, int dir, const struct snapshot_mount *m, struct error *err)
{
    const struct string_list none = {0};
    struct stat st;

    if (m->read_only) {
        if (mkdirat(dir, "root", 0700) < 0 || mkdirat(dir, "lower", 0755) < 0)
            return error_set(err, errno, "make its directories");
        return write_mount(s, dir, m, err);
    }
    if (make_upper(s, dir, m->lower ? &none : m->layers, err) < 0)
        return -1;
    /* whoever is not root keeps it: it may belong to any of his ids */
    if (m->lower &&
        (stat(m->lower, &st) < 0 ||
         (geteuid() == 0 && fchownat(dir, "upper", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0) ||
         fchmodat(dir, "upper", st.st_mode & 07777, 0) < 0))
        return error_set(err, errno, "give it the owner and mode of %s", m->lower);
    return write_mount(s, dir, m, err);
}

int snapshot_overlay(struct store *s, const struct snapshot_mount *m, struct error *err)
{
    const struct snapshot *c = m->snapshot;
    _cleanup_(fd_closep) int dir = -1;

    if (m->lower && strchr(m->lower, '\n'))
        return error_set(err, 0, "%s: a line break is in its name", m->lower);
    if ((mkdirat(c->dir, "overlays", 0711) < 0 && errno != EEXIST) || mkdirat(c->dir, m->place, 0711) < 0)
        return error_set(err, errno, "make %s/%s", c->path, m->place);
    dir = openat(c->dir, m->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return error_set(err, errno, "open %s/%s", c->path, m->place);
    return make_overlay(s, dir, m, err) < 0 ? error_wrap(err, "%s/%s", c->path, m->place) : 0;
}

static int read_mount(struct store *s, const struct snapshot *c, const char *place,
                      struct snapshot_mount *out, struct error *err)
{
    struct string_list *layers = arena_new(s->arena, struct string_list);
    char *text, *line;

    *out = (struct snapshot_mount){.store = s, .snapshot = c, .place = place, .layers = layers};
    if (file_read(c->dir, arena_printf(s->arena, "%s/mount", place), MOUNT_MAX, s->arena, &text, NULL, err) <
        0)
        return -1;
    while ((line = strsep(&text, "\n"))) {
        if (strcmp(line, "read-only") == 0)
            out->read_only = true;
        else if (strncmp(line, "lower ", 6) == 0)
            out->lower = line + 6;
        else if (strncmp(line, "layer ", 6) == 0) {
            layers->v =
                arena_grow(s->arena, layers->v, layers->n * sizeof(char *), (layers->n + 1) * sizeof(char *));
            layers->v[layers->n++] = line + 6;
        }
    }
    return 0;
}

int snapshot_overlays(struct store *s, const struct snapshot *c, struct snapshot_mount **out, size_t *n,
                      struct error *err)
{
    struct string_list names;

    *n = 0;
    if (faccessat(c->dir, "overlays", F_OK, 0) < 0)
        return 0;
    if (store_list(s, arena_printf(s->arena, "%s/overlays", container_path(s, c->id)), &names, err) < 0)
        return -1;
    *out = arena_new_n(s->arena, names.n + 1, struct snapshot_mount);
    for (size_t i = 0; i < names.n; i++)
        if (read_mount(s, c, arena_printf(s->arena, "overlays/%s", names.v[i]), &(*out)[(*n)++], err) < 0)
            return error_wrap(err, "container %s", c->id);
    return 0;
}

/* Nobody else knows the directory yet: the lock is there for the taking. */
static int make_exit(struct snapshot *c, struct error *err)
{
    c->exit = openat(c->dir, "exit", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->exit < 0 || flock(c->exit, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, errno, "make and lock the file exit");
    return 0;
}

static int open_dir(struct store *s, const char *id, struct snapshot *out, struct error *err)
{
    *out = (struct snapshot){
        .id = id,
        .path = arena_printf(s->arena, "%s/" STORE_CONTAINERS "/%s", s->path, id),
        .dir = openat(s->dir, container_path(s, id), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW),
        .exit = -1};
    return out->dir < 0 ? error_set(err, errno, "container %s", id) : 0;
}

int snapshot_create(struct store *s, const char *id, const struct found_image *image, struct snapshot *out,
                    struct error *err)
{
    *out = (struct snapshot){.dir = -1, .exit = -1};
    if (mkdirat(s->dir, container_path(s, id), 0711) < 0) {
        if (errno == EEXIST)
            return error_set(err, EEXIST, "the container name %s is in use (`hull rm %s` frees it)", id, id);
        return error_set(err, errno, "image store %s: make container %s", s->path, id);
    }
    if (open_dir(s, id, out, err) == 0 && make_exit(out, err) == 0 &&
        write_uses(s, out->dir, "", image, err) == 0 && make_upper(s, out->dir, &image->layers, err) == 0)
        return 0;
    snapshot_close(out);
    snapshot_remove(s, id, NULL);
    return error_wrap(err, "container %s", id);
}

int snapshot_open(struct store *s, const char *id, struct snapshot *out, struct error *err)
{
    if (open_dir(s, id, out, err) < 0)
        return -1;
    out->exit = openat(out->dir, "exit", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return 0;
}

void snapshot_close(struct snapshot *c)
{
    fd_closep(&c->exit);
    fd_closep(&c->dir);
    c->exit = c->dir = -1;
}

int snapshot_remove(struct store *s, const char *id, struct error *err)
{
    return file_remove_tree(s->dir, container_path(s, id), err) < 0
               ? error_wrap(err, "image store %s", s->path)
               : 0;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int snapshot_ids(const struct store *s, struct string_list *ids, struct error *err)
{
    if (store_list(s, STORE_CONTAINERS, ids, err) < 0)
        return -1;
    if (ids->n)
        qsort(ids->v, ids->n, sizeof(*ids->v), compare_ids);
    return 0;
}

/* --- how it ended -------------------------------------------------------------------------------------------------- */

int snapshot_exit_of_locked(const struct snapshot *c, struct snapshot_exit *out, struct error *err)
{
    char text[EXIT_MAX + 1], *end;
    ssize_t n = pread(c->exit, text, EXIT_MAX, 0);

    *out = (struct snapshot_exit){.alive = true};
    if (n < 0)
        return error_set(err, errno, "container %s: read how it ended", c->id);
    text[n] = '\0';
    out->status = (int)strtol(text, &end, 10);
    out->known = end > text && *end == ' ';
    out->finished = out->known ? strtoll(end, NULL, 10) : 0;
    out->created = strcmp(text, CREATED) == 0;
    return 0;
}

int snapshot_exit_read(const struct snapshot *c, struct snapshot_exit *out, struct error *err)
{
    *out = (struct snapshot_exit){0};
    if (c->exit < 0)
        return 0; /* killed before it was made */
    bool alive = flock(c->exit, LOCK_SH | LOCK_NB) < 0;
    if (!alive)
        flock(c->exit, LOCK_UN);
    if (snapshot_exit_of_locked(c, out, err) < 0)
        return -1;
    out->alive = alive;
    return 0;
}

static int write_exit(const struct snapshot *c, const char *text, size_t length, struct error *err)
{
    if (ftruncate(c->exit, 0) < 0 || pwrite(c->exit, text, length, 0) != (ssize_t)length)
        return error_set(err, errno, "container %s: write down how it ended", c->id);
    return 0;
}

int snapshot_exit_write(const struct snapshot *c, int status, struct error *err)
{
    struct timespec now;
    char text[EXIT_MAX];

    clock_gettime(CLOCK_REALTIME, &now);
    int n = snprintf(text, sizeof(text), "%d %lld.%09ld\n", status, (long long)now.tv_sec, now.tv_nsec);
    return write_exit(c, text, (size_t)n, err);
}

int snapshot_created_write(const struct snapshot *c, struct error *err)
{
    return write_exit(c, CREATED, strlen(CREATED), err);
}

int snapshot_exit_clear(const struct snapshot *c, struct error *err)
{
    return write_exit(c, "", 0, err);
}

int snapshot_lock(const struct snapshot *c, int64_t timeout_ms, struct error *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000};

    if (c->exit < 0)
        return error_set(err, 0, "container %s is only half made: `hull rm %s` removes it", c->id, c->id);
    for (; flock(c->exit, LOCK_EX | LOCK_NB) < 0; timeout_ms -= LOCK_POLL_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set(err, errno, "lock container %s", c->id);
        if (timeout_ms <= 0)
            return error_set(err, EBUSY, "container %s: somebody else is at work on it", c->id);
        nanosleep(&pause, NULL);
    }
    return 0;
}
