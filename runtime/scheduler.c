/*
 * Where and when the process runs: process.scheduler, ioPriority, execCPUAffinity, linux.memoryPolicy and
 * linux.personality (runtime-spec config.md "Linux process", config-linux.md "Memory policy", "Personality").
 *
 * Each is one raw system call on the calling thread; execve keeps all of them. Lists of CPUs and NUMA nodes
 * are written "0-3,7" and become bit masks on the stack. What the kernel refuses is an error: unlike limits,
 * these change what the program computes with, and the specification offers no weaker choice.
 */
#include "runtime/process.h"

#include <errno.h>
#include <limits.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "runtime/spec/decode.h"

#ifndef MPOL_F_NUMA_BALANCING
#define MPOL_F_NUMA_BALANCING (1 << 13) /* 5.12 */
#endif

/* CPUs and nodes: the largest NR_CPUS that kernels are built with is 8192, nodes are at most 1024. */
enum { MASK_BITS = 8192, NODE_BITS = 1024, LONG_BITS = sizeof(long) * CHAR_BIT };

struct bit_mask {
    unsigned long word[MASK_BITS / LONG_BITS];
    unsigned n; /* bits that are set */
};

/* include/uapi/linux/sched/types.h; glibc 2.36 has no wrapper, and the two headers cannot be included
 * together. */
struct scheduler_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/* Decimal digits at *@text, below @limit. Advances *@text. */
static int mask_parse_number(const char **text, unsigned limit, unsigned *out)
{
    const char *s = *text;
    unsigned value = 0;

    if (*s < '0' || *s > '9')
        return -1;
    for (; *s >= '0' && *s <= '9'; s++) {
        value = value * 10 + (unsigned)(*s - '0');
        if (value >= limit)
            return -1;
    }
    *text = s;
    *out = value;
    return 0;
}

/* "0-3,7" -> bits 0 1 2 3 7. Nothing but digits, '-' and ',' may be in it. */
static int mask_parse(const char *list, unsigned limit, struct bit_mask *mask)
{
    memset(mask, 0, sizeof(*mask));
    for (const char *s = list;; s++) {
        unsigned first, last;

        if (mask_parse_number(&s, limit, &first) < 0)
            return -1;
        last = first;
        if (*s == '-') {
            s++;
            if (mask_parse_number(&s, limit, &last) < 0 || last < first)
                return -1;
        }
        for (unsigned bit = first; bit <= last; bit++)
            mask->word[bit / LONG_BITS] |= 1UL << (bit % LONG_BITS);
        mask->n += last - first + 1;
        if (*s == '\0')
            return 0;
        if (*s != ',')
            return -1;
    }
}

int scheduler_apply(const struct spec_scheduler *s, struct error *err)
{
    if (!s->present)
        return 0;
    struct scheduler_attributes attributes = {
        .size = sizeof(attributes),
        .policy = (uint32_t)s->policy_number,
        .flags = s->flag_bits,
        .nice = s->nice,
        .priority = (uint32_t)s->priority,
        .runtime = s->runtime,
        .deadline = s->deadline,
        .period = s->period,
    };
    if (syscall(SYS_sched_setattr, 0, &attributes, 0) < 0)
        return error_set(
            err, errno, "process.scheduler: set %s (nice %d, priority %d)%s", s->policy, (int)s->nice,
            (int)s->priority,
            errno == EPERM ? ", which needs CAP_SYS_NICE or a higher RLIMIT_NICE or RLIMIT_RTPRIO" : "");
    return 0;
}

int io_priority_apply(const struct spec_io_priority *p, struct error *err)
{
    if (!p->present)
        return 0;
    if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(p->class_number, p->priority)) < 0)
        return error_set(err, errno, "process.ioPriority: set %s, priority %d%s", p->class_name,
                         (int)p->priority,
                         errno == EPERM ? ", which needs CAP_SYS_ADMIN or CAP_SYS_NICE" : "");
    return 0;
}

void cpu_affinity_reset(void)
{
    struct bit_mask all;

    memset(all.word, 0xff, sizeof(all.word));
    (void)syscall(SYS_sched_setaffinity, 0, sizeof(all.word), all.word);
}

int cpu_affinity_apply(const char *cpu_list, struct error *err)
{
    struct bit_mask cpus;

    if (!cpu_list)
        return 0;
    if (mask_parse(cpu_list, MASK_BITS, &cpus) < 0)
        return error_set(err, 0, "process.execCPUAffinity: must be a list of CPUs like \"0-3,7\", got \"%s\"",
                         cpu_list);
    if (syscall(SYS_sched_setaffinity, 0, sizeof(cpus.word), cpus.word) < 0)
        return error_set(err, errno, "process.execCPUAffinity: run on CPUs %s", cpu_list);
    return 0;
}

/* In the order of memory_policy_flags[]. */
static const int memory_flag_values[] = {MPOL_F_NUMA_BALANCING, MPOL_F_RELATIVE_NODES, MPOL_F_STATIC_NODES};

int memory_policy_apply(const struct spec_memory_policy *p, struct error *err)
{
    struct bit_mask nodes = {0};
    int mode;

    if (!p->present)
        return 0;
    mode = name_index(memory_policy_modes, p->mode); /* the index is MPOL_* */
    if (mode < 0)
        return error_set(err, 0, "linux.memoryPolicy.mode: unknown policy \"%s\"", p->mode ? p->mode : "");
    for (size_t i = 0; i < p->flags.n; i++) {
        int flag = name_index(memory_policy_flags, p->flags.v[i]);
        if (flag < 0)
            return error_set(err, 0, "linux.memoryPolicy.flags: unknown flag \"%s\"", p->flags.v[i]);
        mode |= memory_flag_values[flag];
    }
    if (p->nodes && *p->nodes && mask_parse(p->nodes, NODE_BITS, &nodes) < 0)
        return error_set(
            err, 0, "linux.memoryPolicy.nodes: must be a list of nodes like \"0-3,7\", got \"%s\"", p->nodes);
    /* The kernel takes the mask's length as one more than the bits in it. */
    if (syscall(SYS_set_mempolicy, mode, nodes.n ? nodes.word : NULL, nodes.n ? NODE_BITS + 1UL : 0UL) < 0)
        return error_set(err, errno, "linux.memoryPolicy: set %s on nodes \"%s\"", p->mode,
                         p->nodes ? p->nodes : "");
    return 0;
}

int personality_apply(const struct spec_personality *p, struct error *err)
{
    static const unsigned long values[] = {PER_LINUX,
                                           PER_LINUX32}; /* in the order of personality_domains[] */
    int domain;

    if (!p->present)
        return 0;
    domain = name_index(personality_domains, p->domain);
    if (domain < 0)
        return error_set(err, 0, "linux.personality.domain: must be LINUX or LINUX32, got \"%s\"",
                         p->domain ? p->domain : "");
    if (p->flags.n)
        log_warning("linux.personality.flags: the specification defines no flags; they are ignored");
    if (personality(values[domain]) < 0)
        return error_set(err, errno, "linux.personality: set %s", p->domain);
    return 0;
}
