/*
 * Cgroups: which layout, which controllers, and may we make cgroups where we are. A container runs without any of this
 * (--cgroup-manager=disabled), so nothing here is needed; limits are what would be missing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "cgroups/cgroup.h"
#include "runtime/check_private.h"

/* What engines set limits by. */
#define WANTED (CG_BIT(CG_CPU) | CG_BIT(CG_MEMORY) | CG_BIT(CG_PIDS) | CG_BIT(CG_CPUSET) | CG_BIT(CG_BLKIO))

static const struct cgroup_dir *v2_of(const struct check_host *host)
{
    for (size_t i = 0; i < host->n_dirs; i++)
        if (host->dirs[i].v2)
            return &host->dirs[i];
    return NULL;
}

static bool pure_v2(const struct check_host *host)
{
    return host->n_dirs == 1 && host->dirs[0].v2;
}

void check_cgroup_layout(struct probe *p)
{
    const struct check_host *h = p->host;

    if (h->n_dirs == 0)
        probe_missing(p, "mount -t cgroup2 none /sys/fs/cgroup",
                      "no hierarchy is mounted below /sys/fs/cgroup");
    else if (pure_v2(h))
        probe_ok(p, "v2");
    else
        probe_ok(p, "%s", v2_of(h) ? "hybrid: v1 with a v2 hierarchy for processes" : "v1");
}

static const char *names_of(struct arena *a, uint32_t mask, bool v2)
{
    struct buffer b = {.arena = a};

    for (unsigned i = 0; i < CG_COUNT; i++)
        if (mask & CG_BIT(i))
            buffer_printf(&b, "%s%s", b.length ? " " : "", cgroup_controller_name(i, v2));
    return b.length ? b.data : "none";
}

void check_cgroup_controllers(struct probe *p)
{
    bool v2 = pure_v2(p->host);
    uint32_t mask = 0;

    for (size_t i = 0; i < p->host->n_dirs; i++)
        mask |= p->host->dirs[i].controllers;
    if ((mask & WANTED) == WANTED)
        probe_ok(p, "%s", names_of(p->arena, mask, v2));
    else
        probe_missing(
            p,
            p->host->n_dirs == 0 ? NULL
                                 : "mount their hierarchy, or boot without cgroup_disable= and with a "
                                   "kernel that has them (Debian, Raspberry Pi: cgroup_enable=memory)",
            "%s; missing: %s", names_of(p->arena, mask, v2), names_of(p->arena, WANTED & ~mask, v2));
}

static const char *own_path(struct arena *a, const struct cgroup_dir *d)
{
    return arena_printf(a, "%s%s", d->mount, strcmp(d->path, "/") ? d->path : "");
}

/* NULL when cgroups can be made in @dir, else what stands against it. */
static const char *not_writable(struct arena *a, const char *dir, bool v2)
{
    const char *const files[] = {"", "/cgroup.procs", v2 ? "/cgroup.subtree_control" : ""};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (faccessat(AT_FDCWD, arena_printf(a, "%s%s", dir, files[i]), W_OK, AT_EACCESS) < 0)
            return arena_printf(a, "%s%s: %s", dir, files[i], strerror(errno));
    return NULL;
}

#define DELEGATE                                                                                             \
    "have systemd delegate: `systemctl edit user@.service`, [Service] Delegate=cpu cpuset io memory pids, "  \
    "log in again"

static void check_delegation_v2(struct probe *p, const struct cgroup_dir *d)
{
    const char *own = own_path(p->arena, d), *against = not_writable(p->arena, own, true);
    const char *controllers = check_read(p->arena, arena_printf(p->arena, "%s/cgroup.controllers", own));
    struct stat st;

    if (!controllers)
        controllers = "";
    /* A session's scope is not the user's to write; the user manager's own cgroup beside it is. */
    if (against && !p->host->privileged) {
        const char *manager = arena_printf(p->arena, "%s/user.slice/user-%u.slice/user@%u.service", d->mount,
                                           getuid(), getuid());
        if (stat(manager, &st) == 0 && !not_writable(p->arena, manager, true)) {
            controllers = check_read(p->arena, arena_printf(p->arena, "%s/cgroup.controllers", manager));
            probe_ok(p, "%s to the user's systemd: use --cgroup-manager=systemd",
                     controllers ? controllers : "");
            return;
        }
    }
    if (against)
        probe_missing(p,
                      p->host->privileged ? "the container around this process must mount its cgroup writable"
                                          : DELEGATE,
                      "%s", against);
    else if (!check_has_word(controllers, " ", "memory") || !check_has_word(controllers, " ", "pids"))
        probe_warn(
            p, p->host->privileged ? "enable them in cgroup.subtree_control of the cgroups above" : DELEGATE,
            "only \"%s\" reach this process's cgroup", controllers);
    else
        probe_ok(p, "%s may be written: %s", own, controllers);
}

void check_cgroup_delegation(struct probe *p)
{
    const struct check_host *h = p->host;
    struct buffer b = {.arena = p->arena};
    size_t n = 0;

    if (h->n_dirs == 0) {
        probe_missing(p, NULL, "there are no cgroups");
        return;
    }
    if (pure_v2(h)) {
        check_delegation_v2(p, &h->dirs[0]);
        return;
    }
    for (size_t i = 0; i < h->n_dirs; i++) {
        if (!(h->dirs[i].controllers & WANTED))
            continue;
        n++;
        if (not_writable(p->arena, own_path(p->arena, &h->dirs[i]), h->dirs[i].v2))
            buffer_printf(&b, "%s%s", b.length ? " " : "", names_of(p->arena, h->dirs[i].controllers, false));
    }
    if (b.length == 0)
        probe_ok(p, "this process's cgroups may be written");
    else
        probe_missing(
            p,
            h->privileged
                ? "the container around this process must mount its cgroups writable"
                : "limits without root need cgroup v2: boot with systemd.unified_cgroup_hierarchy=1",
            "not to be written: %s", b.data);
}

/* The root cgroup has no cgroup.kill: any cgroup below it tells. */
static bool has_kill(struct arena *a, const char *dir)
{
    _cleanup_(closedirp) DIR *entries = NULL;
    const struct dirent *e;

    if (access(arena_printf(a, "%s/cgroup.kill", dir), F_OK) == 0)
        return true;
    entries = opendir(dir);
    while (entries && (e = readdir(entries)))
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            return access(arena_printf(a, "%s/%s/cgroup.kill", dir, e->d_name), F_OK) == 0;
    return false;
}

void check_cgroup_kill(struct probe *p)
{
    const struct cgroup_dir *d = v2_of(p->host);

    if (d && has_kill(p->arena, own_path(p->arena, d)))
        probe_ok(p, "there");
    else if (d && !check_version_below(p->host->kernel, 5, 14))
        probe_ok(p, "by the kernel's version; no cgroup here to look at");
    else
        probe_missing(p, d ? "Linux 5.14 or later has it" : "mount a v2 hierarchy",
                      "processes are frozen and killed one by one");
}

void check_cgroup_systemd(struct probe *p)
{
    const char *runtime_dir = getenv("XDG_RUNTIME_DIR");

    if (access("/run/systemd/system", F_OK) < 0)
        probe_missing(p, "use --cgroup-manager=cgroupfs", "systemd does not run here");
    else if (p->host->privileged)
        probe_ok(p, "it runs");
    else if (runtime_dir &&
             (access(arena_printf(p->arena, "%s/systemd/private", runtime_dir), R_OK | W_OK) == 0 ||
              access(arena_printf(p->arena, "%s/bus", runtime_dir), R_OK | W_OK) == 0))
        probe_ok(p, "the user's own manager can be reached");
    else
        probe_missing(p,
                      "log in by a session of its own, or as root: loginctl enable-linger USER; "
                      "XDG_RUNTIME_DIR must be set",
                      "the user's own manager cannot be reached");
}
