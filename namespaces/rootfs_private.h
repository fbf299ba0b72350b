/* Shared by the files that make a container's root: the plan, and each file's one entrance. */
#pragma once

#include "base/arena.h"
#include "namespaces/mount_fd.h"
#include "namespaces/mount_options.h"
#include "namespaces/rootfs.h"

enum step_kind { STEP_FS, STEP_BIND, STEP_REMOUNT, STEP_CGROUP };

struct mount_step {
    const struct spec_mount *spec;
    size_t index; /* in config.json's mounts */
    enum step_kind kind;
    const char *dest;   /* cleaned, absolute: no "." or "..", no double slash */
    const char *source; /* binds: absolute */
    const char *type;
    struct mount_options o;
    int tree; /* the bind's detached copy when the parent made it, else -1 */
    int seal; /* descriptor of the mount when it becomes read-only at the end only, else -1 */
};

struct device_step {
    const char *path; /* cleaned */
    mode_t mode;      /* type and permissions */
    dev_t number;
    uid_t uid;
    gid_t gid;
};

struct rootfs {
    struct arena *arena;
    const struct spec *spec;
    struct rootfs_options options;
    const char *path;          /* absolute, on the host */
    unsigned long propagation; /* linux.rootfsPropagation; 0 when not given */
    bool shared;               /* mounts may propagate out: no call for "private" may be saved */
    bool setup_dev;            /* false when /dev is the host's */
    struct mount_step *steps;
    size_t n_steps;
    struct device_step *devices;
    size_t n_devices;
    const char *context; /* context="LABEL" for new file systems, NULL without SELinux */
    const char *label;

    int root; /* descriptor of the root; a detached copy when root_is_tree */
    bool root_is_tree;
    int null; /* detached copy of the host's null device, for masked files */
    struct fd_batch batch;
    int fds_dir; /* /proc/self/fd, see bind_fd() */
    bool cwd_is_fds;
};

/* plan.c */
char *path_clean(struct arena *a, const char *path);
/** How an error names a mount: wraps *err with `mounts[3] (/data)`. Returns -1. */
int step_error(const struct mount_step *s, struct error *err);

/* target.c: descriptors of mount targets, resolved inside the root */
enum target_kind {
    TARGET_DIR,    /* a directory; made when missing */
    TARGET_STRICT, /* the same, and no symlink anywhere on the way (proc, sysfs) */
    TARGET_LIKE,   /* directory or file: what the source is */
};
/** @like: descriptor of the source for TARGET_LIKE. *created may be NULL. */
int target_open(struct rootfs *r, const struct mount_step *s, enum target_kind kind, int like, int *fd,
                bool *created, struct error *err);
/** The top mount that is at the step's destination now, O_PATH (or with @flags). -1 with errno. */
int target_reopen(struct rootfs *r, const struct mount_step *s, int flags);

/* mounts.c */
int mounts_open(struct rootfs *r, struct error *err);      /* parent */
int mounts_carry_out(struct rootfs *r, struct error *err); /* init */
int mounts_seal(struct rootfs *r, struct error *err); /* init, at the end: what is read-only from now on */
/** mount(2) of a file system onto a descriptor of a directory. */
int mount_fs_at(struct rootfs *r, int target, const char *source, const char *type, unsigned long flags,
                const char *data);
/** Bind @source below @dirfd (at_flags as tree_clone) onto @target with options. */
int bind_at(struct rootfs *r, int dirfd, const char *source, unsigned at_flags, int target,
            const struct mount_options *o, struct error *err);

/** True when the step asks for the propagation that its mount has anyway. */
bool propagation_is_default(const struct rootfs *r, const struct mount_step *s);

/* cgroup_mount.c, tmpcopyup.c, devices.c, masks.c, pivot.c */
int cgroup_mount(struct rootfs *r, const struct mount_step *s, struct error *err);
int tmpcopyup(int from, int to, const char *data, struct error *err);
int devices_create(struct rootfs *r, struct error *err);
int console_bind(struct rootfs *r, int console, struct error *err);
int masks_prepare(struct rootfs *r, struct error *err); /* before the pivot */
int readonly_paths_apply(struct rootfs *r, struct error *err);
int masked_paths_apply(struct rootfs *r, struct error *err);
int root_attach(struct rootfs *r, struct error *err);
