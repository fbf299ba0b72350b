/*
 * The floor under every runtime: the system calls without which the bundle that `bundle` writes cannot be
 * what its config.json says, and nothing else. No JSON is read, no state is kept, nothing is checked, the
 * seccomp program comes ready-made: a runtime cannot be faster on this kernel, and how far it is above this
 * is its own doing.
 *
 *   floor BUNDLE FILTER.bpf [PROGRAM]
 *
 * The order is an OCI runtime's: a cgroup with a device program, namespaces, mounts, devices, pivot, masks, limits, capabilities, filter,
 * execve.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_FILTER = 4096, LAST_CAPABILITY = 40 };

static struct sock_filter filter[MAX_FILTER];
static struct sock_fprog program = {.filter = filter};

static void must(int rc, const char *what)
{
    if (rc < 0)
        err(1, "%s", what);
}

static void attach(const char *source, const char *target, const char *type, unsigned long flags,
                   const char *data)
{
    must(mount(source, target, type, flags, data), target);
}

static void bind_file(const char *source, const char *target)
{
    attach(source, target, NULL, MS_BIND, NULL);
    attach(NULL, target, NULL, MS_PRIVATE, NULL);
}

/* In the bundle's root as working directory: the eleven mounts. */
static void mounts(void)
{
    const unsigned long safe = MS_NOSUID | MS_NOEXEC | MS_NODEV;
    attach("proc", "proc", "proc", safe, NULL);
    attach("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_STRICTATIME, "mode=755,size=65536k");
    attach("sysfs", "sys", "sysfs", safe | MS_RDONLY, NULL);
    must(mkdir("dev/pts", 0755), "dev/pts");
    attach("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    must(mkdir("dev/mqueue", 0755), "dev/mqueue");
    attach("mqueue", "dev/mqueue", "mqueue", safe, NULL);
    bind_file("../hosts", "etc/hosts");
    must(mkdir("dev/shm", 0755), "dev/shm");
    bind_file("../shm", "dev/shm");
    attach(NULL, "dev/shm", NULL, MS_BIND | MS_REMOUNT | safe, NULL);
    bind_file("../.containerenv", "run/.containerenv");
    bind_file("../hostname", "etc/hostname");
    bind_file("../resolv.conf", "etc/resolv.conf");
    attach("cgroup", "sys/fs/cgroup", "cgroup2", safe | MS_RELATIME | MS_RDONLY, NULL);
}

static void devices(void)
{
    static const struct {
        const char *path;
        unsigned major, minor;
    } nodes[] = {
        {"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
        {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
    };
    static const char *const links[][2] = {
        {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"},
        {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
        {"pts/ptmx", "dev/ptmx"},
    };
    umask(0);
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
        must(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].path);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        must(symlink(links[i][0], links[i][1]), links[i][1]);
}

static void pivot(void)
{
    must((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount the old root");
    must(chdir("/"), "chdir");
}

/* What does not exist on this kernel fails with ENOENT, and that is all there is to do about it. */
static void masks(void)
{
    static const char *const masked[] = {"/proc/acpi",          "/proc/kcore",      "/proc/keys",
                                         "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                                         "/proc/sched_debug",   "/proc/scsi",       "/sys/firmware",
                                         "/sys/fs/selinux",     "/sys/dev/block"};
    static const char *const readonly[] = {"/proc/asound", "/proc/bus", "/proc/fs",
                                           "/proc/irq",    "/proc/sys", "/proc/sysrq-trigger"};
    for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++) {
        if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) < 0)
            mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1");
    }
    for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++) {
        if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
            attach(NULL, readonly[i], NULL,
                   MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    }
}

static void loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(ioctl(sock, SIOCSIFFLAGS, &request), "lo");
    close(sock);
}

static void rights(void)
{
    static const unsigned kept[] = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}; /* as in the bundle */
    const struct rlimit limit = {1024, 1024};
    unsigned long long set = 0;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        set |= 1ULL << kept[i];
    must(setrlimit(RLIMIT_NOFILE, &limit), "nofile");
    must(setrlimit(RLIMIT_NPROC, &limit), "nproc");
    for (unsigned cap = 0; cap <= LAST_CAPABILITY; cap++) {
        if (!(set >> cap & 1))
            must(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "bounding set");
    }
    must((int)syscall(SYS_setgroups, 0, NULL), "setgroups");
    must((int)syscall(SYS_setresgid, 0, 0, 0), "setresgid");
    must((int)syscall(SYS_setresuid, 0, 0, 0), "setresuid");
    umask(022);
    if (program.len > 0) /* an empty file: the floor of a bundle without a filter */
        must((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "seccomp");
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{(unsigned)set, (unsigned)set, 0}, {0, 0, 0}};
    must((int)syscall(SYS_capset, &header, data), "capset");
}

/* The device rules that every runtime gives such a bundle, as a cgroup's program. */
static int device_program(void)
{
    static const struct {
        int type, major, minor; /* 2: character; -1: any */
    } allowed[] = {{2, 1, 3}, {2, 1, 5}, {2, 1, 7}, {2, 1, 8},   {2, 1, 9},
                   {2, 5, 0}, {2, 5, 1}, {2, 5, 2}, {2, 136, -1}};
    struct bpf_insn code[128] = {
        {BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0},
        {BPF_LDX | BPF_MEM | BPF_W, 3, 1, 4, 0},
        {BPF_LDX | BPF_MEM | BPF_W, 4, 1, 8, 0},
        {BPF_ALU | BPF_MOV | BPF_X, 5, 2, 0, 0},
        {BPF_ALU | BPF_RSH | BPF_K, 5, 0, 0, 16},
        {BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff},
        {BPF_JMP | BPF_JNE | BPF_K, 5, 0, 2, BPF_DEVCG_ACC_MKNOD},
        {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
    };
    unsigned n = 9;
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        code[n++] = (struct bpf_insn){BPF_JMP | BPF_JNE | BPF_K, 2, 0, 4, allowed[i].type};
        code[n++] = (struct bpf_insn){BPF_JMP | BPF_JNE | BPF_K, 3, 0, 3, allowed[i].major};
        code[n++] = (struct bpf_insn){BPF_JMP | (allowed[i].minor < 0 ? BPF_JA : BPF_JNE) | BPF_K,
                                      allowed[i].minor < 0 ? 0 : 4, 0, allowed[i].minor < 0 ? 0 : 2,
                                      allowed[i].minor < 0 ? 0 : allowed[i].minor};
        code[n++] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1};
        code[n++] = (struct bpf_insn){BPF_JMP | BPF_EXIT, 0, 0, 0, 0};
    }
    code[n++] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0};
    code[n++] = (struct bpf_insn){BPF_JMP | BPF_EXIT, 0, 0, 0, 0};

    union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                           .insns = (unsigned long)code,
                           .insn_cnt = n,
                           .license = (unsigned long)"GPL"};
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
}

#define CGROUP "/sys/fs/cgroup/hull-bench-floor"

static int cgroup(void)
{
    must(mkdir(CGROUP, 0755), CGROUP);
    int dir = open(CGROUP, O_PATH | O_DIRECTORY | O_CLOEXEC), program_fd = device_program();
    must(dir, CGROUP);
    must(program_fd, "load the device program");
    union bpf_attr attr = {.target_fd = (unsigned)dir,
                           .attach_bpf_fd = (unsigned)program_fd,
                           .attach_type = BPF_CGROUP_DEVICE,
                           .attach_flags = BPF_F_ALLOW_MULTI};
    must((int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)), "attach the device program");
    close(program_fd);
    return dir;
}

static void container(const char *rootfs, char *const argv[])
{
    static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                        "TERM=xterm", "container=podman", NULL};
    must(unshare(CLONE_NEWCGROUP), "unshare");
    must((int)setsid(), "setsid");
    must(sethostname("bench", 5), "sethostname");
    attach(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
    attach(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL);
    must(chdir(rootfs), rootfs);
    mounts();
    devices();
    pivot();
    masks();
    loopback();
    rights();
    must((int)syscall(SYS_close_range, 3, ~0U, 0), "close_range");
    execve(argv[0], argv, environment);
    err(127, "%s", argv[0]);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(2, "usage: floor BUNDLE FILTER.bpf [PROGRAM]");
    char rootfs[4096];
    snprintf(rootfs, sizeof(rootfs), "%s/rootfs", argv[1]);
    int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, filter, sizeof(filter));
    must((int)length, argv[2]);
    program.len = (unsigned short)((size_t)length / sizeof(filter[0]));

    struct clone_args {
        unsigned long long flags, pidfd, child_tid, parent_tid, exit_signal, rest[5], cgroup;
    } args = {.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS |
                       0x200000000ULL /* CLONE_INTO_CGROUP */,
              .exit_signal = SIGCHLD,
              .cgroup = (unsigned)cgroup()};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    must(pid, "clone3");
    if (pid == 0) {
        char *cargo[] = {argc > 3 ? argv[3] : (char *)"/bin/true", NULL};
        container(rootfs, cargo);
    }
    int status;
    must((int)waitpid(pid, &status, 0), "waitpid");
    must(rmdir(CGROUP), CGROUP);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
