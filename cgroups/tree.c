/*
 * Cgroups that the container made below its own: listing the processes in all of them, signalling them, removing the
 * tree. How deep and how wide it is was the container's choice, so nothing here recurses or holds a descriptor a level.
 *
 * Removal needs no list: from the top down to a cgroup that has none below, remove that, one up, and again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/syscalls.h"
#include "cgroups/cgroup_private.h"

enum { PROCS_MAX = 64 << 20, KILL_ROUNDS = 16 };

/* The first cgroup below the one open at @fd, in the arena; NULL when there is none. */
static char *first_child(struct arena *a, int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct dirent *e;

    while (dir && (e = readdir(dir)))
        if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            return arena_strdup(a, e->d_name);
    return NULL;
}

struct level {
    struct level *up;
    const char *name;
};

/* Empties the cgroup at @fd, which stays. */
static int remove_below(struct arena *a, int top)
{
    _cleanup_(fd_closep) int fd = openat(top, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct level *level = NULL;

    for (;;) {
        const char *name = first_child(a, fd);
        int next = openat(fd, name ? name : "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (!name && !level) {
            fd_closep(&next);
            return 0;
        }
        if (next < 0)
            return -1;
        close(fd);
        fd = next;
        if (name) {
            struct level *down = arena_new(a, struct level);

            *down = (struct level){.up = level, .name = name};
            level = down;
        } else {
            if (unlinkat(fd, level->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return -1;
            level = level->up;
        }
    }
}

int cgroup_tree_remove(struct arena *a, const struct cgroup_dir *d)
{
    const char *path = cgroup_dir_path(a, d);
    _cleanup_(fd_closep) int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || remove_below(a, fd) < 0)
        return -1;
    return rmdir(path);
}

struct pids {
    struct arena *arena;
    pid_t *v;
    size_t n, capacity;
};

static void add_pid(struct pids *p, pid_t pid)
{
    if (p->n == p->capacity) {
        size_t more = p->capacity ? 2 * p->capacity : 64;

        p->v = arena_grow(p->arena, p->v, p->capacity * sizeof(pid_t), more * sizeof(pid_t));
        p->capacity = more;
    }
    p->v[p->n++] = pid;
}

/* Of one cgroup. In a threaded one (EOPNOTSUPP) the processes are listed by the domain above it. */
static int read_procs(struct pids *p, int dir)
{
    _cleanup_(fd_closep) int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    char *text, *end;

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    if (fd_read_all(fd, PROCS_MAX, p->arena, &text, NULL) < 0)
        return errno == EOPNOTSUPP || errno == ENODEV ? 0 : -1;
    for (; *text; text = *end ? end + 1 : end) {
        pid_t pid = (pid_t)strtol(text, &end, 10);

        if (end == text)
            break;
        if (pid > 0) /* 0: of a pid namespace that we can't see into */
            add_pid(p, pid);
    }
    return 0;
}

struct place {
    struct place *next;
    const char *path;
};

/* The cgroups below @dir go to the end of the queue. */
static struct place *add_children(struct arena *a, int dir, const char *path, struct place *last)
{
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *d = again < 0 ? NULL : fdopendir(again);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        last->next = arena_new(a, struct place);
        last = last->next;
        last->path = arena_printf(a, "%s/%s", path, e->d_name);
    }
    return last;
}

/* The one whose list is complete: v2 where there is one, because all v1 hierarchies can be left by a process that may
 * write them. */
static const struct cgroup_dir *process_dir(const struct cgroup *c)
{
    const struct cgroup_dir *d = cgroup_dir_v2(c);

    if (!d)
        d = cgroup_dir_of(c, CG_FREEZER);
    return d ? d : c->n_dirs ? &c->dirs[0] : NULL;
}

static int processes_of(struct cgroup *c, const struct cgroup_dir *d, pid_t **pids, size_t *n,
                        struct error *err)
{
    struct pids found = {.arena = c->arena};
    struct place first = {.path = "."}, *last = &first;

    *n = 0;
    *pids = NULL;
    if (!d || d->fd < 0)
        return 0;
    for (struct place *p = &first; p; p = p->next) {
        _cleanup_(fd_closep) int fd = openat(d->fd, p->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0 || read_procs(&found, fd) < 0)
            return error_set(err, errno, "read the processes of cgroup %s/%s", cgroup_dir_path(c->arena, d),
                             p->path);
        last = add_children(c->arena, fd, p->path, last);
    }
    *pids = found.v;
    *n = found.n;
    return 0;
}

int cgroup_processes(struct cgroup *c, pid_t **pids, size_t *n, struct error *err)
{
    return processes_of(c, process_dir(c), pids, n, err);
}

static int signal_each(struct cgroup *c, const struct cgroup_dir *d, int sig, size_t *n, struct error *err)
{
    pid_t *pids;

    if (processes_of(c, d, &pids, n, err) < 0)
        return -1;
    for (size_t i = 0; i < *n; i++)
        if (kill(pids[i], sig) < 0 && errno != ESRCH)
            return error_set(err, errno, "signal process %d", pids[i]);
    return 0;
}

/* Without cgroup.kill: stopped, so that none can fork while the list is read. Where there is no freezer, as often as it
 * takes. A v1 cgroup has to be thawed to die. */
static int kill_each(struct cgroup *c, const struct cgroup_dir *d, struct error *err)
{
    const struct cgroup_dir *freezer = cgroup_dir_of(c, CG_FREEZER);
    bool frozen = freezer && cgroup_file_write(freezer, freezer->v2 ? "cgroup.freeze" : "freezer.state",
                                               freezer->v2 ? "1" : "FROZEN") == 0;
    size_t n = 1, before = 0;
    int result = 0;

    for (int round = 0; result == 0 && n > before && round < KILL_ROUNDS; round++) {
        before = frozen ? n : 0;
        result = signal_each(c, d, SIGKILL, &n, err);
    }
    if (frozen)
        cgroup_file_write(freezer, freezer->v2 ? "cgroup.freeze" : "freezer.state",
                          freezer->v2 ? "0" : "THAWED");
    return result;
}

int cgroup_signal(struct cgroup *c, int sig, struct error *err)
{
    const struct cgroup_dir *v2 = cgroup_dir_v2(c);
    size_t n;

    if (cgroup_open(c, err) < 0)
        return -1;
    if (sig != SIGKILL)
        return signal_each(c, process_dir(c), sig, &n, err);
    if (v2 && v2->fd >= 0 && cgroup_file_write(v2, "cgroup.kill", "1") == 0)
        return cgroup_is_v1_frozen(c) ? cgroup_freeze(c, false, err) : 0;
    return kill_each(c, process_dir(c), err);
}

int cgroup_empty(struct cgroup *c, const struct cgroup_dir *d, struct error *err)
{
    if (cgroup_signal(c, SIGKILL, err) < 0)
        return -1;
    return d->v2 ? 0 : kill_each(c, d, err);
}
