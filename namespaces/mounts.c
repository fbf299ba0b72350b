/*
 * Carrying out the mount steps, in the order of config.json.
 *
 * A new file system costs three calls: open the target, fchdir to it, mount(2) on "." (the name cannot be
 * changed under our hands, because there is none). A bind is a detached copy with its flags already on it,
 * moved onto the target's descriptor.
 *
 * The parent makes the copies that init could not: idmapped ones (they need rights over the source's file
 * system), and, for a container with a user namespace, all of them, because its root may not pass a 0700
 * directory of the host's. Detached copies pass to init with the descriptor table; ordinary descriptors would
 * not do, for they belong to the parent's mount namespace.
 *
 * A read-only tmpfs is sealed at the very end: mount targets and /dev are still made in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "base/path.h"
#include "base/procfs.h"
#include "namespaces/namespaces.h"
#include "namespaces/rootfs_private.h"

enum { PARENT_TREES_MAX = 512 }; /* plain copies the parent holds open at once; init opens the rest by path */

static unsigned clone_flags(const struct mount_step *s)
{
    return (s->o.set & MS_REC ? AT_RECURSIVE : 0) |
           (s->o.extensions & (MOUNT_EXT_SRC_NOFOLLOW | MOUNT_EXT_COPY_SYMLINK) ? AT_SYMLINK_NOFOLLOW : 0);
}

static int source_error(const struct mount_step *s, struct error *err)
{
    if (errno == EINVAL)
        return error_set(err, errno, "bind source %s (unbindable, or mounts below it are locked: try rbind)",
                         s->source);
    return error_set(err, errno, "bind source %s", s->source);
}

static bool idmapped(const struct mount_step *s)
{
    return s->spec->uid_mappings.n || s->o.extensions & (MOUNT_EXT_IDMAP | MOUNT_EXT_RIDMAP);
}

/* The namespace whose maps an idmapped mount takes. */
static int idmap_userns(struct rootfs *r, const struct mount_step *s, int *fd, struct error *err)
{
    const struct spec_linux *l = &r->spec->linux_;

    if (s->spec->uid_mappings.n)
        return idmap_make_userns(&s->spec->uid_mappings, &s->spec->gid_mappings, fd, err);
    if (l->namespaces[NS_USER].path) {
        *fd = open(l->namespaces[NS_USER].path, O_RDONLY | O_CLOEXEC);
        return *fd < 0 ? error_set(err, errno, "open %s", l->namespaces[NS_USER].path) : 0;
    }
    return idmap_make_userns(&l->uid_mappings, &l->gid_mappings, fd, err);
}

static int idmap_tree(struct rootfs *r, const struct mount_step *s, int tree, struct error *err)
{
    _cleanup_(fd_closep) int userns = -1;

    if (idmap_userns(r, s, &userns, err) < 0)
        return -1;
    if (mount_idmap(tree, userns, s->o.extensions & MOUNT_EXT_RIDMAP) == 0)
        return 0;
    const char *why = errno == EINVAL
                          ? " (the file system does not support it on this kernel, or it is idmapped already)"
                      : errno == ENOSYS ? " (needs Linux 5.12)"
                      : errno == EPERM  ? " (needs root on the host)"
                                        : "";
    return error_set(err, errno, "map the ids of %s%s", s->source, why);
}

/* A copy made here belongs to the host's peer groups: what init would get by copying the namespace, it gets
 * explicitly. */
static void cut_propagation(const struct rootfs *r, struct mount_options *o)
{
    if (!r->options.user_namespace && r->propagation & MS_SHARED)
        return;
    if (o->n_propagation && o->propagation[0] & (MS_PRIVATE | MS_SLAVE))
        return;
    memmove(o->propagation + 1, o->propagation, o->n_propagation * sizeof(o->propagation[0]));
    o->propagation[0] = MS_SLAVE | MS_REC;
    o->n_propagation++;
}

int mounts_open(struct rootfs *r, struct error *err)
{
    size_t plain = 0;

    for (size_t i = 0; i < r->n_steps; i++) {
        struct mount_step *s = &r->steps[i];
        bool must = idmapped(s);
        if (s->kind != STEP_BIND || s->tree >= 0 || s->o.extensions & MOUNT_EXT_COPY_SYMLINK ||
            (!must && (!r->options.user_namespace || !r->root_is_tree || plain >= PARENT_TREES_MAX)))
            continue;
        s->tree = tree_clone(AT_FDCWD, s->source, clone_flags(s));
        if (s->tree < 0 && !must && (tree_call_missing() || errno == EMFILE))
            continue; /* init tries its own way */
        if (s->tree < 0 && must && errno == EPERM) {
            error_set(err, errno, "map the ids of %s (needs root on the host)", s->source);
            return step_error(s, err);
        }
        if (s->tree < 0)
            return source_error(s, err), step_error(s, err);
        plain += !must;
        cut_propagation(r, &s->o);
        if (must && idmap_tree(r, s, s->tree, err) < 0)
            return step_error(s, err);
    }
    return 0;
}

int mount_fs_at(struct rootfs *r, int target, const char *source, const char *type, unsigned long flags,
                const char *data)
{
    r->cwd_is_fds = false;
    if (fchdir(target) < 0)
        return -1;
    return mount(source ? source : type, ".", type, flags, data);
}

static int check_bind_on_proc(const struct mount_step *s, int tree, struct error *err)
{
    struct statfs fs;

    if (strcmp(s->dest, "/proc") != 0)
        return 0;
    if (fstatfs(tree, &fs) < 0)
        return error_set(err, errno, "bind source %s", s->source);
    if (fs.f_type != PROC_SUPER_MAGIC)
        return error_set(err, 0, "%s cannot be mounted on /proc because it is not of type proc", s->source);
    return 0;
}

/* The bind without open_tree(2): mount(2) onto the target's descriptor, then find what was mounted there. */
static int bind_without_trees(struct rootfs *r, const struct mount_step *s, struct error *err)
{
    struct stat from, now;

    _cleanup_(fd_closep) int source = open(s->source, O_PATH | O_CLOEXEC);
    if (source < 0 || fstat(source, &from) < 0)
        return error_set(err, errno, "bind source %s", s->source);
    _cleanup_(fd_closep) int target = -1;
    if (check_bind_on_proc(s, source, err) < 0 ||
        target_open(r, s, TARGET_LIKE, source, &target, NULL, err) < 0)
        return -1;
    if (mount_on_fd(s->source, target, NULL, MS_BIND | (s->o.set & MS_REC), NULL) < 0)
        return source_error(s, err);
    _cleanup_(fd_closep) int mounted = target_reopen(r, s, O_PATH);
    if (mounted < 0 || fstat(mounted, &now) < 0)
        return error_set(err, errno, "open what was mounted");
    if (now.st_dev != from.st_dev || now.st_ino != from.st_ino)
        return error_set(err, 0, "the target changed while it was being mounted");
    return mount_apply_attached(mounted, &s->o, err);
}

/* What the kernel answers EINVAL or ENOTDIR to, depending on its version. */
static bool kinds_differ(int tree, int target)
{
    struct stat a, b;

    return fstat(tree, &a) == 0 && fstat(target, &b) == 0 && S_ISDIR(a.st_mode) != S_ISDIR(b.st_mode);
}

static int attach_with_options(int tree, int target, const struct mount_options *o, struct error *err)
{
    int late = mount_apply_detached(tree, o, err);

    if (late < 0)
        return -1;
    if (tree_attach(tree, target) < 0) {
        int code = errno;
        return error_set(
            err, code, "attach to the target%s",
            kinds_differ(tree, target)
                ? " (are you trying to mount a directory onto a file, or a file onto a directory?)"
                : "");
    }
    return late ? mount_apply_attached(tree, o, err) : 0;
}

/* bind_at() without open_tree(2), for directories. What was mounted covers @target, and is found from its
 * parent. */
static int bind_at_by_mount(const char *source, int target, const struct mount_options *o, struct error *err)
{
    char link[32], path[PATH_MAX];
    struct stat from, now;

    _cleanup_(fd_closep) int parent = openat(target, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(link, sizeof(link), "self/fd/%d", target);
    ssize_t n = readlinkat(procfs_fd(), link, path, sizeof(path) - 1);
    if (parent < 0 || n <= 0)
        return error_set(err, errno, "find the name of the target");
    path[n] = '\0';
    if (stat(source, &from) < 0 || mount_on_fd(source, target, NULL, MS_BIND | (o->set & MS_REC), NULL) < 0)
        return error_set(err, errno, "bind source %s", source);
    _cleanup_(fd_closep) int mounted =
        openat(parent, strrchr(path, '/') + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (mounted < 0 || fstat(mounted, &now) < 0)
        return error_set(err, errno, "open what was mounted");
    if (now.st_dev != from.st_dev || now.st_ino != from.st_ino)
        return error_set(err, 0, "the target changed while it was being mounted");
    return mount_apply_attached(mounted, o, err);
}

int bind_at(struct rootfs *r, int dirfd, const char *source, unsigned at_flags, int target,
            const struct mount_options *o, struct error *err)
{
    int tree = tree_clone(dirfd, source, at_flags);

    if (tree < 0 && dirfd == AT_FDCWD && tree_call_missing())
        return bind_at_by_mount(source, target, o, err);
    if (tree < 0)
        return error_set(err, errno, "bind source %s", source);
    int result = attach_with_options(tree, target, o, err);
    fd_batch_add(&r->batch, tree);
    return result;
}

/* crun's copy-symlink: a source that is a link is made again instead of being mounted. 1 when that was done.
 */
static int copy_symlink(struct rootfs *r, const struct mount_step *s, struct error *err)
{
    char target[PATH_MAX], old[PATH_MAX];
    const char *name;
    _cleanup_(fd_closep) int parent = -1;

    if (!(s->o.extensions & MOUNT_EXT_COPY_SYMLINK))
        return 0;
    ssize_t n = readlink(s->source, target, sizeof(target) - 1);
    if (n < 0)
        return errno == EINVAL ? 0 : source_error(s, err);
    target[n] = '\0';
    if (path_open_parent(r->root, s->dest, 0755, &parent, &name, err) < 0)
        return -1;
    if (symlinkat(target, parent, name) == 0)
        return 1;
    int code = errno;
    if (code == EEXIST && readlinkat(parent, name, old, sizeof(old)) == n &&
        memcmp(old, target, (size_t)n) == 0)
        return 1;
    return error_set(err, code, "copy the symbolic link %s", s->source);
}

static bool covers_root(const struct mount_step *s)
{
    return strcmp(s->dest, "/") == 0;
}

/* What was mounted over the root is the root from now on, and private like every root (see pivot.c). */
static int replace_root(struct rootfs *r, int fd, struct error *err)
{
    if (fd < 0)
        return error_set(err, errno, "open what was mounted");
    fd_batch_add(&r->batch, r->root);
    r->root = fd;
    if (mount_propagation(fd, MS_PRIVATE) < 0)
        return error_set(err, errno, "make the new root private");
    return 0;
}

/* By the root's path on the host, or from "/", where attach_root_tree() puts it when that path is closed to
 * us; "/.." leads to what lies on top there. */
static int reopen_root(const struct rootfs *r)
{
    int fd = open(r->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 && errno == EACCES ? open("/..", O_PATH | O_DIRECTORY | O_CLOEXEC) : fd;
}

/* Something is to be mounted inside: its mount point may have to be made there first (podman's --read-only --secret). Of a
 * tree that is shared with a virtual machine it is the sandbox that makes them. */
static bool is_written_yet(const struct rootfs *r, const struct mount_step *s)
{
    size_t n = strlen(s->dest);

    for (const struct mount_step *later = s + 1; later < r->steps + r->n_steps; later++)
        if (strncmp(later->dest, s->dest, n) == 0 && later->dest[n] == '/')
            return true;
    return r->options.bare;
}

static int do_bind(struct rootfs *r, struct mount_step *s, struct error *err)
{
    struct mount_options now = s->o;
    int target, copied = copy_symlink(r, s, err);

    if (copied)
        return copied < 0 ? -1 : 0;
    if (s->tree < 0)
        s->tree = tree_clone(AT_FDCWD, s->source, clone_flags(s));
    else if (!idmapped(s) && trees_given_up()) /* hull's copy, which cannot be attached */
        close(steal_fd(&s->tree));
    if (s->tree < 0 && (trees_given_up() || tree_call_missing()))
        return bind_without_trees(r, s, err);
    if (s->tree < 0)
        return source_error(s, err);
    if (check_bind_on_proc(s, s->tree, err) < 0 ||
        target_open(r, s, TARGET_LIKE, s->tree, &target, NULL, err) < 0)
        return -1;
    bool seal = s->o.set & MS_RDONLY && !covers_root(s) && is_written_yet(r, s);
    if (seal)
        now.set &= ~(unsigned long)MS_RDONLY;
    int result = attach_with_options(s->tree, target, &now, err);
    if (result == 0 && covers_root(s))
        result = replace_root(r, s->tree, err);
    else if (result == 0 && seal)
        s->seal = s->tree;
    else
        fd_batch_add(&r->batch, s->tree);
    fd_batch_add(&r->batch, target);
    s->tree = -1;
    return result;
}

static int do_remount(struct rootfs *r, struct mount_step *s, struct error *err)
{
    _cleanup_(fd_closep) int fd = target_reopen(r, s, O_PATH);

    if (fd < 0)
        return error_set(err, errno, "open the target to remount");
    if (s->o.set & MS_BIND) {
        int late = mount_apply_detached(fd, &s->o, err); /* the call does not mind that it is attached */
        return late > 0 ? mount_apply_attached(fd, &s->o, err) : late;
    }
    if (mount_fs_at(r, fd, s->source, s->type ? s->type : "none", s->o.set, s->o.data) < 0)
        return error_set(err, errno, "remount");
    return 0;
}

static bool is_type(const struct mount_step *s, const char *type)
{
    return strcmp(s->type, type) == 0;
}

static const char *join_data(struct rootfs *r, const char *data, const char *more)
{
    if (!data || !more)
        return data ? data : more;
    return arena_printf(r->arena, "%s,%s", data, more);
}

/* What mount(2) is given as data: the SELinux label where the file system knows one, the mode a tmpfs takes
 * over. */
static const char *fs_data(struct rootfs *r, const struct mount_step *s, int target, bool created)
{
    const char *data = s->o.data;
    struct stat st;

    if (is_type(s, "proc") || is_type(s, "sysfs") || is_type(s, "mqueue"))
        return data;
    if (is_type(s, "tmpfs") && !created && !(data && strstr(data, "mode=")) && fstat(target, &st) == 0)
        data = join_data(r, data, arena_printf(r->arena, "mode=%04o", st.st_mode & 07777));
    return join_data(r, data, r->context);
}

/* Show the host's own file system where a new one may not be made. */
static int bind_host(struct rootfs *r, const char *path, int target, unsigned long rset, struct error *err)
{
    struct mount_options o = {.set = MS_BIND | MS_REC, .rset = rset};

    return bind_at(r, AT_FDCWD, path, AT_RECURSIVE, target, &o, err);
}

static int proc_fallback(struct rootfs *r, const struct mount_step *s, int target, struct error *err)
{
    if (r->spec->linux_.namespaces[NS_PID].present)
        return error_set(err, EPERM,
                         "mount proc: the /proc around us is partly masked, so the kernel allows no new one; "
                         "unmask it for the "
                         "outer container (podman: --security-opt unmask=ALL, docker: --security-opt "
                         "systempaths=unconfined), "
                         "or leave the pid namespace out");
    if (bind_host(r, "/proc", target, 0, err) < 0)
        return -1;
    log_warning("mounts[%zu] (%s): a new proc may not be mounted here; the outer /proc is shown instead, and "
                "what it shows of "
                "other processes",
                s->index, s->spec->destination);
    return 0;
}

static int sysfs_fallback(struct rootfs *r, const struct mount_step *s, int target, struct error *err)
{
    if (bind_host(r, "/sys", target, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, err) < 0)
        return -1;
    log_warning("mounts[%zu] (%s): a new sysfs may not be mounted here; the outer /sys is shown read-only "
                "instead, with the "
                "outer network's devices",
                s->index, s->spec->destination);
    return 0;
}

static int mqueue_fallback(struct rootfs *r, const struct mount_step *s, int target, struct error *err)
{
    if (r->spec->linux_.namespaces[NS_IPC].present)
        return error_set(err, EPERM, "mount mqueue");
    if (bind_host(r, "/dev/mqueue", target, MS_NOSUID | MS_NODEV | MS_NOEXEC, err) < 0)
        return error_wrap(
            err,
            "a new mqueue needs an ipc namespace of the container's own, and the outer one cannot be shown");
    log_warning(
        "mounts[%zu] (%s): a new mqueue may not be mounted here; the outer /dev/mqueue is shown instead",
        s->index, s->spec->destination);
    return 0;
}

/* devpts in a user namespace whose maps lack the tty group: terminals get the opener's group instead. */
static int devpts_fallback(struct rootfs *r, const struct mount_step *s, int target, struct error *err)
{
    char *data = arena_strdup(r->arena, s->o.data ? s->o.data : ""), *gid = strstr(data, "gid=");

    if (!r->options.user_namespace || !gid)
        return error_set(err, EINVAL, "mount devpts");
    char *rest = gid + strcspn(gid, ",");
    memmove(gid, rest + (*rest == ','), strlen(rest + (*rest == ',')) + 1);
    if (mount_fs_at(r, target, s->source, s->type, s->o.set, join_data(r, data, r->context)) < 0)
        return error_set(err, errno, "mount devpts");
    log_warning("mounts[%zu] (%s): the group of gid= is not mapped in the user namespace and was left out",
                s->index, s->spec->destination);
    return 0;
}

static const struct {
    const char *type;
    int code;
    int (*call)(struct rootfs *, const struct mount_step *, int, struct error *);
} fallbacks[] = {
    {"proc", EPERM, proc_fallback},
    {"sysfs", EPERM, sysfs_fallback},
    {"mqueue", EPERM, mqueue_fallback},
    {"devpts", EINVAL, devpts_fallback},
};

static int fs_failed(struct rootfs *r, const struct mount_step *s, int target, const char *data,
                     struct error *err)
{
    int code = errno;

    for (size_t i = 0; i < ARRAY_SIZE(fallbacks); i++)
        if (code == fallbacks[i].code && is_type(s, fallbacks[i].type))
            return fallbacks[i].call(r, s, target, err);
    if (code == ENODEV)
        return error_set(err, 0, "this kernel knows no file system of type %s", s->type);
    if (code == EINVAL && data)
        return error_set(err, code, "mount %s with \"%s\"", s->type, data);
    return error_set(err, code, "mount %s", s->type);
}

/* A new mount in a tree where nothing is shared is private already. */
bool propagation_is_default(const struct rootfs *r, const struct mount_step *s)
{
    return s->o.n_propagation == 0 ||
           (s->o.n_propagation == 1 && s->o.propagation[0] & MS_PRIVATE && !r->shared);
}

/* What needs the new mount's own descriptor: most mounts do not. */
static int finish_fs(struct rootfs *r, struct mount_step *s, int target, bool seal, struct error *err)
{
    bool label = r->label && is_type(s, "mqueue"),
         copy = s->o.extensions & MOUNT_EXT_TMPCOPYUP && is_type(s, "tmpfs");

    if (!seal && !label && !copy && propagation_is_default(r, s))
        return 0;
    _cleanup_(fd_closep) int fd = target_reopen(r, s, copy || label ? O_RDONLY | O_DIRECTORY : O_PATH);
    if (fd < 0)
        return error_set(err, errno, "open what was mounted");
    if (copy && tmpcopyup(target, fd, s->o.data, err) < 0)
        return -1;
    if (label && fsetxattr(fd, "security.selinux", r->label, strlen(r->label) + 1, 0) < 0)
        return error_set(err, errno, "label with %s", r->label);
    for (size_t i = 0; i < s->o.n_propagation && !propagation_is_default(r, s); i++)
        if (mount_propagation(fd, s->o.propagation[i]) < 0)
            return error_set(err, errno, "set mount propagation");
    if (seal)
        s->seal = steal_fd(&fd);
    return 0;
}

static int do_fs(struct rootfs *r, struct mount_step *s, struct error *err)
{
    bool strict = is_type(s, "proc") || is_type(s, "sysfs"), created;
    bool seal = s->o.set & MS_RDONLY && (is_type(s, "tmpfs") || strcmp(s->dest, "/dev") == 0);
    int target;

    if (target_open(r, s, strict ? TARGET_STRICT : TARGET_DIR, -1, &target, &created, err) < 0)
        return -1;
    const char *data = fs_data(r, s, target, created);
    unsigned long flags = seal ? s->o.set & ~(unsigned long)MS_RDONLY : s->o.set;
    int result = mount_fs_at(r, target, s->source, s->type, flags, data);
    if (result < 0)
        result = fs_failed(r, s, target, data, err);
    if (result == 0 && covers_root(s))
        result = replace_root(r, reopen_root(r), err);
    if (result == 0)
        result = finish_fs(r, s, target, seal, err);
    fd_batch_add(&r->batch, target);
    return result;
}

int mounts_carry_out(struct rootfs *r, struct error *err)
{
    for (size_t i = 0; i < r->n_steps; i++) {
        struct mount_step *s = &r->steps[i];
        int result = s->kind == STEP_BIND      ? do_bind(r, s, err)
                     : s->kind == STEP_REMOUNT ? do_remount(r, s, err)
                     : s->kind == STEP_CGROUP  ? cgroup_mount(r, s, err)
                                               : do_fs(r, s, err);
        if (result < 0)
            return step_error(s, err);
    }
    return 0;
}

int mounts_seal(struct rootfs *r, struct error *err)
{
    for (size_t i = 0; i < r->n_steps; i++) {
        struct mount_step *s = &r->steps[i];
        if (s->seal < 0)
            continue;
        if (mount_raise_flags(s->seal, MS_RDONLY) < 0)
            return error_set(err, errno, "make it read-only"), step_error(s, err);
        fd_batch_add(&r->batch, steal_fd(&s->seal));
    }
    return 0;
}
