/*
 * linux.seccomp -> a BPF program -> the kernel. Compiling costs 15-20 ms for the usual profile, so programs
 * are cached on disk under the profile's own bytes, libseccomp's version and the kernel's release; the whole
 * key is compared, not only a hash of it.
 */
#pragma once

#include <linux/filter.h>

#include "base/error.h"
#include "runtime/spec/spec.h"

struct seccomp_filter {
    bool present;
    struct sock_fprog program; /* lives in the arena (or a private mapping of the cache file) */
    unsigned flags;            /* SECCOMP_FILTER_FLAG_* */
    bool notify;               /* an SCMP_ACT_NOTIFY is in it: the load returns a listener fd */
};

/** Compile (or take from the cache) in the parent, before anything is touched. @cache_dir NULL: no cache. */
int seccomp_prepare(struct arena *a, const struct spec_seccomp *profile, const char *cache_dir,
                    struct seccomp_filter *out, struct error *err);
/** Load it into the calling process. *listener is the notify fd or -1. Needs no_new_privs or CAP_SYS_ADMIN.
 */
int seccomp_filter_load(const struct seccomp_filter *filter, int *listener, struct error *err);
/** Send the listener to listenerPath as the specification's ContainerProcessState with fds ["seccompFd"].
 *  @state_json: the container's state document; @pid: the process the filter is on, host view. */
int seccomp_send_listener(const struct spec_seccomp *profile, int listener, const char *state_json, pid_t pid,
                          struct error *err);

/* For `features`: NULL-terminated lists of what this build and kernel know. */
const char *const *seccomp_known_actions(void);
const char *const *seccomp_known_operators(void);
const char *const *seccomp_known_architectures(void);
const char *const *seccomp_known_flags(void);
const char *const *seccomp_supported_flags(void);
