/*
 * The KVM_RUN loop (Documentation/virt/kvm/api.rst, 4.10 and 5). An exit is either an access for the buses, after which the
 * guest goes on, or the end of the machine; the table `exits` says which. What it does not list ends the machine by number.
 *
 * Stopping has no window to miss: `immediate_exit` is set first, then the thread gets a signal whose handler does nothing.
 * In the guest, or asleep in the kernel for a halted guest, the signal gets the thread out; before KVM_RUN the flag does.
 * A thread leaves only by KVM_RUN's EINTR: KVM completes an access at the next KVM_RUN, which with the flag set does
 * that and no more, so a vCPU that stands still is between two instructions.
 */
#include "sandbox/vmm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "sandbox/vmm/boot.h"
#include "sandbox/vmm/layout.h"

enum { VCPU_STACK = 256 << 10 };

/* One that nobody else sends: in these threads it is not blocked, so one for the whole process may end here. */
enum { STOP_SIGNAL = SIGSTKFLT };

/* --- making -------------------------------------------------------------------------------------------------------- */

/* What firmware leaves behind: memory is cached, string instructions are fast. Without MTRRs Linux has no PAT. */
static int set_msrs(struct vcpu *v, struct error *err)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entries[2];
    } msrs = {.head.nmsrs = 2,
              .entries = {
                  {.index = 0x2ff, .data = 1 << 11 | 6}, /* MTRRdefType: enabled, write-back */
                  {.index = 0x1a0, .data = 1},           /* MISC_ENABLE: fast strings */
              }};

    if (ioctl(v->fd, KVM_SET_MSRS, &msrs) != (int)msrs.head.nmsrs)
        return error_set(err, errno, "vCPU %u: KVM_SET_MSRS", v->id);
    return 0;
}

/* The local APIC as firmware leaves it, "virtual wire": LINT0 takes the PIC's interrupts, LINT1 NMIs (MP specification
 * 1.4, 3.6.2.2; SDM volume 3, 11.5.1). */
static int set_lint(struct vcpu *v, struct error *err)
{
    enum { LVT_LINT0 = 0x350, LVT_LINT1 = 0x360, MODE_NMI = 4 << 8, MODE_EXTINT = 7 << 8 };
    static const uint32_t lint0 = MODE_EXTINT, lint1 = MODE_NMI;
    struct kvm_lapic_state lapic;

    if (ioctl(v->fd, KVM_GET_LAPIC, &lapic))
        return error_set(err, errno, "vCPU %u: KVM_GET_LAPIC", v->id);
    memcpy(&lapic.regs[LVT_LINT0], &lint0, sizeof(lint0));
    memcpy(&lapic.regs[LVT_LINT1], &lint1, sizeof(lint1));
    if (ioctl(v->fd, KVM_SET_LAPIC, &lapic))
        return error_set(err, errno, "vCPU %u: KVM_SET_LAPIC", v->id);
    return 0;
}

/* #syscalls: ioctl mmap */
int vcpu_create(struct vcpu *v, struct machine *m, unsigned id, unsigned n, const struct cpuid *supported,
                struct error *err)
{
    struct cpuid c = *supported;

    *v = (struct vcpu){.machine = m, .id = id, .fd = -1};
    if (n > m->max_vcpus)
        return error_set(err, 0, "%u vCPUs: this host's KVM gives a machine at most %u", n, m->max_vcpus);
    v->fd = ioctl(m->vm, KVM_CREATE_VCPU, (unsigned long)id);
    if (v->fd < 0)
        return error_set(err, errno, "KVM_CREATE_VCPU %u", id);
    void *run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (run == MAP_FAILED)
        return error_set(err, errno, "map vCPU %u", id);
    v->run = run;
    cpuid_topology(&c, id, n);
    if (ioctl(v->fd, KVM_SET_CPUID2, &c))
        return error_set(err, errno, "vCPU %u: KVM_SET_CPUID2", id);
    return set_msrs(v, err) || set_lint(v, err) ? -1 : 0;
}

/* #syscalls: munmap close */
void vcpu_destroy(struct vcpu *v)
{
    if (v->run)
        munmap(v->run, v->machine->run_size);
    v->run = NULL;
    fd_closep(&v->fd);
    v->fd = -1;
}

/* A flat segment, as the descriptor of it in boot.c's GDT. */
static struct kvm_segment segment(uint16_t selector, uint8_t type, bool code)
{
    return (struct kvm_segment){
        .limit = UINT32_MAX,
        .selector = selector,
        .type = type,
        .present = 1,
        .s = 1,
        .l = code,
        .db = !code,
        .g = 1,
    };
}

int vcpu_enter(struct vcpu *v, uint64_t rip, uint64_t rsi, struct error *err)
{
    enum { CR0_PE = 1, CR0_ET = 1 << 4, CR4_PAE = 1 << 5, EFER_LME = 1 << 8, EFER_LMA = 1 << 10 };
    enum { CODE = 0xb, DATA = 0x3, TSS_BUSY = 0xb, RFLAGS = 2 };
    struct kvm_segment data = segment(BOOT_DS, DATA, false);
    struct kvm_sregs s;

    if (ioctl(v->fd, KVM_GET_SREGS, &s))
        return error_set(err, errno, "vCPU %u: KVM_GET_SREGS", v->id);
    s.cs = segment(BOOT_CS, CODE, true);
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.tr = (struct kvm_segment){.limit = 0xffff, .type = TSS_BUSY, .present = 1};
    s.gdt = (struct kvm_dtable){.base = LAYOUT_GDT, .limit = BOOT_GDT_SIZE - 1};
    s.idt = (struct kvm_dtable){0};
    s.cr0 = CR0_PE | CR0_ET | 1ULL << 31;
    s.cr3 = LAYOUT_PAGE_TABLES;
    s.cr4 = CR4_PAE;
    s.efer = EFER_LME | EFER_LMA;
    if (ioctl(v->fd, KVM_SET_SREGS, &s))
        return error_set(err, errno, "vCPU %u: KVM_SET_SREGS", v->id);

    struct kvm_regs r = {.rip = rip, .rsi = rsi, .rflags = RFLAGS};
    if (ioctl(v->fd, KVM_SET_REGS, &r))
        return error_set(err, errno, "vCPU %u: KVM_SET_REGS", v->id);
    return 0;
}

/* --- exits --------------------------------------------------------------------------------------------------------- */

/* Each returns true when the guest goes on. */
typedef bool exit_handler(struct vcpu *v);

static bool exit_io(struct vcpu *v)
{
    struct kvm_run *r = v->run;
    unsigned char *data = (unsigned char *)r + r->io.data_offset;

    for (uint32_t i = 0; i < r->io.count; i++)
        bus_access(&v->machine->ports, r->io.port, data + (size_t)i * r->io.size, r->io.size,
                   r->io.direction == KVM_EXIT_IO_OUT);
    return true;
}

static bool exit_mmio(struct vcpu *v)
{
    struct kvm_run *r = v->run;

    bus_access(&v->machine->mmio, r->mmio.phys_addr, r->mmio.data, r->mmio.len, r->mmio.is_write);
    return true;
}

static bool exit_again(struct vcpu *v)
{
    (void)v;
    return true;
}

/* For words: where the guest is. */
static unsigned long long guest_rip(struct vcpu *v)
{
    struct kvm_regs r;
    return ioctl(v->fd, KVM_GET_REGS, &r) ? 0 : r.rip;
}

static bool exit_shutdown(struct vcpu *v)
{
    /* where it was is lost: AMD's KVM has reset the vCPU */
    machine_end(v->machine, MACHINE_CRASHED, "vCPU %u: triple fault: the guest's kernel is broken", v->id);
    return false;
}

static bool exit_halt(struct vcpu *v)
{
    machine_end(v->machine, MACHINE_FAILED,
                "vCPU %u: KVM left a halted vCPU to the VMM, although it has the interrupt controllers",
                v->id);
    return false;
}

static bool exit_system_event(struct vcpu *v)
{
    unsigned type = v->run->system_event.type;

    if (type == KVM_SYSTEM_EVENT_SHUTDOWN)
        machine_end(v->machine, MACHINE_POWER_OFF, "the guest powered off");
    else if (type == KVM_SYSTEM_EVENT_RESET)
        machine_end(v->machine, MACHINE_RESET, "the guest asked for a reset");
    else if (type == KVM_SYSTEM_EVENT_CRASH)
        machine_end(v->machine, MACHINE_CRASHED, "the guest's kernel said that it crashed");
    else
        machine_end(v->machine, MACHINE_FAILED, "vCPU %u: system event %u, which nobody knows", v->id, type);
    return false;
}

static bool exit_fail_entry(struct vcpu *v)
{
    machine_end(v->machine, MACHINE_FAILED,
                "vCPU %u: the processor refused to enter the guest (hardware's reason %#llx, CPU %u)", v->id,
                (unsigned long long)v->run->fail_entry.hardware_entry_failure_reason, v->run->fail_entry.cpu);
    return false;
}

static bool exit_internal_error(struct vcpu *v)
{
    static const char *const kinds[] = {
        [KVM_INTERNAL_ERROR_EMULATION] = "an instruction that KVM cannot emulate",
        [KVM_INTERNAL_ERROR_SIMUL_EX] = "an exception while another was delivered",
        [KVM_INTERNAL_ERROR_DELIVERY_EV] = "an event that KVM could not deliver",
        [KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "an exit that KVM did not expect"};
    struct kvm_run *r = v->run;
    const char *kind = r->internal.suberror < ARRAY_SIZE(kinds) ? kinds[r->internal.suberror] : NULL;
    char bytes[64] = "";

    if (r->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && r->internal.ndata >= 1 &&
        r->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
        size_t n = (size_t)snprintf(bytes, sizeof(bytes), ", bytes");
        for (size_t i = 0; i < r->emulation_failure.insn_size && i < 15; i++)
            n += (size_t)snprintf(bytes + n, sizeof(bytes) - n, " %02x", r->emulation_failure.insn_bytes[i]);
    }
    machine_end(v->machine, MACHINE_FAILED, "vCPU %u: KVM's internal error %u at %#llx: %s%s", v->id,
                r->internal.suberror, guest_rip(v), kind ? kind : "of an unknown kind", bytes);
    return false;
}

static exit_handler *const exits[] = {
    [KVM_EXIT_IO] = exit_io,
    [KVM_EXIT_MMIO] = exit_mmio,
    [KVM_EXIT_INTR] = exit_again,
    [KVM_EXIT_IRQ_WINDOW_OPEN] = exit_again,
    [KVM_EXIT_HLT] = exit_halt,
    [KVM_EXIT_SHUTDOWN] = exit_shutdown,
    [KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
    [KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
    [KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
};

bool vcpu_handle_exit(struct vcpu *v)
{
    uint32_t reason = v->run->exit_reason;

    v->exits++;
    if (reason < ARRAY_SIZE(exits) && exits[reason])
        return exits[reason](v);
    machine_end(v->machine, MACHINE_FAILED, "vCPU %u: KVM's exit %u at %#llx, which a sandbox never asks for",
                v->id, reason, guest_rip(v));
    return false;
}

/* --- threads ------------------------------------------------------------------------------------------------------- */

static void set_immediate_exit(struct vcpu *v, uint8_t value)
{
    __atomic_store_n(&v->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

static void run(struct vcpu *v)
{
    for (;;) {
        if (ioctl(v->fd, KVM_RUN, 0) == 0) {
            if (!vcpu_handle_exit(v))
                return;
        } else if (errno == EINTR) {
            if (__atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST))
                return;
        } else if (errno != EAGAIN) { /* EAGAIN: an AP that was woken by INIT or SIPI */
            machine_end(v->machine, MACHINE_FAILED, "vCPU %u: KVM_RUN: %s", v->id, strerror(errno));
            return;
        }
        if (machine_has_ended(v->machine))
            set_immediate_exit(v, 1); /* finish the access, then leave */
    }
}

/* #syscalls(vcpu): ioctl=KVM_RUN ioctl=KVM_GET_REGS futex */
static void *thread_main(void *arg)
{
    struct vcpu *v = arg;
    struct error err = {0};
    sigset_t set;

    if (v->prepare && v->prepare(&err)) {
        machine_end(v->machine, MACHINE_FAILED, "vCPU %u: %s", v->id, err.message);
        return NULL;
    }
    sigemptyset(&set);
    sigaddset(&set, STOP_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    run(v);
    return NULL;
}

static void do_nothing(int number)
{
    (void)number;
}

/* The thread begins with all signals blocked. */
static int start_thread(struct vcpu *v, const pthread_attr_t *attributes)
{
    sigset_t all, before;

    set_immediate_exit(v, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&v->thread, attributes, thread_main, v);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    v->started = !failed;
    return failed;
}

/* #syscalls: clone3 rt_sigaction rt_sigprocmask mprotect */
int vcpus_start(struct vcpu *v, unsigned n, struct error *err)
{
    struct sigaction nothing = {.sa_handler = do_nothing}; /* no SA_RESTART: writes to a full pipe end, too */
    pthread_attr_t attributes;
    int failed = 0;

    if (sigaction(STOP_SIGNAL, &nothing, NULL))
        return error_set(err, errno, "sigaction");
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, VCPU_STACK);
    for (unsigned i = 0; i < n && !failed; i++)
        failed = start_thread(&v[i], &attributes);
    pthread_attr_destroy(&attributes);
    if (!failed)
        return 0;
    vcpus_stop(v, n);
    return error_set(err, failed, "start the threads of %u vCPUs", n);
}

static void stop_thread(struct vcpu *v)
{
    set_immediate_exit(v, 1);
    pthread_kill(v->thread, STOP_SIGNAL);
}

/* A device may have begun to wait (for a full pipe of the serial port's) after the signal came: send it again. */
static void join_thread(struct vcpu *v)
{
    enum { AGAIN_NS = 20000000 };
    struct timespec until;

    for (;;) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += AGAIN_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_timedjoin_np(v->thread, NULL, &until) != ETIMEDOUT)
            break;
        stop_thread(v);
    }
    v->started = false;
}

/* #syscalls(main): tgkill getpid futex clock_gettime rt_sigprocmask */
void vcpus_stop(struct vcpu *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].started)
            stop_thread(&v[i]);
    for (unsigned i = 0; i < n; i++)
        if (v[i].started)
            join_thread(&v[i]);
}
