/*
 * The fence: capabilities by capset(2) a thread, system calls by seccomp(2) a thread (Documentation/userspace-api/
 * seccomp_filter.rst). A call that is not on the thread's list kills the process: something that was not foreseen has
 * taken over, and there is nothing to be saved by going on. The lists are made from the notes beside the code
 * (syscalls.awk); what the C library itself needs, for any thread, is noted here:
 *
 * #syscalls(main vcpu io stream fs): futex exit exit_group rt_sigreturn rt_sigprocmask restart_syscall write
 * #syscalls(main vcpu io stream fs): munmap madvise clock_gettime
 *
 * The filter is a chain of comparisons. Most lists have some twenty calls, and the kernel remembers for each that is
 * allowed without looking at arguments that it is (5.11), so nothing would be won by a tree.
 */
#include "sandbox/vmm/jail.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "syscalls_lists.h"

static const struct {
    const char *name;
    const struct jail_rule *rules;
    size_t n;
} lists[JAIL_KINDS] = {
    [JAIL_MAIN] = {"main", rules_main, ARRAY_SIZE(rules_main)},
    [JAIL_VCPU] = {"vCPU", rules_vcpu, ARRAY_SIZE(rules_vcpu)},
    [JAIL_IO] = {"I/O", rules_io, ARRAY_SIZE(rules_io)},
    [JAIL_STREAM] = {"stream's", rules_stream, ARRAY_SIZE(rules_stream)},
    [JAIL_FS] = {"file server's", rules_fs, ARRAY_SIZE(rules_fs)},
};
_Static_assert(ARRAY_SIZE(rules_main) <= JAIL_MAX_RULES && ARRAY_SIZE(rules_vcpu) <= JAIL_MAX_RULES &&
                   ARRAY_SIZE(rules_io) <= JAIL_MAX_RULES && ARRAY_SIZE(rules_stream) <= JAIL_MAX_RULES &&
                   ARRAY_SIZE(rules_fs) <= JAIL_MAX_RULES,
               "JAIL_MAX_RULES");

static bool debugs;

/* --- the filter ---------------------------------------------------------------------------------------------------- */

#define LOAD(field)                                                                                          \
    (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARGUMENT(high)                                                                                  \
    (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS,                                                  \
                                  offsetof(struct seccomp_data, args) + sizeof(uint64_t) + (high)*4)
#define RETURN(what) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, what)
#define IF_EQUAL(value, then, other)                                                                         \
    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, other)

size_t jail_filter(const struct jail_rule *rules, size_t n, uint32_t deny, struct sock_filter *filter)
{
    size_t at = 0;

    filter[at++] = LOAD(arch);
    filter[at++] = IF_EQUAL(AUDIT_ARCH_X86_64, 1, 0);
    filter[at++] =
        RETURN(deny); /* 32-bit calls have other numbers. (x32 ones have a bit that no rule has.) */
    filter[at++] = LOAD(nr);
    for (const struct jail_rule *r = rules; r < rules + n; r++) {
        if (!r->limited) {
            filter[at++] = IF_EQUAL((uint32_t)r->number, 0, 1);
            filter[at++] = RETURN(SECCOMP_RET_ALLOW);
            continue;
        }
        filter[at++] = IF_EQUAL((uint32_t)r->number, 0, 6);
        filter[at++] = LOAD_ARGUMENT(0);
        filter[at++] = IF_EQUAL((uint32_t)r->value, 0, 3);
        filter[at++] = LOAD_ARGUMENT(1);
        filter[at++] = IF_EQUAL((uint32_t)(r->value >> 32), 0, 1);
        filter[at++] = RETURN(SECCOMP_RET_ALLOW);
        filter[at++] = LOAD(nr); /* another rule may allow another value */
    }
    filter[at++] = RETURN(deny);
    return at;
}

/* --- what a forbidden call says ------------------------------------------------------------------------------------ */

static _Thread_local enum jail own_kind;

static void on_forbidden(int signal, siginfo_t *info, void *context)
{
    char words[128];

    (void)signal;
    (void)context;
    int n = snprintf(words, sizeof(words), "hull-vmm: forbidden in the %s thread: system call %d\n",
                     lists[own_kind].name, info->si_syscall);
    if (write(STDERR_FILENO, words, (size_t)n) != n)
        _exit(128 + SIGSYS);
    _exit(128 + SIGSYS);
}

/* --- the fence ----------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int jail_descriptors(const int *keep, size_t n, struct error *err)
{
    int sorted[16];
    unsigned next = STDERR_FILENO + 1;

    if (n > ARRAY_SIZE(sorted))
        return error_set(err, 0, "%zu descriptors to keep", n);
    memcpy(sorted, keep, n * sizeof(*keep));
    qsort(sorted, n, sizeof(*sorted), compare);
    for (size_t i = 0; i <= n; i++) {
        unsigned last = i < n ? (unsigned)sorted[i] - 1 : ~0U;
        if (i < n && sorted[i] < (int)next)
            continue;
        /* ENOSYS before 5.9: what is not for us was close-on-exec all the same. */
        if (next <= last && syscall(SYS_close_range, next, last, 0) < 0 && errno != ENOSYS)
            return error_set(err, errno, "close_range");
        next = last + 2;
    }
    return 0;
}

int jail_process(bool debug, struct error *err)
{
    struct sigaction action = {.sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO};

    debugs = debug;
    if (debug && sigaction(SIGSYS, &action, NULL) < 0)
        return error_set(err, errno, "sigaction");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "PR_SET_NO_NEW_PRIVS");
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return error_set(err, errno, "PR_SET_DUMPABLE");
    return 0;
}

int jail_capabilities(struct error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    /* EINVAL before 4.3: there are no ambient ones. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return error_set(err, errno, "PR_CAP_AMBIENT_CLEAR_ALL");
    if (syscall(SYS_capset, &header, none) < 0)
        return error_set(err, errno, "capset");
    return 0;
}

uint64_t jail_signals(void)
{
    return ~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1) | (debugs ? 1ULL << (SIGSYS - 1) : 0));
}

int jail_block_signals(struct error *err)
{
    uint64_t mask = jail_signals();

    return syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask)) < 0
               ? error_set(err, errno, "block signals")
               : 0;
}

int jail_thread(enum jail kind, struct error *err)
{
    struct sock_filter filter[JAIL_MAX_FILTER];
    uint32_t deny = debugs ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS;
    size_t n = jail_filter(lists[kind].rules, lists[kind].n, deny, filter);
    const struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};

    own_kind = kind;
    if (jail_block_signals(err) < 0)
        return -1;
    if (kind != JAIL_FS && jail_capabilities(err) < 0)
        return error_wrap(err, "confine the %s thread", lists[kind].name);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return error_set(err, errno, "confine the %s thread: seccomp", lists[kind].name);
    return 0;
}
