/*
 * The life of a container's cgroup directories: where they will be, making them (with the controllers of v2 handed down
 * from the root), removing them, and their record in state.json.
 *
 * What fails half-way is undone here: a directory that was made is removed again, with those above it that were made on
 * its way. A directory that was there already is taken only when nothing runs in it.
 *
 * linux.cgroupsPath: absolute from the root of each hierarchy; relative, or missing (then the container's id), from the
 * caller's own cgroup, in v2 from the one above it, because a v2 cgroup with processes cannot hand controllers down.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "cgroups/cgroup_private.h"

enum { REMOVE_TIMEOUT_MS = 10000, DELEGATE_MAX = 4096, MAKE_ATTEMPTS = 8 };

const char *cgroup_dir_path(struct arena *a, const struct cgroup_dir *d)
{
    return arena_printf(a, "%s%s", d->mount, d->path);
}

/* --- where --------------------------------------------------------------------------------------------------- */

/* Without empty components and ".", with one slash in front: "a//b/" -> "/a/b". */
static const char *clean_path(struct arena *a, const char *path)
{
    struct buffer b = {.arena = a};

    while (*path) {
        size_t n;

        path += strspn(path, "/");
        n = strcspn(path, "/");
        if (n > 0 && !(n == 1 && *path == '.')) {
            buffer_puts(&b, "/");
            buffer_add(&b, path, n);
        }
        path += n;
    }
    return b.length ? b.data : "/";
}

static bool exists(struct arena *a, const struct cgroup_dir *d)
{
    return strcmp(d->path, "/") == 0 || access(cgroup_dir_path(a, d), F_OK) == 0;
}

/* The directory that a relative path starts from; @d->path is the caller's own. Nested, /proc/self/cgroup may count from
 * a root that is not the one mounted here: all that is mounted is ours then. */
static const char *base_path(struct arena *a, const struct cgroup_dir *d)
{
    char *path, *slash;

    if (!exists(a, d))
        return "";
    path = arena_strdup(a, clean_path(a, d->path));
    slash = strrchr(path, '/');
    if (d->v2 || slash[1] == '\0')
        *slash = '\0';
    return path;
}

static void place(struct cgroup *c, const char *path, const char *id)
{
    for (size_t i = 0; i < c->n_dirs; i++) {
        struct cgroup_dir *d = &c->dirs[i];

        d->path = path && *path == '/' ? clean_path(c->arena, path)
                                       : arena_printf(c->arena, "%s%s", base_path(c->arena, d),
                                                      clean_path(c->arena, path ? path : id));
    }
}

static int check_path(const char *path, struct error *err)
{
    if (path && path_has_dotdot(path))
        return error_set(err, 0, "linux.cgroupsPath: may not contain \"..\", got \"%s\"", path);
    if (path && path[strspn(path, "/.")] == '\0')
        return error_set(err, 0, "linux.cgroupsPath: must name a cgroup below the root, got \"%s\"", path);
    return 0;
}

static void warn_of_none(const struct cgroup *c, const struct cgroup_request *q)
{
    if (q->path && c->manager != CGROUP_DISABLED)
        log_warning("linux.cgroupsPath: no cgroup hierarchy is mounted at /sys/fs/cgroup: the container has "
                    "no cgroup "
                    "of its own");
}

int cgroup_plan(struct arena *a, const struct cgroup_request *q, const struct spec_resources *r,
                struct cgroup **out, struct error *err)
{
    struct cgroup *c = *out = arena_new(a, struct cgroup);

    *c = (struct cgroup){.arena = a, .manager = q->manager, .rootless = q->rootless, .helper = -1};
    if (q->manager == CGROUP_DISABLED) {
        if (cgroup_has_limits(r))
            log_warning("linux.resources is not enforced: cgroups are disabled (--cgroup-manager)");
        return 0;
    }
    if (cgroup_layout(a, &c->dirs, &c->n_dirs, err) < 0)
        return -1;
    if (q->manager == CGROUP_SYSTEMD) {
        if (systemd_plan(c, q, err) < 0)
            return -1;
    } else if (check_path(q->path, err) < 0)
        return -1;
    else
        place(c, q->path, q->id);
    if (c->n_dirs == 0)
        warn_of_none(c, q);
    return cgroup_check_limits(c, r, err);
}

/* --- making -------------------------------------------------------------------------------------------------- */

/* Those above the last component of @path, whose first @fixed bytes are there. */
static int make_parents(char *path, size_t fixed, unsigned *made)
{
    for (char *slash = strchr(path + fixed + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int result = mkdir(path, 0755);
        *slash = '/';
        *made += result == 0;
        if (result < 0 && errno != EEXIST)
            return errno == ENOENT ? 0 : -1; /* taken away again: the caller starts anew */
    }
    return 0;
}

/* mkdir -p, against others who remove parents that have become empty. */
static int make_dir(struct arena *a, struct cgroup_dir *d)
{
    char *path = arena_strdup(a, cgroup_dir_path(a, d));

    for (int attempt = 0; attempt < MAKE_ATTEMPTS; attempt++) {
        if (mkdir(path, 0755) == 0) {
            d->made = true;
            return 0;
        }
        if (errno != ENOENT)
            return errno == EEXIST ? 0 : -1;
        if (make_parents(path, strlen(d->mount), &d->parents) < 0)
            return -1;
    }
    errno = ENOENT;
    return -1;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \n")] == '\0';
}

/* A new cpuset has no CPUs and no memory nodes, and takes no process until it has: it gets its parent's, which may be
 * as empty. (v2 inherits without being told.) */
static int fill_cpuset(struct arena *a, const struct cgroup_dir *d, const char *name, struct error *err)
{
    char *path = arena_strdup(a, cgroup_dir_path(a, d)), *value = NULL, *own;
    char *slash = path + strlen(d->mount);

    for (;; slash = slash + 1 + strcspn(slash + 1, "/")) {
        bool last = *slash == '\0';

        *slash = '\0';
        const char *file = arena_printf(a, "%s/%s", path, name);
        if (file_read(AT_FDCWD, file, 1 << 16, a, &own, NULL, err) < 0)
            return -1;
        if (!is_blank(own))
            value = own;
        else if (value && file_write(AT_FDCWD, file, value, strlen(value), err) < 0)
            return -1;
        if (last)
            return 0;
        *slash = '/';
    }
}

/* "+cpu +memory": all at once, or one by one where the kernel refuses one of them. What could not be had is found
 * missing when a limit needs it. */
static void hand_down(struct arena *a, const char *directory, uint32_t controllers)
{
    const char *file = arena_printf(a, "%s/cgroup.subtree_control", directory);
    struct buffer all = {.arena = a};

    for (unsigned i = 0; i < CG_COUNT; i++)
        if (controllers & CG_BIT(i) & ~(CGROUP_V2_CORE | CG_BIT(CG_CPUACCT)))
            buffer_printf(&all, "%s+%s", all.length ? " " : "", cgroup_controller_name(i, true));
    if (!all.length || file_write(AT_FDCWD, file, all.data, all.length, NULL) == 0)
        return;
    for (char *save = NULL, *word = strtok_r(all.data, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        struct error why = {0};

        if (file_write(AT_FDCWD, file, word, strlen(word), &why) < 0)
            log_debug("%s: %s", word, why.message);
    }
}

/* A v2 directory has the controllers that every one above it has handed down. */
static void enable_controllers(struct arena *a, struct cgroup_dir *d)
{
    uint32_t core = d->controllers & CGROUP_V2_CORE, wanted = d->controllers & ~CGROUP_V2_CORE, had;
    char *path = arena_strdup(a, cgroup_dir_path(a, d)), *slash = path + strlen(d->mount);

    had = cgroup_controllers_read(a, d->fd, "cgroup.controllers");
    if (wanted & ~had) {
        for (; *slash; slash += 1 + strcspn(slash + 1, "/")) {
            *slash = '\0';
            hand_down(a, path, wanted);
            *slash = '/';
        }
        had = cgroup_controllers_read(a, d->fd, "cgroup.controllers");
    }
    d->controllers = (had & wanted) | core;
}

static int open_dir(struct arena *a, struct cgroup_dir *d)
{
    if (d->fd < 0)
        d->fd = open(cgroup_dir_path(a, d), O_PATH | O_DIRECTORY | O_CLOEXEC);
    return d->fd < 0 ? -1 : 0;
}

/* Ours alone, or it was there: then nothing may live in it, for it will be killed with the container. */
static int check_empty(struct arena *a, const struct cgroup_dir *d, struct error *err)
{
    const char *text = d->made ? NULL : cgroup_file_read(a, d, "cgroup.procs");
    size_t n = 0;

    for (const char *p = text; p && *p; p += strcspn(p, "\n"), p += *p == '\n')
        n++;
    if (n > 0)
        return error_set(err, 0,
                         "container's cgroup is not empty: %zu process(es) found in %s: give the container a "
                         "linux.cgroupsPath of its own",
                         n, cgroup_dir_path(a, d));
    return 0;
}

static bool no_rights(int code)
{
    return code == EACCES || code == EPERM || code == EROFS;
}

/* 1: this hierarchy is not ours to write, and that is no error. */
static int make_one(struct cgroup *c, const struct cgroup_request *q, struct cgroup_dir *d, struct error *err)
{
    const char *path = cgroup_dir_path(c->arena, d);

    if (make_dir(c->arena, d) < 0) {
        if (no_rights(errno) && !q->path)
            return 1;
        return error_set(err, errno, "make the container's cgroup %s%s", path,
                         no_rights(errno)
                             ? " (nested or rootless, only a delegated cgroup may be written: leave out "
                               "linux.cgroupsPath, use --cgroup-manager=systemd, or =disabled)"
                             : "");
    }
    if (open_dir(c->arena, d) < 0)
        return error_set(err, errno, "open the container's cgroup %s", path);
    if (c->manager != CGROUP_SYSTEMD &&
        check_empty(c->arena, d, err) < 0) /* there it is new, and has the helper in it */
        return -1;
    if (d->v2)
        enable_controllers(c->arena, d);
    if (!d->v2 && d->controllers & CG_BIT(CG_CPUSET) &&
        (fill_cpuset(c->arena, d, "cpuset.cpus", err) < 0 ||
         fill_cpuset(c->arena, d, "cpuset.mems", err) < 0))
        return -1;
    return 0;
}

/* Files that the owner of a v2 cgroup writes, by the kernel's own list (4.15). */
static int delegate(struct cgroup *c, const struct cgroup_dir *d, uid_t owner, struct error *err)
{
    char *text, *name, *save = NULL;

    if (fchownat(d->fd, "", owner, (gid_t)-1, AT_EMPTY_PATH) < 0)
        return error_set(err, errno, "give the container's cgroup to user %u", owner);
    if (file_read(AT_FDCWD, "/sys/kernel/cgroup/delegate", DELEGATE_MAX, c->arena, &text, NULL, NULL) < 0)
        text = arena_strdup(c->arena, "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
    for (name = strtok_r(text, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
        if (fchownat(d->fd, name, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
            return error_set(err, errno, "give %s of the container's cgroup to user %u", name, owner);
    return 0;
}

static void drop(struct cgroup *c, size_t i)
{
    log_debug("no right to make %s: the container has no cgroup of its own there",
              cgroup_dir_path(c->arena, &c->dirs[i]));
    memmove(&c->dirs[i], &c->dirs[i + 1], (c->n_dirs - i - 1) * sizeof(c->dirs[0]));
    c->n_dirs--;
}

static int make_all(struct cgroup *c, const struct cgroup_request *q, struct error *err)
{
    size_t all = c->n_dirs;

    for (size_t i = 0; i < c->n_dirs;) {
        int result = make_one(c, q, &c->dirs[i], err);

        if (result < 0)
            return -1;
        if (result == 1)
            drop(c, i);
        else
            i++;
    }
    if (all > 0 && c->n_dirs == 0)
        log_info("no cgroup may be made here: the container runs in that of its caller");
    return 0;
}

static int fill(struct cgroup *c, const struct cgroup_request *q, const struct spec_resources *r,
                struct error *err)
{
    struct cgroup_dir *v2;

    if (make_all(c, q, err) < 0 || cgroup_check_thawed(c, err) < 0)
        return -1;
    if (cgroup_check_limits(c, r, err) < 0)
        return c->rootless ? error_wrap(err, "rootless needs a delegated cgroup for limits") : -1;
    if (cgroup_write_limits(c, r, false, err) < 0 || cgroup_write_devices(c, r, err) < 0)
        return -1;
    v2 = cgroup_dir_v2(c);
    return q->delegate && v2 ? delegate(c, v2, q->owner, err) : 0;
}

static void remove_parents(struct arena *a, const struct cgroup_dir *d)
{
    char *path = arena_strdup(a, cgroup_dir_path(a, d));

    for (unsigned i = 0; i < d->parents; i++) {
        *strrchr(path, '/') = '\0';
        if (rmdir(path) < 0)
            return; /* others are in it by now */
    }
}

int cgroup_make(struct cgroup *c, const struct cgroup_request *q, const struct spec_resources *r,
                struct error *err)
{
    if (c->n_dirs == 0 || (c->manager == CGROUP_SYSTEMD && systemd_make(c, q, r, err) < 0))
        return c->n_dirs == 0 ? 0 : -1;
    if (fill(c, q, r, err) == 0)
        return 0;
    cgroup_undo(c);
    return -1;
}

void cgroup_entered(struct cgroup *c)
{
    systemd_let_go(c);
}

/* --- opening and closing -------------------------------------------------------------------------------------- */

int cgroup_open(struct cgroup *c, struct error *err)
{
    for (size_t i = 0; i < c->n_dirs; i++)
        if (open_dir(c->arena, &c->dirs[i]) < 0 && errno != ENOENT)
            return error_set(err, errno, "open the container's cgroup %s",
                             cgroup_dir_path(c->arena, &c->dirs[i]));
    return 0;
}

void cgroup_close(struct cgroup *c)
{
    for (size_t i = 0; i < c->n_dirs; i++)
        fd_closep(&c->dirs[i].fd);
    fd_closep(&c->helper);
}

/* --- removing -------------------------------------------------------------------------------------------------- */

bool cgroup_wait(unsigned *waited_ms, unsigned limit_ms)
{
    unsigned step = *waited_ms < 4 ? 1 : *waited_ms < 100 ? *waited_ms / 2 : 50;
    struct timespec t = {.tv_nsec = step * 1000000L};

    if (*waited_ms >= limit_ms)
        return false;
    nanosleep(&t, NULL);
    *waited_ms += step;
    return true;
}

static int remove_dir(struct cgroup *c, struct cgroup_dir *d, struct error *err)
{
    const char *path = cgroup_dir_path(c->arena, d);
    unsigned waited = 0;

    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    while (cgroup_tree_remove(c->arena, d) < 0 && errno != ENOENT) {
        int code = errno;

        if (code != EBUSY && code != ENOTEMPTY)
            return error_set(err, code, "remove the container's cgroup %s", path);
        if (cgroup_empty(c, d, err) < 0)
            return -1;
        if (!cgroup_wait(&waited, REMOVE_TIMEOUT_MS))
            return error_set(err, 0, "the container's cgroup %s still has processes %d s after SIGKILL", path,
                             REMOVE_TIMEOUT_MS / 1000);
    }
    return 0;
}

void cgroup_undo(struct cgroup *c)
{
    struct error err = {0};

    cgroup_entered(c); /* a scope that has lost its place-holder ends by itself */
    for (size_t i = 0; i < c->n_dirs; i++) {
        if (c->dirs[i].made && remove_dir(c, &c->dirs[i], &err) < 0)
            log_warning("%s", err.message);
        remove_parents(c->arena, &c->dirs[i]);
        c->dirs[i].made = false;
        c->dirs[i].parents = 0;
    }
    cgroup_close(c);
}

int cgroup_remove(struct cgroup *c, struct error *err)
{
    if (c->manager == CGROUP_SYSTEMD && c->unit && systemd_remove(c, err) < 0)
        return -1;
    for (size_t i = 0; i < c->n_dirs; i++) {
        if (remove_dir(c, &c->dirs[i], err) < 0)
            return -1;
        remove_parents(c->arena, &c->dirs[i]);
    }
    return 0;
}
