/*
 * One sandbox's machine, put together: memory, KVM, the devices at their places, the kernel, and the threads that make it
 * live. Nothing in it knows what the guest is for; that is hull_vmm.c's.
 *
 * Order of life: sandbox_create(); sandbox_start(); `machine.ended` tells of its end. There is no way back: the process
 * ends, and with it everything (KVM, memory, threads in the middle of a write).
 */
#pragma once

#include <pthread.h>

#include "sandbox/virtio/console.h"
#include "sandbox/virtio/fs.h"
#include "sandbox/virtio/loop.h"
#include "sandbox/virtio/rng.h"
#include "sandbox/virtio/vsock.h"
#include "sandbox/vmm/machine.h"
#include "sandbox/vmm/options.h"
#include "sandbox/vmm/serial.h"
#include "sandbox/vmm/vcpu.h"

/* In the order of their places (layout.h); the console only when it is asked for. */
enum { SANDBOX_FS, SANDBOX_VSOCK, SANDBOX_RNG, SANDBOX_CONSOLE, SANDBOX_DEVICES };

struct sandbox {
    const struct vmm_options *options;
    struct guest_memory memory;
    struct machine machine;
    struct serial serial;
    struct virtio_fs fs;
    struct vsock vsock;
    struct rng rng;
    struct console console;
    struct virtio_mmio transports[SANDBOX_DEVICES];
    unsigned n_devices;
    int crowd;             /* an eventfd: the guest knows very many files (fuse/server.h, many_fd) */
    struct loop io, files; /* files: virtio-fs alone, as a disk may keep it waiting */
    pthread_t io_thread, files_thread;
    struct vcpu vcpus[VMM_MAX_CPUS];
};

/** All but the threads. What the guest may connect to is announced to `vsock` by @announce, in between. */
int sandbox_create(struct sandbox *s, const struct vmm_options *o,
                   int (*announce)(struct vsock *v, void *context, struct error *err), void *context,
                   struct error *err);

/** The threads, each confined as its kind is (jail.h); the guest runs when this returns. */
int sandbox_start(struct sandbox *s, struct error *err);
