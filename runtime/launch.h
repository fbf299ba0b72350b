/*
 * The last stretch, the same for a container's first process and for exec: from a process that is in place,
 * with all rights, to one that is exactly what `process` says, and execve.
 */
#pragma once

#include "base/error.h"
#include "runtime/container.h"
#include "runtime/seccomp.h"

/* A program of Hull's own, in place of process.args. */
struct launch_program {
    int fd;
    char **argv;
    int keep[8]; /* descriptors that stay open besides 0, 1, 2; -1: none */
};

struct launch {
    const struct spec_process *process;
    const struct launch_program *program; /* NULL: process.args, looked up in the container's root */
    const struct seccomp_filter *seccomp;
    const struct spec_personality *personality;
    const struct spec_memory_policy *memory_policy;
    bool user_namespace; /* in one: limits were set by hull, from outside */
    bool make_cwd;
    bool keep_groups; /* see launch_keeps_groups() */
    unsigned preserve_fds;
    unsigned listen_fds; /* how many of them are systemd's */
    int sync;
    struct arena *arena;
    /* filled by launch_prepare() */
    const char *path; /* what will be executed */
    char **env;
};

/** Become the user: limits, labels, capabilities, seccomp (unless noNewPrivileges defers it), cwd; look the
 * executable up, with runc's words when it is not there. */
int launch_prepare(struct launch *l, struct error *err);
/** Load a deferred filter, mark what is left close-on-exec, execve. Returns only on failure. */
int launch_exec(struct launch *l, struct error *err);

/** crun's annotation run.oci.keep_original_groups (podman's --group-add keep-groups): the process stays in
 * the caller's groups, and additionalGids are left out. */
#define KEEP_GROUPS_ANNOTATION "run.oci.keep_original_groups"
bool launch_keeps_groups(const struct spec *spec);

/** What only the privileged parent can do for a process that lives in a user namespace: rlimits,
 * oom_score_adj. */
int launch_set_limits(const struct spec_process *p, pid_t pid, struct error *err);
