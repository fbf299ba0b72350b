/*
 * State on disk; see state.h. Reading works out the status from the live process: pid and start time must
 * match what was written, or the pid has been used again for something else. O(1) in the number of
 * containers.
 */
#include "runtime/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/procfs.h"
#include "runtime/fault.h"

enum { STATE_MAX = 16 << 20 };

static const char *const status_names[] = {[CONTAINER_CREATING] = "creating",
                                           [CONTAINER_CREATED] = "created",
                                           [CONTAINER_RUNNING] = "running",
                                           [CONTAINER_PAUSED] = "paused",
                                           [CONTAINER_STOPPED] = "stopped"};

const char *container_status_name(enum container_status status)
{
    return status_names[status];
}

static const char *state_path(const struct runtime *rt, const char *id)
{
    return arena_printf(rt->arena, "%s/%s", rt->root, id);
}

int state_create(const struct runtime *rt, const char *id, int *dir, struct error *err)
{
    const char *path = state_path(rt, id);
    _cleanup_(fd_closep) int fd = -1;

    if (mkdir(path, 0711) < 0) {
        if (errno == ENOENT && file_mkdir_parents(rt->root, 0700, err) < 0)
            return -1;
        if (errno == ENOENT && mkdir(path, 0711) == 0)
            errno = 0;
        if (errno == EEXIST)
            return error_set(err, 0, "container with given ID already exists: %s", id);
        if (errno != 0)
            return error_set(err, errno, "make the state directory %s", path);
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0) {
        int code = errno;

        rmdir(path);
        return error_set(err, code, "lock the state directory %s", path);
    }
    *dir = steal_fd(&fd);
    return 0;
}

int state_open(const struct runtime *rt, const char *id, bool lock, int *dir, struct error *err)
{
    const char *path = state_path(rt, id);
    _cleanup_(fd_closep) int fd = -1;
    struct stat st;

    if (container_id_validate(id, err) < 0)
        return -1;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, 0, "container does not exist: %s", id);
    if (fd < 0)
        return error_set(err, errno, "open the state directory %s", path);
    if (lock && flock(fd, LOCK_EX) < 0)
        return error_set(err, errno, "lock the state directory %s", path);
    /* Whoever held the lock may have deleted the container meanwhile. */
    if (lock && (fstat(fd, &st) < 0 || st.st_nlink == 0))
        return error_set(err, 0, "container does not exist: %s", id);
    *dir = steal_fd(&fd);
    return 0;
}

static void write_annotations(struct json_writer *w, const struct container *c)
{
    if (c->n_annotations == 0)
        return;
    json_key(w, "annotations");
    json_object(w);
    for (size_t i = 0; i < c->n_annotations; i++) {
        json_key(w, c->annotations[i].key);
        json_string(w, c->annotations[i].value);
    }
    json_object_end(w);
}

static void write_string(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_string(w, value ? value : "");
}

static void write_isolation(struct json_writer *w, const struct container *c)
{
    if (c->sandbox)
        write_string(w, "isolation", "vm");
}

int state_write(struct arena *a, int dir, const struct container *c, const struct state_extra *extra,
                struct error *err)
{
    struct json_writer w = json_writer_begin(a, false);
    size_t length;
    char *text;

    json_object(&w);
    write_string(&w, "ociVersion", c->oci_version);
    write_string(&w, "id", c->id);
    json_key(&w, "pid");
    json_int(&w, c->pid);
    json_key(&w, "startTime");
    json_uint(&w, c->start_time);
    write_string(&w, "bundle", c->bundle);
    write_string(&w, "rootfs", c->rootfs);
    write_string(&w, "created", c->created);
    write_string(&w, "owner", c->owner);
    write_isolation(&w, c);
    json_key(&w, "poststart");
    json_bool(&w, extra->poststart);
    json_key(&w, "poststop");
    json_bool(&w, extra->poststop);
    json_key(&w, "intelRdt");
    json_bool(&w, extra->intel_rdt);
    json_key(&w, "noPivot");
    json_bool(&w, extra->no_pivot);
    json_key(&w, "namespaces");
    json_uint(&w, extra->namespaces);
    if (extra->cgroup && extra->cgroup->n_dirs > 0) {
        json_key(&w, "cgroup");
        cgroup_write_state(&w, extra->cgroup);
    }
    write_annotations(&w, c);
    json_object_end(&w);
    text = json_writer_end(&w, &length);
    return FAULT_POINT("state-write", err) < 0 ? -1
                                               : file_replace(dir, "state.json", 0600, text, length, err);
}

/* A field that has been left out by an older Hull is empty, not missing. */
static char *get_string(const struct json *o, const char *key)
{
    const char *text = json_get_string(o, key);

    return (char *)(text ? text : "");
}

static void read_annotations(struct arena *a, const struct json *o, struct container *c)
{
    const struct json *v = json_get(o, "annotations");

    if (!v || v->type != JSON_OBJECT)
        return;
    c->annotations = arena_new_n(a, v->count, struct spec_annotation);
    for (size_t i = 0; i < v->count; i++) {
        if (v->items[i].type == JSON_STRING)
            c->annotations[c->n_annotations++] =
                (struct spec_annotation){.key = (char *)v->keys[i], .value = (char *)v->items[i].text};
    }
}

/* Without a pid: a create that is under way has the lock; one that was killed has not. */
static enum container_status status_without_pid(int dir)
{
    if (flock(dir, LOCK_SH | LOCK_NB) < 0)
        return CONTAINER_CREATING;
    flock(dir, LOCK_UN);
    return CONTAINER_STOPPED;
}

static enum container_status live_status(int dir, bool locked, struct container *c, struct cgroup *cgroup)
{
    uint64_t start;
    char state;

    if (c->pid == 0)
        return locked ? CONTAINER_STOPPED : status_without_pid(dir);
    if (c->pid < 0 || process_start_time(c->pid, &start, &state) < 0 || start != c->start_time ||
        state == 'Z' || state == 'X') {
        c->pid = 0;
        return CONTAINER_STOPPED;
    }
    if (cgroup->n_dirs > 0 && cgroup_open(cgroup, NULL) == 0 && cgroup_is_frozen(cgroup))
        return CONTAINER_PAUSED;
    return faccessat(dir, STATE_FIFO, F_OK, 0) == 0 ? CONTAINER_CREATED : CONTAINER_RUNNING;
}

int state_read(struct arena *a, int dir, bool locked, struct container *c, struct state_extra *extra,
               struct error *err)
{
    const char *isolation;
    struct json *o;
    size_t length;
    char *text;

    if (file_read(dir, "state.json", STATE_MAX, a, &text, &length, err) < 0 ||
        json_parse(a, text, length, "state.json", &o, err) < 0)
        return -1;
    *c = (struct container){.id = get_string(o, "id"),
                            .bundle = get_string(o, "bundle"),
                            .rootfs = get_string(o, "rootfs"),
                            .oci_version = get_string(o, "ociVersion"),
                            .created = get_string(o, "created"),
                            .owner = get_string(o, "owner"),
                            .pid = (pid_t)json_get_u64(o, "pid"),
                            .start_time = json_get_u64(o, "startTime")};
    *extra = (struct state_extra){.poststart = json_get_bool(o, "poststart"),
                                  .poststop = json_get_bool(o, "poststop"),
                                  .intel_rdt = json_get_bool(o, "intelRdt"),
                                  .no_pivot = json_get_bool(o, "noPivot"),
                                  .namespaces = json_get_u64(o, "namespaces"),
                                  .cgroup = cgroup_read_state(a, json_get(o, "cgroup"))};
    isolation = json_get_string(o, "isolation");
    c->sandbox = isolation && !strcmp(isolation, "vm");
    read_annotations(a, o, c);
    c->status = live_status(dir, locked, c, extra->cgroup);
    return 0;
}

int state_write_config(int dir, const struct spec *spec, struct error *err)
{
    _cleanup_(fd_closep) int fd =
        openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0 || fd_write_all(fd, spec->text, spec->length) < 0)
        return error_set(err, errno, "keep a copy of config.json");
    return 0;
}

int state_remove_at(const struct runtime *rt, const char *id, int dir, struct error *err)
{
    unlinkat(dir, "state.json", 0);
    unlinkat(dir, "config.json", 0);
    return rmdir(state_path(rt, id)) == 0 ? 0 : state_remove(rt, id, err);
}

int state_remove(const struct runtime *rt, const char *id, struct error *err)
{
    _cleanup_(fd_closep) int root = open(rt->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (root < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "open %s", rt->root);
    return file_remove_tree(root, id, err);
}

char *container_state_json(struct arena *a, const struct container *c, bool pretty, size_t *length)
{
    struct json_writer w = json_writer_begin(a, pretty);

    json_object(&w);
    write_string(&w, "ociVersion", c->oci_version);
    write_string(&w, "id", c->id);
    json_key(&w, "pid");
    json_int(&w, c->pid);
    write_string(&w, "status", container_status_name(c->status));
    write_string(&w, "bundle", c->bundle);
    write_string(&w, "rootfs", c->rootfs);
    if (c->created)
        write_string(&w, "created", c->created);
    if (c->owner)
        write_string(&w, "owner", c->owner);
    write_isolation(&w, c);
    write_annotations(&w, c);
    json_object_end(&w);
    return json_writer_end(&w, length);
}
