/*
 * KVM set-up (Documentation/virt/kvm/api.rst). Once made, a machine does not change: memory slots, the interrupt
 * controllers and the buses are fixed before the first vCPU runs. There is no PIT, no PCI and no firmware.
 *
 * The end of a machine is decided once, by compare-and-swap on `end`; the winner writes the words and then the eventfd,
 * so that a reader who saw the eventfd sees whole words.
 */
#include "sandbox/vmm/machine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sandbox/vmm/kvm.h"
#include "sandbox/vmm/layout.h"

/* --- the VM -------------------------------------------------------------------------------------------------------- */

static int add_memory(struct machine *m, struct error *err)
{
    for (size_t i = 0; i < m->memory->n; i++) {
        const struct memory_region *r = &m->memory->regions[i];
        struct kvm_userspace_memory_region slot = {.slot = (uint32_t)i,
                                                   .guest_phys_addr = r->start,
                                                   .memory_size = r->size,
                                                   .userspace_addr = (uintptr_t)r->host};
        if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot))
            return error_set(err, errno, "give the VM %llu MiB of memory at %#llx",
                             (unsigned long long)r->size >> 20, (unsigned long long)r->start);
    }
    return 0;
}

static int create_vm(struct machine *m, struct error *err)
{
    uint64_t identity_map = LAYOUT_IDENTITY_MAP;

    do
        m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
    while (m->vm < 0 && errno == EINTR);
    if (m->vm < 0)
        return error_set(err, errno, "KVM_CREATE_VM%s",
                         errno == EBUSY ? ": another hypervisor holds the processor's virtualization" : "");
    if (ioctl(m->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map))
        return error_set(err, errno, "KVM_SET_IDENTITY_MAP_ADDR");
    if (ioctl(m->vm, KVM_SET_TSS_ADDR, LAYOUT_TSS))
        return error_set(err, errno, "KVM_SET_TSS_ADDR");
    if (ioctl(m->vm, KVM_CREATE_IRQCHIP, 0))
        return error_set(err, errno, "KVM_CREATE_IRQCHIP");
    return add_memory(m, err);
}

/* #syscalls: eventfd2 ioctl */
int machine_create(struct machine *m, int kvm, const struct guest_memory *memory, struct error *err)
{
    *m = (struct machine){.kvm = kvm, .vm = -1, .ended = -1, .memory = memory};

    if (kvm_check(kvm, err))
        return -1;
    int run_size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof(struct kvm_run))
        return error_set(err, run_size < 0 ? errno : 0, "KVM_GET_VCPU_MMAP_SIZE: %d", run_size);
    m->run_size = (size_t)run_size;

    int vcpus = ioctl(m->kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    m->max_vcpus = vcpus < 1 ? 1 : vcpus > MACHINE_MAX_VCPUS ? MACHINE_MAX_VCPUS : (unsigned)vcpus;
    m->tsc_deadline = ioctl(m->kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    m->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->ended < 0)
        return error_set(err, errno, "eventfd");
    return create_vm(m, err);
}

void machine_destroy(struct machine *m)
{
    fd_closep(&m->vm);
    fd_closep(&m->ended);
    m->vm = m->ended = -1;
}

int machine_irqfd(struct machine *m, int eventfd, unsigned gsi, struct error *err)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)eventfd, .gsi = gsi};

    if (gsi > LAYOUT_GSI_LAST)
        return error_set(err, 0, "interrupt %u: the IOAPIC's last is %d", gsi, LAYOUT_GSI_LAST);
    if (ioctl(m->vm, KVM_IRQFD, &irqfd))
        return error_set(err, errno, "KVM_IRQFD for interrupt %u", gsi);
    return 0;
}

int machine_ioeventfd(struct machine *m, int eventfd, uint64_t address, uint32_t length, uint64_t value,
                      struct error *err)
{
    struct kvm_ioeventfd ioeventfd = {.datamatch = value,
                                      .addr = address,
                                      .len = length,
                                      .fd = eventfd,
                                      .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};

    if (ioctl(m->vm, KVM_IOEVENTFD, &ioeventfd))
        return error_set(err, errno, "KVM_IOEVENTFD at %#llx", (unsigned long long)address);
    return 0;
}

/* #syscalls(main vcpu io fs): write */
void machine_end(struct machine *m, enum machine_end how, const char *fmt, ...)
{
    static const uint64_t one = 1;
    int running = MACHINE_RUNS;
    va_list ap;

    if (!atomic_compare_exchange_strong(&m->end, &running, (int)how))
        return;
    va_start(ap, fmt);
    vsnprintf(m->end_words, sizeof(m->end_words), fmt, ap);
    va_end(ap);
    ssize_t written = write(m->ended, &one, sizeof(one)); /* the only one: a counter of 0 cannot overflow */
    (void)written;
}

/* --- state --------------------------------------------------------------------------------------------------------- */

static int chip_io(struct machine *m, unsigned long request, struct kvm_irqchip *chip, unsigned id,
                   struct error *err)
{
    static const char *const names[] = {"PIC master", "PIC slave", "IOAPIC"};

    chip->chip_id = id;
    if (ioctl(m->vm, request, chip))
        return error_set(err, errno, "state of the %s", names[id]);
    return 0;
}

int machine_save(struct machine *m, struct machine_state *s, struct error *err)
{
    *s = (struct machine_state){.version = MACHINE_STATE_VERSION, .length = sizeof(*s)};
    for (unsigned i = 0; i < ARRAY_SIZE(s->chips); i++)
        if (chip_io(m, KVM_GET_IRQCHIP, &s->chips[i], i, err))
            return -1;
    if (ioctl(m->vm, KVM_GET_CLOCK, &s->clock))
        return error_set(err, errno, "KVM_GET_CLOCK");
    return 0;
}

int machine_load(struct machine *m, const struct machine_state *s, struct error *err)
{
    struct kvm_clock_data clock = {.clock =
                                       s->clock.clock}; /* flags say what GET had, and are refused by SET */

    if (s->version != MACHINE_STATE_VERSION || s->length != sizeof(*s))
        return error_set(err, 0, "a machine's state of version %u and %u bytes, not %d and %zu", s->version,
                         s->length, MACHINE_STATE_VERSION, sizeof(*s));
    for (unsigned i = 0; i < ARRAY_SIZE(s->chips); i++) {
        struct kvm_irqchip chip = s->chips[i];
        if (chip_io(m, KVM_SET_IRQCHIP, &chip, i, err))
            return -1;
    }
    if (ioctl(m->vm, KVM_SET_CLOCK, &clock))
        return error_set(err, errno, "KVM_SET_CLOCK");
    return 0;
}
