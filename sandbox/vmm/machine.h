/*
 * The VM as KVM has it: its descriptors, its memory slots, its interrupt controllers (in the kernel), its two buses,
 * and how it ended.
 *
 * Order of life: machine_create(); devices put themselves on the buses; vCPUs are made (vcpu.h) and run; the first thing
 * that ends the machine (power-off, reset, a failure of any vCPU, a request from outside) is kept in words by
 * machine_end(), which makes `ended` readable. Whoever waits for that stops the vCPUs and destroys the machine.
 */
#pragma once

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/vmm/bus.h"
#include "sandbox/vmm/memory.h"

enum { MACHINE_MAX_VCPUS = 128 };

enum machine_end {
    MACHINE_RUNS,
    MACHINE_POWER_OFF, /* the guest asked for it */
    MACHINE_RESET,     /* the guest asked for it: a sandbox is not started again */
    MACHINE_STOPPED,   /* from outside */
    MACHINE_CRASHED,   /* the guest is broken: triple fault, panic told to the host */
    MACHINE_FAILED,    /* the VMM, KVM or the host cannot go on */
};

struct machine {
    int kvm, vm;
    int ended; /* eventfd, readable once the machine has ended */
    const struct guest_memory *memory;
    struct bus ports, mmio;
    size_t run_size; /* of a vCPU's struct kvm_run mapping */
    unsigned max_vcpus;
    bool tsc_deadline;

    atomic_int end;      /* enum machine_end */
    char end_words[512]; /* whole once `ended` is readable */
};

/** A VM of @kvm (/dev/kvm, see kvm.h: it stays the caller's) with @memory in its slots and the interrupt controllers of a
 * PC. Everything is released by machine_destroy(), after a failure too. @memory stays the caller's and outlives the
 * machine. */
int machine_create(struct machine *m, int kvm, const struct guest_memory *memory, struct error *err);
void machine_destroy(struct machine *m);

/** Each write to @eventfd is an edge of interrupt @gsi (KVM_IRQFD). */
int machine_irqfd(struct machine *m, int eventfd, unsigned gsi, struct error *err);

/** A guest's @length-byte write of @value to @address signals @eventfd, and no vCPU exits (KVM_IOEVENTFD). */
int machine_ioeventfd(struct machine *m, int eventfd, uint64_t address, uint32_t length, uint64_t value,
                      struct error *err);

/** End the machine: from any thread; only the first one's words stay. Does not stop vCPUs. */
void machine_end(struct machine *m, enum machine_end how, const char *fmt, ...) _printf_(3, 4);

static inline bool machine_has_ended(struct machine *m)
{
    return atomic_load_explicit(&m->end, memory_order_acquire) != MACHINE_RUNS;
}

/* Saved and loaded while no vCPU runs; interrupt controllers and clock. */
enum { MACHINE_STATE_VERSION = 1 };
struct machine_state {
    uint32_t version, length;
    struct kvm_irqchip chips[3]; /* PIC master and slave, IOAPIC */
    struct kvm_clock_data clock;
};

int machine_save(struct machine *m, struct machine_state *s, struct error *err);

/** Before the vCPUs' states are loaded. The guest's clock goes on where it was saved. */
int machine_load(struct machine *m, const struct machine_state *s, struct error *err);
