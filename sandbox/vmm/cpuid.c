/*
 * CPUID for a guest (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E). Masks are rows of a table: a name, a leaf,
 * a register and the bits that go. Features that the host lacks are absent in KVM's answer already, so a mask only ever
 * takes away, and the same masks on two hosts leave what both have.
 *
 * A mask that takes an instruction set away also takes its state in XSAVE's leaf, or the guest would find one without
 * the other. KVM recomputes what depends on CR4 and XCR0 by itself.
 */
#include "sandbox/vmm/cpuid.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum reg { EAX, EBX, ECX, EDX };

enum { ANY_INDEX = -1 };

#define BIT(n) (1U << (n))

struct mask_row {
    const char *name;
    uint32_t function;
    int index; /* subleaf, or ANY_INDEX */
    enum reg reg;
    uint32_t bits;
};

/* No sandbox has these. Nested virtualization and performance counters: attack surface. SGX, AMX, PT, user interrupts,
 * shadow stacks: state that is not in vcpu.h. HLE and RTM: side channels. */
#define ALWAYS "sandbox"

static const struct mask_row masks[] = {
    {ALWAYS, 1, ANY_INDEX, ECX, BIT(5) | BIT(6) | BIT(15) | BIT(18) | BIT(2)}, /* VMX SMX PDCM DCA DTES64 */
    {ALWAYS, 1, ANY_INDEX, EDX, BIT(21)},                                      /* DS */
    {ALWAYS, 7, 0, EBX,
     BIT(2) | BIT(4) | BIT(11) | BIT(12) | BIT(14) | BIT(15) | BIT(25)}, /* SGX HLE RTM PQM MPX PQE PT */
    {ALWAYS, 7, 0, ECX, BIT(7) | BIT(30)},                               /* SHSTK SGX_LC */
    {ALWAYS, 7, 0, EDX,
     BIT(5) | BIT(19) | BIT(20) | BIT(22) | BIT(24) | BIT(25)}, /* UINTR ARCH_LBR IBT AMX... */
    {ALWAYS, 7, 1, EAX, BIT(21)},                               /* AMX_FP16 */
    {ALWAYS, 0xa, ANY_INDEX, EAX, UINT32_MAX},                  /* PMU */
    {ALWAYS, 0xa, ANY_INDEX, EBX, UINT32_MAX},
    {ALWAYS, 0xa, ANY_INDEX, EDX, UINT32_MAX},
    {ALWAYS, 0xd, 0, EAX,
     BIT(3) | BIT(4) | BIT(8) | BIT(17) | BIT(18)}, /* BNDREGS BNDCSR PT TILECFG TILEDATA */
    {ALWAYS, 0xd, 1, EAX, BIT(4)},                  /* XFD */
    {ALWAYS, 0xd, 1, ECX, UINT32_MAX},              /* supervisor states */
    {ALWAYS, 0x80000001, ANY_INDEX, ECX,
     BIT(2) | BIT(10) | BIT(23) | BIT(24) | BIT(28)}, /* SVM IBS PERFCTR_CORE, NB, LLC */
    {ALWAYS, 0x80000022, ANY_INDEX, EAX, UINT32_MAX}, /* PERFMON_V2 */

    {"no-avx512", 7, 0, EBX,
     BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) |
         BIT(31)}, /* F DQ IFMA PF ER CD BW VL */
    {"no-avx512", 7, 0, ECX,
     BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14)},              /* VBMI VBMI2 VNNI BITALG VPOPCNTDQ */
    {"no-avx512", 7, 0, EDX, BIT(2) | BIT(3) | BIT(8) | BIT(23)}, /* 4VNNIW 4FMAPS VP2INTERSECT FP16 */
    {"no-avx512", 7, 1, EAX, BIT(5)},                             /* BF16 */
    {"no-avx512", 0xd, 0, EAX, BIT(5) | BIT(6) | BIT(7)},         /* opmask, ZMM */

    {"no-xsave", 1, ANY_INDEX, ECX, BIT(12) | BIT(26) | BIT(28) | BIT(29)}, /* FMA XSAVE AVX F16C */
    {"no-xsave", 7, 0, EBX, BIT(5)},                                        /* AVX2, and no-avx512 */
    {"no-xsave", 7, 0, ECX, BIT(9) | BIT(10)},                              /* VAES VPCLMULQDQ */
    {"no-xsave", 7, 0, ECX, BIT(3)},                                        /* PKU lives in XSAVE */
    {"no-xsave", 7, 1, EAX, BIT(4) | BIT(23)},                              /* AVX_VNNI AVX_IFMA */
    {"no-xsave", 7, 1, EDX, UINT32_MAX},
    {"no-xsave", 0xd, ANY_INDEX, EAX, UINT32_MAX},
    {"no-xsave", 0xd, ANY_INDEX, EBX, UINT32_MAX},
    {"no-xsave", 0xd, ANY_INDEX, ECX, UINT32_MAX},
    {"no-xsave", 0xd, ANY_INDEX, EDX, UINT32_MAX},
    {"no-xsave", 0x80000001, ANY_INDEX, ECX, BIT(11) | BIT(15) | BIT(16)}, /* XOP LWP FMA4 */

    {"no-smap", 7, 0, EBX, BIT(20)},                    /* stac, clac */
    {"no-rdtscp", 0x80000001, ANY_INDEX, EDX, BIT(27)}, /* and rdpid, which shares its MSR */
    {"no-rdtscp", 7, 0, ECX, BIT(22)},
    {"no-cx16", 1, ANY_INDEX, ECX, BIT(13)},
    {"no-popcnt", 1, ANY_INDEX, ECX, BIT(23)},
    {"no-pcid", 1, ANY_INDEX, ECX, BIT(17)},
    {"no-pcid", 7, 0, EBX, BIT(10)}, /* INVPCID */
    {"no-la57", 7, 0, ECX, BIT(16)},
};

/* Masks made of masks: what is left is the level's name, or what an instruction emulator of KVM can do. */
static const struct {
    const char *name, *parts[8];
} sets[] = {
    {"no-xsave", {"no-avx512"}},
    {"x86-64-v3", {"no-avx512"}},
    {"x86-64-v2", {"no-xsave"}},
    {"emulated", {"no-xsave", "no-smap", "no-rdtscp", "no-cx16", "no-popcnt", "no-pcid", "no-la57"}},
};

/* --- masks --------------------------------------------------------------------------------------------------------- */

static uint32_t *entry_register(struct kvm_cpuid_entry2 *e, enum reg reg)
{
    uint32_t *const registers[] = {[EAX] = &e->eax, [EBX] = &e->ebx, [ECX] = &e->ecx, [EDX] = &e->edx};
    return registers[reg];
}

static bool apply_rows(struct cpuid *c, const char *name)
{
    bool known = false;

    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        const struct mask_row *row = &masks[i];
        if (strcmp(row->name, name) != 0)
            continue;
        known = true;
        for (uint32_t k = 0; k < c->n; k++)
            if (c->entries[k].function == row->function &&
                (row->index == ANY_INDEX || c->entries[k].index == (uint32_t)row->index))
                *entry_register(&c->entries[k], row->reg) &= ~row->bits;
    }
    return known;
}

static bool apply(struct cpuid *c, const char *name)
{
    bool known = apply_rows(c, name);

    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        if (strcmp(sets[i].name, name) == 0) {
            known = true;
            for (size_t k = 0; k < ARRAY_SIZE(sets[i].parts) && sets[i].parts[k]; k++)
                apply(c, sets[i].parts[k]); /* sets are no loops: each names what stands above it */
        }
    return known;
}

static void list_name(char *list, size_t size, const char *name)
{
    size_t n = strlen(list);
    if (!strstr(list, name))
        snprintf(list + n, size - n, " %s", name);
}

int cpuid_mask(struct cpuid *c, const char *name, struct error *err)
{
    char names[512] = "";

    if (apply(c, name))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(masks); i++)
        if (strcmp(masks[i].name, ALWAYS) != 0)
            list_name(names, sizeof(names), masks[i].name);
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        list_name(names, sizeof(names), sets[i].name);
    return error_set(err, 0, "there is no CPU mask \"%s\", but:%s", name, names);
}

/* #syscalls: ioctl */
int cpuid_supported(struct cpuid *c, int kvm, bool tsc_deadline, struct error *err)
{
    *c = (struct cpuid){.n = CPUID_MAX_ENTRIES};
    _Static_assert(offsetof(struct cpuid, entries) == offsetof(struct kvm_cpuid2, entries), "as KVM has it");
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c))
        return error_set(err, errno, "KVM_GET_SUPPORTED_CPUID");
    apply(c, ALWAYS);
    for (uint32_t i = 0; i < c->n; i++)
        if (c->entries[i].function == 1) {
            c->entries[i].ecx |= BIT(31); /* a hypervisor is below: leaf 4000_0000 says which */
            if (tsc_deadline)
                c->entries[i].ecx |= BIT(24);
        }
    return 0;
}

/* --- topology ------------------------------------------------------------------------------------------------------ */

struct topology {
    uint32_t id, n, bits; /* bits: of an APIC id that tell cores apart */
};

static void leaf_1(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
    e->ebx = (e->ebx & 0xffff) | (1U << t->bits & 0xff) << 16 | t->id << 24;
    e->edx = t->n > 1 ? e->edx | BIT(28) : e->edx & ~BIT(28); /* HTT: more than one logical processor */
}

/* Caches: levels 1 and 2 are a core's own, level 3 is the package's. */
static uint32_t sharing(uint32_t level, const struct topology *t)
{
    return level >= 3 ? (1U << t->bits) - 1 : 0;
}

static void leaf_4(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
    if (!(e->eax & 0x1f)) /* the list's end */
        return;
    e->eax = (e->eax & 0x3fff) | sharing(e->eax >> 5 & 7, t) << 14 | ((1U << t->bits) - 1) << 26;
}

static void leaf_8000_001d(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
    if (e->eax & 0x1f)
        e->eax = (e->eax & ~(0xfffU << 14)) | sharing(e->eax >> 5 & 7, t) << 14;
}

/* Extended topology: level 0 is the thread (one a core), level 1 the core, then the end. */
static void leaf_b(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
    static const uint32_t types[] = {1, 2};
    uint32_t level = e->index;

    e->eax = level == 1 ? t->bits : 0;
    e->ebx = level == 0 ? 1 : level == 1 ? t->n : 0;
    e->ecx = level | (level < ARRAY_SIZE(types) ? types[level] << 8 : 0);
    e->edx = t->id;
}

static void leaf_8000_0001(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
    e->ecx = t->n > 1 ? e->ecx | BIT(1) : e->ecx & ~BIT(1); /* CMP_LEGACY: several cores */
}

static void leaf_8000_0008(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
    e->ecx = (e->ecx & ~0xf0ffU) | t->bits << 12 | (t->n - 1);
}

static void leaf_8000_001e(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
    e->eax = t->id;
    e->ebx = t->id & 0xff; /* one thread a core */
    e->ecx = 0;            /* one node */
    e->edx = 0;
}

static const struct {
    uint32_t function;
    void (*fill)(struct kvm_cpuid_entry2 *, const struct topology *);
} leaves[] = {
    {1, leaf_1},
    {4, leaf_4},
    {0xb, leaf_b},
    {0x1f, leaf_b},
    {0x80000001, leaf_8000_0001},
    {0x80000008, leaf_8000_0008},
    {0x8000001d, leaf_8000_001d},
    {0x8000001e, leaf_8000_001e},
};

/* KVM lists some subleaves of the topology, or none: make it two, and a third that ends the list. */
static void topology_leaf(struct cpuid *c, uint32_t function)
{
    uint32_t kept = 0;
    bool had = false;

    for (uint32_t i = 0; i < c->n; i++) {
        if (c->entries[i].function == function)
            had = true;
        else
            c->entries[kept++] = c->entries[i];
    }
    c->n = kept;
    for (uint32_t level = 0; had && level < 3 && c->n < CPUID_MAX_ENTRIES; level++)
        c->entries[c->n++] = (struct kvm_cpuid_entry2){
            .function = function, .index = level, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
}

void cpuid_topology(struct cpuid *c, unsigned id, unsigned n_vcpus)
{
    struct topology t = {.id = id, .n = n_vcpus};

    while (1U << t.bits < n_vcpus)
        t.bits++;
    topology_leaf(c, 0xb);
    topology_leaf(c, 0x1f);
    for (uint32_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < ARRAY_SIZE(leaves); k++)
            if (leaves[k].function == c->entries[i].function)
                leaves[k].fill(&c->entries[i], &t);
}
