/*
 * Which processes are in a container: its cgroup knows. Without one, those in its pid namespace, and their
 * descendants (who may live in namespaces below), by one pass over /proc.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/number.h"
#include "base/procfs.h"
#include "runtime/container.h"
#include "runtime/opened.h"
#include "runtime/state.h"

struct entry {
    pid_t pid, parent;
    bool inside;
};

struct table {
    struct entry *v;
    size_t n, capacity;
};

static ino_t pid_namespace(int proc, pid_t pid)
{
    char path[32];
    struct stat st;

    snprintf(path, sizeof(path), "%d/ns/pid", pid);
    return fstatat(proc, path, &st, 0) == 0 ? st.st_ino : 0;
}

/* /proc/PID/stat: pid (comm) state ppid ...; comm may hold anything, the last ')' ends it. */
static pid_t parent_of(int proc, pid_t pid)
{
    char path[32], text[512], *end;
    _cleanup_(fd_closep) int fd = -1;
    ssize_t n;

    snprintf(path, sizeof(path), "%d/stat", pid);
    fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    end = strrchr(text, ')');
    return end && strlen(end) > strlen(") S ") ? (pid_t)strtol(end + strlen(") S "), NULL, 10) : -1;
}

static int read_table(struct arena *a, int proc, struct table *t, struct error *err)
{
    int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *d;
    uint64_t pid;

    if (!dir)
        return error_set(err, errno, "read /proc");
    while ((d = readdir(dir))) {
        if (number_parse_u64(d->d_name, "pid", 1, INT32_MAX, &pid, NULL) < 0)
            continue;
        if (t->n == t->capacity) {
            size_t more = t->capacity ? 2 * t->capacity : 256;

            t->v = arena_grow(a, t->v, t->capacity * sizeof(*t->v), more * sizeof(*t->v));
            t->capacity = more;
        }
        t->v[t->n++] = (struct entry){.pid = (pid_t)pid, .parent = parent_of(proc, (pid_t)pid)};
    }
    return 0;
}

static bool is_inside(const struct table *t, pid_t pid)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->v[i].pid == pid)
            return t->v[i].inside;
    }
    return false;
}

static void add_descendants(struct table *t)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (size_t i = 0; i < t->n; i++) {
            if (!t->v[i].inside && is_inside(t, t->v[i].parent))
                changed = t->v[i].inside = true;
        }
    }
}

int container_processes(const struct runtime *rt, const char *id, pid_t **pids, size_t *n, struct error *err)
{
    _cleanup_(fd_closep) int dir = -1;
    struct container c;
    struct state_extra extra;
    struct table t = {0};
    int proc = procfs_fd();
    ino_t ns;

    if (state_open(rt, id, false, &dir, err) < 0 || state_read(rt->arena, dir, false, &c, &extra, err) < 0)
        return -1;
    if (refuse_sandbox(&c, "ps", err) < 0)
        return -1;
    if (proc < 0)
        return error_set(err, errno, "open /proc");
    *n = 0;
    *pids = NULL;
    if (c.status == CONTAINER_STOPPED)
        return 0;
    if (extra.cgroup->n_dirs > 0)
        return cgroup_open(extra.cgroup, err) < 0 ? -1 : cgroup_processes(extra.cgroup, pids, n, err);
    if (read_table(rt->arena, proc, &t, err) < 0)
        return -1;
    ns = extra.namespaces & CLONE_NEWPID ? pid_namespace(proc, c.pid) : 0;
    for (size_t i = 0; i < t.n; i++)
        t.v[i].inside = t.v[i].pid == c.pid || (ns && pid_namespace(proc, t.v[i].pid) == ns);
    add_descendants(&t);
    *pids = arena_new_n(rt->arena, t.n + 1, pid_t);
    for (size_t i = 0; i < t.n; i++) {
        if (t.v[i].inside)
            (*pids)[(*n)++] = t.v[i].pid;
    }
    return 0;
}
