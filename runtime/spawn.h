/*
 * Birth of a process in a set of namespaces, some new, some joined: see spawn.c for the two roads.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "cgroups/cgroup.h"
#include "runtime/spec/spec.h"

struct spawn {
    int join_fds[NS_COUNT]; /* by path; -1 where none */
    int join_pidfd;         /* exec: the process whose namespaces are joined; -1 for none */
    pid_t join_pid;
    uint64_t join_flags;                       /* CLONE_NEW* to join */
    uint64_t new_flags;                        /* CLONE_NEW* to make */
    const struct id_maps *uid_maps, *gid_maps; /* of a new user namespace */
    const struct spec_time_offset *monotonic, *boottime;
    struct cgroup_entrance *cgroup; /* where it is born; NULL: where hull is */
    int sync[2];                    /* [0] hull's, [1] the child's; [0] is closed in the child */
    int signal_fd;                  /* hull's, for waiting; -1 for none */
    const void *signal_mask;        /* sigset_t to restore in the child */
    /* No exe_seal(): for a guest's first process, which never ends, so that nobody can write to its file (ETXTBSY). Kernels
     * without CONFIG_CHECKPOINT_RESTORE could not do it. */
    bool unsealed;
    int (*child)(void *argument, int sync, struct error *err); /* returns only on failure */
    void *argument;
};

struct spawned {
    pid_t pid;
    int pidfd;
};

/** All of @s is carried out by the time this returns; the child is alive and runs @s->child. On failure
 * nothing is left. */
int spawn(struct spawn *s, struct spawned *out, struct error *err);

/** SIGKILL, reap (when it is our child), close. */
void spawned_kill(struct spawned *p);
