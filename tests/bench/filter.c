/*
 * filter OUT < RULES: compile a seccomp profile to a BPF program for the floor, once, outside of what is
 * timed. The shape is libseccomp's binary tree (OPTIMIZE=2): linear chains triple the time the kernel takes
 * to load it.
 *
 * RULES is what `bundle` writes, one word list a line:
 *   default ACTION ERRNO | arch NAME | rule ACTION ERRNO SYSCALL [INDEX OP VALUE VALUE_TWO]...
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t action_of(const char *name, unsigned ret)
{
    if (strcmp(name, "SCMP_ACT_ALLOW") == 0)
        return SCMP_ACT_ALLOW;
    if (strcmp(name, "SCMP_ACT_ERRNO") == 0)
        return SCMP_ACT_ERRNO(ret);
    errx(1, "action %s is not in podman's default profile", name);
}

static enum scmp_compare operator_of(const char *name)
{
    return strcmp(name, "SCMP_CMP_NE") == 0 ? SCMP_CMP_NE : SCMP_CMP_EQ;
}

static uint32_t architecture_of(const char *name)
{
    static const struct {
        const char *name;
        uint32_t arch;
    } known[] = {
        {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
        {"SCMP_ARCH_X86", SCMP_ARCH_X86},
        {"SCMP_ARCH_X32", SCMP_ARCH_X32},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) == 0)
            return known[i].arch;
    }
    errx(1, "architecture %s is not this machine's", name);
}

static void add_rule(scmp_filter_ctx ctx, uint32_t default_action, const char *rest)
{
    char action[32], name[64];
    unsigned ret;
    int used;
    if (sscanf(rest, "%31s %u %63s%n", action, &ret, name, &used) != 3)
        errx(1, "bad rule: %s", rest);
    struct scmp_arg_cmp compare[6];
    unsigned n = 0;
    char op[32];
    unsigned index;
    unsigned long long value, value_two;
    for (rest += used;
         sscanf(rest, "%u %31s %llu %llu%n", &index, op, &value, &value_two, &used) == 4 && n < 6;
         rest += used)
        compare[n++] = SCMP_CMP64(index, operator_of(op), value, value_two);
    int number = seccomp_syscall_resolve_name(name);
    uint32_t act = action_of(action, ret);
    if (number != __NR_SCMP_ERROR && act != default_action &&
        seccomp_rule_add_array(ctx, act, number, n, compare) < 0)
        errx(1, "rule for %s refused", name);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: filter OUT < RULES");
    scmp_filter_ctx ctx = NULL;
    uint32_t default_action = 0;
    char line[1024], word[32];
    unsigned ret;
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "default %31s %u", word, &ret) == 2) {
            default_action = action_of(word, ret);
            ctx = seccomp_init(default_action);
            if (!ctx || seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
                errx(1, "libseccomp 2.5 or newer is needed");
        } else if (sscanf(line, "arch %31s", word) == 1) {
            int rc = seccomp_arch_add(ctx, architecture_of(word));
            if (rc < 0 && rc != -EEXIST)
                errx(1, "architecture %s refused", word);
        } else if (strncmp(line, "rule ", 5) == 0) {
            add_rule(ctx, default_action, line + 5);
        }
    }
    int fd = open(argv[1], O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0 || seccomp_export_bpf(ctx, fd) < 0)
        err(1, "%s", argv[1]);
    return 0;
}
