/*
 * Private face of devices.c, devices_bpf.c and devices_v1.c: the device rules of a container as one exact policy.
 *
 * A policy is a set of patterns, each with the whole of what is allowed to a device that it covers. The most special
 * pattern decides alone: (major, minor) before (major, any) before (any, minor) before (any, any), and the last is there for
 * both types. The order of the rules that it was made from is in the masks; the list has none but that of the search.
 */
#pragma once

#include <linux/bpf.h>

#include "cgroups/cgroup.h"

enum { DEVICE_ANY = -1, DEVICE_MAJOR_MAX = 4095, DEVICE_MINOR_MAX = 1048575 /* 12 and 20 bits of dev_t */ };

struct device_entry {
    char type;            /* 'b' or 'c' */
    int64_t major, minor; /* or DEVICE_ANY */
    uint32_t access;      /* DEVICE_ACCESS_* that is allowed */
    int64_t rule;         /* the last of linux.resources.devices that covers it; -1: only our own do */
};

struct device_policy { /* sorted by type, major, minor; "any" comes last */
    struct device_entry *v;
    size_t n;
};

/** The rules of @r (may be NULL) after "deny all", then the default devices. Errors name the JSON path: numbers out of
 * range, more rules than DEVICE_RULES_MAX. */
int device_policy_make(struct arena *a, const struct spec_resources *r, struct device_policy *out,
                       struct error *err);
/** The entry of that very pattern, or NULL. */
struct device_entry *device_policy_find(const struct device_policy *p, char type, int64_t major,
                                        int64_t minor);
bool device_policy_allows_all(const struct device_policy *p);
/** True when the default devices alone would allow what @e does, by the same pattern. */
bool device_entry_is_default(const struct device_entry *e);

struct device_text {
    char s[64];
};
struct device_text device_format(char type, int64_t major, int64_t minor, uint32_t access); /* "c 1:* rw" */

/** In a user namespace or as nobody, device nodes cannot be made, and the kernel does not let us guard them: true, and
 * a debug message of @what. */
bool devices_may_skip(const struct cgroup *c, const char *what);

/* --- devices_bpf.c --- */
/** A BPF_PROG_TYPE_CGROUP_DEVICE program that is the policy. At most BPF_MAXINSNS instructions, or an error. */
int device_program_make(struct arena *a, const struct device_policy *p, struct bpf_insn **insns, size_t *n,
                        struct error *err);
int devices_bpf_write(struct cgroup *c, const struct cgroup_dir *d, const struct device_policy *p,
                      struct error *err);

/* --- devices_v1.c --- */
int devices_v1_write(struct cgroup *c, const struct cgroup_dir *d, const struct device_policy *p,
                     struct error *err);
