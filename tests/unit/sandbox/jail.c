/* The fence: what is not on a thread's list kills the process, whatever form the call has. */
#include "sandbox/vmm/jail.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run @body in a child: its wait status. */
#define CHILD(...)                                                                                           \
    ({                                                                                                       \
        int status_;                                                                                         \
        pid_t pid_ = fork();                                                                                 \
        if (pid_ == 0) {                                                                                     \
            __VA_ARGS__;                                                                                     \
            syscall(SYS_exit_group, 0);                                                                      \
        }                                                                                                    \
        waitpid(pid_, &status_, 0);                                                                          \
        status_;                                                                                             \
    })

static bool killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static const struct jail_rule rules[] = {
    {.number = SYS_exit_group},
    {.number = SYS_getuid},
    {SYS_ioctl, true, 0x5413},
    {SYS_ioctl, true, 0x1122334455667788},
};

static void load(void)
{
    struct sock_filter filter[JAIL_MAX_FILTER];
    size_t n = jail_filter(rules, ARRAY_SIZE(rules), SECCOMP_RET_KILL_PROCESS, filter);
    const struct sock_fprog program = {(unsigned short)n, filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
        _exit(99);
}

Test(jail, filter)
{
    static const struct {
        long number, second;
        bool allowed;
    } calls[] = {
        {SYS_getuid, 0, true},
        {SYS_getuid, 77, true},
        {SYS_getgid, 0, false},
        {SYS_getuid | 0x40000000, 0, false}, /* x32 */
        {-1, 0, false},
        {SYS_ioctl, 0x5413, true},
        {SYS_ioctl, 0x1122334455667788, true},
        {SYS_ioctl, 0x5414, false},
        {SYS_ioctl, 0x100005413, false},
        {SYS_ioctl, 0x55667788, false},
        {SYS_ioctl, 0x1122334400000000, false},
        {SYS_ioctl, 0, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        int status = CHILD({
            load();
            syscall(calls[i].number, -1, calls[i].second);
        });
        cr_expect(calls[i].allowed ? status == 0 : killed(status), "call %ld with %#lx: %d", calls[i].number,
                  calls[i].second, status);
    }
}

Test(jail, filter_knows_only_this_architecture)
{
    int status = CHILD({
        long result;
        load();
        /* 102 is getuid for x86-64, and socketcall for i386 */
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(0) : "memory");
        (void)result;
    });
    cr_expect(killed(status), "%d", status);
}

static void confine(enum jail kind, bool debug)
{
    struct error err;

    if (jail_process(debug, &err) < 0 || jail_thread(kind, &err) < 0)
        _exit(99);
}

Test(jail, each_kind_of_thread_is_confined)
{
    static const long forbidden[] = {SYS_openat, SYS_open,    SYS_execve,  SYS_clone, SYS_clone3,
                                     SYS_socket, SYS_connect, SYS_ptrace,  SYS_mount, SYS_setns,
                                     SYS_bpf,    SYS_fork,    SYS_mmap,    SYS_prctl, SYS_kill,
                                     SYS_unlink, SYS_keyctl,  SYS_mprotect};
    for (int kind = 0; kind < JAIL_KINDS; kind++) {
        cr_expect_eq(CHILD({ confine((enum jail)kind, false); }), 0, "%d: ends", kind);
        cr_expect_eq(CHILD({
                         confine((enum jail)kind, false);
                         if (write(-1, "", 1) != -1 || errno != EBADF)
                             _exit(1);
                     }),
                     0, "%d: writes", kind);
        for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
            if (kind == JAIL_FS && forbidden[i] == SYS_openat)
                continue; /* what a file server is for */
            int status = CHILD({
                confine((enum jail)kind, false);
                syscall(forbidden[i], 0, 0, 0, 0, 0, 0);
            });
            cr_expect(killed(status), "kind %d, call %ld: %d", kind, forbidden[i], status);
        }
        int status = CHILD({
            confine((enum jail)kind, false);
            ioctl(0, 0xae01); /* KVM_CREATE_VM */
        });
        cr_expect(killed(status), "kind %d: any ioctl", kind);
    }
}

Test(jail, debug_says_which_call)
{
    char words[256] = "";
    int pipe_fds[2];

    cr_assert_eq(pipe(pipe_fds), 0);
    int status = CHILD({
        dup2(pipe_fds[1], 2);
        confine(JAIL_VCPU, true);
        syscall(SYS_socket, 1, 1, 0);
    });
#ifdef __SANITIZE_ADDRESS__
    (void)status; /* its _exit() makes calls of its own, which are forbidden, too */
#else
    cr_expect_eq(WEXITSTATUS(status), 128 + SIGSYS);
#endif
    cr_expect_gt(read(pipe_fds[0], words, sizeof(words) - 1), 0);
    cr_expect_str_eq(words, "hull-vmm: forbidden in the vCPU thread: system call 41\n");
}

Test(jail, no_capabilities_no_dumps)
{
    struct error err;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2] = {{~0U, ~0U, ~0U}, {~0U, ~0U, ~0U}}, none[2] = {0};

    cr_assert_eq(jail_process(false, &err), 0);
    cr_expect_eq(prctl(PR_GET_DUMPABLE), 0);
    cr_expect_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    cr_assert_eq(jail_capabilities(&err), 0);
    cr_assert_eq(syscall(SYS_capget, &header, caps), 0);
    cr_expect_arr_eq(caps, none, sizeof(none));
}

Test(jail, descriptors)
{
    struct error err;
    int status = CHILD({
        for (int fd = 3; fd < 40; fd++)
            dup2(0, fd);
        const int keep[] = {20, 5, 6, -1, 5, 38};
        if (jail_descriptors(keep, ARRAY_SIZE(keep), &err) < 0)
            _exit(98);
        for (int fd = 0; fd < 100; fd++) {
            bool open = fcntl(fd, F_GETFD) >= 0;
            bool kept = fd < 3 || fd == 5 || fd == 6 || fd == 20 || fd == 38;
            if (open != kept)
                _exit(fd + 100);
        }
    });
    cr_expect_eq(status, 0, "%d", WEXITSTATUS(status));
}
