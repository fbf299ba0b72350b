/*
 * What the specification's `process` object (and a few of its neighbours) asks of the process that is about
 * to execve. init.c and exec.c call these in the same order; each is small and does one thing. All act on the
 * calling process. Where the specification says SHOULD, a host that cannot grant it gets a warning in the log
 * and 0 is returned.
 */
#pragma once

#include "base/error.h"
#include "runtime/spec/spec.h"

/* @pid 0: the caller. hull sets them from outside for a process in a user namespace, which has no right to
 * raise them. */
int rlimits_apply(const struct spec_process *p, pid_t pid, struct error *err);
int oom_score_adj_apply(const struct spec_process *p, pid_t pid, struct error *err);
int scheduler_apply(const struct spec_scheduler *s, struct error *err);
int io_priority_apply(const struct spec_io_priority *p, struct error *err);
int cpu_affinity_apply(const char *cpu_list, struct error *err); /* NULL: nothing to do */
int memory_policy_apply(const struct spec_memory_policy *p, struct error *err);
int personality_apply(const struct spec_personality *p, struct error *err);

/** Run on all CPUs that the cgroup gives, whatever of them hull's caller has. */
void cpu_affinity_reset(void);

/** Join a new session keyring named after the container, readable by its own; label for SELinux. ENOSYS is
 * fine. */
int keyring_join(const char *container_id, const char *selinux_label, struct error *err);

/** Only namespaced keys may pass (validate has checked which namespaces are new); through the checked procfs.
 */
int sysctl_apply(const struct spec_sysctl *sysctl, size_t n, struct error *err);

/* Capabilities. Sequence: capabilities_drop_bounding() while still root; then identity_apply(); then
 * capabilities_apply(). */
int capabilities_drop_bounding(const struct spec_capabilities *c, struct error *err);
int capabilities_apply(const struct spec_capabilities *c, struct error *err);
/** What the kernel's last capability is (cached; /proc/sys/kernel/cap_last_cap, else PR_CAPBSET_READ). */
int capability_last(void);
/** keepcaps, setgroups, setgid, setuid. @may_setgroups false where the user namespace denies it. */
int identity_apply(const struct spec_user *u, bool may_setgroups, struct error *err);

/* LSM labels for the next execve; checked early in the parent so that a missing LSM is an error before
 * anything runs. */
int lsm_check(const struct spec_process *p, struct error *err);
int lsm_apply_exec_label(const struct spec_process *p, struct error *err);

/* intelRdt: a resctrl group; made by the parent, the pid moved in, removed at delete if this container made
 * it. */
int intel_rdt_apply(const struct spec_intel_rdt *r, const char *container_id, pid_t pid, bool *created,
                    struct error *err);
int intel_rdt_remove(const struct spec_intel_rdt *r, const char *container_id, struct error *err);
bool intel_rdt_supported(void);
