/*
 * A container's place in the host's cgroups: one directory in each hierarchy that the host has mounted.
 *
 * There is one model for v1, v2 and hybrid: a list of directories, each of one version and with the controllers that
 * are limited through it. A pure v2 host has one; a v1 host one for each hierarchy (co-mounted controllers share it); a
 * hybrid host those of v1 and, last, one in the v2 hierarchy. Whoever wants to limit or read something asks for the
 * directory that has its controller and uses the files of that directory's version. The manager only decides where
 * these directories are and who makes them: hull itself (cgroupfs), or systemd as a transient scope.
 *
 *   cgroup_plan()   where they will be; nothing on the host is touched
 *   cgroup_make()   the directories exist, limits are written; undo by cgroup_remove()
 *   the first process is born in them: cgroup_entrance, runtime/spawn.c
 *   cgroup_write_state(), cgroup_read_state(): between commands they live in state.json
 *
 * Nothing of the container's is trusted: it may have made cgroups below its own, and filled them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "runtime/spec/resources.h"
#include "runtime/spec/spec.h"

enum cgroup_manager { CGROUP_DISABLED, CGROUP_CGROUPFS, CGROUP_SYSTEMD };
const char *cgroup_manager_name(enum cgroup_manager); /* "cgroupfs" */

enum cgroup_controller {
    CG_CPU,
    CG_CPUACCT,
    CG_CPUSET,
    CG_MEMORY,
    CG_BLKIO, /* v2: io */
    CG_PIDS,
    CG_DEVICES, /* v2: an eBPF program */
    CG_FREEZER, /* v2: cgroup.freeze */
    CG_HUGETLB,
    CG_NET_CLS,
    CG_NET_PRIO,
    CG_RDMA,
    CG_PERF_EVENT,
    CG_MISC,
    CG_COUNT
};
#define CG_BIT(controller) (1U << (controller))
const char *cgroup_controller_name(enum cgroup_controller, bool v2); /* "blkio", v2: "io" */

struct cgroup_dir {
    bool v2;
    uint32_t
        controllers;   /* CG_BIT()s limited here; a v2 directory has CPUACCT with CPU, and DEVICES and FREEZER
                             unless a v1 hierarchy has them */
    const char *mount; /* "/sys/fs/cgroup/memory" */
    const char *path;  /* below it: "/podman/ID"; no "..", no trailing slash */
    unsigned parents;  /* how many directories above it were made for it */
    bool made;         /* it was not there before */
    int fd;            /* the directory, O_RDONLY|O_DIRECTORY; -1 where it isn't there */
};

struct cgroup {
    struct arena *arena;
    enum cgroup_manager manager;
    struct cgroup_dir *dirs;
    size_t n_dirs;
    bool rootless, user_manager; /* user_manager: of the user's systemd, not the system's */
    const char *slice, *unit;    /* systemd: "user.slice", "libpod-ID.scope" */
    int helper;                  /* systemd: socket of the hull-systemd helper while it holds the scope; -1 */
    pid_t helper_pid;
};

/* --- layout.c: what the host has ------------------------------------------------------------------------------- */

/** Each hierarchy that is mounted below /sys/fs/cgroup as a cgroup_dir whose path is the caller's own cgroup in it
 * (fd -1). None: n 0. */
int cgroup_layout(struct arena *a, struct cgroup_dir **dirs, size_t *n, struct error *err);
/** The directory that limits @controller, or NULL. */
struct cgroup_dir *cgroup_dir_of(const struct cgroup *c, enum cgroup_controller controller);
/** The v2 directory, or NULL: cgroup.kill, cgroup.events, CLONE_INTO_CGROUP. */
struct cgroup_dir *cgroup_dir_v2(const struct cgroup *c);

/* --- cgroup.c: the directories' life --------------------------------------------------------------------------- */

struct cgroup_request {
    enum cgroup_manager manager;
    const char *id;
    const char *path; /* linux.cgroupsPath: absolute, relative or NULL; for systemd "slice:prefix:name" */
    bool rootless;
    bool
        delegate; /* v2: the container has a cgroup namespace, a user namespace and a writable cgroup mount */
    uid_t owner;  /* who gets the directories then, on the host */
    const struct spec_annotation *annotations; /* systemd: those named org.systemd.property.NAME */
    size_t n_annotations;
};

/** Where the container's cgroup will be, and whether @r can be enforced there (an error names the controller that is
 * missing). No side effects. CGROUP_DISABLED: n_dirs 0, and limits are warned of. */
int cgroup_plan(struct arena *a, const struct cgroup_request *request, const struct spec_resources *r,
                struct cgroup **out, struct error *err);

/** Make the directories (systemd: the scope) and write all limits of @r, before any process is in them. On failure
 * what was made is removed again. */
int cgroup_make(struct cgroup *c, const struct cgroup_request *request, const struct spec_resources *r,
                struct error *err);

/** Take back what cgroup_make() made, after a failure: what was there before stays. Failures are logged. */
void cgroup_undo(struct cgroup *c);

/** The container's first process is in: let the helper go. */
void cgroup_entered(struct cgroup *c);

/** Kill what is left, and remove the directories and what is below them; bounded in time (10 s). Nothing there is
 * success. */
int cgroup_remove(struct cgroup *c, struct error *err);

void cgroup_write_state(struct json_writer *w, const struct cgroup *c); /* one JSON object */
/** @json NULL: a cgroup with n_dirs 0. Descriptors are opened by whoever needs them: cgroup_open(). */
struct cgroup *cgroup_read_state(struct arena *a, const struct json *json);
int cgroup_open(struct cgroup *c, struct error *err);
void cgroup_close(struct cgroup *c);

/* --- entrance.c: how a process gets in, for runtime/spawn.c ----------------------------------------------------- */

enum { CGROUP_MAX_DIRS = 24 };

struct cgroup_entrance {
    struct cgroup *cgroup;
    pid_t init; /* exec: the container's first process; 0 for that one itself, and with @subs */
    int v2;     /* directory for CLONE_INTO_CGROUP (5.7), or -1 */
    int files
        [CGROUP_MAX_DIRS]; /* open "tasks" of v1, and cgroup.procs of v2 where clone3 cannot put a process there:
                                   the child writes "0" into each, which on v1 takes no global lock (5.12) */
    size_t n_files;
    bool init_tried, attach; /* attach: only systemd may move the process in, see cgroup_attach() */
};

/** To the container's own cgroup, or to @subs below it (exec --cgroup: one "a/b", or of v1 any number of
 * "CONTROLLER[,CONTROLLER]:a/b"; a path may not contain ".."). Where @subs asks for a place, there is no other. */
int cgroup_entrance_open(struct cgroup *c, pid_t init, const struct string_list *subs,
                         struct cgroup_entrance *e, struct error *err);
/** clone3 with CLONE_INTO_CGROUP failed with errno @code: find the next way in, and clone again; -1 when there is
 * none. */
int cgroup_entrance_next(struct cgroup_entrance *e, int code, struct error *err);
/** In the child, before anything else. */
int cgroup_enter(struct cgroup_entrance *e, struct error *err);
/** By the parent, after the clone, where @e->attach says so. */
int cgroup_attach(struct cgroup_entrance *e, pid_t pid, struct error *err);
void cgroup_entrance_close(struct cgroup_entrance *e);

/* --- tree.c ---------------------------------------------------------------------------------------------- */

/** All processes in the cgroup and those below it. */
int cgroup_processes(struct cgroup *c, pid_t **pids, size_t *n, struct error *err);
/** SIGKILL: by cgroup.kill (5.14), else frozen and one by one; others one by one. */
int cgroup_signal(struct cgroup *c, int sig, struct error *err);

/* --- freezer.c ------------------------------------------------------------------------------------------------ */

int cgroup_freeze(struct cgroup *c, bool freeze, struct error *err); /* waits until it is; bounded */
bool cgroup_is_frozen(struct cgroup *c);                             /* no freezer: no */

/* --- limits.c (with convert.c): everything but devices ---------------------------------------------------------- */

/** Is there for each limit of @r a controller in @c that can enforce it? No side effects; an error names the JSON path,
 * the controller, and a remedy. Values that limit nothing (-1, idle 0) need none. */
int cgroup_check_limits(const struct cgroup *c, const struct spec_resources *r, struct error *err);
/** True when @r sets any limit (devices are none). */
bool cgroup_has_limits(const struct spec_resources *r);
/** Write all that is set in @r. @update: the cgroup has processes and earlier limits (order of memory and swap, of
 * quota and period; checkBeforeUpdate). */
int cgroup_write_limits(struct cgroup *c, const struct spec_resources *r, bool update, struct error *err);

/* --- devices.c (devices_bpf.c, devices_v1.c) --------------------------------------------------------------------- */

/** Everything is denied but the specification's default devices, mknod, and what @r's rules say, in order. v2: an
 * eBPF program that takes the place of the one before it in one step; v1: only what differs is written. */
int cgroup_write_devices(struct cgroup *c, const struct spec_resources *r, struct error *err);

/* --- systemd.c (and the helper hull-systemd) --------------------------------------------------------------------- */

/** Split "slice:prefix:name" (missing: system.slice or user.slice, hull, the id). Sets slice, unit. */
int systemd_plan(struct cgroup *c, const struct cgroup_request *request, struct error *err);
/** Start the helper and the scope; dirs' paths are then where systemd put it. */
int systemd_make(struct cgroup *c, const struct cgroup_request *request, const struct spec_resources *r,
                 struct error *err);
/** The container's first process is in: end the helper, which has held the scope until now. Nothing when there is none. */
void systemd_let_go(struct cgroup *c);
/** Move @pid into the scope by systemd, where the kernel does not let us (a user manager's scope from outside). */
int systemd_attach(struct cgroup *c, pid_t pid, struct error *err);
/** The same limits as properties of the unit, or a daemon-reload would take them away. */
int systemd_update(struct cgroup *c, const struct spec_resources *r, struct error *err);
/** Kill what is in the scope, and wait until systemd has taken it away (or have it do that). */
int systemd_remove(struct cgroup *c, struct error *err);

/* --- stats.c --------------------------------------------------------------------------------------------------- */

struct cgroup_number { /* "max" and -1 are UINT64_MAX */
    bool set;
    uint64_t value;
};

struct cgroup_memory_entry {
    struct cgroup_number usage, max_usage, limit, failcnt;
};

struct cgroup_pressure_line {
    double avg10, avg60, avg300; /* percent */
    uint64_t total;              /* us */
};

struct cgroup_pressure {
    bool set;
    struct cgroup_pressure_line some, full;
};

struct cgroup_raw { /* memory.stat and its like: names as the kernel has them */
    char *name;
    uint64_t value;
};

struct cgroup_io_entry {
    uint64_t major, minor;
    const char *op; /* "Read", "Write", "Sync", "Total" ... */
    uint64_t value;
};

struct cgroup_io_entries {
    struct cgroup_io_entry *v;
    size_t n;
};

struct cgroup_hugetlb {
    char *page_size; /* "2MB" */
    struct cgroup_memory_entry m;
};

struct cgroup_rdma {
    char *device;
    struct cgroup_number handles, objects;
};

struct cgroup_stats {
    struct { /* ns */
        struct cgroup_number total, user, kernel;
        uint64_t *per_cpu, *per_cpu_kernel, *per_cpu_user; /* v1 */
        size_t n_per_cpu, n_per_cpu_modes;
        struct cgroup_number periods, throttled_periods, throttled_time;
        struct cgroup_pressure pressure;
    } cpu;
    struct {
        char *cpus, *mems; /* lists: "0-3,8" */
        struct cgroup_number cpu_exclusive, mem_hardwall, mem_exclusive, memory_migrate, memory_spread_page,
            memory_spread_slab, memory_pressure, sched_load_balance, sched_relax_domain_level; /* v1 */
    } cpuset;
    struct {
        struct cgroup_number cache;
        struct cgroup_memory_entry usage, swap, swap_only, kernel, kernel_tcp;
        struct cgroup_raw *raw;
        size_t n_raw;
        struct cgroup_pressure pressure;
        struct cgroup_number oom_kill;
    } memory;
    struct {
        struct cgroup_number current, limit;
    } pids;
    struct {
        struct cgroup_io_entries service_bytes, serviced;
        struct cgroup_pressure pressure;
    } io;
    struct cgroup_hugetlb *hugetlb;
    size_t n_hugetlb;
    struct cgroup_rdma *rdma_current, *rdma_limit;
    size_t n_rdma_current, n_rdma_limit;
};

/** What a controller does not tell stays unset. @c is open (cgroup_open()); the strings and arrays of @out are in its
 * arena. An error where there is no cgroup. */
int cgroup_stats(struct cgroup *c, struct cgroup_stats *out, struct error *err);

/* --- oom.c ----------------------------------------------------------------------------------------------------- */

struct cgroup_oom {
    int fd; /* readable when something happened; -1: none */
    bool v2;
    uint64_t seen; /* v2: oom_kill so far */
};

int cgroup_oom_watch(struct cgroup *c, struct cgroup_oom *w, struct error *err);
/** After fd was readable: how many OOM kills since the last time (0: something else, or the cgroup is gone: *gone). */
int cgroup_oom_read(struct cgroup *c, struct cgroup_oom *w, uint64_t *kills, bool *gone, struct error *err);
void cgroup_oom_close(struct cgroup_oom *w);
