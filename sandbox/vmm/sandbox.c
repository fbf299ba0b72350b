/*
 * The machine of one sandbox: what is made in which order. A device is four things: its own state, its registers on the
 * bus, its interrupt and its kicks in KVM, and its place in a loop.
 *
 * A thread that fails ends the machine, with its words; so whoever waits for the machine's end waits for all of them.
 */
#include "sandbox/vmm/sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "sandbox/agent.h"
#include "sandbox/vmm/acpi.h"
#include "sandbox/vmm/boot.h"
#include "sandbox/vmm/cpuid.h"
#include "sandbox/vmm/jail.h"
#include "sandbox/vmm/layout.h"
#include "sandbox/vmm/power.h"

/* --- devices ------------------------------------------------------------------------------------------------------- */

/* Registers, interrupt and kicks of @d, which is at the next place. */
static int attach(struct sandbox *s, struct virtio_device *d, struct error *err)
{
    unsigned place = s->n_devices;
    struct virtio_mmio *t = &s->transports[place];
    const struct bus_range range = {.start = LAYOUT_VIRTIO + place * LAYOUT_VIRTIO_SIZE,
                                    .length = VIRTIO_MMIO_SIZE,
                                    .access = virtio_mmio_access,
                                    .handler = t};

    if (virtio_mmio_init(t, d, &s->memory, err) < 0 || bus_add(&s->machine.mmio, &range, err) < 0)
        return -1;
    if (machine_irqfd(&s->machine, t->interrupt, LAYOUT_GSI_VIRTIO + place, err) < 0)
        return -1;
    for (unsigned i = 0; i < d->ops->n_queues; i++)
        if (machine_ioeventfd(&s->machine, t->kick[i], range.start + VIRTIO_MMIO_NOTIFY, 4, i, err) < 0)
            return -1;
    s->n_devices++;
    return 0;
}

/* What the nodes of the file server may keep of the host's memory, in bytes, and one of them. It is a part of what the cgroup
 * has besides the guest's (runtime/sandbox.h, SANDBOX_OVERHEAD). */
#define NODES_MEMORY      (16ULL << 20)
#define NODES_MEMORY_PART 256 /* of the guest's besides */
#define NODE_MEMORY       1600

static int make_fs(struct sandbox *s, struct error *err)
{
    uint64_t memory = s->options->memory;
    struct fuse_export e = {
        .root = s->options->root, .proc = s->options->proc, .cross_mounts = true, .cache = FUSE_CACHE_AUTO};

    s->crowd = e.many_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e.many_nodes = (uint32_t)((NODES_MEMORY + memory / NODES_MEMORY_PART) / NODE_MEMORY);
    if (s->crowd < 0)
        return error_set(err, errno, "eventfd for the file server");
    if (fs_init(&s->fs, &e, AGENT_FS_TAG, err) < 0 || attach(s, &s->fs.device, err) < 0)
        return -1;
    return fs_serve_in(&s->fs, &s->files, &s->transports[SANDBOX_FS], err);
}

static int make_vsock(struct sandbox *s, int (*announce)(struct vsock *, void *, struct error *),
                      void *context, struct error *err)
{
    if (vsock_init(&s->vsock, err) < 0 || announce(&s->vsock, context, err) < 0 ||
        attach(s, &s->vsock.device, err) < 0)
        return -1;
    return vsock_serve_in(&s->vsock, &s->io, &s->transports[SANDBOX_VSOCK], err);
}

static int make_rng(struct sandbox *s, struct error *err)
{
    if (rng_init(&s->rng, err) < 0 || attach(s, &s->rng.device, err) < 0)
        return -1;
    return rng_serve_in(&s->rng, &s->io, &s->transports[SANDBOX_RNG], err);
}

/* The kernel's messages: early ones by the serial port, which every kernel has built in. */
static int make_consoles(struct sandbox *s, struct error *err)
{
    int out = dup(STDERR_FILENO);

    if (out < 0)
        return error_set(err, errno, "dup");
    if (console_init(&s->console, out, err) < 0 || attach(s, &s->console.device, err) < 0 ||
        console_serve_in(&s->console, &s->io, &s->transports[SANDBOX_CONSOLE], err) < 0)
        return -1;
    return serial_init(&s->serial, STDERR_FILENO, err) < 0 ? -1 : serial_attach(&s->serial, &s->machine, err);
}

/* --- machine ------------------------------------------------------------------------------------------------------- */

static int make_vcpus(struct sandbox *s, const struct boot_entry *entry, struct error *err)
{
    const struct vmm_options *o = s->options;
    struct cpuid cpuid;

    if (o->cpus > s->machine.max_vcpus)
        return error_set(err, 0, "%u vCPUs: this host's KVM has at most %u", o->cpus, s->machine.max_vcpus);
    if (cpuid_supported(&cpuid, o->kvm, s->machine.tsc_deadline, err) < 0)
        return -1;
    if (o->cpu_mask && cpuid_mask(&cpuid, o->cpu_mask, err) < 0)
        return -1;
    for (unsigned i = 0; i < o->cpus; i++)
        if (vcpu_create(&s->vcpus[i], &s->machine, i, o->cpus, &cpuid, err) < 0)
            return -1;
    return vcpu_enter(&s->vcpus[0], entry->rip, entry->rsi, err);
}

static int load_kernel(struct sandbox *s, struct boot_entry *entry, struct error *err)
{
    const struct vmm_options *o = s->options;
    unsigned n_devices = o->console ? SANDBOX_DEVICES : SANDBOX_CONSOLE; /* which are being made meanwhile */
    char command_line[BOOT_MAX_COMMAND_LINE + 1];
    struct boot boot = {.kernel = o->kernel, .initrd = o->initrd, .command_line = command_line};

    if (boot_command_line(command_line, n_devices, o->console, NULL, err) < 0 ||
        acpi_write(&s->memory, o->cpus, n_devices, o->console, &boot.rsdp, err) < 0 ||
        mptable_write(&s->memory, o->cpus, err) < 0)
        return -1;
    return boot_load(&s->memory, &boot, entry, err);
}

static int spawn(pthread_t *thread, void *(*main)(void *), void *argument, struct error *err)
{
    int code = pthread_create(thread, NULL, main, argument);

    return code ? error_set(err, code, "make a thread") : 0;
}

/* The kernel's way into memory, by a thread of its own: KVM meanwhile waits for grace periods of the host's. */
struct loading {
    struct sandbox *sandbox;
    pthread_t thread;
    struct boot_entry entry;
    struct error err;
    int result;
};

static void *load(void *loading)
{
    struct loading *l = loading;

    l->result = load_kernel(l->sandbox, &l->entry, &l->err);
    return NULL;
}

static int make_machine(struct sandbox *s, int (*announce)(struct vsock *, void *, struct error *),
                        void *context, struct error *err)
{
    if (machine_create(&s->machine, s->options->kvm, &s->memory, err) < 0 ||
        power_attach(&s->machine, err) < 0 || loop_init(&s->io, err) < 0 || loop_init(&s->files, err) < 0 ||
        make_fs(s, err) < 0 || make_vsock(s, announce, context, err) < 0 || make_rng(s, err) < 0)
        return -1;
    return s->options->console ? make_consoles(s, err) : 0;
}

int sandbox_create(struct sandbox *s, const struct vmm_options *o,
                   int (*announce)(struct vsock *v, void *context, struct error *err), void *context,
                   struct error *err)
{
    struct loading l = {.sandbox = s};

    s->options = o;
    if (memory_create(&s->memory, o->memory, err) < 0 || spawn(&l.thread, load, &l, err) < 0)
        return -1;
    int made = make_machine(s, announce, context, err);
    pthread_join(l.thread, NULL); /* whatever came of the machine: what it works on is ours */
    if (made < 0)
        return -1;
    if (l.result < 0) {
        *err = l.err;
        return -1;
    }
    return make_vcpus(s, &l.entry, err);
}

/* --- threads ------------------------------------------------------------------------------------------------------- */

static void fail(struct sandbox *s, const struct error *err)
{
    machine_end(&s->machine, MACHINE_FAILED, "%s", err->message);
}

static void *serve_devices(void *sandbox)
{
    struct sandbox *s = sandbox;
    struct error err;

    if (jail_thread(JAIL_IO, &err) < 0 || loop_run(&s->io, &err) < 0)
        fail(s, &err);
    return NULL;
}

static void *serve_files(void *sandbox)
{
    struct sandbox *s = sandbox;
    struct error err;

    if (fs_confine_thread(&s->fs, &err) < 0 || jail_thread(JAIL_FS, &err) < 0 ||
        loop_run(&s->files, &err) < 0)
        fail(s, &err);
    return NULL;
}

static int confine_vcpu(struct error *err)
{
    return jail_thread(JAIL_VCPU, err);
}

/* A stream's thread has nobody to tell but us all. */
static void confine_stream(void)
{
    struct error err;

    if (jail_thread(JAIL_STREAM, &err) < 0)
        _exit(125);
}

int sandbox_start(struct sandbox *s, struct error *err)
{
    for (unsigned i = 0; i < s->options->cpus; i++)
        s->vcpus[i].prepare = confine_vcpu;
    if (spawn(&s->files_thread, serve_files, s, err) < 0 || spawn(&s->io_thread, serve_devices, s, err) < 0 ||
        vsock_start(&s->vsock, confine_stream, err) < 0 ||
        (s->options->console && console_start(&s->console, confine_stream, err) < 0))
        return -1;
    return vcpus_start(s->vcpus, s->options->cpus, err);
}
