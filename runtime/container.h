/*
 * The container's life as a library: what cli/ calls, one function a command. Nothing here prints or exits.
 */
#pragma once

#include "base/error.h"
#include "cgroups/cgroup.h"
#include "runtime/spec/spec.h"

struct runtime {
    struct arena *arena;
    const char *root; /* state directory of all containers: --root */
    bool rootless;    /* not root on the host, or --rootless=true */
    enum cgroup_manager cgroup_manager;
    const char *store;    /* the image store's directory: --store or HULL_STORE; NULL: store_default_path() */
    const char *vm_asker; /* what on the command line asks for a sandbox, or NULL */
};

/* What a caller gets who looks after a detached container itself. */
struct detached {
    pid_t pid;    /* a child of the caller's, if the caller is a subreaper */
    int terminal; /* the pty's master, or -1 */
};

struct create_options {
    const char *id;
    const char *bundle;         /* default "." */
    const char *config;         /* file name below the bundle, default "config.json" (crun's -f) */
    const char *console_socket; /* NULL when not given */
    const char *pid_file, *pidfd_socket;
    unsigned preserve_fds; /* 3 .. 3+N-1 stay open */
    unsigned
        listen_fds; /* the first of these, systemd's: LISTEN_FDS=N, LISTEN_PID=1 go into the environment */
    bool no_pivot, no_new_keyring;
    /* of a sandbox: */
    const char *kernel;   /* file of the guest's kernel, NULL: found */
    uint64_t timing;      /* say where the time went, counted from this CLOCK_MONOTONIC in ns; 0: don't */
    bool kernel_messages; /* on standard error */
    bool detach, keep, no_subreaper; /* run only */
    /* Changes what config.json says before anything is made of it; NULL on a host. @adapt_argument goes along. */
    int (*adapt)(struct arena *a, struct spec *spec, const char *argument, struct error *err);
    const char *adapt_argument;
    /* See struct rootfs_options. */
    int (*mount_root)(void *argument, struct error *err);
    void *mount_root_argument;
    const struct rootfs_made *made;
    size_t n_made;
    struct detached
        *detached; /* run --detach only: the caller waits for the process, and relays its terminal */
    bool unsealed; /* hull's binary needs no protection from the container: see struct spawn */
};

struct exec_options {
    const char *id;
    const char *process; /* --process FILE, or NULL: the container's process with these on top */
    const char *console_socket, *pid_file, *pidfd_socket;
    struct string_list args, env, capabilities;
    const char *cwd, *apparmor, *process_label;
    struct string_list cgroups; /* see cgroup_entrance_open() */
    bool has_user, has_gid;
    uint32_t uid, gid;
    uint32_t *additional_gids;
    size_t n_additional_gids;
    bool tty, no_new_privileges, detach, ignore_paused, no_subreaper;
    unsigned preserve_fds, listen_fds; /* as in create_options */
};

enum container_status {
    CONTAINER_CREATING,
    CONTAINER_CREATED,
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_STOPPED
};
const char *container_status_name(enum container_status); /* "created" */

/* What state.json says, plus the status as it is now. */
struct container {
    char *id, *bundle, *rootfs, *oci_version, *created /* RFC3339 with ns, UTC */, *owner /* user name */;
    pid_t pid; /* 0 when stopped */
    uint64_t start_time;
    enum container_status status;
    bool sandbox; /* in a virtual machine: the process is its monitor */
    struct spec_annotation *annotations;
    size_t n_annotations;
};

/** Letters, digits, "_+-.", at most 1024 bytes, not "." or "..": else an error before anything is touched. */
int container_id_validate(const char *id, struct error *err);

int container_create(const struct runtime *rt, const struct create_options *o, struct error *err);
int container_start(const struct runtime *rt, const char *id, struct error *err);
/** create + start; in the foreground waits and gives the exit status (128+signal). */
int container_run(const struct runtime *rt, const struct create_options *o, int *exit_status,
                  struct error *err);
int container_exec(const struct runtime *rt, const struct exec_options *o, int *exit_status,
                   struct error *err);
int container_kill(const struct runtime *rt, const char *id, int sig, bool all, struct error *err);
int container_delete(const struct runtime *rt, const char *id, bool force, struct error *err);

/** Load one. A missing one: "container does not exist", as engines expect of runc. */
int container_load(const struct runtime *rt, const char *id, struct container *out, struct error *err);
/** The ids in the state directory, sorted; none when it does not exist. */
int container_ids(const struct runtime *rt, struct string_list *out, struct error *err);
/** The runtime-spec state document (what `state` prints and hooks get on stdin). */
char *container_state_json(struct arena *a, const struct container *c, bool pretty, size_t *length);
/** Pids (host view) of all processes in the container. */
int container_processes(const struct runtime *rt, const char *id, pid_t **pids, size_t *n, struct error *err);

/** Freeze all its processes; resume thaws them. "cannot pause a container that is not running" and the like are
 * runc's words. */
int container_pause(const struct runtime *rt, const char *id, struct error *err);
int container_resume(const struct runtime *rt, const char *id, struct error *err);
/** Limits of a container that exists: what @r sets, the rest stays. */
int container_update(const struct runtime *rt, const char *id, const struct spec_resources *r,
                     struct error *err);
/** New lines for the schemata of its resctrl group (either may be NULL); an error where config.json gave it none. */
int container_update_intel_rdt(const struct runtime *rt, const char *id, const char *l3_cache_schema,
                               const char *mem_bw_schema, struct error *err);
/** The container and its cgroup, opened (close with cgroup_close()): for stats and events. An error when it is not
 * running, or has no cgroup. */
int container_cgroup(const struct runtime *rt, const char *id, struct container *c, struct cgroup **cg,
                     struct error *err);

/** The runtime-spec features document, true to this build and kernel. */
int features_document(struct arena *a, char **text, size_t *length, struct error *err);
