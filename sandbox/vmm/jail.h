/*
 * What hull-vmm still may once it is set up. It runs where a container's root would (namespaces, cgroup, a root of its
 * own); this is the narrower fence within: no capabilities but the file server's, and for each kind of thread a
 * list of system calls.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum jail {
    JAIL_MAIN, /* signals, hull, the agent's messages */
    JAIL_VCPU,
    JAIL_IO,     /* vsock, rng, console */
    JAIL_STREAM, /* bytes between a device and a descriptor of the host's */
    JAIL_FS,     /* the file server */
    JAIL_KINDS,
};

struct jail_rule {
    int number;
    bool limited; /* allowed only with this second argument */
    uint64_t value;
};

enum { JAIL_MAX_RULES = 96, JAIL_MAX_FILTER = 8 + 7 * JAIL_MAX_RULES };

/** A filter that lets @rules through and answers the rest with @deny (SECCOMP_RET_...): the number of instructions, at
 * most JAIL_MAX_FILTER. */
size_t jail_filter(const struct jail_rule *rules, size_t n, uint32_t deny, struct sock_filter *filter);

/** Close all descriptors from 3 on but the @n in @keep. */
int jail_descriptors(const int *keep, size_t n, struct error *err);

/** Before there are threads: no new privileges, no dumps. With @debug a forbidden call is reported by name of the thread's
 * kind and number on standard error before the process ends; without, the kernel kills it. */
int jail_process(bool debug, struct error *err);

/** Of the calling thread: all away. */
int jail_capabilities(struct error *err);

/** The signals that are the workload's: the main thread reads them from a signalfd, so every thread has them blocked; bit n-1
 * is signal n. By the kernel's own call: the C library keeps a few for itself, which to a workload are as any other. */
uint64_t jail_signals(void);
int jail_block_signals(struct error *err);

/** The calling thread, for good, with its signals blocked. JAIL_FS keeps the capabilities that it has: fuse_thread_confine() has reduced them. */
int jail_thread(enum jail kind, struct error *err);
