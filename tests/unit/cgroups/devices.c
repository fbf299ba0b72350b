/* Device rules: policies against the rules read one by one, the eBPF program in a small interpreter, v1 in a fake
 * directory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cgroups/devices.h"

static struct error err;

static struct spec_resources rules(struct spec_device_rule *v, size_t n)
{
    return (struct spec_resources){.present = true, .has_devices = true, .devices = v, .n_devices = n};
}

#define RULES(...)                                                                                           \
    rules((struct spec_device_rule[]){__VA_ARGS__},                                                          \
          sizeof((struct spec_device_rule[]){__VA_ARGS__}) / sizeof(struct spec_device_rule))

/* --- what the specification says, the slow way ------------------------------------------------------------------- */

static bool one_bit(const struct spec_resources *r, char type, int64_t major, int64_t minor, uint32_t bit)
{
    static const int64_t ours[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, {10, 200}};
    bool allowed = false;

    for (size_t i = 0; i < r->n_devices; i++) {
        const struct spec_device_rule *d = &r->devices[i];
        if ((d->type == 'a' || d->type == type) && (d->major == -1 || d->major == major) &&
            (d->minor == -1 || d->minor == minor) && (!d->access || d->access & bit))
            allowed = d->allow;
    }
    if (bit == DEVICE_ACCESS_MKNOD || (type == 'c' && major == 136))
        return true;
    for (size_t i = 0; type == 'c' && i < ARRAY_SIZE(ours); i++)
        if (major == ours[i][0] && minor == ours[i][1])
            return true;
    return allowed;
}

static bool naive(const struct spec_resources *r, char type, int64_t major, int64_t minor, uint32_t access)
{
    for (uint32_t bit = 1; bit <= DEVICE_ACCESS_MKNOD; bit <<= 1)
        if (access & bit && !one_bit(r, type, major, minor, bit))
            return false;
    return true;
}

/* --- the kernel, as far as it is used ---------------------------------------------------------------------------- */

static bool interpret(const struct bpf_insn *v, size_t n, char type, int64_t major, int64_t minor,
                      uint32_t access)
{
    uint32_t acc = (access & DEVICE_ACCESS_READ ? 2 : 0) | (access & DEVICE_ACCESS_WRITE ? 4 : 0) |
                   (access & DEVICE_ACCESS_MKNOD ? 1 : 0);
    uint32_t context[3] = {acc << 16 | (type == 'b' ? 1 : 2), (uint32_t)major, (uint32_t)minor};
    uint64_t reg[11] = {0};

    for (size_t pc = 0; pc < n; pc++) {
        const struct bpf_insn *i = &v[pc];
        uint64_t *dst = &reg[i->dst_reg];
        bool jump = false;

        cr_assert_geq(i->off, 0, "only forward");
        switch (i->code) {
        case BPF_LDX | BPF_MEM | BPF_W:
            cr_assert(i->src_reg == 1 && i->off % 4 == 0 && i->off < 12);
            *dst = context[i->off / 4];
            continue;
        case BPF_ALU | BPF_MOV | BPF_X:
            *dst = (uint32_t)reg[i->src_reg];
            continue;
        case BPF_ALU | BPF_RSH | BPF_K:
            *dst = (uint32_t)*dst >> i->imm;
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            *dst = (uint32_t)*dst & (uint32_t)i->imm;
            continue;
        case BPF_ALU64 | BPF_MOV | BPF_K:
            *dst = (uint64_t)(int64_t)i->imm;
            continue;
        case BPF_JMP | BPF_EXIT:
            return reg[0];
        case BPF_JMP | BPF_JA:
            jump = true;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            jump = *dst == (uint64_t)(int64_t)i->imm;
            break;
        case BPF_JMP | BPF_JNE | BPF_K:
            jump = *dst != (uint64_t)(int64_t)i->imm;
            break;
        default:
            cr_assert_fail("instruction %zu has code %#x", pc, i->code);
        }
        if (jump)
            pc += (size_t)i->off;
    }
    cr_assert_fail("ran off the end");
    return false;
}

/* v1 (security/device_cgroup.c): what the log of writes to a fake directory comes to. */
struct v1 {
    bool allow;
    struct device_entry v[512];
    size_t n;
};

static void v1_write(struct v1 *s, bool allow, const struct device_entry *e)
{
    size_t i = 0;

    if (e->type == 'a') {
        *s = (struct v1){.allow = allow};
        return;
    }
    while (i < s->n && (s->v[i].type != e->type || s->v[i].major != e->major || s->v[i].minor != e->minor))
        i++;
    if (allow == s->allow) {
        if (i < s->n)
            s->v[i].access &= ~e->access;
        return;
    }
    if (i == s->n) {
        cr_assert_lt(s->n, ARRAY_SIZE(s->v));
        s->v[s->n++] = (struct device_entry){.type = e->type, .major = e->major, .minor = e->minor};
    }
    s->v[i].access |= e->access;
}

static bool v1_allows(const struct v1 *s, char type, int64_t major, int64_t minor, uint32_t access)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct device_entry *e = &s->v[i];
        if (e->type != type || (e->major != -1 && e->major != major) || (e->minor != -1 && e->minor != minor))
            continue;
        if (s->allow ? e->access & access : !(access & ~e->access) && e->access)
            return !s->allow;
    }
    return s->allow;
}

static void v1_replay(struct v1 *s, bool allow, char *text)
{
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char type, major[16] = "*", minor[16] = "*", access[4] = "rwm";
        cr_assert_geq(sscanf(line, "%c %15[0-9*]:%15[0-9*] %3[rwm]", &type, major, minor, access), 1);
        struct device_entry e = {.type = type,
                                 .major = *major == '*' ? -1 : atoll(major),
                                 .minor = *minor == '*' ? -1 : atoll(minor)};
        e.access =
            (strchr(access, 'r') ? 1U : 0) | (strchr(access, 'w') ? 2U : 0) | (strchr(access, 'm') ? 4U : 0);
        v1_write(s, allow, &e);
    }
}

/* --- a fake v1 directory ----------------------------------------------------------------------------------------- */

struct fake {
    char path[64];
    struct arena arena;
    struct cgroup_dir dir;
    struct cgroup cgroup;
};

static void put(struct fake *f, const char *name, const char *text)
{
    _cleanup_(fd_closep) int fd = openat(f->dir.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0);
}

static char *get(struct fake *f, const char *name)
{
    char *text;

    cr_assert_eq(file_read(f->dir.fd, name, 1 << 20, &f->arena, &text, NULL, &err), 0, "%s", err.message);
    return text;
}

static void fake_make(struct fake *f, bool made)
{
    *f = (struct fake){.path = "/tmp/hull-devices.XXXXXX"};
    cr_assert(mkdtemp(f->path));
    f->dir = (struct cgroup_dir){.controllers = CG_BIT(CG_DEVICES),
                                 .mount = "/tmp",
                                 .path = f->path + 4,
                                 .made = made,
                                 .fd = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    f->cgroup = (struct cgroup){.arena = &f->arena, .dirs = &f->dir, .n_dirs = 1, .helper = -1};
    put(f, "devices.allow", "");
    put(f, "devices.deny", "");
    put(f, "devices.list", "a *:* rwm\n");
}

static void fake_remove(struct fake *f)
{
    close(f->dir.fd);
    file_remove_tree(AT_FDCWD, f->path, NULL);
    arena_free(&f->arena);
}

/* --- random rules ------------------------------------------------------------------------------------------------ */

static uint32_t state = 2463534242U;

/* xorshift32: each run is the same */
static uint32_t below(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % n;
}

static const int64_t majors[] = {-1, 1, 5, 10, 136, 4095, 0}, minors[] = {-1, 3, 0, 200, 1048575, 7};

static size_t random_rules(struct spec_device_rule *v, size_t max)
{
    size_t n = below((uint32_t)max + 1);

    for (size_t i = 0; i < n; i++)
        v[i] = (struct spec_device_rule){below(2) != 0, "abc"[below(3)], majors[below(ARRAY_SIZE(majors))],
                                         minors[below(ARRAY_SIZE(minors))], below(8)};
    return n;
}

/* Each device that a rule may name, and one that none does, with each access. */
#define EACH_ACCESS(type, major, minor, access)                                                              \
    for (const char *t_ = "bc"; *t_; t_++)                                                                   \
        for (size_t M_ = 0; M_ < ARRAY_SIZE(majors); M_++)                                                   \
            for (size_t m_ = 0; m_ < ARRAY_SIZE(minors); m_++)                                               \
                for (uint32_t access = 1; access <= DEVICE_ACCESS_ALL; access++)                             \
                    for (int64_t once_ = 1, major = M_ ? majors[M_] : 77, minor = m_ ? minors[m_] : 99,      \
                                 type = *t_;                                                                 \
                         once_; once_ = 0)

Test(devices, program_is_the_rules)
{
    for (int round = 0; round < 3000; round++) {
        struct spec_device_rule v[12];
        struct spec_resources r = rules(v, random_rules(v, ARRAY_SIZE(v)));
        struct arena a = {0};
        struct device_policy p;
        struct bpf_insn *insns;
        size_t n;

        cr_assert_eq(device_policy_make(&a, &r, &p, &err), 0, "%s", err.message);
        cr_assert_eq(device_program_make(&a, &p, &insns, &n, &err), 0, "%s", err.message);
        EACH_ACCESS(type, major, minor, access)
        {
            bool is = interpret(insns, n, (char)type, major, minor, access);
            cr_assert_eq(is, naive(&r, (char)type, major, minor, access), "round %d: %s", round,
                         device_format((char)type, major, minor, access).s);
        }
        arena_free(&a);
    }
}

Test(devices, v1_is_the_rules_or_refused)
{
    int done = 0, refused = 0;

    for (int round = 0; round < 600; round++) {
        struct spec_device_rule v[5];
        struct spec_resources r = rules(v, random_rules(v, ARRAY_SIZE(v)));
        struct fake f;
        struct v1 s = {.allow = true};

        fake_make(&f, true);
        if (cgroup_write_devices(&f.cgroup, &r, &err) < 0) {
            cr_assert(strncmp(err.message, "linux.resources.devices[", 24) == 0, "%s", err.message);
            refused++;
        } else {
            char *denied = get(&f, "devices.deny"), *allowed = get(&f, "devices.allow");
            bool allow = strncmp(allowed, "a\n", 2) == 0;
            v1_replay(&s, allow, allow ? allowed : denied);
            v1_replay(&s, !allow, allow ? denied : allowed);
            EACH_ACCESS(type, major, minor, access)
            /* mknod is never asked for together with others */
            if (access <= DEVICE_ACCESS_MKNOD) {
                bool is = v1_allows(&s, (char)type, major, minor, access);
                cr_assert_eq(is, naive(&r, (char)type, major, minor, access), "round %d: %s", round,
                             device_format((char)type, major, minor, access).s);
            }
            done++;
        }
        fake_remove(&f);
    }
    cr_assert_gt(done, 100);
    cr_assert_gt(refused, 20, "%d of %d", refused, done + refused);
}

/* From any list to any other, while one that watches never sees less than both allow, nor more than either. */
Test(devices, v1_update_never_shows_another_policy)
{
    for (int round = 0; round < 300; round++) {
        struct spec_device_rule v[2][6] = {{{0}}};
        struct spec_resources r[2];
        struct v1 s = {0};
        struct fake f;

        for (int k = 0; k < 2; k++) {
            r[k] = rules(v[k], 1 + below(6));
            for (size_t i = 0; i < r[k].n_devices; i++)
                v[k][i] = (struct spec_device_rule){true, "bc"[below(2)], majors[1 + below(6)],
                                                    minors[below(6)], below(8)};
        }
        fake_make(&f, true);
        cr_assert_eq(cgroup_write_devices(&f.cgroup, &r[0], &err), 0, "%s", err.message);
        v1_replay(&s, true, get(&f, "devices.allow"));
        char list[8192] = "";
        for (size_t i = 0; i < s.n; i++)
            snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s\n",
                     device_format(s.v[i].type, s.v[i].major, s.v[i].minor, s.v[i].access).s);
        put(&f, "devices.list", list);
        put(&f, "devices.allow", "");
        put(&f, "devices.deny", "");

        f.dir.made = false;
        cr_assert_eq(cgroup_write_devices(&f.cgroup, &r[1], &err), 0, "%s", err.message);
        char *steps[2] = {get(&f, "devices.allow"), get(&f, "devices.deny")};
        for (int step = 0; step < 2; step++) {
            cr_assert_null(strchr(steps[step], 'a'));
            v1_replay(&s, step == 0, steps[step]);
            EACH_ACCESS(type, major, minor, access)
            if (access <= DEVICE_ACCESS_MKNOD) {
                bool before = naive(&r[0], (char)type, major, minor, access),
                     after = naive(&r[1], (char)type, major, minor, access),
                     is = v1_allows(&s, (char)type, major, minor, access);
                cr_assert(step == 1 || !before || !after || is);
                cr_assert(step == 0 || is == after, "round %d: %s", round,
                          device_format((char)type, major, minor, access).s);
            }
        }
        /* The same again: not a byte. */
        list[0] = '\0';
        for (size_t i = 0; i < s.n; i++)
            if (s.v[i].access)
                snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s\n",
                         device_format(s.v[i].type, s.v[i].major, s.v[i].minor, s.v[i].access).s);
        put(&f, "devices.list", list);
        put(&f, "devices.allow", "");
        put(&f, "devices.deny", "");
        cr_assert_eq(cgroup_write_devices(&f.cgroup, &r[1], &err), 0, "%s", err.message);
        cr_assert_str_empty(get(&f, "devices.allow"));
        cr_assert_str_empty(get(&f, "devices.deny"));
        fake_remove(&f);
    }
}

/* --- single facts ------------------------------------------------------------------------------------------------ */

Test(devices, no_rules_are_the_defaults)
{
    struct fake f;

    fake_make(&f, true);
    cr_assert_eq(cgroup_write_devices(&f.cgroup, NULL, &err), 0, "%s", err.message);
    cr_assert_str_eq(get(&f, "devices.deny"), "a\n");
    cr_assert_str_eq(get(&f, "devices.allow"),
                     "b *:* m\nc 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\nc 1:8 rwm\nc 1:9 rwm\nc 5:0 rwm\nc 5:2 rwm\n"
                     "c 10:200 rwm\nc 136:* rwm\nc *:* m\n");
    fake_remove(&f);
}

Test(devices, all_allowed_is_one_write)
{
    struct spec_resources r = RULES({false, 'a', -1, -1, 7}, {false, 'c', 1, 11, 3}, {true, 'a', -1, -1, 0});
    struct fake f;

    fake_make(&f, true);
    cr_assert_eq(cgroup_write_devices(&f.cgroup, &r, &err), 0, "%s", err.message);
    cr_assert_str_eq(get(&f, "devices.allow"), "a\n");
    cr_assert_str_empty(get(&f, "devices.deny"));
    fake_remove(&f);
}

Test(devices, v1_refuses_exceptions_from_exceptions)
{
    struct spec_resources r = RULES({true, 'c', 10, -1, 3}, {false, 'c', 10, 229, 2});
    struct fake f;

    fake_make(&f, true);
    cr_assert_eq(cgroup_write_devices(&f.cgroup, &r, &err), -1);
    cr_assert_str_eq(
        err.message,
        "linux.resources.devices[1]: \"c 10:229 rm\" cannot be an exception from \"c 10:* rwm\" on "
        "cgroup v1; name each device that is allowed, or use cgroup v2");
    cr_assert_str_empty(get(&f, "devices.deny"));
    fake_remove(&f);
}

Test(devices, numbers_that_no_device_has)
{
    struct spec_resources r = RULES({true, 'c', 1, 11, 3}, {true, 'c', 4096, 0, 3});
    struct arena a = {0};
    struct device_policy p;

    cr_assert_eq(device_policy_make(&a, &r, &p, &err), -1);
    cr_assert(strstr(err.message, "linux.resources.devices[1].major: 4096"), "%s", err.message);
    r = RULES({true, 'c', 1, 1048576, 3});
    cr_assert_eq(device_policy_make(&a, &r, &p, &err), -1);
    cr_assert(strstr(err.message, "linux.resources.devices[0].minor: 1048576"), "%s", err.message);
    arena_free(&a);
}

Test(devices, too_many_rules)
{
    struct arena a = {0};
    struct spec_device_rule *v = arena_new_n(&a, 5000, struct spec_device_rule);
    struct spec_resources r = rules(v, 5000);
    struct device_policy p;
    struct bpf_insn *insns;
    size_t n;

    for (int i = 0; i < 5000; i++)
        v[i] = (struct spec_device_rule){true, 'c', i % 4096, i, 3};
    cr_assert_eq(device_policy_make(&a, &r, &p, &err), -1);
    cr_assert(strstr(err.message, "5000 rules"), "%s", err.message);

    r.n_devices = 3000; /* one in each major number takes two instructions */
    cr_assert_eq(device_policy_make(&a, &r, &p, &err), 0, "%s", err.message);
    cr_assert_eq(device_program_make(&a, &p, &insns, &n, &err), -1);
    cr_assert(strstr(err.message, "instructions"), "%s", err.message);

    for (int i = 0; i < 3000; i++)
        v[i] = (struct spec_device_rule){true, 'c', i % 2 ? -1 : i, i % 2 ? i : -1, 3};
    cr_assert_eq(device_policy_make(&a, &r, &p, &err), -1);
    cr_assert(strstr(err.message, "only a minor number"), "%s", err.message);
    arena_free(&a);
}

Test(devices, without_a_cgroup_for_them)
{
    struct spec_resources all = RULES({true, 'a', -1, -1, 0});
    struct arena a = {0};
    struct cgroup_dir dir = {.controllers = CG_BIT(CG_MEMORY), .mount = "/tmp", .path = "/x", .fd = -1};
    struct cgroup c = {.arena = &a, .dirs = &dir, .n_dirs = 1, .helper = -1};

    cr_assert_eq(cgroup_write_devices(&c, &all, &err), 0);
    c.rootless = true;
    cr_assert_eq(cgroup_write_devices(&c, NULL, &err), 0);
    c.rootless = false;
    cr_assert_eq(cgroup_write_devices(&c, NULL, &err), -1);
    cr_assert(strstr(err.message, "no cgroup of the container's guards devices"), "%s", err.message);
    arena_free(&a);
}

/* 10:5 is in a row and in a column, and v1 would give it what either has. */
Test(devices, v1_crossings)
{
    struct spec_resources r = RULES({true, 'c', -1, 5, 2}, {false, 'c', 10, -1, 2}, {true, 'c', 10, -1, 1});
    struct fake f;

    fake_make(&f, true);
    cr_assert_eq(cgroup_write_devices(&f.cgroup, &r, &err), -1);
    cr_assert(strstr(err.message, "\"c 10:5 rm\" cannot be an exception from \"c *:5 wm\""), "%s",
              err.message);
    r.n_devices = 1;
    cr_assert_eq(cgroup_write_devices(&f.cgroup, &r, &err), 0, "%s", err.message);
    cr_assert(strstr(get(&f, "devices.allow"), "c *:5 wm\n"));
    fake_remove(&f);
}
