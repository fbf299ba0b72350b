/*
 * A guest's processors: each a descriptor of KVM's, a shared page in which KVM says why the guest stopped, and a thread that
 * does nothing but run it and pass its accesses to the machine's buses.
 *
 * Order of life: vcpu_create() all; vcpu_enter() the first (the others wait for the guest to start them by INIT and SIPI);
 * vcpus_start(); once the machine has ended, or somebody wants it to stand still, vcpus_stop(). In between nothing but
 * the vCPU's own thread may touch it. A machine that stands still and has not ended can be saved, and started again.
 */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/vmm/cpuid.h"
#include "sandbox/vmm/machine.h"

struct vcpu {
    struct machine *machine;
    unsigned id; /* its APIC id */
    int fd;
    struct kvm_run *run; /* machine->run_size bytes, shared with KVM */
    pthread_t thread;
    bool started;
    uint64_t exits; /* for --timing: how often the guest needed the VMM */
    /* Called in the new thread before the guest runs, to narrow its rights (seccomp). -1: the machine ends with @err. */
    int (*prepare)(struct error *err);
};

/** vCPU @id of @n, with @supported as the processor's features (its topology is filled in). Everything is
 * released by vcpu_destroy(), after a failure too. */
int vcpu_create(struct vcpu *v, struct machine *m, unsigned id, unsigned n, const struct cpuid *supported,
                struct error *err);
void vcpu_destroy(struct vcpu *v);

/** The state in which a 64-bit kernel is entered (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"): paging with the
 * tables of boot.h, interrupts off, RSI = @rsi. */
int vcpu_enter(struct vcpu *v, uint64_t rip, uint64_t rsi, struct error *err);

/** A thread for each of @n vCPUs; they run until the machine ends or vcpus_stop(). -1: none runs. Uses SIGSTKFLT
 * within the process; other signals are not for these threads. */
int vcpus_start(struct vcpu *v, unsigned n, struct error *err);

/** Stop all and wait for their threads. An access that a vCPU was in is finished: the state can be saved then. */
void vcpus_stop(struct vcpu *v, unsigned n);

/** What a thread does with the exit that stands in v->run. True: run on; false: the machine has ended. */
bool vcpu_handle_exit(struct vcpu *v);

/* Saved and loaded as it is, while the threads do not run. */
enum { VCPU_STATE_VERSION = 1, VCPU_MAX_MSRS = 96 };
struct vcpu_state {
    uint32_t version, length;
    uint32_t id, n_msrs;
    uint64_t tsc_khz;
    struct cpuid cpuid;
    struct kvm_mp_state mp_state;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xcrs xcrs;
    struct kvm_xsave xsave;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct kvm_msr_entry msrs[VCPU_MAX_MSRS];
};

int vcpu_save(struct vcpu *v, struct vcpu_state *s, struct error *err);

/** Into a vCPU that has not run yet, of the same id; after machine_load(). */
int vcpu_load(struct vcpu *v, const struct vcpu_state *s, struct error *err);
