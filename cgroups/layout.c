/*
 * Which hierarchies this host has, from /proc/self/cgroup and by the names under which all systems mount them:
 * /sys/fs/cgroup itself for a pure v2, /sys/fs/cgroup/NAME for each v1 hierarchy (NAME as the kernel lists its
 * controllers: "cpu,cpuacct"; "systemd" for name=systemd), /sys/fs/cgroup/unified for the v2 one of a hybrid host. That
 * costs one read and one statfs a hierarchy; mountinfo grows with the number of containers and is not read.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>

#include "base/procfs.h"
#include "cgroups/cgroup_private.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

static const char *const managers[] = {
    [CGROUP_DISABLED] = "disabled", [CGROUP_CGROUPFS] = "cgroupfs", [CGROUP_SYSTEMD] = "systemd"};

static const char *const controllers[] = {
    [CG_CPU] = "cpu",
    [CG_CPUACCT] = "cpuacct",
    [CG_CPUSET] = "cpuset",
    [CG_MEMORY] = "memory",
    [CG_BLKIO] = "blkio",
    [CG_PIDS] = "pids",
    [CG_DEVICES] = "devices",
    [CG_FREEZER] = "freezer",
    [CG_HUGETLB] = "hugetlb",
    [CG_NET_CLS] = "net_cls",
    [CG_NET_PRIO] = "net_prio",
    [CG_RDMA] = "rdma",
    [CG_PERF_EVENT] = "perf_event",
    [CG_MISC] = "misc",
};

const char *cgroup_manager_name(enum cgroup_manager manager)
{
    return managers[manager];
}

const char *cgroup_controller_name(enum cgroup_controller controller, bool v2)
{
    return v2 && controller == CG_BLKIO ? "io" : controllers[controller];
}

uint32_t cgroup_controllers_parse(char *text, const char *separators, bool v2)
{
    char *name, *save = NULL;
    uint32_t mask = 0;

    for (name = strtok_r(text, separators, &save); name; name = strtok_r(NULL, separators, &save)) {
        for (unsigned i = 0; i < CG_COUNT; i++)
            if (strcmp(cgroup_controller_name(i, v2), name) == 0)
                mask |= CG_BIT(i);
    }
    return v2 && mask & CG_BIT(CG_CPU) ? mask | CG_BIT(CG_CPUACCT) : mask;
}

static bool is_mounted(const char *path, bool v2)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && fs.f_type == (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

/* "4:cpu,cpuacct:/a/b", "1:name=systemd:/" or "0::/". False when the hierarchy is not mounted where it should be. */
static bool parse_line(struct arena *a, char *line, bool pure_v2, struct cgroup_dir *d)
{
    char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
    const char *directory;

    if (!path)
        return false;
    *path++ = '\0';
    names++;
    *d = (struct cgroup_dir){.v2 = !*names, .path = path, .fd = -1};
    if (d->v2 != pure_v2 && pure_v2)
        return false;
    directory = d->v2 ? "unified" : strncmp(names, "name=", 5) == 0 ? names + 5 : names;
    if (strchr(directory, '/'))
        return false;
    d->mount = pure_v2 ? CGROUP_ROOT : arena_printf(a, CGROUP_ROOT "/%s", directory);
    if (!pure_v2 && !is_mounted(d->mount, d->v2))
        return false;
    if (!d->v2)
        d->controllers = cgroup_controllers_parse(arena_strdup(a, names), ",", false);
    return true;
}

uint32_t cgroup_controllers_read(struct arena *a, int dirfd, const char *path)
{
    char *text = cgroup_text_read(a, dirfd, path);

    return text ? cgroup_controllers_parse(text, " ", true) : 0;
}

static uint32_t v1_controllers(const struct cgroup_dir *dirs, size_t n)
{
    uint32_t mask = 0;

    for (size_t i = 0; i < n; i++)
        if (!dirs[i].v2)
            mask |= dirs[i].controllers;
    return mask;
}

/* What belongs to every v2 cgroup counts as the v2 directory's unless a v1 hierarchy has it. */
static void complete_v2(struct arena *a, struct cgroup_dir *dirs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!dirs[i].v2)
            continue;
        dirs[i].controllers =
            cgroup_controllers_read(a, AT_FDCWD, arena_printf(a, "%s/cgroup.controllers", dirs[i].mount));
        dirs[i].controllers |= CGROUP_V2_CORE & ~v1_controllers(dirs, n);
    }
}

int cgroup_layout(struct arena *a, struct cgroup_dir **dirs, size_t *n, struct error *err)
{
    bool pure_v2 = is_mounted(CGROUP_ROOT, true);
    char *text = cgroup_text_read(a, procfs_fd(), "self/cgroup"), *line, *save = NULL;

    *n = 0;
    if (!text)
        return error_set(err, errno, "read /proc/self/cgroup");
    *dirs = arena_new_n(a, CGROUP_MAX_DIRS, struct cgroup_dir);
    for (line = strtok_r(text, "\n", &save); line && *n < CGROUP_MAX_DIRS; line = strtok_r(NULL, "\n", &save))
        *n += parse_line(a, line, pure_v2, &(*dirs)[*n]);
    complete_v2(a, *dirs, *n);
    return 0;
}

struct cgroup_dir *cgroup_dir_of(const struct cgroup *c, enum cgroup_controller controller)
{
    for (size_t i = 0; i < c->n_dirs; i++)
        if (c->dirs[i].controllers & CG_BIT(controller))
            return &c->dirs[i];
    return NULL;
}

struct cgroup_dir *cgroup_dir_v2(const struct cgroup *c)
{
    for (size_t i = 0; i < c->n_dirs; i++)
        if (c->dirs[i].v2)
            return &c->dirs[i];
    return NULL;
}
