/*
 * Machines for tests, with guests of a few instructions (tiny_guests.c): 32 MiB of memory, the guest's code as an ELF file
 * at 1 MiB, a serial port whose output is kept, and two places that note what is written: port TINY_PORT and address
 * TINY_MMIO. They run on any /dev/kvm, also one that cannot run a kernel.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sandbox/vmm/machine.h"
#include "sandbox/vmm/serial.h"
#include "sandbox/vmm/vcpu.h"

#define TINY_CODE 0x100000ULL
#define TINY_AP   0x10000ULL /* where the second vCPU starts: SIPI vector 0x10 */
#define TINY_MMIO 0x30000000ULL

enum { TINY_PORT = 0x500, TINY_MAX_VCPUS = 4, TINY_MAX_NOTES = 4096 };

struct tiny_guest {
    const unsigned char *start, *end;
};

/* In long mode, rsi at the zero page. */
extern const struct tiny_guest tiny_prints, tiny_answers, tiny_halts, tiny_spins, tiny_faults,
    tiny_jumps_away, tiny_powers_off, tiny_resets, tiny_resets_by_keyboard, tiny_starts_aps, tiny_counts;
/* In real mode, for TINY_AP. */
extern const struct tiny_guest tiny_ap;

struct tiny_note {
    uint64_t value;
    uint32_t length;
    bool mmio;
};

struct tiny {
    int kvm;
    struct guest_memory memory;
    struct machine machine;
    struct serial serial;
    struct vcpu vcpus[TINY_MAX_VCPUS];
    unsigned n_vcpus;
    int out; /* the serial port's */
    struct tiny_note notes[TINY_MAX_NOTES];
    atomic_uint n_notes;
    unsigned delay_us; /* of each note: to catch a guest in the middle */
    uint64_t answer;   /* to what is read at TINY_PORT and TINY_MMIO */
};

/** Ends the test, as skipped, where there is no /dev/kvm. */
void tiny_create(struct tiny *t, unsigned n_vcpus);
/** The same with @guest, ready to start. */
void tiny_boot(struct tiny *t, unsigned n_vcpus, const struct tiny_guest *guest);
/** Start, wait for the end (10 s at most), stop. How it ended. */
enum machine_end tiny_run(struct tiny *t);
void tiny_start(struct tiny *t);
/** Wait until there are @n notes. */
void tiny_wait_notes(struct tiny *t, unsigned n);
/** What came out of the serial port. */
const char *tiny_output(struct tiny *t);
void tiny_destroy(struct tiny *t);
