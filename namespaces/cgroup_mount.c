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
 * parts, whichever way they came (CVE-2023-25809). What the host has is read from /proc/self/cgroup; a
 * hierarchy that is mounted nowhere is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/file.h"
#include "base/log.h"
#include "base/procfs.h"
#include "namespaces/rootfs_private.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define TMPFS_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

enum { CGROUP_FILE_MAX = 1 << 20 };

/* One line of /proc/self/cgroup. */
struct hierarchy {
    const char *directory; /* below /sys/fs/cgroup: "cpu,cpuacct", "systemd", "unified" */
    const char *options;   /* mount data: "cpu,cpuacct", "none,name=systemd"; NULL for v2 */
    const char *path;      /* our cgroup in it */
};

static const char *own_path(const struct rootfs *r, const char *path)
{
    return r->options.cgroup_path ? r->options.cgroup_path : path;
}

/* "4:cpu,cpuacct:/a/b" or "1:name=systemd:/" or "0::/". False for a line that is none. */
static bool parse_line(struct rootfs *r, char *line, struct hierarchy *h)
{
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

    if (!path)
        return false;
    *path++ = '\0';
    controllers++;
    h->path = own_path(r, path);
    if (!*controllers) {
        h->directory = "unified";
        h->options = NULL;
    } else if (strncmp(controllers, "name=", 5) == 0) {
        h->directory = controllers + 5;
        h->options = arena_printf(r->arena, "none,%s", controllers);
    } else
        h->directory = h->options = controllers;
    return *h->directory && !strchr(h->directory, '/');
}

/* Where the host has that cgroup. Nested, what is mounted may begin at our cgroup or below an ancestor of it,
 * while /proc/self/cgroup counts from the host's root: all that is mounted is ours then. */
static const char *host_path(struct rootfs *r, const char *directory, const char *path)
{
    const char *mount = arena_printf(r->arena, CGROUP_ROOT "%s%s", *directory ? "/" : "", directory);
    const char *own = arena_printf(r->arena, "%s%s%s", mount, path[0] == '/' ? "" : "/", path);

    return r->options.cgroup_path || access(own, F_OK) == 0 || errno != ENOENT ? own : mount;
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

static int read_own(struct rootfs *r, char **text, struct error *err)
{
    if (file_read(procfs_fd(), "self/cgroup", CGROUP_FILE_MAX, r->arena, text, NULL, err) < 0)
        return error_wrap(err, "read /proc/self/cgroup");
    return 0;
}

/* The bind's source is needed even with a namespace, where the mount may be refused; but it costs a read only
 * then. */
static int mount_v2(struct rootfs *r, const struct mount_step *s, int target, struct error *err)
{
    struct hierarchy h = {.path = "/"};
    char *text = NULL, *line, *save = NULL;

    if (r->options.new_cgroup_namespace &&
        mount_fs_at(r, target, "cgroup", "cgroup2", s->o.set, s->o.data) == 0)
        return 0;
    if (r->options.new_cgroup_namespace && !refused())
        return error_set(err, errno, "mount cgroup2");
    if (!r->options.cgroup_path) {
        if (read_own(r, &text, err) < 0)
            return -1;
        for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            if (parse_line(r, line, &h) && !h.options)
                break;
    } else
        h.path = r->options.cgroup_path;
    return bind_part(r, s, host_path(r, "", h.path), target, err);
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
static int mount_part_by_name(const struct mount_step *s, int tmpfs, const struct hierarchy *h,
                              struct error *err)
{
    if (mkdirat(tmpfs, h->directory, 0755) < 0 && errno != EEXIST)
        return error_set(err, errno, "make %s", h->directory);
    if (mount("cgroup", h->directory, h->options ? "cgroup" : "cgroup2", s->o.set, h->options) == 0)
        return 0;
    return refused() ? 1 : error_set(err, errno, "mount cgroup %s", h->directory);
}

static int bind_part_at(struct rootfs *r, const struct mount_step *s, int tmpfs, const struct hierarchy *h,
                        struct error *err)
{
    int target = part_target(tmpfs, h->directory, err);

    if (target < 0)
        return -1;
    int result = bind_part(r, s, host_path(r, h->directory, h->path), target, err);
    fd_batch_add(&r->batch, target);
    return result;
}

static int mount_part(struct rootfs *r, const struct mount_step *s, int tmpfs, const struct hierarchy *h,
                      struct error *err)
{
    int result = 1;

    /* v2 is listed wherever the kernel has it; of v1's only those that are in use */
    if ((!h->options || !r->options.new_cgroup_namespace) && access(host_path(r, h->directory, ""), F_OK) < 0)
        return 0; /* not mounted on this host */
    if (r->options.new_cgroup_namespace)
        result = mount_part_by_name(s, tmpfs, h, err);
    if (result == 1)
        result = bind_part_at(r, s, tmpfs, h, err);
    return result < 0 ? -1 : link_names(tmpfs, h->directory, err);
}

static int mount_v1(struct rootfs *r, const struct mount_step *s, int tmpfs, struct error *err)
{
    char *text, *line, *save = NULL;
    struct hierarchy h;

    if (read_own(r, &text, err) < 0)
        return -1;
    if (fchdir(tmpfs) < 0)
        return error_set(err, errno, "enter the tmpfs of the cgroup hierarchies");
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (parse_line(r, line, &h) && mount_part(r, s, tmpfs, &h, err) < 0)
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
