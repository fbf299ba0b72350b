/*
 * The seccomp profile of containers from images: which system calls are allowed, which of them only together with a
 * capability; what podman and its kin (containers-common) give, so that a program which runs there runs here. All others
 * get ENOSYS, so that libraries fall back, and the dangerous ones EPERM. Names that an architecture does not have are passed over.
 *
 * Written out as linux.seccomp (config-linux.md) in always the same bytes, the key of the cache of compiled filters.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "images/bundle_private.h"

enum condition { ALWAYS, WITH_CAPABILITY, WITHOUT_CAPABILITY };

struct argument {
    unsigned index;
    uint64_t value;
    const char *op;
};

static const struct rule {
    const char *names; /* one space between them */
    struct argument args[2];
    unsigned n_args;
    int error; /* 0: allowed */
    enum condition when;
    int capability;
} rules[] = {
    /* clang-format off */
    {.names =
        "bdflush io_pgetevents kexec_file_load kexec_load migrate_pages move_pages nfsservctl "
        "nice oldfstat oldlstat oldolduname oldstat olduname pciconfig_iobase pciconfig_read "
        "pciconfig_write sgetmask ssetmask swapcontext swapoff swapon sysfs uselib "
        "userfaultfd ustat vm86 vm86old vmsplice",
     .error = EPERM},
    {.names =
        "_llseek _newselect accept accept4 access adjtimex alarm bind brk capget capset chdir "
        "chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 "
        "clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 clone clone3 "
        "close close_range connect copy_file_range creat dup dup2 dup3 epoll_create "
        "epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
        "epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 "
        "fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchown "
        "fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork "
        "fremovexattr fsconfig fsetxattr fsmount fsopen fspick fstat fstat64 fstatat64 "
        "fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 futimesat "
        "get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 "
        "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer "
        "getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid "
        "getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt "
        "gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init "
        "inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_setup io_submit "
        "ioctl ioprio_get ioprio_set ipc keyctl kill landlock_add_rule "
        "landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat "
        "listen listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise mbind "
        "membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock "
        "mlock2 mlockall mmap mmap2 mount mount_setattr move_mount mprotect mq_getsetattr "
        "mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
        "mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock "
        "munlockall munmap name_to_handle_at nanosleep newfstatat open open_tree openat "
        "openat2 pause pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pivot_root "
        "pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv "
        "preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 "
        "pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readdir readlink "
        "readlinkat readv reboot recv recvfrom recvmmsg recvmmsg_time64 recvmsg "
        "remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq "
        "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
        "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max "
        "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
        "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
        "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield "
        "seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile "
        "sendfile64 sendmmsg sendmsg sendto set_mempolicy set_robust_list set_thread_area "
        "set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups "
        "setgroups32 setitimer setns setpgid setpriority setregid setregid32 setresgid "
        "setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt "
        "setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaction sigaltstack "
        "signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend socketcall "
        "socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat sync "
        "sync_file_range syncfs syscall sysinfo syslog tee tgkill time timer_create "
        "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
        "timer_settime64 timerfd timerfd_create timerfd_gettime timerfd_gettime64 "
        "timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask "
        "umount umount2 uname unlink unlinkat unshare utime utimensat utimensat_time64 utimes "
        "vfork wait4 waitid waitpid write writev"},
    {.names =
        "personality",
     .args = {{0, 0, "SCMP_CMP_EQ"}}, .n_args = 1},
    {.names =
        "personality",
     .args = {{0, 8, "SCMP_CMP_EQ"}}, .n_args = 1},
    {.names =
        "personality",
     .args = {{0, 131072, "SCMP_CMP_EQ"}}, .n_args = 1},
    {.names =
        "personality",
     .args = {{0, 131080, "SCMP_CMP_EQ"}}, .n_args = 1},
    {.names =
        "personality",
     .args = {{0, 0xffffffff, "SCMP_CMP_EQ"}}, .n_args = 1},
    {.names =
        "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"},
    {.names =
        "arch_prctl"},
    {.names =
        "modify_ldt"},
    {.names =
        "open_by_handle_at",
     .when = WITH_CAPABILITY,
     .capability = CAP_DAC_READ_SEARCH},
    {.names =
        "open_by_handle_at",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_DAC_READ_SEARCH},
    {.names =
        "bpf fanotify_init lookup_dcookie perf_event_open quotactl setdomainname sethostname "
        "setns",
     .when = WITH_CAPABILITY,
     .capability = CAP_SYS_ADMIN},
    {.names =
        "bpf fanotify_init lookup_dcookie perf_event_open quotactl setdomainname sethostname "
        "setns",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_SYS_ADMIN},
    {.names =
        "chroot",
     .when = WITH_CAPABILITY,
     .capability = CAP_SYS_CHROOT},
    {.names =
        "chroot",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_SYS_CHROOT},
    {.names =
        "delete_module finit_module init_module query_module",
     .when = WITH_CAPABILITY,
     .capability = CAP_SYS_MODULE},
    {.names =
        "delete_module finit_module init_module query_module",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_SYS_MODULE},
    {.names =
        "acct",
     .when = WITH_CAPABILITY,
     .capability = CAP_SYS_PACCT},
    {.names =
        "acct",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_SYS_PACCT},
    {.names =
        "kcmp process_madvise",
     .when = WITH_CAPABILITY,
     .capability = CAP_SYS_PTRACE},
    {.names =
        "kcmp process_madvise",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_SYS_PTRACE},
    {.names =
        "ioperm iopl",
     .when = WITH_CAPABILITY,
     .capability = CAP_SYS_RAWIO},
    {.names =
        "ioperm iopl",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_SYS_RAWIO},
    {.names =
        "clock_settime clock_settime64 settimeofday stime",
     .when = WITH_CAPABILITY,
     .capability = CAP_SYS_TIME},
    {.names =
        "clock_settime clock_settime64 settimeofday stime",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_SYS_TIME},
    {.names =
        "vhangup",
     .when = WITH_CAPABILITY,
     .capability = CAP_SYS_TTY_CONFIG},
    {.names =
        "vhangup",
     .error = EPERM,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_SYS_TTY_CONFIG},
    {.names =
        "socket",
     .error = EINVAL,
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_AUDIT_WRITE,
     .args = {{0, 16, "SCMP_CMP_EQ"}, {2, 9, "SCMP_CMP_EQ"}}, .n_args = 2},
    {.names =
        "socket",
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_AUDIT_WRITE,
     .args = {{2, 9, "SCMP_CMP_NE"}}, .n_args = 1},
    {.names =
        "socket",
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_AUDIT_WRITE,
     .args = {{0, 16, "SCMP_CMP_NE"}}, .n_args = 1},
    {.names =
        "socket",
     .when = WITHOUT_CAPABILITY,
     .capability = CAP_AUDIT_WRITE,
     .args = {{2, 9, "SCMP_CMP_NE"}}, .n_args = 1},
    {.names =
        "socket",
     .when = WITH_CAPABILITY,
     .capability = CAP_AUDIT_WRITE},
    /* clang-format on */
};

#if defined(__x86_64__)
static const char *const architectures[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", NULL};
#elif defined(__aarch64__)
static const char *const architectures[] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", NULL};
#else
static const char *const architectures[] = {NULL};
#endif

static bool applies(const struct rule *r, uint64_t capabilities)
{
    bool has = capabilities >> r->capability & 1;

    return r->when == ALWAYS || has == (r->when == WITH_CAPABILITY);
}

static void write_names(struct json_writer *w, const char *names)
{
    char *rest = arena_strdup(w->arena, names), *name;

    json_key(w, "names");
    json_array(w);
    while ((name = strsep(&rest, " ")))
        json_string(w, name);
    json_array_end(w);
}

static void write_arguments(struct json_writer *w, const struct rule *r)
{
    json_key(w, "args");
    json_array(w);
    for (unsigned i = 0; i < r->n_args; i++) {
        json_object(w);
        bundle_uint(w, "index", r->args[i].index);
        bundle_uint(w, "value", r->args[i].value);
        bundle_string(w, "op", r->args[i].op);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_rule(struct json_writer *w, const struct rule *r)
{
    json_object(w);
    write_names(w, r->names);
    bundle_string(w, "action", r->error ? "SCMP_ACT_ERRNO" : "SCMP_ACT_ALLOW");
    if (r->error)
        bundle_uint(w, "errnoRet", (uint64_t)r->error);
    if (r->n_args)
        write_arguments(w, r);
    json_object_end(w);
}

void bundle_seccomp_default(struct json_writer *w, uint64_t capabilities)
{
    json_object(w);
    bundle_string(w, "defaultAction", "SCMP_ACT_ERRNO");
    bundle_uint(w, "defaultErrnoRet", ENOSYS);
    bundle_strings(w, "architectures", architectures);
    json_key(w, "syscalls");
    json_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (applies(&rules[i], capabilities))
            write_rule(w, &rules[i]);
    json_array_end(w);
    json_object_end(w);
}
