/*
 * The reshaped filter decides as libseccomp's does: both programs run in a small interpreter, over every
 * number that is a system call anywhere or a neighbour of a constant, every architecture, and argument values
 * around those that rules compare with.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "runtime/seccomp_private.h"

#define ENOSYS_RET (SECCOMP_RET_ERRNO | ENOSYS)

static uint32_t interpret(const struct sock_fprog *p, const struct seccomp_data *d, unsigned *steps)
{
    uint32_t a = 0;

    for (unsigned pc = 0;; pc++) {
        cr_assert_lt(pc, p->len, "ran past the end");
        const struct sock_filter *i = &p->filter[pc];
        ++*steps;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            cr_assert(i->k % 4 == 0 && i->k < sizeof(*d), "load at %u", i->k);
            memcpy(&a, (const char *)d + i->k, 4);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            pc += a > i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            cr_assert_fail("instruction %#x", i->code);
        }
    }
}

static bool newer(const struct seccomp_ranges *r, uint32_t arch, uint32_t nr)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->v[i].arch == arch && nr >= r->v[i].first && nr <= r->v[i].last)
            return true;
    return false;
}

static const uint64_t values[] = {0,
                                  1,
                                  2,
                                  7,
                                  8,
                                  9,
                                  16,
                                  0x20000,
                                  0x20008,
                                  0x7e020000,
                                  0xfffffffe,
                                  0xffffffff,
                                  0x100000000,
                                  0x100000001,
                                  0x7fffffffffffffff,
                                  0x8000000000000000,
                                  ~0ull};

/* All of @values in each argument by itself, and in pairs of neighbouring arguments. */
static void compare_number(const struct sock_fprog *plain, const struct sock_fprog *tree,
                           const struct seccomp_ranges *r, uint32_t arch, uint32_t nr)
{
    unsigned before = 0, after = 0;

    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
            struct seccomp_data d = {.nr = (int)nr, .arch = arch};
            for (int n = 0; n < 6; n++)
                d.args[n] = n % 2 ? values[k] : values[i];
            uint32_t want = newer(r, arch, nr) ? ENOSYS_RET : interpret(plain, &d, &before);
            uint32_t got = interpret(tree, &d, &after);
            cr_assert_eq(got, want, "arch %#x nr %#x args %#llx %#llx: %#x, should be %#x", arch, nr,
                         (unsigned long long)values[i], (unsigned long long)values[k], got, want);
        }
}

static void compare(struct arena *a, const char *profile)
{
    static const uint32_t archs[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, 1,
                                     0xffffffff};
    struct error err = {0};
    struct seccomp_ranges ranges;
    struct sock_fprog plain, tree;
    struct spec *spec;
    char *text = arena_printf(
        a,
        "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],"
        "\"user\":{\"uid\":0,\"gid\":0}},\"linux\":{\"seccomp\":%s}}",
        profile);

    cr_assert_eq(spec_parse(a, text, strlen(text), "test", &spec, &err), 0, "%s", err.message);
    cr_assert_eq(seccomp_compile(a, &spec->linux_.seccomp, &plain, &ranges, &err), 0, "%s", err.message);
    cr_assert(seccomp_tree_build(a, &plain, &ranges, &tree), "a form of libseccomp's that is not known");
    cr_assert_leq(tree.len, plain.len + 64u);
    for (size_t k = 0; k < ARRAY_SIZE(archs); k++) {
        for (uint32_t nr = 0; nr < 1100; nr++) {
            compare_number(&plain, &tree, &ranges, archs[k], nr);
            compare_number(&plain, &tree, &ranges, archs[k], nr | 0x40000000);
        }
        for (unsigned i = 0; i < plain.len; i++)
            for (uint32_t off = 0; off < 3; off++)
                compare_number(&plain, &tree, &ranges, archs[k], plain.filter[i].k + off - 1);
        for (uint32_t nr = 0xfffffff0; nr; nr++)
            compare_number(&plain, &tree, &ranges, archs[k], nr);
    }
}

static const char argument_rules[] =
    "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":0,\"op\":"
    "\"SCMP_CMP_EQ\"}]},"
    "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":8,\"op\":"
    "\"SCMP_CMP_EQ\"}]},"
    "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":4294967295,"
    "\"op\":\"SCMP_CMP_EQ\"}]},"
    "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2114060288,"
    "\"valueTwo\":0,"
    "\"op\":\"SCMP_CMP_MASKED_EQ\"}]},"
    "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":22,\"args\":[{\"index\":0,\"value\":"
    "16,\"op\":\"SCMP_CMP_EQ\"},"
    "{\"index\":2,\"value\":9,\"op\":\"SCMP_CMP_EQ\"}]},"
    "{\"names\":[\"lseek\"],\"action\":\"SCMP_ACT_TRAP\",\"args\":[{\"index\":1,\"value\":4294967296,\"op\":"
    "\"SCMP_CMP_GT\"},"
    "{\"index\":2,\"value\":2,\"op\":\"SCMP_CMP_LE\"}]},"
    "{\"names\":[\"ioctl\"],\"action\":\"SCMP_ACT_KILL_PROCESS\",\"args\":[{\"index\":1,\"value\":1,\"op\":"
    "\"SCMP_CMP_GE\"},"
    "{\"index\":1,\"value\":7,\"op\":\"SCMP_CMP_LT\"},{\"index\":1,\"value\":8,\"op\":\"SCMP_CMP_NE\"}]}";

/* One of @per system calls of the native table is left out, the choice is @seed's. */
static char *profile_make(struct arena *a, const char *default_action, const char *action, const char *archs,
                          unsigned per, unsigned seed)
{
    struct buffer b = {.arena = a};
    const char *comma = "";

    buffer_printf(&b, "{\"defaultAction\":\"%s\",\"architectures\":[%s],\"syscalls\":[{\"names\":[",
                  default_action, archs);
    srand(seed);
    for (int nr = 0; nr < 470; nr++) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
        if (name && (unsigned)rand() % per && !strstr("personality clone socket lseek ioctl", name)) {
            buffer_printf(&b, "%s\"%s\"", comma, name);
            comma = ",";
        }
        free(name);
    }
    buffer_printf(&b, "%s\"no_such_call\"],\"action\":\"%s\"},%s]}", comma, action, argument_rules);
    return b.data;
}

#define ALL_ARCHS "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\""

Test(seccomp_tree, allow_list_all_architectures)
{
    struct arena a = {0};
    compare(&a, profile_make(&a, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", ALL_ARCHS, 6, 1));
    arena_free(&a);
}

Test(seccomp_tree, allow_list_native_only)
{
    struct arena a = {0};
    compare(&a, profile_make(&a, "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_ALLOW", "\"SCMP_ARCH_X86_64\"", 3, 2));
    compare(&a, profile_make(&a, "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "", 2, 3));
    arena_free(&a);
}

Test(seccomp_tree, deny_list)
{
    struct arena a = {0};
    compare(&a, profile_make(&a, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", ALL_ARCHS, 2, 4));
    compare(&a, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":"
                "\"SCMP_ACT_ERRNO\"}]}");
    arena_free(&a);
}

Test(seccomp_tree, foreign_architecture)
{
    struct arena a = {0};
    compare(&a, profile_make(&a, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW",
                             "\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_X86_64\"", 4, 5));
    arena_free(&a);
}

Test(seccomp_tree, unknown_forms_are_left_alone)
{
    struct sock_filter jset[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
                                 BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                                 BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog in = {ARRAY_SIZE(jset), jset}, out;
    struct seccomp_ranges none = {0};
    struct arena a = {0};

    cr_assert_not(seccomp_tree_build(&a, &in, &none, &out));
    in.len = 4; /* runs past its end */
    cr_assert_not(seccomp_tree_build(&a, &in, &none, &out));
    arena_free(&a);
}
