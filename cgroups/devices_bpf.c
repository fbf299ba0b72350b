/*
 * Device rules on cgroup v2: an eBPF program that the kernel asks at each open and mknod of a device
 * (BPF_PROG_TYPE_CGROUP_DEVICE; there are no files for it). bpf(2) is called as it is: this needs three of its commands.
 *
 * The program is the policy's search, written out. One instruction an entry: a test of the minor number that jumps to
 * one of at most eight ends, which hold the access that is allowed, and one a major number, that jumps over its
 * entries. r2 type, r3 access, r4 major, r5 minor. All jumps go forward.
 *
 * It is attached with BPF_F_ALLOW_MULTI: an ancestor's and systemd's programs stay, and all of them must allow. Ours is
 * known by its name. An update puts the new one in its place in one step (BPF_F_REPLACE, 5.6); older kernels have both
 * for a moment, which denies what either does. A policy that allows everything has no program.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "cgroups/cgroup_private.h"
#include "cgroups/devices.h"

enum {
    LOAD_TRIES = 5,
    LOG_SIZE = 64 * 1024,
    LOG_TOLD = 1000,
    PROGRAMS_MAX = 64, /* of one cgroup: BPF_CGROUP_MAX_PROGS */
    ENDS = DEVICE_ACCESS_ALL + 1,
};

static const char program_name[] = "hull_devices";

/* --- the program ------------------------------------------------------------------------------------------------ */

struct program {
    struct bpf_insn *v;
    uint8_t *end; /* of each instruction: 1 + the access of the end that it jumps to */
    size_t n;
};

static struct bpf_insn *emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int32_t imm)
{
    p->v[p->n] = (struct bpf_insn){.code = code, .dst_reg = dst & 0xf, .src_reg = src & 0xf, .imm = imm};
    return &p->v[p->n++];
}

static void emit_load(struct program *p, uint8_t dst, size_t offset)
{
    emit(p, BPF_LDX | BPF_MEM | BPF_W, dst, BPF_REG_1, 0)->off = (int16_t)offset;
}

/* Jump to the end of @access, always or when @reg is @number. */
static void emit_decision(struct program *p, uint8_t reg, int64_t number, uint32_t access)
{
    p->end[p->n] = (uint8_t)(access + 1);
    if (number == DEVICE_ANY)
        emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
    else
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, reg, 0, (int32_t)number);
}

/* The entries of one major number, from @e on: returns how many. */
static size_t emit_major(struct program *p, const struct device_entry *e, size_t left)
{
    size_t n = 1, head = p->n;

    while (n < left && e[n].type == e->type && e[n].major == e->major)
        n++;
    if (e->major != DEVICE_ANY && e->minor == DEVICE_ANY) {
        emit_decision(p, BPF_REG_4, e->major, e->access);
        return n; /* it was the only one, since any minor comes last */
    }
    if (e->major != DEVICE_ANY)
        emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0, (int32_t)e->major);
    for (size_t i = 0; i < n; i++)
        emit_decision(p, BPF_REG_5, e[i].minor, e[i].access);
    if (e->major != DEVICE_ANY)
        p->v[head].off = (int16_t)(p->n - head - 1);
    return n;
}

/* Ends with an unconditional decision: (any, any). */
static void emit_type(struct program *p, const struct device_policy *policy, char type)
{
    for (size_t i = 0; i < policy->n;)
        i += policy->v[i].type == type ? emit_major(p, &policy->v[i], policy->n - i) : 1;
}

static uint32_t kernel_access(uint32_t access)
{
    return (access & DEVICE_ACCESS_READ ? BPF_DEVCG_ACC_READ : 0) |
           (access & DEVICE_ACCESS_WRITE ? BPF_DEVCG_ACC_WRITE : 0) |
           (access & DEVICE_ACCESS_MKNOD ? BPF_DEVCG_ACC_MKNOD : 0);
}

/* An end keeps in r3 what was asked for and is not allowed; all go on to the same last lines. */
static void emit_ends(struct program *p)
{
    size_t first[ENDS + 1] = {0}, used = p->n, leave[ENDS], n_leave = 0;

    for (size_t i = 0; i < used; i++) {
        if (!p->end[i])
            continue;
        if (!first[p->end[i]]) {
            first[p->end[i]] = p->n;
            emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_3, 0,
                 (int32_t)kernel_access(DEVICE_ACCESS_ALL & ~(p->end[i] - 1U)));
            leave[n_leave++] = p->n;
            emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
        }
        p->v[i].off = (int16_t)(first[p->end[i]] - i - 1);
    }
    for (size_t i = 0; i < n_leave; i++)
        p->v[leave[i]].off = (int16_t)(p->n - leave[i] - 1);
    emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 1);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_3, 0, 0)->off = 1;
    emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0);
    emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0);
}

int device_program_make(struct arena *a, const struct device_policy *policy, struct bpf_insn **insns,
                        size_t *n, struct error *err)
{
    enum { HEAD_AND_ENDS = 32 };
    size_t most = 2 * policy->n + HEAD_AND_ENDS; /* each entry may be alone with its major number */
    struct program p = {.v = arena_new_n(a, most, struct bpf_insn), .end = arena_new_n(a, most, uint8_t)};

    emit_load(&p, BPF_REG_2, offsetof(struct bpf_cgroup_dev_ctx, access_type));
    emit_load(&p, BPF_REG_4, offsetof(struct bpf_cgroup_dev_ctx, major));
    emit_load(&p, BPF_REG_5, offsetof(struct bpf_cgroup_dev_ctx, minor));
    emit(&p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0);
    emit(&p, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 16);
    emit(&p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0xffff);
    size_t block = p.n;
    emit(&p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_2, 0, BPF_DEVCG_DEV_BLOCK);
    emit_type(&p, policy, 'c');
    p.v[block].off = (int16_t)(p.n - block - 1);
    emit_type(&p, policy, 'b');
    emit_ends(&p);
    if (p.n > BPF_MAXINSNS) /* also a bound for the jumps, which have 16 bits */
        return error_set(
            err, 0,
            "linux.resources.devices: too many rules: their program would have %zu instructions, and the "
            "kernel takes %d",
            p.n, BPF_MAXINSNS);
    *insns = p.v;
    *n = p.n;
    return 0;
}

/* --- bpf(2) ------------------------------------------------------------------------------------------------------ */

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int load_once(const struct bpf_insn *insns, size_t n, char *log)
{
    union bpf_attr attr;
    int fd = -1;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = (uint32_t)n;
    attr.license = (uintptr_t) "";
    memcpy(attr.prog_name, program_name, sizeof(program_name));
    if (log) {
        attr.log_level = 1;
        attr.log_buf = (uintptr_t)log;
        attr.log_size = LOG_SIZE;
    }
    for (int i = 0; i < LOAD_TRIES; i++) /* EAGAIN: a signal came while the kernel verified it */
        if ((fd = bpf(BPF_PROG_LOAD, &attr)) >= 0 || errno != EAGAIN)
            break;
    return fd;
}

/* Before 5.11 programs count as locked memory of the user's, of which there may be no more than 64 KiB, and EPERM
 * is what the kernel calls that. */
static int load_unlimited(const struct bpf_insn *insns, size_t n)
{
    struct rlimit before, more = {RLIM_INFINITY, RLIM_INFINITY};
    int fd;

    if (getrlimit(RLIMIT_MEMLOCK, &before) < 0 || setrlimit(RLIMIT_MEMLOCK, &more) < 0) {
        errno = EPERM;
        return -1;
    }
    fd = load_once(insns, n, NULL);
    int saved = errno;
    setrlimit(RLIMIT_MEMLOCK, &before);
    errno = saved;
    return fd;
}

static int load_failed(struct arena *a, const struct bpf_insn *insns, size_t n, struct error *err)
{
    int code = errno;

    if (code == EPERM)
        return error_set(
            err, code,
            "linux.resources.devices: load their eBPF program (it takes CAP_BPF or CAP_SYS_ADMIN, and a "
            "seccomp profile that allows bpf)");
    if (code == ENOSYS)
        return error_set(err, code, "linux.resources.devices: this kernel is without CONFIG_BPF_SYSCALL");
    char *log = arena_alloc(a, LOG_SIZE);
    _cleanup_(fd_closep) int fd = load_once(insns, n, log);
    size_t length = strnlen(log, LOG_SIZE - 1);
    if (length == 0)
        return error_set(
            err, code,
            "linux.resources.devices: load their eBPF program (the kernel needs CONFIG_CGROUP_BPF)");
    return error_set(err, code, "linux.resources.devices: load their eBPF program; the kernel says: %s",
                     log + (length > LOG_TOLD ? length - LOG_TOLD : 0));
}

static int load(struct arena *a, const struct device_policy *policy, int *fd, struct error *err)
{
    struct bpf_insn *insns;
    size_t n;

    if (device_program_make(a, policy, &insns, &n, err) < 0)
        return -1;
    *fd = load_once(insns, n, NULL);
    if (*fd < 0 && errno == EPERM)
        *fd = load_unlimited(insns, n);
    return *fd < 0 ? load_failed(a, insns, n, err) : 0;
}

static int attach(int cgroup, int program, int replaced)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.target_fd = (uint32_t)cgroup;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (replaced >= 0) {
        attr.attach_flags |= BPF_F_REPLACE;
        attr.replace_bpf_fd = (uint32_t)replaced;
    }
    return bpf(BPF_PROG_ATTACH, &attr);
}

static int detach(int cgroup, int program)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.target_fd = (uint32_t)cgroup;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    return bpf(BPF_PROG_DETACH, &attr);
}

/* --- what is attached already ------------------------------------------------------------------------------------ */

struct attached { /* programs of ours, in this very cgroup; more than one when an update was killed */
    int fds[PROGRAMS_MAX];
    size_t n;
};

static void attached_close(struct attached *old)
{
    for (size_t i = 0; i < old->n; i++)
        fd_closep(&old->fds[i]);
}

static bool is_ours(int program)
{
    struct bpf_prog_info info;
    union bpf_attr attr;

    memset(&info, 0, sizeof(info));
    memset(&attr, 0, sizeof(attr));
    attr.info.bpf_fd = (uint32_t)program;
    attr.info.info = (uintptr_t)&info;
    attr.info.info_len = sizeof(info);
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) == 0 && strcmp(info.name, program_name) == 0;
}

static int find_ours(int cgroup, struct attached *old, struct error *err)
{
    uint32_t ids[PROGRAMS_MAX] = {0};
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.query.target_fd = (uint32_t)cgroup;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_ids = (uintptr_t)ids;
    attr.query.prog_cnt = PROGRAMS_MAX;
    if (bpf(BPF_PROG_QUERY, &attr) < 0)
        return error_set(err, errno, "linux.resources.devices: ask for the cgroup's eBPF programs");

    uint32_t n = attr.query.prog_cnt;
    for (uint32_t i = 0; i < n && i < PROGRAMS_MAX; i++) {
        memset(&attr, 0, sizeof(attr));
        attr.prog_id = ids[i];
        _cleanup_(fd_closep) int fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
        if (fd < 0 && errno == ENOENT)
            continue; /* detached meanwhile */
        if (fd < 0)
            return error_set(err, errno, "linux.resources.devices: open the cgroup's eBPF program %u",
                             ids[i]);
        if (is_ours(fd))
            old->fds[old->n++] = steal_fd(&fd);
    }
    return 0;
}

/* --- all together ------------------------------------------------------------------------------------------------ */

/* In the place of the first old one, whose descriptor goes then. */
static int put(int cgroup, int program, struct attached *old)
{
    if (old->n == 0)
        return attach(cgroup, program, -1);
    if (attach(cgroup, program, old->fds[0]) == 0) {
        fd_closep(&old->fds[0]);
        return 0;
    }
    if (errno != EINVAL)
        return -1;
    return attach(cgroup, program, -1); /* before 5.6 */
}

/* @program -1: none. */
static int exchange(int cgroup, int program, struct attached *old, struct error *err)
{
    if (program >= 0 && put(cgroup, program, old) < 0)
        return error_set(err, errno, "linux.resources.devices: attach their eBPF program%s",
                         errno == EPERM
                             ? " (it takes CAP_NET_ADMIN, and that no program of the cgroups above "
                               "is attached as the only one)"
                             : "");
    for (size_t i = 0; i < old->n; i++)
        if (old->fds[i] >= 0 && detach(cgroup, old->fds[i]) < 0 && errno != ENOENT)
            return error_set(err, errno, "linux.resources.devices: detach the eBPF program before this one");
    return 0;
}

int devices_bpf_write(struct cgroup *c, const struct cgroup_dir *d, const struct device_policy *p,
                      struct error *err)
{
    _cleanup_(fd_closep) int program = -1;
    _cleanup_(attached_close) struct attached old = {.n = 0};
    struct error why = {0};

    if ((!device_policy_allows_all(p) && load(c->arena, p, &program, &why) < 0) ||
        (!d->made && find_ours(d->fd, &old, &why) < 0) || exchange(d->fd, program, &old, &why) < 0) {
        if ((why.code == EPERM || why.code == ENOSYS) && devices_may_skip(c, "use eBPF"))
            return 0;
        if (err)
            *err = why;
        return error_wrap(err, "%s", cgroup_dir_path(c->arena, d));
    }
    return 0;
}
