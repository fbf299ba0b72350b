/*
 * What the guest's processors say they are (CPUID): what the host and KVM support together, less what a template takes
 * away, with the topology of this machine: one package, every vCPU a core of one thread.
 */
#pragma once

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { CPUID_MAX_ENTRIES = 128 };

struct cpuid {
    uint32_t n, padding; /* struct kvm_cpuid2 from here on */
    struct kvm_cpuid_entry2 entries[CPUID_MAX_ENTRIES];
};

/** KVM_GET_SUPPORTED_CPUID of @kvm, less what no sandbox has: nested virtualization, performance counters, SGX, AMX and
 * other state that is not saved. @tsc_deadline: KVM has that timer (it does not say so in CPUID). */
int cpuid_supported(struct cpuid *c, int kvm, bool tsc_deadline, struct error *err);

/** Take the features of the named mask away ("no-avx512", "x86-64-v2", ...). Unknown: the error lists the names. */
int cpuid_mask(struct cpuid *c, const char *name, struct error *err);

/** Make @c that of vCPU @id (its APIC id) of @n_vcpus. */
void cpuid_topology(struct cpuid *c, unsigned id, unsigned n_vcpus);
