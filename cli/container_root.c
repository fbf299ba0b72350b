/*
 * Of a container that runs, its first process's root, as its mount namespace has it: volumes and tmpfs included. A sandbox's
 * process is its monitor, whose root is what the guest is served (sandbox/agent.h): its root and its volumes, each a tree of
 * its own; which of them is meant is said by the path as it is written. What the guest mounts itself is not seen. Of one from an image that does not run: its overlay, and the
 * host's directories that config.json binds into it, mounted where only this process sees them. Of a bundle's that has ended,
 * the bundle's root directory.
 *
 * Nothing is followed out of it from here on: see base/path.h.
 */
#include "cli/container_root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "base/procfs.h"
#include "base/syscalls.h"
#include "namespaces/mount_fd.h"
#include "namespaces/namespaces.h"
#include "namespaces/subids.h"
#include "runtime/guest_spec.h"
#include "sandbox/agent.h"

enum { WAIT_MS = 10000, POLL_MS = 20 };

/* --- one that runs ------------------------------------------------------------------------------------------------- */

static int read_maps(const struct runtime *rt, pid_t pid, struct idmaps *maps, struct error *err)
{
    const char *path = arena_printf(rt->arena, "/proc/%d/ns/user", pid);
    struct stat own, other;

    if (geteuid() != 0)
        return 0; /* the helper is in a namespace with the same ids */
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &other) < 0 || stat("/proc/self/ns/user", &own) < 0)
        return error_set(err, errno, "%s", path);
    return own.st_ino == other.st_ino ? 0 : idmap_read_userns(rt->arena, fd, &maps->uids, &maps->gids, err);
}

/* Is @path what is mounted at @destination, or in it? Then its rest. */
static const char *rest_below(const char *path, const char *destination)
{
    size_t n;

    path += strspn(path, "/");
    destination += strspn(destination, "/");
    n = strlen(destination);
    while (n > 0 && destination[n - 1] == '/')
        n--;
    if (n == 0 || strncmp(path, destination, n) != 0 || (path[n] && path[n] != '/'))
        return NULL;
    return path[n] ? path + n : "/.";
}

/* From the monitor's tree to the part of it that has the path. */
static int enter_share(const struct runtime *rt, const struct container *c, struct container_root *out,
                       struct error *err)
{
    const char *share = AGENT_FS_ROOT, *path = out->path, *rest;
    _cleanup_(fd_closep) int bundle = open(c->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC), tree = out->fd;
    struct spec *spec;
    unsigned volume = 0;

    out->fd = -1;
    if (bundle < 0)
        return error_set(err, errno, "container %s: open %s", c->id, c->bundle);
    if (spec_load(rt->arena, bundle, "config.json", &spec, err) < 0)
        return -1;
    for (size_t i = 0; i < spec->n_mounts && !path_has_dotdot(path); i++) {
        if (!guest_spec_is_bind(&spec->mounts[i]))
            continue;
        if ((rest = rest_below(path, spec->mounts[i].destination))) {
            out->path = rest;
            share = arena_printf(rt->arena, AGENT_FS_VOLUMES "/%u", volume);
        }
        volume++;
    }
    out->fd = openat(tree, share, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (out->fd < 0 || fstat(out->fd, &st) < 0)
        return error_set(err, errno, "container %s: open its %s", c->id, share);
    return S_ISDIR(st.st_mode) ? 0
                               : error_set(err, 0,
                                           "%s is a single file of the host's, which is shared with a "
                                           "virtual machine: copy that",
                                           path);
}

/* The process may end, and its number be another's, until its root is open. */
static int open_running(const struct runtime *rt, const struct container *c, struct container_root *out,
                        struct error *err)
{
    const char *path = arena_printf(rt->arena, "/proc/%d/root", c->pid);
    uint64_t start_time;

    out->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->fd < 0)
        return error_set(err, errno, "container %s: open %s", c->id, path);
    if (read_maps(rt, c->pid, &out->maps, err) < 0)
        return error_wrap(err, "container %s", c->id);
    if (process_start_time(c->pid, &start_time, NULL) < 0 || start_time != c->start_time)
        return error_set(err, ESRCH, "container %s has just ended", c->id);
    return c->sandbox ? enter_share(rt, c, out, err) : 0;
}

/* --- one from an image that does not run --------------------------------------------------------------------------- */

/* #syscalls: unshare mount */
static int own_mounts(struct arena *a, struct error *err)
{
    if (geteuid() != 0 && subids_become_root(a, err) < 0)
        return -1;
    if (unshare(CLONE_NEWNS) < 0)
        return error_set(err, errno, "a mount namespace");
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
               ? error_set(err, errno, "make all mounts private")
               : 0;
}

static int mount_idmapped(const struct snapshot_mount *m, const struct idmaps *maps, struct error *err)
{
    _cleanup_(fd_closep) int userns = -1, tree = -1, root = -1;

    if (idmap_make_userns(&maps->uids, &maps->gids, &userns, err) < 0 ||
        snapshot_tree(m, userns, &tree, err) < 0)
        return -1;
    root =
        open(arena_printf(m->store->arena, "%s/root", m->snapshot->path), O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 || tree_attach(tree, root) < 0
               ? error_set(err, errno, "mount the root of container %s", m->snapshot->id)
               : 0;
}

/* A directory or file of the host's where config.json wants it, if it is there still and has a place. */
static void bind(int root, const struct spec_mount *m)
{
    bool recursive = false, read_only = false;

    for (size_t i = 0; i < m->options.n; i++) {
        recursive |= strcmp(m->options.v[i], "rbind") == 0;
        read_only |= strcmp(m->options.v[i], "ro") == 0;
    }
    _cleanup_(fd_closep) int target = path_open(root, m->destination, O_PATH, 0);
    _cleanup_(fd_closep) int tree = tree_clone(AT_FDCWD, m->source, recursive ? AT_RECURSIVE : 0);
    struct mount_attr attr = {.attr_set = read_only ? MOUNT_ATTR_RDONLY : 0};
    if (target < 0 || tree < 0 ||
        (read_only && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) ||
        tree_attach(tree, target) < 0)
        log_debug("%s is left out: %s", m->destination, strerror(errno));
}

static int bind_all(struct arena *a, const struct snapshot *c, int root, struct error *err)
{
    struct spec *spec;

    if (spec_load(a, c->dir, "config.json", &spec, err) < 0)
        return -1;
    for (size_t i = 0; i < spec->n_mounts; i++)
        if (spec->mounts[i].source && spec->mounts[i].source[0] == '/' && spec->mounts[i].type &&
            strcmp(spec->mounts[i].type, "bind") == 0)
            bind(root, &spec->mounts[i]);
    return 0;
}

static int mount_locked(const struct runtime *rt, struct store *s, struct snapshot *c,
                        struct container_root *out, struct error *err)
{
    struct snapshot_mount m = {.store = s, .snapshot = c, .user_namespace = geteuid() != 0};
    struct keeper_record record;
    struct string_list layers;

    if (keeper_record_read(rt->arena, c, &record, err) < 0 ||
        store_stack(s, record.image_id ? record.image_id : "", &layers, err) < 0 ||
        idmaps_read(rt->arena, c, &out->maps, err) < 0 || own_mounts(rt->arena, err) < 0)
        return -1;
    m.layers = &layers;
    if ((out->maps.uids.n ? mount_idmapped(&m, &out->maps, err) : snapshot_mount(&m, err)) < 0)
        return -1;
    out->fd =
        open(arena_printf(rt->arena, "%s/root", c->path), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (out->fd < 0)
        return error_set(err, errno, "open %s/root", c->path);
    out->lock = fcntl(c->exit, F_DUPFD_CLOEXEC, 0);
    return bind_all(rt->arena, c, out->fd, err);
}

/* --- which of them ------------------------------------------------------------------------------------------------- */

/* 1: done; 0: somebody is just making it, or at work on it; -1. */
static int try_stored(const struct runtime *rt, struct store *s, struct snapshot *c,
                      struct container_root *out, struct error *err)
{
    struct container live;
    struct error no = {0};

    if (container_load(rt, c->id, &live, &no) == 0 && live.pid)
        return open_running(rt, &live, out, err) < 0 ? -1 : 1;
    if (snapshot_lock(c, 0, err) == 0)
        return mount_locked(rt, s, c, out, err) < 0 ? error_wrap(err, "container %s", c->id) : 1;
    if (err->code != EBUSY)
        return -1;
    error_clear(err);
    return 0;
}

static int open_stored(const struct runtime *rt, struct store *s, struct snapshot *c,
                       struct container_root *out, struct error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};

    for (int waited = 0; waited < WAIT_MS; waited += POLL_MS) {
        int done = try_stored(rt, s, c, out, err);

        if (done)
            return done < 0 ? -1 : 0;
        nanosleep(&pause, NULL);
    }
    return error_set(err, EBUSY, "container %s: somebody else is at work on it", c->id);
}

/* Of the state directory alone: a bundle's. */
static int open_bundled(const struct runtime *rt, const char *name, struct container_root *out,
                        struct error *err)
{
    struct container c;

    if (container_load(rt, name, &c, err) < 0)
        return -1;
    if (c.pid)
        return open_running(rt, &c, out, err);
    out->fd = open(c.rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return out->fd < 0 ? error_set(err, errno, "container %s: open %s", name, c.rootfs) : 0;
}

int container_root_open(const struct runtime *rt, const char *name, const char *path,
                        struct container_root *out, struct error *err)
{
    struct store s;
    struct snapshot c;

    *out = (struct container_root){.fd = -1, .path = path, .lock = -1};
    if (keeper_open(rt, name, &s, &c, err) < 0) {
        if (err->code != ENOENT)
            return -1;
        error_clear(err);
        return open_bundled(rt, name, out, err);
    }
    int rc = open_stored(rt, &s, &c, out, err);
    snapshot_close(&c);
    return rc;
}
