/* What the files of seccomp share: compile (libseccomp) -> tree (our shape) -> cache (disk). */
#pragma once

#include "runtime/seccomp.h"

/* System call numbers [first, last] of one AUDIT_ARCH_*. */
struct seccomp_range {
    uint32_t arch, first, last;
};

struct seccomp_ranges {
    struct seccomp_range *v;
    size_t n;
};

/** The profile as libseccomp compiles it, and the numbers that are newer than anything the profile knows. */
int seccomp_compile(struct arena *a, const struct spec_seccomp *profile, struct sock_fprog *out,
                    struct seccomp_ranges *newer, struct error *err);

/** The same decisions as @in in another shape, with ENOSYS for @enosys. False when @in has a form that this
 * doesn't know. */
bool seccomp_tree_build(struct arena *a, const struct sock_fprog *in, const struct seccomp_ranges *enosys,
                        struct sock_fprog *out);

/** What a cached program is valid for. */
struct seccomp_cache_key {
    const char *dir;
    const char *profile;
    size_t profile_length;
    char context[192]; /* versions of everything that has a say in the program */
    size_t context_length;
};

bool seccomp_cache_load(struct arena *a, const struct seccomp_cache_key *key, struct sock_fprog *out);
void seccomp_cache_store(const struct seccomp_cache_key *key, const struct sock_fprog *program);
