/*
 * rootfs_plan(): linux and mounts of the specification -> an ordered, checked list of steps. Nothing of the
 * host is touched; what can be refused without looking at the root is refused here, by names of config.json.
 *
 * /proc is special (runc's rule, CVE-2019-16884 and -19921): the confinement of the container is written
 * through it and read from it, so only procfs itself goes onto /proc, and inside it only files that lie about
 * numbers (lxcfs). target.c holds the same for destinations that lead there by symlinks.
 */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/buffer.h"
#include "base/path.h"
#include "namespaces/rootfs_private.h"

static const char *const proc_allowed[] = {
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
};

/* runc's default devices (config-linux.md "Default Devices"): present whether listed or not. */
static const struct {
    const char *path;
    unsigned major, minor;
} default_devices[] = {
    {"/dev/null", 1, 3}, {"/dev/zero", 1, 5},   {"/dev/full", 1, 7},
    {"/dev/tty", 5, 0},  {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9},
};

/* Lexical: "a//b/./c/../d" -> "/a/b/d"; ".." at the root stays there, as in a chroot. */
char *path_clean(struct arena *a, const char *path)
{
    char *out = arena_alloc(a, strlen(path) + 2), *end = out;

    while (*path) {
        size_t n = strcspn(path, "/");
        if (n == 2 && path[0] == '.' && path[1] == '.') {
            while (end > out && *--end != '/')
                ;
        } else if (n > 0 && !(n == 1 && path[0] == '.')) {
            *end++ = '/';
            memcpy(end, path, n);
            end += n;
        }
        path += n + (path[n] == '/');
    }
    if (end == out)
        *end++ = '/';
    *end = '\0';
    return out;
}

int step_error(const struct mount_step *s, struct error *err)
{
    if (s->spec->name)
        return error_wrap(err, "%s", s->spec->name);
    return error_wrap(err, "mounts[%zu] (%s)", s->index, s->spec->destination);
}

static bool same(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static int check_proc(const struct mount_step *s, struct error *err)
{
    if (strncmp(s->dest, "/proc", 5) != 0 || (s->dest[5] != '\0' && s->dest[5] != '/'))
        return 0;
    if (s->dest[5] == '\0') {
        /* a bind must be of a procfs: known when its source is open, see mounts.c */
        if (s->kind != STEP_BIND && !same(s->type, "proc"))
            return error_set(
                err, 0, "%s cannot be mounted on /proc: only a mount of type proc, or a bind of one, can",
                s->type ? s->type : "this");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(proc_allowed); i++)
        if (strcmp(s->dest, proc_allowed[i]) == 0)
            return 0;
    return error_set(err, 0, "%s cannot be mounted because it is inside /proc", s->dest);
}

static enum step_kind kind_of(const struct mount_step *s)
{
    if (s->o.set & MS_REMOUNT)
        return STEP_REMOUNT;
    if (s->o.set & MS_BIND)
        return STEP_BIND;
    return same(s->type, "cgroup") || same(s->type, "cgroup2") ? STEP_CGROUP : STEP_FS;
}

static bool idmap_wanted(const struct mount_step *s)
{
    return s->spec->uid_mappings.n || s->spec->gid_mappings.n ||
           s->o.extensions & (MOUNT_EXT_IDMAP | MOUNT_EXT_RIDMAP);
}

static int check_step(const struct rootfs *r, const struct mount_step *s, struct error *err)
{
    if (strcmp(s->dest, "/") == 0 &&
        (s->kind == STEP_CGROUP || same(s->type, "proc") || same(s->type, "sysfs")))
        return error_set(err, 0, "destination: %s cannot be the container's root", s->type);
    if (!s->type && s->kind == STEP_FS)
        return error_set(err, 0, "type: missing, and neither bind nor rbind is among the options");
    if (s->kind == STEP_BIND && !(s->spec->source && s->spec->source[0]))
        return error_set(err, 0, "source: a bind mount needs one");
    if (!idmap_wanted(s))
        return check_proc(s, err);
    if (s->kind != STEP_BIND)
        return error_set(err, 0, "uidMappings, gidMappings and idmap are for bind mounts only");
    if (!s->spec->uid_mappings.n != !s->spec->gid_mappings.n)
        return error_set(err, 0, "uidMappings and gidMappings: give both or none");
    if (!s->spec->uid_mappings.n && !r->options.user_namespace)
        return error_set(
            err, 0,
            "idmap without uidMappings and gidMappings takes the user namespace's, and there is none");
    return check_proc(s, err);
}

static int plan_step(struct rootfs *r, size_t i, struct error *err)
{
    struct mount_step *s = &r->steps[i];
    const struct spec_mount *m = &r->spec->mounts[i];

    *s = (struct mount_step){
        .spec = m, .index = i, .type = m->type, .source = m->source, .tree = -1, .seal = -1};
    s->dest = path_clean(r->arena, m->destination);
    if (mount_options_parse(r->arena, &m->options, &s->o, err) < 0)
        return -1;
    if (same(m->type, "bind") || same(m->type, "rbind"))
        s->o.set |= MS_BIND | (m->type[0] == 'r' ? MS_REC : 0);
    s->kind = kind_of(s);
    if (check_step(r, s, err) < 0)
        return -1;
    if (s->kind == STEP_BIND && m->source[0] != '/')
        s->source = arena_printf(r->arena, "%s/%s", r->options.bundle, m->source);
    if (s->kind == STEP_FS || s->kind == STEP_CGROUP) { /* a new file system is one mount */
        s->o.set = (s->o.set | (s->o.rset & ~s->o.clear)) & ~(unsigned long)MS_REC;
        s->o.rset = s->o.rclear = 0;
    }
    if (s->kind == STEP_BIND && strcmp(s->dest, "/dev") == 0)
        r->setup_dev = false;
    for (size_t p = 0; p < s->o.n_propagation; p++)
        r->shared |= s->o.propagation[p] & MS_SHARED;
    return 0;
}

static mode_t type_bits(char type)
{
    return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

static bool device_listed(const struct rootfs *r, const char *path)
{
    for (size_t i = 0; i < r->n_devices; i++)
        if (strcmp(r->devices[i].path, path) == 0)
            return true;
    return false;
}

static int plan_devices(struct rootfs *r, struct error *err)
{
    const struct spec_linux *l = &r->spec->linux_;

    r->devices = arena_new_n(r->arena, l->n_devices + ARRAY_SIZE(default_devices), struct device_step);
    for (size_t i = 0; i < l->n_devices; i++) {
        const struct spec_device *d = &l->devices[i];
        struct device_step *step = &r->devices[r->n_devices];
        *step = (struct device_step){
            .path = path_clean(r->arena, d->path),
            .mode = type_bits(d->type) | (d->has_file_mode ? d->file_mode & 07777 : 0666),
            .number = d->type == 'p' ? 0 : makedev((unsigned)d->major, (unsigned)d->minor),
            .uid = d->has_uid ? d->uid : 0,
            .gid = d->has_gid ? d->gid : 0,
        };
        if (strcmp(step->path, "/") == 0 || strcmp(step->path, "/dev") == 0)
            return error_set(err, 0, "linux.devices[%zu].path: %s is a directory", i, d->path);
        r->n_devices++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++)
        if (!device_listed(r, default_devices[i].path))
            r->devices[r->n_devices++] = (struct device_step){
                .path = default_devices[i].path,
                .mode = S_IFCHR | 0666,
                .number = makedev(default_devices[i].major, default_devices[i].minor),
            };
    return 0;
}

/* Everything but chroot needs a mount namespace of our own: the host's may not be changed, a joined one is
 * somebody else's. */
static int check_without_mount_namespace(const struct spec *spec, struct error *err)
{
    const char *what = spec->n_mounts                    ? "mounts"
                       : spec->linux_.masked_paths.n     ? "linux.maskedPaths"
                       : spec->linux_.readonly_paths.n   ? "linux.readonlyPaths"
                       : spec->root_readonly             ? "root.readonly"
                       : spec->linux_.rootfs_propagation ? "linux.rootfsPropagation"
                                                         : NULL;
    if (!what)
        return 0;
    return error_set(err, 0, "%s: needs a new mount namespace; add {\"type\": \"mount\"} to linux.namespaces",
                     what);
}

static int plan_propagation(struct rootfs *r, struct error *err)
{
    const char *name = r->spec->linux_.rootfs_propagation;

    if (!name || !name[0])
        return 0;
    r->propagation = mount_propagation_from_name(name);
    r->shared = r->propagation & MS_SHARED || !(r->propagation & MS_REC); /* "slave" changes / alone */
    return r->propagation
               ? 0
               : error_set(err, 0,
                           "linux.rootfsPropagation: unknown value \"%s\"; known are shared, slave, "
                           "private, unbindable and the same with an r in front",
                           name);
}

static void plan_label(struct rootfs *r)
{
    const char *label = r->spec->linux_.mount_label;

    if (!label || !label[0])
        return;
    r->label = label;
    r->context = arena_printf(r->arena, "context=\"%s\"", label);
}

int rootfs_plan(struct arena *a, const struct spec *spec, const struct rootfs_options *options,
                struct rootfs **out, struct error *err)
{
    struct rootfs *r = arena_new(a, struct rootfs);

    *r = (struct rootfs){.arena = a,
                         .spec = spec,
                         .options = *options,
                         .setup_dev = options->new_mount_namespace && !options->bare,
                         .root = -1,
                         .fds_dir = -1,
                         .null = -1};
    if (!spec->root_path || !spec->root_path[0])
        return error_set(err, 0, "root.path: missing");
    r->path = spec->root_path[0] == '/' ? spec->root_path
                                        : arena_printf(a, "%s/%s", options->bundle, spec->root_path);
    if (!options->new_mount_namespace && check_without_mount_namespace(spec, err) < 0)
        return -1;
    if (plan_propagation(r, err) < 0)
        return -1;
    plan_label(r);

    r->n_steps = spec->n_mounts;
    r->steps = arena_new_n(a, spec->n_mounts, struct mount_step);
    for (size_t i = 0; i < r->n_steps; i++)
        if (plan_step(r, i, err) < 0)
            return step_error(&r->steps[i], err);
    if (plan_devices(r, err) < 0)
        return -1;
    *out = r;
    return 0;
}

int rootfs_root_fd(const struct rootfs *r)
{
    return r->root;
}

const char *rootfs_path(const struct rootfs *r)
{
    return r->path;
}
