/*
 * A vCPU's state out of KVM and into it again (Documentation/virt/kvm/api.rst, 4.11 to 4.43). What has to come before what:
 * CPUID before all (it says which registers exist), the TSC's frequency before the TSC, special registers (the APIC's
 * mode) before the local APIC, XCR0 before the state it describes, the local APIC and the TSC before the TSC deadline,
 * which arms the timer, events (pending exceptions and interrupts) last but for the MP state.
 *
 * MSRs are a list of our own, not KVM's: what the guest may have changed and what its kernel relies on, so that a state
 * does not depend on the host's kernel. One that this KVM or this processor lacks is left out; one that was saved has to be
 * taken, or loading fails. They are loaded in the list's order.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sandbox/vmm/vcpu.h"

enum { MSR_TSC = 0x10, MSR_TSC_DEADLINE = 0x6e0 };

static const struct {
    uint32_t first, count;
} msr_ranges[] = {
    {0x3b, 1},       /* TSC_ADJUST, before the TSC, which it does not move when the host sets it */
    {MSR_TSC, 1},    /* */
    {0x48, 1},       /* SPEC_CTRL */
    {0xe1, 1},       /* UMWAIT_CONTROL */
    {0x122, 1},      /* TSX_CTRL */
    {0x174, 3},      /* SYSENTER_CS, _ESP, _EIP */
    {0x17a, 1},      /* MCG_STATUS */
    {0x1a0, 1},      /* MISC_ENABLE */
    {0x200, 16},     /* MTRRs: variable */
    {0x250, 1},      /* MTRRs: fixed, 64K */
    {0x258, 2},      /* 16K */
    {0x268, 8},      /* 4K */
    {0x277, 1},      /* PAT */
    {0x2ff, 1},      /* MTRRdefType */
    {0xda0, 1},      /* XSS */
    {0xc0000081, 4}, /* STAR, LSTAR, CSTAR, SYSCALL_MASK */
    {0xc0000102, 2}, /* KERNEL_GS_BASE, TSC_AUX */
    {0xc0000104, 1}, /* AMD: TSC_RATIO */
    {0xc0010015, 1}, /* AMD: HWCR */
    {0xc001011f, 1}, /* AMD: VIRT_SPEC_CTRL */
    {0xc0011029, 1}, /* AMD: DE_CFG */
    {0x4b564d00, 9}, /* KVM: clock and wall clock, async page faults, steal time, EOI, polling, migration */
    {MSR_TSC_DEADLINE, 1},
};

/* --- save ---------------------------------------------------------------------------------------------------------- */

struct one_msr {
    struct kvm_msrs head;
    struct kvm_msr_entry entry;
};

static bool lapic_in_deadline_mode(const struct kvm_lapic_state *lapic)
{
    enum { LVT_TIMER = 0x320, MASKED = 1 << 16, MODE = 3 << 17, DEADLINE = 2 << 17 };
    uint32_t lvt;

    memcpy(&lvt, &lapic->regs[LVT_TIMER], sizeof(lvt));
    return !(lvt & MASKED) && (lvt & MODE) == DEADLINE;
}

/* A timer that has just gone off reads as a deadline of 0, which means none; if its interrupt was not yet raised it would be
 * lost, and the guest with it. Saved as "now", it goes off (once too often at worst). */
static void keep_deadline(struct vcpu_state *s, uint64_t now)
{
    for (uint32_t i = 0; i < s->n_msrs; i++)
        if (s->msrs[i].index == MSR_TSC_DEADLINE && s->msrs[i].data == 0 && lapic_in_deadline_mode(&s->lapic))
            s->msrs[i].data = now;
}

static int save_msrs(struct vcpu *v, struct vcpu_state *s, struct error *err)
{
    uint64_t now = 0;

    for (size_t i = 0; i < ARRAY_SIZE(msr_ranges); i++)
        for (uint32_t k = 0; k < msr_ranges[i].count; k++) {
            struct one_msr msr = {.head.nmsrs = 1, .entry.index = msr_ranges[i].first + k};
            int got = ioctl(v->fd, KVM_GET_MSRS, &msr);
            if (got < 0)
                return error_set(err, errno, "vCPU %u: KVM_GET_MSRS", v->id);
            if (got == 0)
                continue;
            if (s->n_msrs == VCPU_MAX_MSRS)
                return error_set(err, 0, "vCPU %u: more than %d MSRs", v->id, VCPU_MAX_MSRS);
            s->msrs[s->n_msrs++] = msr.entry;
            if (msr.entry.index == MSR_TSC)
                now = msr.entry.data;
        }
    keep_deadline(s, now);
    return 0;
}

/* What is one ioctl each way, in the order of loading. */
static const struct {
    unsigned long get, set;
    size_t offset;
    const char *name;
} parts[] = {
#define PART(name_, member)                                                                                  \
    {                                                                                                        \
        KVM_GET_##name_, KVM_SET_##name_, offsetof(struct vcpu_state, member), #name_                        \
    }
    PART(SREGS, sregs), PART(REGS, regs),           PART(XCRS, xcrs),
    PART(XSAVE, xsave), PART(DEBUGREGS, debugregs), PART(LAPIC, lapic),
#undef PART
};

static int save_part(struct vcpu *v, struct vcpu_state *s, size_t i, struct error *err)
{
    if (ioctl(v->fd, parts[i].get, (char *)s + parts[i].offset) < 0)
        return error_set(err, errno, "vCPU %u: KVM_GET_%s", v->id, parts[i].name);
    return 0;
}

int vcpu_save(struct vcpu *v, struct vcpu_state *s, struct error *err)
{
    *s = (struct vcpu_state){.version = VCPU_STATE_VERSION, .length = sizeof(*s), .id = v->id};
    s->cpuid.n = CPUID_MAX_ENTRIES;
    int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
    if (khz < 0)
        return error_set(err, errno, "vCPU %u: KVM_GET_TSC_KHZ", v->id);
    s->tsc_khz = (uint64_t)khz;
    if (ioctl(v->fd, KVM_GET_CPUID2, &s->cpuid))
        return error_set(err, errno, "vCPU %u: KVM_GET_CPUID2", v->id);
    /* first of all: asking for it delivers an INIT or SIPI that waits */
    if (ioctl(v->fd, KVM_GET_MP_STATE, &s->mp_state))
        return error_set(err, errno, "vCPU %u: KVM_GET_MP_STATE", v->id);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (save_part(v, s, i, err))
            return -1;
    if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &s->events))
        return error_set(err, errno, "vCPU %u: KVM_GET_VCPU_EVENTS", v->id);
    return save_msrs(v, s, err);
}

/* --- load ---------------------------------------------------------------------------------------------------------- */

static int check_state(const struct vcpu *v, const struct vcpu_state *s, struct error *err)
{
    if (s->version != VCPU_STATE_VERSION || s->length != sizeof(*s))
        return error_set(err, 0, "a vCPU's state of version %u and %u bytes, not %d and %zu", s->version,
                         s->length, VCPU_STATE_VERSION, sizeof(*s));
    if (s->id != v->id)
        return error_set(err, 0, "the state of vCPU %u is not vCPU %u's", s->id, v->id);
    if (s->n_msrs > VCPU_MAX_MSRS || s->cpuid.n > CPUID_MAX_ENTRIES)
        return error_set(err, 0, "vCPU %u: a state with %u MSRs and %u leaves of CPUID", v->id, s->n_msrs,
                         s->cpuid.n);
    return 0;
}

static int load_tsc_khz(struct vcpu *v, const struct vcpu_state *s, struct error *err)
{
    int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);

    /* KVM itself takes a host's clock that differs by less than 250 ppm for the same. */
    if (khz > 0 && s->tsc_khz > (uint64_t)khz - (uint64_t)khz / 4000 &&
        s->tsc_khz < (uint64_t)khz + (uint64_t)khz / 4000)
        return 0;
    if (ioctl(v->fd, KVM_SET_TSC_KHZ, s->tsc_khz))
        return error_set(err, errno,
                         "vCPU %u: the state is from a processor with a TSC of %llu kHz, this one has %d",
                         v->id, (unsigned long long)s->tsc_khz, khz);
    return 0;
}

static int load_msrs(struct vcpu *v, const struct vcpu_state *s, struct error *err)
{
    for (uint32_t i = 0; i < s->n_msrs; i++) {
        struct one_msr msr = {.head.nmsrs = 1, .entry = s->msrs[i]};
        int set = ioctl(v->fd, KVM_SET_MSRS, &msr);
        /* KVM lets the host read some that this processor lacks, as 0, and refuses to write even that. */
        if (set != 1 && msr.entry.data != 0)
            return error_set(err, set < 0 ? errno : 0, "vCPU %u: KVM refuses %#llx for MSR %#x", v->id,
                             (unsigned long long)msr.entry.data, msr.entry.index);
    }
    return 0;
}

/* #syscalls: ioctl */
int vcpu_load(struct vcpu *v, const struct vcpu_state *s, struct error *err)
{
    if (check_state(v, s, err))
        return -1;
    if (ioctl(v->fd, KVM_SET_CPUID2, &s->cpuid))
        return error_set(err, errno, "vCPU %u: KVM_SET_CPUID2", v->id);
    if (load_tsc_khz(v, s, err))
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (ioctl(v->fd, parts[i].set, (const char *)s + parts[i].offset) < 0)
            return error_set(err, errno, "vCPU %u: KVM_SET_%s", v->id, parts[i].name);
    if (load_msrs(v, s, err))
        return -1;
    if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &s->events))
        return error_set(err, errno, "vCPU %u: KVM_SET_VCPU_EVENTS", v->id);
    if (ioctl(v->fd, KVM_SET_MP_STATE, &s->mp_state))
        return error_set(err, errno, "vCPU %u: KVM_SET_MP_STATE", v->id);
    /* The guest's watchdogs shall not count the time it stood still. EINVAL: it has no kvmclock. */
    if (ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0) && errno != EINVAL)
        return error_set(err, errno, "vCPU %u: KVM_KVMCLOCK_CTRL", v->id);
    return 0;
}
