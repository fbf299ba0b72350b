/*
 * A container in a microVM, as hull on the host sees it. It takes a container's road (create.c, init.c); this is what is
 * different: see sandbox.c, sandbox_spec.c and sandbox_init.c. What of config.json applies where: guest_spec.h.
 */
#pragma once

#include "base/error.h"
#include "namespaces/rootfs.h"
#include "runtime/container.h"
#include "runtime/launch.h"
#include "sandbox/vmm/options.h"

/* To memory.limit this is added where it becomes the cgroup's, for what is not the guest's: hull-vmm itself (its code,
 * stacks and buffers: 3 MiB), KVM's structures (page tables on both sides and a reverse map: 26 bytes a
 * page of 4 KiB), and room for the page cache that the file server's requests work in. */
#define SANDBOX_OVERHEAD         (32ULL << 20)
#define SANDBOX_OVERHEAD_PART    128 /* one 128th of the guest's memory besides */
#define SANDBOX_MEMORY_MIN       (64ULL << 20)
#define SANDBOX_MEMORY_DEFAULT   (2ULL << 30)
#define SANDBOX_MEMORY_MAX       (1ULL << 42) /* what hull-vmm takes */
#define SANDBOX_MEMORY_ALIGNMENT (2ULL << 20)
/* Of hull-vmm: a thread for each CPU, and a few. */
enum { SANDBOX_PIDS = VMM_MAX_CPUS + 32 };

#define ISOLATION_ANNOTATION "org.hull.isolation"
#define SANDBOX_ANNOTATIONS  "org.hull.vm." /* they change limits */

struct sandbox {
    struct vmm_options vmm;
    int program;             /* hull-vmm, open */
    int devpts;              /* in init: a devpts of the sandbox's own, or -1 */
    const struct spec *user; /* config.json as it was written */
    const char *rootfs;      /* root.path, absolute */
};

/** What asks for a sandbox ("--isolation=vm", "annotations[...]"), or NULL when nothing does. An error when the answer
 * is neither "container" nor "vm". */
int sandbox_asked(const struct runtime *rt, const struct spec *spec, const char **asker, struct error *err);

/** Check what a VM cannot give, work out its size, open what it is made of: *out; and in *host what of @user is carried
 * out on the host, with @place (an existing directory by the time of rootfs_open()) as the root to mount the tree over.
 * No side effects but open descriptors. */
int sandbox_plan(const struct runtime *rt, const struct create_options *o, const char *bundle,
                 const char *place, const struct spec *user, struct sandbox **out, struct spec **host,
                 struct error *err);

/* sandbox_spec.c */
/** All complaints in one error. */
int sandbox_check_spec(struct arena *a, const struct spec *user, const char *bundle, struct error *err);
struct spec *sandbox_host_spec(struct arena *a, const struct sandbox *s, const char *place);
/** Memory (bytes) and CPUs of the guest: annotations, then vm.hwConfig, then linux.resources. */
int sandbox_size(const struct spec *user, uint64_t *memory, unsigned *cpus, struct error *err);
/** The CPU features that the guest shall not see, by a name that hull-vmm knows (sandbox/vmm/cpuid.h); NULL: all it may. */
int sandbox_cpu_mask(const struct spec *user, const char **mask, struct error *err);

/* sandbox_init.c: in init */

/** After rootfs_mount(): mount points in a root that the guest may not write to, then that flag; the sandbox's procfs. */
int sandbox_export(struct sandbox *s, struct rootfs *tree, struct error *err);
/** After the pivot: what launch_exec() is to execute. @fifo: -1 for run. */
int sandbox_program(struct sandbox *s, struct arena *a, int sync, int fifo, struct launch_program *program,
                    struct error *err);
