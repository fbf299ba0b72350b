/* What process.h applies to the calling process; criterion gives each test a process of its own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "runtime/intelrdt.h"
#include "runtime/process.h"

static struct arena arena;
static struct error err;

#define BIT(cap) (UINT64_C(1) << (cap))

static void need_root(void)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
}

static char *proc_read(const char *path)
{
    char *text;
    cr_assert_eq(file_read(AT_FDCWD, path, 1 << 20, &arena, &text, NULL, &err), 0, "%s", err.message);
    return text;
}

/* "CapEff" -> its mask in /proc/self/status. */
static uint64_t status_mask(const char *field)
{
    unsigned long long mask = 0;
    char *line = strstr(proc_read("/proc/self/status"), field);

    cr_assert(line && sscanf(line + strlen(field), ": %llx", &mask) == 1);
    return mask;
}

Test(rlimits, what_the_host_does_not_grant_is_clamped)
{
    struct spec_rlimit limits[] = {{"RLIMIT_NOFILE", RLIMIT_NOFILE, 64, 100},
                                   {"RLIMIT_NOFILE", RLIMIT_NOFILE, 1u << 31, 1u << 31},
                                   {"RLIMIT_CORE", RLIMIT_CORE, 0, 0}};
    struct spec_process p = {.rlimits = limits, .n_rlimits = ARRAY_SIZE(limits)};
    struct rlimit now;

    /* Beyond fs.nr_open not even root may go. */
    cr_assert_eq(rlimits_apply(&p, 0, &err), 0, "%s", err.message);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    cr_assert(now.rlim_cur == 100 && now.rlim_max == 100);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &now), 0);
    cr_assert(now.rlim_cur == 0 && now.rlim_max == 0);
}

Test(rlimits, soft_above_hard_is_an_error)
{
    struct spec_rlimit limit = {"RLIMIT_NOFILE", RLIMIT_NOFILE, 20, 10};
    struct spec_process p = {.rlimits = &limit, .n_rlimits = 1};

    cr_assert_eq(rlimits_apply(&p, 0, &err), -1);
    cr_assert(strstr(err.message, "RLIMIT_NOFILE"));
}

Test(rlimits, oom_score_adj)
{
    struct spec_process p = {.has_oom_score_adj = true, .oom_score_adj = 300};

    cr_assert_eq(oom_score_adj_apply(&p, 0, &err), 0, "%s", err.message);
    cr_assert_str_eq(proc_read("/proc/self/oom_score_adj"), "300\n");
    p.oom_score_adj = -900; /* granted or warned of */
    cr_assert_eq(oom_score_adj_apply(&p, getpid(), &err), 0, "%s", err.message);
    p.oom_score_adj = 5000;
    cr_assert_eq(oom_score_adj_apply(&p, 0, &err), -1);
    cr_assert(strstr(err.message, "oomScoreAdj"));
}

Test(scheduler, policy_and_nice)
{
    struct spec_scheduler s = {
        .present = true, .policy = "SCHED_BATCH", .policy_number = SCHED_BATCH, .nice = 5};

    cr_assert_eq(scheduler_apply(&s, &err), 0, "%s", err.message);
    cr_assert_eq(sched_getscheduler(0), SCHED_BATCH);
    cr_assert_eq(getpriority(PRIO_PROCESS, 0), 5);
    s.policy_number = 99;
    cr_assert_eq(scheduler_apply(&s, &err), -1);
}

Test(scheduler, io_priority)
{
    struct spec_io_priority p = {true, "IOPRIO_CLASS_BE", 2, 6};

    cr_assert_eq(io_priority_apply(&p, &err), 0, "%s", err.message);
    cr_assert_eq(syscall(SYS_ioprio_get, 1, 0), 2 << 13 | 6);
}

Test(scheduler, cpu_affinity)
{
    cpu_set_t set;

    cr_assert_eq(cpu_affinity_apply(NULL, &err), 0);
    cr_assert_eq(cpu_affinity_apply("0-0,0", &err), 0, "%s", err.message);
    cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    cr_assert(CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
    static const char *const bad[] = {"",   "x",  "1-",       "-1",   "3-1",       "0,",
                                      ",0", "0 ", "99999999", "0--1", "4294967296"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(cpu_affinity_apply(bad[i], &err), -1, "\"%s\"", bad[i]);
}

Test(scheduler, memory_policy)
{
    char *flags[] = {"MPOL_F_STATIC_NODES", NULL};
    struct spec_memory_policy p = {.present = true, .mode = "MPOL_BIND", .nodes = "0", .flags = {flags, 1}};
    int mode = 0;

    if (memory_policy_apply(&p, &err) < 0 && (err.code == ENOSYS || err.code == EPERM))
        cr_skip_test("no NUMA policies here: %s", err.message);
    cr_assert_eq(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0), 0);
    cr_assert_eq(mode, 2 | 1 << 15);
    p = (struct spec_memory_policy){.present = true, .mode = "MPOL_DEFAULT"};
    cr_assert_eq(memory_policy_apply(&p, &err), 0, "%s", err.message);
    p.mode = "MPOL_BIND"; /* without nodes */
    cr_assert_eq(memory_policy_apply(&p, &err), -1);
    p.nodes = "0-x";
    cr_assert_eq(memory_policy_apply(&p, &err), -1);
}

Test(scheduler, personality)
{
    struct spec_personality p = {.present = true, .domain = "LINUX32"};

    cr_assert_eq(personality_apply(&p, &err), 0, "%s", err.message);
    cr_assert_eq(personality(0xffffffff) & PER_MASK, PER_LINUX32);
    p.domain = "BSD";
    cr_assert_eq(personality_apply(&p, &err), -1);
}

Test(keyring, joined_by_name_and_searchable)
{
    char description[256] = "";
    unsigned perm = 0;

    cr_assert_eq(keyring_join("unit-test", NULL, &err), 0, "%s", err.message);
    if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, description, sizeof(description)) < 0)
        cr_skip_test("no keyrings here");
    cr_assert(strstr(description, "_ses.unit-test"), "%s", description);
    cr_assert_eq(sscanf(description, "keyring;%*d;%*d;%x;", &perm), 1);
    cr_assert_eq(perm, 0x3f1b0000u);
}

Test(sysctl, both_spellings_and_nothing_else)
{
    struct spec_sysctl good[] = {{"net.ipv4.ip_forward", "1"},
                                 {"net/ipv4/conf/lo/forwarding", "0"},
                                 {"net.ipv4.conf.lo.rp_filter", "2"}};
    static const char *const bad[] = {"net..ip", "../../etc/x", "net/../../x", ".net",
                                      "",        "net.ipv4.",   "no.such.key"};

    need_root();
    if (unshare(CLONE_NEWNET) < 0)
        cr_skip_test("needs a network namespace");
    cr_assert_eq(sysctl_apply(good, ARRAY_SIZE(good), &err), 0, "%s", err.message);
    cr_assert_str_eq(proc_read("/proc/sys/net/ipv4/ip_forward"), "1\n");
    cr_assert_str_eq(proc_read("/proc/sys/net/ipv4/conf/lo/rp_filter"), "2\n");
    cr_assert_str_eq(proc_read("/proc/sys/net/ipv4/conf/lo/forwarding"), "0\n");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct spec_sysctl s = {(char *)bad[i], "1"};
        cr_assert_eq(sysctl_apply(&s, 1, &err), -1, "%s", bad[i]);
    }
}

Test(capabilities, sets_are_exactly_those)
{
    uint64_t want = BIT(CAP_KILL) | BIT(CAP_CHOWN);
    struct spec_capabilities c = {.present = true,
                                  .bounding = want | BIT(CAP_MKNOD),
                                  .effective = BIT(CAP_KILL),
                                  .permitted = want,
                                  .inheritable = BIT(CAP_CHOWN),
                                  .ambient = BIT(CAP_CHOWN)};
    struct spec_user user = {
        .uid = 1234, .gid = 2345, .additional_gids = (uint32_t[]){7, 9}, .n_additional_gids = 2};

    need_root();
    cr_assert_eq(capabilities_drop_bounding(&c, &err), 0, "%s", err.message);
    cr_assert_eq(identity_apply(&user, true, &err), 0, "%s", err.message);
    cr_assert_eq(capabilities_apply(&c, &err), 0, "%s", err.message);
    cr_assert_eq(status_mask("CapBnd"), want | BIT(CAP_MKNOD));
    cr_assert_eq(status_mask("CapPrm"), want);
    cr_assert_eq(status_mask("CapEff"), BIT(CAP_KILL));
    cr_assert_eq(status_mask("CapInh"), BIT(CAP_CHOWN));
    cr_assert_eq(status_mask("CapAmb"), BIT(CAP_CHOWN));
    cr_assert(getuid() == 1234 && geteuid() == 1234 && getgid() == 2345);
    cr_assert(strstr(proc_read("/proc/self/status"), "Groups:\t7 9"));
}

Test(capabilities, none_given_is_none_at_all)
{
    struct spec_capabilities c = {.present = false, .permitted = BIT(CAP_SYS_ADMIN)};

    need_root();
    cr_assert_eq(capabilities_drop_bounding(&c, &err), 0, "%s", err.message);
    cr_assert_eq(capabilities_apply(&c, &err), 0, "%s", err.message);
    cr_assert_eq(
        status_mask("CapBnd") | status_mask("CapPrm") | status_mask("CapInh") | status_mask("CapAmb"), 0u);
}

Test(capabilities, what_the_host_lacks_is_left_out)
{
    struct spec_capabilities less = {.present = true, .bounding = BIT(CAP_KILL) | BIT(CAP_SETPCAP)};
    struct spec_capabilities c = {.present = true, .bounding = BIT(CAP_KILL) | BIT(CAP_SYS_BOOT)};

    need_root();
    less.permitted = less.effective = less.bounding;
    cr_assert_eq(capabilities_drop_bounding(&less, &err), 0);
    cr_assert_eq(capabilities_apply(&less, &err), 0, "%s", err.message);
    c.effective = c.permitted = c.inheritable = c.ambient = c.bounding;
    cr_assert_eq(capabilities_drop_bounding(&c, &err), 0, "%s", err.message);
    cr_assert_eq(capabilities_apply(&c, &err), 0, "%s", err.message);
    cr_assert_eq(status_mask("CapEff"), BIT(CAP_KILL));
    cr_assert_eq(status_mask("CapPrm"), BIT(CAP_KILL));
    cr_assert_eq(status_mask("CapInh"), BIT(CAP_KILL));
    cr_assert_eq(status_mask("CapAmb"), BIT(CAP_KILL));
    cr_assert_eq(status_mask("CapBnd"), BIT(CAP_KILL));
    /* Without CAP_SETPCAP nothing more can be dropped; that is no error only while nothing has to be. */
    cr_assert_eq(capabilities_drop_bounding(&c, &err), 0, "%s", err.message);
    c.bounding = 0;
    cr_assert_eq(capabilities_drop_bounding(&c, &err), -1);
    cr_assert(strstr(err.message, "CAP_KILL"), "%s", err.message);
}

Test(capabilities, last_is_the_kernels)
{
    int last = capability_last();

    cr_assert_geq(last, 0);
    cr_assert_geq(prctl(PR_CAPBSET_READ, last, 0, 0, 0), 0);
    cr_assert_lt(prctl(PR_CAPBSET_READ, last + 1, 0, 0, 0), 0);
}

Test(identity, an_unmapped_id_is_named)
{
    struct spec_user user = {.uid = 4000000};
    int fd;

    need_root();
    if (unshare(CLONE_NEWUSER) < 0)
        cr_skip_test("needs a user namespace");
    fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
    cr_assert_eq(write(fd, "0 0 1000", 8), 8);
    close(fd);
    fd = open("/proc/self/gid_map", O_WRONLY | O_CLOEXEC);
    cr_assert_eq(write(fd, "0 0 1000", 8), 8);
    close(fd);
    cr_assert_eq(identity_apply(&user, true, &err), -1);
    cr_assert(strstr(err.message, "process.user.uid: 4000000") && strstr(err.message, "linux.uidMappings"),
              "%s", err.message);
    user = (struct spec_user){.gid = 4000000};
    cr_assert_eq(identity_apply(&user, true, &err), -1);
    cr_assert(strstr(err.message, "process.user.gid: 4000000") && strstr(err.message, "linux.gidMappings"),
              "%s", err.message);
}

Test(lsm, a_label_that_nothing_enforces_is_an_error)
{
    struct spec_process p = {.apparmor_profile = "unconfined"};

    cr_assert_eq(lsm_check(&p, &err), 0, "%s", err.message);
    cr_assert_eq(lsm_apply_exec_label(&p, &err), 0, "%s", err.message);
    p.apparmor_profile = "some-profile";
    if (access("/sys/module/apparmor", F_OK) < 0) {
        cr_assert_eq(lsm_check(&p, &err), -1);
        cr_assert(strstr(err.message, "process.apparmorProfile"));
    }
    p = (struct spec_process){.selinux_label = "system_u:system_r:container_t:s0"};
    if (access("/sys/fs/selinux", F_OK) < 0) {
        cr_assert_eq(lsm_check(&p, &err), -1);
        cr_assert(strstr(err.message, "process.selinuxLabel"));
    }
}

Test(intel_rdt, schemata_compare_by_value)
{
    static const char now[] = "    L3:0=7ff;1=0ff\n    MB:0=100;1= 20\n";

    cr_assert(intel_rdt_schemata_match(now, "L3:0=7ff"));
    cr_assert(intel_rdt_schemata_match(now, "L3:1=FF;0=07ff\nMB:0=100\n"));
    cr_assert(intel_rdt_schemata_match(now, ""));
    cr_assert_not(intel_rdt_schemata_match(now, "L3:0=7f"));
    cr_assert_not(intel_rdt_schemata_match(now, "L3:2=7ff"));
    cr_assert_not(intel_rdt_schemata_match(now, "L2:0=7ff"));
    cr_assert_not(intel_rdt_schemata_match(now, "L3:0=7ff;1"));
    cr_assert_not(intel_rdt_schemata_match(now, "MB:0=10"));
}

Test(intel_rdt, without_resctrl_it_is_an_error)
{
    struct spec_intel_rdt r = {.present = true, .clos_id = "a"};
    bool created;

    if (intel_rdt_supported())
        cr_skip_test("this machine has resctrl");
    cr_assert_eq(intel_rdt_apply(&r, "id", getpid(), &created, &err), -1);
    cr_assert(strstr(err.message, "resctrl"), "%s", err.message);
    r.clos_id = "../x";
    cr_assert_eq(intel_rdt_apply(&r, "id", getpid(), &created, &err), -1);
    cr_assert(strstr(err.message, "closID"), "%s", err.message);
    r.present = false;
    cr_assert_eq(intel_rdt_apply(&r, "id", getpid(), &created, &err), 0);
    cr_assert_not(created);
}
