/*
 * How a process gets into the container's cgroups, so that it never runs unaccounted.
 *
 *   v2    clone3 puts it there (CLONE_INTO_CGROUP, 5.7). Where that can't be had it writes itself into cgroup.procs
 *         before it does anything else; where the kernel refuses even that (the scope of a user's systemd, seen from
 *         outside: the rights on the cgroup above both are the system's) systemd moves it.
 *   v1    it writes itself into each "tasks" that hull has opened. A lone thread that moves itself takes no global
 *         lock (5.12); moving another process, or by cgroup.procs, waits for an RCU grace period: 9 ms.
 *
 * A v2 container that has made cgroups below its own and handed controllers down can have no process in its own one
 * (EBUSY): exec goes to where the container's first process is.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "base/procfs.h"
#include "cgroups/cgroup_private.h"

/* The path of a --cgroup argument; *@controllers is what comes before it, or NULL. "/" is the container's own cgroup. */
static const char *sub_split(struct arena *a, const char *sub, char **controllers)
{
    const char *colon = strchr(sub, ':'), *path = colon ? colon + 1 : sub;

    *controllers = colon ? arena_strndup(a, sub, (size_t)(colon - sub)) : NULL;
    return path + strspn(path, "/");
}

/* Each name of "cpu,cpuacct" is a controller that a v1 hierarchy has, and was not named before. */
static int check_controllers(struct cgroup *c, char *names, uint32_t *seen, struct error *err)
{
    const char *name;

    while ((name = strsep(&names, ","))) {
        uint32_t bit = cgroup_controllers_parse(arena_strdup(c->arena, name), ",", false), there = 0;

        for (size_t i = 0; i < c->n_dirs; i++)
            there |= c->dirs[i].v2 ? 0 : c->dirs[i].controllers;
        if (!(bit & there))
            return error_set(
                err, 0,
                "unknown controller \"%s\": none of v1 is called so here (for v2 give the path alone)", name);
        if (bit & *seen)
            return error_set(err, 0, "controller \"%s\" is given twice", name);
        *seen |= bit;
    }
    return 0;
}

static int check_subs(struct cgroup *c, const struct string_list *subs, struct error *err)
{
    uint32_t seen = 0;

    for (size_t i = 0; i < subs->n; i++) {
        char *names;
        const char *path = sub_split(c->arena, subs->v[i], &names);

        if (path_has_dotdot(path))
            return error_set(err, 0, "%s is not a sub cgroup path: it may not contain \"..\"", path);
        if (!names && subs->n > 1)
            return error_set(err, 0, "\"%s\": of several each needs a CONTROLLER: before the path",
                             subs->v[i]);
        if (names && check_controllers(c, names, &seen, err) < 0)
            return -1;
    }
    return 0;
}

/* NULL: the container's own. */
static const char *sub_path(struct arena *a, const struct cgroup_dir *d, const struct string_list *subs)
{
    for (size_t i = 0; i < subs->n; i++) {
        char *names;
        const char *path = sub_split(a, subs->v[i], &names);

        if (!names || (!d->v2 && cgroup_controllers_parse(names, ",", false) & d->controllers))
            return *path ? path : NULL;
    }
    return NULL;
}

static int add_file(struct cgroup_entrance *e, int dir, const char *name, struct error *err)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return error_set(err, errno, "open %s of the container's cgroup", name);
    e->files[e->n_files++] = fd;
    return 0;
}

int cgroup_entrance_open(struct cgroup *c, pid_t init, const struct string_list *subs,
                         struct cgroup_entrance *e, struct error *err)
{
    *e = (struct cgroup_entrance){.cgroup = c, .init = subs->n > 0 ? 0 : init, .v2 = -1};
    if (check_subs(c, subs, err) < 0 || cgroup_open(c, err) < 0)
        return -1;
    for (size_t i = 0; i < c->n_dirs; i++) {
        _cleanup_(fd_closep) int below = -1;
        const struct cgroup_dir *d = &c->dirs[i];
        const char *path = sub_path(c->arena, d, subs);

        if (d->fd < 0)
            return error_set(err, 0, "the container's cgroup %s is gone", cgroup_dir_path(c->arena, d));
        if (path && (below = path_open(d->fd, path, O_PATH | O_DIRECTORY, 0)) < 0)
            return error_set(err, errno, "%s/%s", cgroup_dir_path(c->arena, d), path);
        if (d->v2)
            e->v2 = path ? steal_fd(&below) : d->fd;
        else if (add_file(e, path ? below : d->fd, "tasks", err) < 0)
            return -1;
    }
    return 0;
}

/* "0::/a/b" of /proc/PID/cgroup. */
static int open_v2_of(struct cgroup *c, pid_t pid, int *fd, struct error *err)
{
    const struct cgroup_dir *d = cgroup_dir_v2(c);
    char *text, *line, *end;

    if (file_read(procfs_fd(), arena_printf(c->arena, "%d/cgroup", pid), 1 << 20, c->arena, &text, NULL,
                  err) < 0)
        return -1;
    line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return error_set(err, 0, "process %d is in no cgroup v2", pid);
    line += strcspn(line, "/");
    end = line + strcspn(line, "\n");
    *fd = open(arena_printf(c->arena, "%s%.*s", d->mount, (int)(end - line), line),
               O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? error_set(err, errno, "open the cgroup of process %d", pid) : 0;
}

/* @e->v2 may be the container's own directory, which its struct cgroup closes. */
static void leave_v2(struct cgroup_entrance *e)
{
    const struct cgroup_dir *d = e->v2 < 0 ? NULL : cgroup_dir_v2(e->cgroup);

    if (d && d->fd != e->v2)
        fd_closep(&e->v2);
    e->v2 = -1;
}

static int use_init(struct cgroup_entrance *e, struct error *err)
{
    e->init_tried = true;
    leave_v2(e);
    return open_v2_of(e->cgroup, e->init, &e->v2, err);
}

int cgroup_entrance_next(struct cgroup_entrance *e, int code, struct error *err)
{
    bool inner = code == EBUSY || code == EOPNOTSUPP;

    if (e->v2 >= 0 && inner && e->init && !e->init_tried)
        return use_init(e, err);
    if (e->v2 < 0 || inner || code == EAGAIN)
        return error_set(err, code, "enter the container's cgroup%s",
                         inner            ? " (it has cgroups of its own, and no process may be beside them)"
                         : code == EAGAIN ? " (its pids limit is reached)"
                                          : "");
    e->attach = code == EACCES && e->cgroup->manager == CGROUP_SYSTEMD && e->cgroup->user_manager;
    if (!e->attach && add_file(e, e->v2, "cgroup.procs", err) < 0)
        return -1;
    leave_v2(e);
    return 0;
}

int cgroup_enter(struct cgroup_entrance *e, struct error *err)
{
    for (size_t i = 0; i < e->n_files; i++)
        if (write(e->files[i], "0", 1) != 1)
            return error_set(err, errno, "enter the container's cgroup");
    return 0;
}

int cgroup_attach(struct cgroup_entrance *e, pid_t pid, struct error *err)
{
    return systemd_attach(e->cgroup, pid, err);
}

void cgroup_entrance_close(struct cgroup_entrance *e)
{
    leave_v2(e);
    for (size_t i = 0; i < e->n_files; i++)
        fd_closep(&e->files[i]);
    e->n_files = 0;
}
