/*
 * What hull tells hull-vmm, as its command line: numbers and descriptors only. (argv is visible in ps, and nothing that a
 * bundle says may get onto it but the container's id.)
 *
 * hull-vmm is executed by the container's init: in its namespaces and cgroup, in a mount namespace whose root is the tree to
 * share ("/rootfs", "/volumes/N", see agent.h), with the host's user who is root inside, the capabilities that a file
 * server needs, no new privileges, and these descriptors. It takes init's place towards hull: says SYNC_READY when the
 * guest's container is created (or SYNC_ERROR), waits for SYNC_CONTINUE, then for start's byte in the fifo. Until READY it
 * dies with hull (PR_SET_PDEATHSIG, which execve keeps: switch it off before READY). Its umask is 0, its working directory
 * the root, signals are as hull's caller had them; it leads a session, and with a terminal controls it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum { VMM_MAX_CPUS = 32 };

struct vmm_options {
    uint64_t memory; /* of the guest, bytes */
    unsigned cpus;
    int kvm;    /* /dev/kvm, open for reading and writing */
    int kernel; /* vmlinux (ELF) or bzImage */
    int initrd;
    int config;           /* config.json's bytes, a sealed memfd */
    int root;             /* the directory to share, O_PATH */
    int proc;             /* root of a procfs, O_PATH: the file server opens through self/fd */
    int sync;             /* base/sync.h's socket */
    int fifo;             /* create: where start's byte comes; -1 for run */
    const char *cpu_mask; /* see cpuid.h; NULL for none */
    bool terminal;        /* descriptors 0, 1, 2 are a terminal, and the container has one */
    bool console;         /* show the kernel's messages on stderr */
    bool debug;
    bool no_new_keyring;
    uint64_t timing; /* CLOCK_MONOTONIC in ns when hull began: say on stderr where the time went; 0: don't */
    const char *id;
};

/** argv for execve, NULL-terminated, in @a. */
char **vmm_options_format(struct arena *a, const struct vmm_options *o);

/** The inverse. All descriptors have to be open. */
int vmm_options_parse(int argc, char *const argv[], struct vmm_options *o, struct error *err);
