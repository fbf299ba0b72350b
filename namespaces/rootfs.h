/*
 * The container's file system: parsed into a plan, sources opened, carried out in the new mount namespace,
 * pivoted, sealed.
 *
 *   parent   rootfs_plan()      options -> flags, destinations checked; nothing touched
 *   parent   rootfs_open()      opens what only the parent may open (root, bind sources for a user
 *                               namespace, idmapped clones)
 *   init     rootfs_mount()     propagation, root, mounts, devices, /dev links; before createContainer hooks;
 *                               the caller's umask is 0, so that modes come out as written
 *   init     rootfs_pivot()     pivot_root (or MS_MOVE + chroot): the root is "/", nothing of the host is left
 *   init     rootfs_finish()    read-only root, masked and read-only paths, /dev/console; last mount work
 *
 * Every target is a descriptor that was resolved inside the root (base/path.h); mounts go onto descriptors.
 */
#pragma once

#include "base/error.h"
#include "cgroups/cgroup.h"
#include "runtime/spec/spec.h"

struct rootfs; /* opaque plan; lives in the arena */

struct rootfs_made {
    const char *place; /* the path that it stands for */
    int tree;          /* detached; the plan's from rootfs_open() on */
};

struct rootfs_options {
    const char *bundle; /* absolute path of the bundle */
    bool no_pivot;
    bool user_namespace; /* the container has one (new or joined) */
    bool new_mount_namespace;
    bool new_cgroup_namespace;
    bool new_network_namespace;
    bool bare;     /* a tree to be shared, not a root to run in: no devices */
    bool rootless; /* the caller is not root on the host: degrade where the kernel refuses and isolation still
                      holds */
    const struct cgroup *cgroup; /* the container's own; without directories: it is in its caller's */
    /* Called by init in its new mount namespace, before anything else is mounted: mounts what root.path is to be, there.
     * NULL: it is there already. */
    int (*mount_root)(void *argument, struct error *err);
    void *mount_root_argument;
    /* Mounts that are nowhere yet, for where a path of the host's would be taken: root.path or the source of a bind. */
    const struct rootfs_made *made;
    size_t n_made;
};

/** Turn spec->root, mounts, devices, masked/readonly paths into a checked plan. No side effects on the host.
 */
int rootfs_plan(struct arena *a, const struct spec *spec, const struct rootfs_options *options,
                struct rootfs **out, struct error *err);
int rootfs_open(struct rootfs *r, struct error *err);
int rootfs_mount(struct rootfs *r, struct error *err);
int rootfs_pivot(struct rootfs *r, struct error *err);
/** @console: path-less fd of the container's pty slave to bind at /dev/console, -1 for none. */
int rootfs_finish(struct rootfs *r, int console, struct error *err);
/** O_PATH descriptor of the container's root, valid from rootfs_open() until the pivot; for safe look-ups. */
int rootfs_root_fd(const struct rootfs *r);
/** Absolute host path of the root file system (hooks' and state's view). */
const char *rootfs_path(const struct rootfs *r);

/** What `features` lists: every mount option this build understands, sorted, NULL-terminated. */
const char *const *mount_option_names(size_t *n);
