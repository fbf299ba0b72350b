/*
 * linux.seccomp -> classic BPF by libseccomp (runtime-spec config-linux.md "Seccomp").
 *
 * A name that libseccomp does not know is a call this kernel cannot have, and passed over; a rule that says
 * what the default says is redundant, and libseccomp refuses it, so it is passed over too. Conditions on one
 * argument given twice in a rule are alternatives, a rule each; otherwise all of a rule's conditions must
 * hold. The native architecture is always in the filter.
 *
 * A program built for a newer libc probes for newer calls and falls back when it hears ENOSYS; EPERM breaks
 * it. So numbers above the highest one that the profile names on an architecture are handed back, to be
 * answered with ENOSYS, unless the default lets calls through.
 */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime/seccomp_private.h"

enum { ARGUMENTS = 6, ERRNO_MAX = 4095, DATA_MAX = 0xffff };

#define X32_BIT    0x40000000u
#define NO_SYSCALL 0xffffffffu /* -1: what a tracer leaves behind when it swallows a call */

static const struct action {
    const char *name;
    uint32_t value;
    uint32_t data_max; /* of errnoRet; 0: it may not be given */
    bool permissive;   /* as a default, lets unknown calls through */
} actions[] = {
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, 0, true},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), ERRNO_MAX, false},
    {"SCMP_ACT_KILL", SCMP_ACT_KILL, 0, false},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, 0, false},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, 0, false},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG, 0, true},
    {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY, 0, false},
    {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), DATA_MAX, true},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP, 0, false},
};

static const struct {
    const char *name;
    enum scmp_compare value;
} operators[] = {
    {"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_LE", SCMP_CMP_LE}, {"SCMP_CMP_LT", SCMP_CMP_LT}, {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    {"SCMP_CMP_NE", SCMP_CMP_NE},
};

static const struct {
    const char *name;
    uint32_t token;
} architectures[] = {
    {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
#ifdef SCMP_ARCH_LOONGARCH64
    {"SCMP_ARCH_LOONGARCH64", SCMP_ARCH_LOONGARCH64},
#endif
#ifdef SCMP_ARCH_M68K
    {"SCMP_ARCH_M68K", SCMP_ARCH_M68K},
#endif
    {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
    {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
    {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
    {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
    {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
    {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
    {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
    {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
    {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
    {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
    {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
    {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
    {"SCMP_ARCH_S390", SCMP_ARCH_S390},
    {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
#ifdef SCMP_ARCH_SH
    {"SCMP_ARCH_SH", SCMP_ARCH_SH},
    {"SCMP_ARCH_SHEB", SCMP_ARCH_SHEB},
#endif
    {"SCMP_ARCH_X32", SCMP_ARCH_X32},
    {"SCMP_ARCH_X86", SCMP_ARCH_X86},
    {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
};

/* NULL-terminated lists of the names in the tables above, filled on first use. */
#define NAMES_OF(table)                                                                                      \
    static const char *names[ARRAY_SIZE(table) + 1];                                                         \
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)                                                           \
        names[i] = (table)[i].name;                                                                          \
    return names

const char *const *seccomp_known_actions(void)
{
    NAMES_OF(actions);
}

const char *const *seccomp_known_operators(void)
{
    NAMES_OF(operators);
}

const char *const *seccomp_known_architectures(void)
{
    NAMES_OF(architectures);
}

static const struct action *action_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (name && strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

/* The action with its errno or trace data; EPERM when none is given. @where is the JSON path for messages. */
static int action_value(const char *name, bool has_data, uint32_t data, const char *where, uint32_t *out,
                        struct error *err)
{
    const struct action *action = action_find(name);

    if (!action)
        return error_set(err, 0, "linux.seccomp.%s: unknown action \"%s\"", where, name ? name : "");
    if (has_data && !action->data_max)
        return error_set(err, 0, "linux.seccomp.%s: %s takes no errno", where, name);
    if (has_data && data > action->data_max)
        return error_set(err, 0, "linux.seccomp.%s: errno %u of %s is above %u", where, data, name,
                         action->data_max);
    *out = action->value | (action->data_max ? (has_data ? data : EPERM) : 0);
    return 0;
}

static int architecture_token(const char *name, uint32_t *token, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
        if (strcmp(architectures[i].name, name) == 0) {
            *token = architectures[i].token;
            return 0;
        }
    return error_set(err, 0, "linux.seccomp.architectures: \"%s\" is not known to libseccomp", name);
}

static int condition(const struct spec_seccomp_arg *arg, struct scmp_arg_cmp *out, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        if (!arg->op || strcmp(operators[i].name, arg->op) != 0)
            continue;
        if (arg->index >= ARGUMENTS)
            return error_set(
                err, 0, "linux.seccomp.syscalls: args.index: a system call has 6 arguments, got index %u",
                arg->index);
        /* MASKED_EQ compares (argument & value) with valueTwo; the others need the one value. */
        *out = (struct scmp_arg_cmp){arg->index, operators[i].value, arg->value, arg->value_two};
        return 0;
    }
    return error_set(err, 0, "linux.seccomp.syscalls: args.op: unknown operator \"%s\"",
                     arg->op ? arg->op : "");
}

static int rule_add_one(scmp_filter_ctx ctx, uint32_t action, const char *name,
                        const struct scmp_arg_cmp *conditions, size_t n, struct error *err)
{
    int number = seccomp_syscall_resolve_name(name), rc;

    if (number == __NR_SCMP_ERROR)
        return 0;
    rc = seccomp_rule_add_array(ctx, action, number, (unsigned)n, conditions);
    return rc < 0 ? error_set(err, -rc, "linux.seccomp.syscalls: add a rule for %s", name) : 0;
}

static int rule_add(scmp_filter_ctx ctx, const struct spec_seccomp_rule *rule, uint32_t default_value,
                    struct error *err)
{
    struct scmp_arg_cmp conditions[ARGUMENTS], one;
    unsigned seen = 0;
    bool alternatives = false;
    uint32_t action;

    if (action_value(rule->action, rule->has_errno_ret, rule->errno_ret, "syscalls", &action, err) < 0)
        return -1;
    for (size_t i = 0; i < rule->n_args; i++) {
        if (condition(&rule->args[i], &one, err) < 0)
            return -1;
        alternatives |= seen >> one.arg & 1;
        seen |= 1u << one.arg;
        if (!alternatives)
            conditions[i] = one; /* i < ARGUMENTS, for no index came twice */
    }
    if (action == default_value)
        return 0;
    for (size_t k = 0; k < rule->names.n; k++) {
        const char *name = rule->names.v[k];
        if (!alternatives) {
            if (rule_add_one(ctx, action, name, conditions, rule->n_args, err) < 0)
                return -1;
            continue;
        }
        for (size_t i = 0; i < rule->n_args; i++)
            if (condition(&rule->args[i], &one, err) < 0 || rule_add_one(ctx, action, name, &one, 1, err) < 0)
                return -1;
    }
    return 0;
}

static int architectures_add(scmp_filter_ctx ctx, const struct spec_seccomp *p, struct error *err)
{
    for (size_t i = 0; i < p->architectures.n; i++) {
        uint32_t token;
        if (architecture_token(p->architectures.v[i], &token, err) < 0)
            return -1;
        int rc = seccomp_arch_add(ctx, token);
        if (rc < 0 && rc != -EEXIST)
            return error_set(err, -rc, "linux.seccomp.architectures: add %s", p->architectures.v[i]);
    }
    return 0;
}

/* The highest number that the profile names on one architecture; -1 when it names none. */
static int highest_number(const struct spec_seccomp *p, uint32_t token)
{
    int highest = -1;

    for (size_t i = 0; i < p->n_rules; i++)
        for (size_t k = 0; k < p->rules[i].names.n; k++) {
            int number = seccomp_syscall_resolve_name_arch(token, p->rules[i].names.v[k]);
            if (number > highest)
                highest = number;
        }
    return highest;
}

static void find_newer(struct arena *a, const struct spec_seccomp *p, struct seccomp_ranges *newer)
{
    *newer = (struct seccomp_ranges){.v = arena_new_n(a, 2 * p->architectures.n + 1, struct seccomp_range)};
    if (action_find(p->default_action)->permissive)
        return;
    for (size_t i = 0; i < p->architectures.n; i++) {
        uint32_t token;
        if (architecture_token(p->architectures.v[i], &token, NULL) < 0)
            continue;
        int highest = highest_number(p, token);
        if (highest < 0)
            continue;
        struct seccomp_range r = {token, (uint32_t)highest + 1, NO_SYSCALL - 1};
        if (token == SCMP_ARCH_X86_64)
            r.last = X32_BIT - 1; /* x32 shares the architecture's value and has this bit in its numbers */
        if (token == SCMP_ARCH_X32)
            r.arch = SCMP_ARCH_X86_64;
        newer->v[newer->n++] = r;
        /* On s390 a number that the kernel does not know arrives as 0. */
        if (token == SCMP_ARCH_S390 || token == SCMP_ARCH_S390X)
            newer->v[newer->n++] = (struct seccomp_range){token, 0, 0};
    }
}

static int export_program(struct arena *a, scmp_filter_ctx ctx, struct sock_fprog *out, struct error *err)
{
    _cleanup_(fd_closep) int fd = memfd_create("seccomp", MFD_CLOEXEC);
    struct stat st;
    int rc;

    if (fd < 0)
        return error_set(err, errno, "linux.seccomp: memory for the filter");
    rc = seccomp_export_bpf(ctx, fd);
    if (rc < 0)
        return error_set(err, -rc, "linux.seccomp: libseccomp cannot compile the profile");
    if (fstat(fd, &st) < 0 || st.st_size <= 0 ||
        st.st_size > BPF_MAXINSNS * (off_t)sizeof(struct sock_filter))
        return error_set(err, E2BIG, "linux.seccomp: the compiled profile has more than %d instructions",
                         BPF_MAXINSNS);
    out->len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
    out->filter = arena_new_n(a, out->len, struct sock_filter);
    if (pread(fd, out->filter, (size_t)st.st_size, 0) != st.st_size)
        return error_set(err, errno, "linux.seccomp: read the compiled filter");
    return 0;
}

static void filter_releasep(scmp_filter_ctx *ctx)
{
    if (*ctx)
        seccomp_release(*ctx);
}

int seccomp_compile(struct arena *a, const struct spec_seccomp *profile, struct sock_fprog *out,
                    struct seccomp_ranges *newer, struct error *err)
{
    uint32_t action;

    if (action_value(profile->default_action, profile->has_default_errno_ret, profile->default_errno_ret,
                     "defaultAction", &action, err) < 0)
        return -1;
    _cleanup_(filter_releasep) scmp_filter_ctx ctx = seccomp_init(action);
    if (!ctx)
        return error_set(err, 0,
                         "linux.seccomp.defaultAction: %s is not supported by this libseccomp or kernel",
                         profile->default_action);
    if (architectures_add(ctx, profile, err) < 0)
        return -1;
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
    for (size_t i = 0; i < profile->n_rules; i++)
        if (rule_add(ctx, &profile->rules[i], action, err) < 0)
            return -1;
    if (export_program(a, ctx, out, err) < 0)
        return -1;
    find_newer(a, profile, newer);
    return 0;
}
