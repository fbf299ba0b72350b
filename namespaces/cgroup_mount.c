/*
 * Mounts of type cgroup: what a container sees of its cgroup, in the layout that the host has.
 *
 *   v2        one cgroup2 file system (with a cgroup namespace its root is the container's own), else a
 *             bind of the container's directory
 *   v1        a tmpfs; in it a directory for each hierarchy, and links for the names of co-mounted ones
 *             (cpu -> cpu,cpuacct)
 *   hybrid    the same, and `unified` for the v2 hierarchy that has no controllers
 *
 * With a cgroup namespace the hierarchies are mounted anew; where the kernel refuses that (nested without
 * rights), and without a namespace, the container's own part of the host's mount is bound. "ro" holds for all
 * parts, whichever way they came (CVE-2023-25809). A hierarchy that is mounted nowhere is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/log.h"
#include "namespaces/rootfs_private.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define TMPFS_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* The hierarchies, each with the container's cgroup in it. A container without one of its own is in its caller's; nested,
 * what is mounted may begin at that, while /proc/self/cgroup counts from the host's root: all that is mounted is ours
 * then. */
static int hierarchies(struct rootfs *r, const struct cgroup_dir **dirs, size_t *n, struct error *err)
{
    struct cgroup_dir *own;

    if (r->options.cgroup && r->options.cgroup->n_dirs > 0) {
        *dirs = r->options.cgroup->dirs;
        *n = r->options.cgroup->n_dirs;
        return 0;
    }
    if (cgroup_layout(r->arena, &own, n, err) < 0)
        return -1;
    for (size_t i = 0; i < *n; i++)
        if (access(arena_printf(r->arena, "%s%s", own[i].mount, own[i].path), F_OK) < 0)
            own[i].path = "";
    *dirs = own;
    return 0;
}

/* "cpu,cpuacct", "systemd", "unified": below /sys/fs/cgroup. */
static const char *directory_of(const struct cgroup_dir *d)
{
    return strrchr(d->mount, '/') + 1;
}

static const char *host_path(struct rootfs *r, const struct cgroup_dir *d)
{
    return arena_printf(r->arena, "%s%s", d->mount, d->path);
}

/* Flags for a part: the step's own, as a bind takes them. Nothing is mounted below a hierarchy. */
static int bind_part(struct rootfs *r, const struct mount_step *s, const char *source, int target,
                     struct error *err)
{
    struct mount_options o = s->o;

    o.set = (o.set & ~(unsigned long)MS_REC) | MS_BIND;
    return bind_at(r, AT_FDCWD, source, 0, target, &o, err);
}

static bool refused(void)
{
    return errno == EPERM || errno == EBUSY;
}

/* With a namespace the bind is needed only where the kernel refuses the mount. */
static int mount_v2(struct rootfs *r, const struct mount_step *s, int target, struct error *err)
{
    const struct cgroup_dir *dirs;
    size_t n;

    if (r->options.new_cgroup_namespace &&
        mount_fs_at(r, target, "cgroup", "cgroup2", s->o.set, s->o.data) == 0)
        return 0;
    if (r->options.new_cgroup_namespace && !refused())
        return error_set(err, errno, "mount cgroup2");
    if (hierarchies(r, &dirs, &n, err) < 0)
        return -1;
    if (n == 0)
        return error_set(err, 0, "the host's cgroup v2 cannot be found by /proc/self/cgroup");
    return bind_part(r, s, host_path(r, &dirs[0]), target, err);
}

/* mkdir and open NAME below the tmpfs. */
static int part_target(int tmpfs, const char *name, struct error *err)
{
    if (mkdirat(tmpfs, name, 0755) < 0 && errno != EEXIST)
        return error_set(err, errno, "make %s", name);
    int target = openat(tmpfs, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return target < 0 ? error_set(err, errno, "open %s", name) : target;
}

/* /sys/fs/cgroup/cpu -> cpu,cpuacct, for every name of a co-mounted hierarchy. */
static int link_names(int tmpfs, const char *directory, struct error *err)
{
    char name[256];

    for (const char *p = directory; strchr(directory, ',') && *p;) {
        size_t n = strcspn(p, ",");
        if (n > 0 && n < sizeof(name)) {
            memcpy(name, p, n);
            name[n] = '\0';
            if (symlinkat(directory, tmpfs, name) < 0 && errno != EEXIST)
                return error_set(err, errno, "link %s to %s", name, directory);
        }
        p += n + (p[n] == ',');
    }
    return 0;
}

/* With a cgroup namespace, by name below the tmpfs (which is the working directory, and which nobody else
 * sees yet): two calls a hierarchy. 1: the kernel refused, a bind may still do. */
static int mount_part_by_name(struct rootfs *r, const struct mount_step *s, int tmpfs,
                              const struct cgroup_dir *d, struct error *err)
{
    const char *name = directory_of(d);
    const char *data = d->v2 ? NULL : d->controllers ? name : arena_printf(r->arena, "none,name=%s", name);

    if (mkdirat(tmpfs, name, 0755) < 0 && errno != EEXIST)
        return error_set(err, errno, "make %s", name);
    if (mount("cgroup", name, d->v2 ? "cgroup2" : "cgroup", s->o.set, data) == 0)
        return 0;
    return refused() ? 1 : error_set(err, errno, "mount cgroup %s", name);
}

static int bind_part_at(struct rootfs *r, const struct mount_step *s, int tmpfs, const struct cgroup_dir *d,
                        struct error *err)
{
    int target = part_target(tmpfs, directory_of(d), err);

    if (target < 0)
        return -1;
    int result = bind_part(r, s, host_path(r, d), target, err);
    fd_batch_add(&r->batch, target);
    return result;
}

static int mount_part(struct rootfs *r, const struct mount_step *s, int tmpfs, const struct cgroup_dir *d,
                      struct error *err)
{
    int result = 1;

    if (r->options.new_cgroup_namespace)
        result = mount_part_by_name(r, s, tmpfs, d, err);
    if (result == 1)
        result = bind_part_at(r, s, tmpfs, d, err);
    return result < 0 ? -1 : link_names(tmpfs, directory_of(d), err);
}

static int mount_v1(struct rootfs *r, const struct mount_step *s, int tmpfs, struct error *err)
{
    const struct cgroup_dir *dirs;
    size_t n;

    if (hierarchies(r, &dirs, &n, err) < 0)
        return -1;
    if (fchdir(tmpfs) < 0)
        return error_set(err, errno, "enter the tmpfs of the cgroup hierarchies");
    for (size_t i = 0; i < n; i++)
        if (mount_part(r, s, tmpfs, &dirs[i], err) < 0)
            return -1;
    return 0;
}

/* The tmpfs that holds the hierarchies; read-only once they are in it. */
static int mount_tree(struct rootfs *r, const struct mount_step *s, int target, bool empty, struct error *err)
{
    const char *data = r->context ? arena_printf(r->arena, "mode=755,%s", r->context) : "mode=755";

    if (mount_fs_at(r, target, "tmpfs", "tmpfs", TMPFS_FLAGS, data) < 0)
        return error_set(err, errno, "mount a tmpfs for the cgroup hierarchies");
    _cleanup_(fd_closep) int tmpfs = target_reopen(r, s, O_PATH | O_DIRECTORY);
    if (tmpfs < 0)
        return error_set(err, errno, "open the tmpfs for the cgroup hierarchies");
    if (!empty && mount_v1(r, s, tmpfs, err) < 0)
        return -1;
    if ((empty || s->o.set & MS_RDONLY) && mount_raise_flags(tmpfs, MS_RDONLY) < 0)
        return error_set(err, errno, "make the tmpfs of the cgroup hierarchies read-only");
    for (size_t i = 0; i < s->o.n_propagation && !propagation_is_default(r, s); i++)
        if (mount_propagation(tmpfs, s->o.propagation[i]) < 0)
            return error_set(err, errno, "set mount propagation");
    return 0;
}

int cgroup_mount(struct rootfs *r, const struct mount_step *s, struct error *err)
{
    struct statfs fs = {0};
    _cleanup_(fd_closep) int target = -1;

    if (target_open(r, s, TARGET_DIR, -1, &target, NULL, err) < 0)
        return -1;
    if (statfs(CGROUP_ROOT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
        return mount_v2(r, s, target, err);
    bool empty = fs.f_type != TMPFS_MAGIC;
    if (empty)
        log_warning("mounts[%zu] (%s): no cgroup hierarchy is mounted at " CGROUP_ROOT
                    "; the container gets an empty directory",
                    s->index, s->spec->destination);
    return mount_tree(r, s, target, empty, err);
}
