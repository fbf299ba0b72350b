/*
 * What is refused, and in which words: a table of {fragment, complaints}. Each fragment is put beside the
 * fields that a document needs; the whole message is compared, so that no second complaint hides behind the
 * first.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/buffer.h"
#include "runtime/spec/spec.h"

static struct arena arena;
static struct error err;

enum where { TOP, PROCESS, LINUX, SECCOMP, MOUNT };

static const struct frame {
    const char *before, *after;
} frames[] = {
    [TOP] = {"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},", "}"},
    [PROCESS] =
        {"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",",
         "}}"},
    [LINUX] = {"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"linux\":{", "}}"},
    [SECCOMP] =
        {"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"linux\":{\"seccomp\":{\"defaultAction\":"
         "\"SCMP_ACT_ALLOW\",",
         "}}}"},
    [MOUNT] = {"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"mounts\":[{\"destination\":\"/\"},{",
               "}]}"},
};

/* expected: NULL accepts. */
struct sample {
    enum where where;
    const char *fragment, *expected;
};

static int parse(const char *text)
{
    struct spec *spec;
    error_clear(&err);
    return spec_parse(&arena, text, strlen(text), "c", &spec, &err);
}

static void check(const struct sample *s)
{
    const struct frame *f = &frames[s->where];
    int result = parse(arena_printf(&arena, "%s%s%s", f->before, s->fragment, f->after));
    if (!s->expected)
        cr_expect_eq(result, 0, "%s\n%s", s->fragment, err.message);
    else
        cr_expect(result == -1 && !strcmp(err.message, arena_printf(&arena, "c: %s", s->expected)),
                  "%s\n  wanted: %s\n  got:    %s", s->fragment, s->expected, err.message);
}

static void check_all(const struct sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(&samples[i]);
}

#define UID_RANGE  "process.user.uid: must be an integer from 0 to 4294967295, got "
#define NS(types)  "\"namespaces\":[" types "]"
#define NS_OF(t)   "{\"type\":\"" t "\"}"
#define MAP1       "[{\"containerID\":0,\"hostID\":0,\"size\":1}]"
#define MAPS(u, g) "\"uidMappings\":" u ",\"gidMappings\":" g

Test(spec_complaints, types_and_ranges)
{
    static const struct sample samples[] = {
        {PROCESS, "\"user\":{\"uid\":-1}", UID_RANGE "-1"},
        {PROCESS, "\"user\":{\"uid\":4294967296}", UID_RANGE "4294967296"},
        {PROCESS, "\"user\":{\"uid\":18446744073709551616}", UID_RANGE "18446744073709551616"},
        {PROCESS, "\"user\":{\"uid\":1.0}", UID_RANGE "1.0"},
        {PROCESS, "\"user\":{\"uid\":1e3}", UID_RANGE "1e3"},
        {PROCESS, "\"user\":{\"uid\":\"0\"}", UID_RANGE "a string"},
        {PROCESS, "\"user\":{\"uid\":true}", UID_RANGE "true"},
        {PROCESS, "\"user\":[]", "process.user: must be an object, got an array"},
        {PROCESS, "\"user\":{\"additionalGids\":[1,-2]}",
         "process.user.additionalGids[1]: must be an integer from 0 to 4294967295, got -2"},
        {PROCESS, "\"user\":{\"umask\":512}",
         "process.user.umask: must be an integer from 0 to 511, got 512"},
        {PROCESS, "\"terminal\":1", "process.terminal: must be true or false, got 1"},
        {PROCESS, "\"env\":{}", "process.env: must be an array, got an object"},
        {PROCESS, "\"env\":[\"A=1\",2]", "process.env[1]: must be a string, got 2"},
        {PROCESS, "\"env\":[null]", "process.env[0]: must be a string, got null"},
        {PROCESS, "\"oomScoreAdj\":1001",
         "process.oomScoreAdj: must be an integer from -1000 to 1000, got 1001"},
        {PROCESS, "\"apparmorProfile\":\"\",\"selinuxLabel\":\"\"", NULL},
        {TOP, "\"linux\":\"x\",\"hostname\":\"h\"", "linux: must be an object, got a string"},
        {TOP, "\"mounts\":[null]", "mounts[0]: must be an object, got null"},
        {TOP, "\"annotations\":{\"a.b\":1}", "annotations[\"a.b\"]: must be a string, got 1"},
        {TOP, "\"annotations\":{\"\":\"1\"}", "annotations: must not have an empty key"},
        {TOP, "\"vm\":{\"kernel\":{}}", "vm.kernel.path: is required"},
        {TOP, "\"vm\":{\"kernel\":{\"path\":\"vmlinux\"}}",
         "vm.kernel.path: must be an absolute path, got \"vmlinux\""},
        {TOP, "\"vm\":{\"hwConfig\":{\"irqs\":1}}", "vm.hwConfig.irqs: must be an array, got a number"},
        {TOP, "\"vm\":[]", "vm: must be an object, got an array"},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

Test(spec_complaints, required)
{
    cr_assert_eq(parse("[]"), -1);
    cr_assert_str_eq(err.message, "c: must be an object, got an array");
    cr_assert_eq(parse("{}"), -1);
    cr_assert_str_eq(err.message, "c: 2 problems:\n  ociVersion: is required\n  root: is required");
    static const struct sample samples[] = {
        {TOP, "\"process\":{}", "2 problems:\n  process.args: is required\n  process.cwd: is required"},
        {TOP, "\"process\":{\"args\":[],\"cwd\":\"\"}",
         "2 problems:\n  process.args: must not be empty\n  process.cwd: must not be empty"},
        {TOP, "\"process\":{\"args\":[\"a\"],\"cwd\":\"tmp\"}",
         "process.cwd: must be an absolute path, got \"tmp\""},
        {MOUNT, "\"type\":\"proc\"", "mounts[1].destination: is required"},
        {MOUNT, "\"destination\":\"\"", "mounts[1].destination: must not be empty"},
        {LINUX, "\"devices\":[{}]",
         "2 problems:\n  linux.devices[0].path: is required\n  linux.devices[0].type: is required"},
        {LINUX, NS("{}"), "linux.namespaces[0].type: is required"},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

Test(spec_complaints, versions)
{
    static const char *const good[] = {"1.0.0", "1.0.2-dev", "1.3.0-rc.1", "1.2.1+dev", "1.10.0-rc.1+dev.5"};
    static const char *const bad[] = {"1",      "1.0",    "2.0.0",  "0.5.0",     "1.0.0-",
                                      "1.0.0 ", "1.00.0", "v1.0.0", "1.0.0-a_b", "1.0.0.0"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        cr_expect_eq(
            parse(arena_printf(&arena, "{\"ociVersion\":\"%s\",\"root\":{\"path\":\"r\"}}", good[i])), 0,
            "%s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_expect_eq(parse(arena_printf(&arena, "{\"ociVersion\":\"%s\",\"root\":{\"path\":\"r\"}}", bad[i])),
                     -1, "%s", bad[i]);
        cr_expect(strstr(err.message, "c: ociVersion: must be a version 1.x.y"), "%s", err.message);
    }
}

Test(spec_complaints, process)
{
    static const struct sample samples[] = {
        {PROCESS, "\"env\":[\"A=1\",\"FOO\"]", "process.env[1]: must be NAME=value, got \"FOO\""},
        {PROCESS, "\"env\":[\"=x\"]", "process.env[0]: must be NAME=value, got \"=x\""},
        {PROCESS, "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":2,\"hard\":1}]",
         "process.rlimits[0].soft: must not be above hard (2 > 1)"},
        {PROCESS, "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1}]",
         "process.rlimits[0].hard: is required"},
        {PROCESS,
         "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":1},{\"type\":\"RLIMIT_CORE\",\"soft\":1,"
         "\"hard\":1}]",
         "process.rlimits[1].type: RLIMIT_CORE is there twice"},
        {PROCESS, "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":-1,\"hard\":1}]",
         "process.rlimits[0].soft: must be an integer from 0 to 18446744073709551615, got -1"},
        {PROCESS, "\"capabilities\":{\"bounding\":[\"CAP_NOPE\"]}", NULL},
        {PROCESS, "\"capabilities\":[\"CAP_KILL\"]", "process.capabilities: must be an object, got an array"},
        {PROCESS, "\"scheduler\":{}", "process.scheduler.policy: is required"},
        {PROCESS, "\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"nice\":20}",
         "process.scheduler.nice: must be an integer from -20 to 19, got 20"},
        {PROCESS, "\"scheduler\":{\"policy\":\"SCHED_FIFO\"}",
         "process.scheduler.priority: must be from 1 to 99 for SCHED_FIFO"},
        {PROCESS, "\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":99}", NULL},
        {PROCESS, "\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"priority\":5}",
         "process.scheduler.priority: is for SCHED_FIFO and SCHED_RR only, not for SCHED_BATCH"},
        {PROCESS, "\"scheduler\":{\"policy\":\"SCHED_IDLE\",\"runtime\":5}",
         "process.scheduler: runtime, deadline and period are for SCHED_DEADLINE only, not for SCHED_IDLE"},
        {PROCESS, "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":5000,\"deadline\":4000}",
         "process.scheduler: SCHED_DEADLINE needs 1024 <= runtime <= deadline <= period (ns)"},
        {PROCESS, "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}",
         "process.ioPriority.priority: must be an integer from 0 to 7, got 8"},
        {PROCESS, "\"ioPriority\":{\"class\":\"best\",\"priority\":1}",
         "process.ioPriority.class: must be one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE; got "
         "\"best\""},
        {PROCESS, "\"execCPUAffinity\":{\"initial\":\"3-1\"}",
         "process.execCPUAffinity.initial: must be a list of CPUs like \"0-3,7\", got \"3-1\""},
        {PROCESS, "\"execCPUAffinity\":{\"final\":\"1,\"}",
         "process.execCPUAffinity.final: must be a list of CPUs like \"0-3,7\", got \"1,\""},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

Test(spec_complaints, namespaces_and_maps)
{
    static const struct sample samples[] = {
        {LINUX, NS(NS_OF("pid") "," NS_OF("pid")),
         "linux.namespaces[1]: is a second \"pid\" namespace; each type may be listed once"},
        {LINUX, NS(NS_OF("net")),
         "linux.namespaces[0].type: must be one of user, cgroup, ipc, uts, network, pid, time, mount; got "
         "\"net\""},
        {LINUX, NS("{\"type\":\"pid\",\"path\":\"x\"}"),
         "linux.namespaces[0].path: must be an absolute path, got \"x\""},
        {LINUX, NS(NS_OF("user")),
         "2 problems:\n  linux.uidMappings: is required with a new user namespace\n"
         "  linux.gidMappings: is required with a new user namespace"},
        {LINUX, NS("{\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}"), NULL},
        {LINUX, "\"uidMappings\":" MAP1,
         "linux.uidMappings: User namespace mappings specified, but USER namespace isn't enabled in the "
         "config "
         "(linux.namespaces has no \"user\")"},
        {LINUX,
         NS(NS_OF("user")) "," MAPS(
             "[{\"containerID\":0,\"hostID\":0,\"size\":1},{\"containerID\":5,\"hostID\":5,\"size\":0}]",
             MAP1),
         "linux.uidMappings[1].size: must be at least 1"},
        {LINUX, NS(NS_OF("user")) "," MAPS(MAP1, "[{\"containerID\":0,\"hostID\":4294967295,\"size\":1}]"),
         "linux.gidMappings[0].size: 1 ids from 4294967295 go beyond 4294967294"},
        {LINUX,
         NS(NS_OF("user")) "," MAPS(
             "[{\"containerID\":0,\"hostID\":10,\"size\":5},{\"containerID\":4,\"hostID\":50,\"size\":5}]",
             MAP1),
         "linux.uidMappings[1].containerID: the range overlaps that of linux.uidMappings[0]"},
        {LINUX,
         NS(NS_OF("user")) "," MAPS(
             "[{\"containerID\":0,\"hostID\":10,\"size\":5},{\"containerID\":5,\"hostID\":14,\"size\":5}]",
             MAP1),
         "linux.uidMappings[1].hostID: the range overlaps that of linux.uidMappings[0]"},
        {LINUX, NS(NS_OF("user")) "," MAPS("[{\"containerID\":0,\"hostID\":0}]", MAP1),
         "linux.uidMappings[0].size: is required"},
        {TOP,
         "\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":1}},\"linux\":{" NS(
             NS_OF("user")) "," MAPS(MAP1, MAP1) "}",
         "process.user.uid: 1 is not mapped by linux.uidMappings"},
        {LINUX, "\"timeOffsets\":{\"monotonic\":{\"secs\":1}}",
         "linux.timeOffsets: time namespace offsets specified, but time namespace isn't enabled in the "
         "config "
         "(linux.namespaces has no \"time\")"},
        {LINUX, NS("{\"type\":\"time\",\"path\":\"/x\"}") ",\"timeOffsets\":{\"boottime\":{\"secs\":1}}",
         "linux.timeOffsets: can be set in a new time namespace only, and linux.namespaces joins one by "
         "path"},
        {LINUX, NS(NS_OF("time")) ",\"timeOffsets\":{\"realtime\":{}}",
         "linux.timeOffsets[\"realtime\"]: is not known here"},
        {TOP, "\"hostname\":\"h\"",
         "hostname: unable to set hostname without a private UTS namespace (linux.namespaces has no "
         "\"uts\")"},
        {TOP, "\"domainname\":\"h\"",
         "domainname: unable to set domainname without a private UTS namespace (linux.namespaces has no "
         "\"uts\")"},
        {TOP, "\"hostname\":\"h\",\"linux\":{\"namespaces\":7}", "linux.namespaces: must be an array, got 7"},
        {LINUX, "\"maskedPaths\":[\"/proc/x\"]",
         "linux.maskedPaths: unable to restrict sys entries without a private MNT namespace "
         "(linux.namespaces has no \"mount\")"},
        {LINUX, NS(NS_OF("mount")) ",\"readonlyPaths\":[\"/a\",\"proc/x\"]",
         "linux.readonlyPaths[1]: must be an absolute path, got \"proc/x\""},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

#define SYSCTL(key)      "\"sysctl\":{\"" key "\":\"1\"}"
#define SYSCTL_NOT(key)  "linux.sysctl: sysctl \"" key "\" is not in a separate kernel namespace"
#define SYSCTL_NAME(key) "linux.sysctl: sysctl \"" key "\" is not a name of a kernel parameter"

Test(spec_complaints, sysctl)
{
    static const struct sample samples[] = {
        {LINUX, NS(NS_OF("ipc")) "," SYSCTL("kernel.shm_rmid_forced"), NULL},
        {LINUX, NS(NS_OF("ipc")) "," SYSCTL("fs/mqueue/msg_max"), NULL},
        {LINUX, NS(NS_OF("network")) "," SYSCTL("net.ipv4.ip_forward"), NULL},
        {LINUX,
         NS("{\"type\":\"network\",\"path\":\"/run/n\"}") "," SYSCTL("net/ipv4/conf/eno2.100/rp_filter"),
         NULL},
        {LINUX, NS(NS_OF("uts")) "," SYSCTL("kernel.domainname"), NULL},
        {LINUX, NS(NS_OF("uts")) "," SYSCTL("kernel.hostname"),
         "linux.sysctl: sysctl \"kernel.hostname\" is not allowed as it conflicts with the OCI \"hostname\" "
         "field"},
        {LINUX, SYSCTL("kernel.hostname"), SYSCTL_NOT("kernel.hostname")},
        {LINUX, SYSCTL("kernel.domainname"), SYSCTL_NOT("kernel.domainname")},
        {LINUX, SYSCTL("kernel.core_pattern"), SYSCTL_NOT("kernel.core_pattern")},
        {LINUX, SYSCTL("kernel/core_pattern"), SYSCTL_NOT("kernel.core_pattern")},
        {LINUX, SYSCTL("net.ipv4.ip_forward"),
         "linux.sysctl: sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace"},
        {LINUX, SYSCTL("kernel.sem"),
         "linux.sysctl: sysctl \"kernel.sem\" is not allowed in the hosts ipc namespace"},
        {LINUX, NS(NS_OF("network")) "," SYSCTL("net/../kernel/core_pattern"),
         SYSCTL_NAME("net.//.kernel.core_pattern")},
        {LINUX, NS(NS_OF("network")) "," SYSCTL("net.//.kernel"), SYSCTL_NAME("net.//.kernel")},
        {LINUX, NS(NS_OF("network")) "," SYSCTL("net..x"), SYSCTL_NAME("net..x")},
        {LINUX, NS(NS_OF("network")) "," SYSCTL("net."), SYSCTL_NAME("net.")},
        {LINUX, NS(NS_OF("network")) "," SYSCTL("/net/x"), SYSCTL_NAME(".net.x")},
        {LINUX, "\"sysctl\":{\"kernel.sem\":1}",
         "2 problems:\n  linux.sysctl[\"kernel.sem\"]: must be a string, got 1\n"
         "  linux.sysctl: sysctl \"kernel.sem\" is not allowed in the hosts ipc namespace"},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

#define BAD_DEVICE(n, more)                                                                                  \
    "linux.netDevices[\"" n "\"]" more                                                                       \
    ": not a device name (1 to 15 bytes; no \"/\", \":\", \"%\" or white space)"

Test(spec_complaints, devices)
{
    static const struct sample samples[] = {
        {LINUX, "\"devices\":[{\"path\":\"dev/x\",\"type\":\"p\"}]",
         "linux.devices[0].path: must be an absolute path, got \"dev/x\""},
        {LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"a\"}]",
         "linux.devices[0].type: must be one of c, u, b, p; got \"a\""},
        {LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"b\",\"major\":1}]",
         "linux.devices[0].minor: is required for a device of type \"b\""},
        {LINUX, "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":4097,\"minor\":-1}]",
         "2 problems:\n  linux.devices[0].major: must be an integer from 0 to 4095, got 4097\n"
         "  linux.devices[0].minor: must be an integer from 0 to 1048575, got -1"},
        {LINUX, "\"netDevices\":{\"eth0\":{}}",
         "linux.netDevices: unable to move network devices without a NET namespace "
         "(linux.namespaces has no \"network\")"},
        {LINUX, NS(NS_OF("network")) ",\"netDevices\":{\"a/b\":{}}", BAD_DEVICE("a/b", "")},
        {LINUX, NS(NS_OF("network")) ",\"netDevices\":{\"0123456789abcdef\":{}}",
         BAD_DEVICE("0123456789abcdef", "")},
        {LINUX, NS(NS_OF("network")) ",\"netDevices\":{\"a\":{\"name\":\"b%dc\"}}",
         "linux.netDevices[\"a\"].name: not a device name (1 to 15 bytes; no \"/\", \":\", \"%\" or white "
         "space; "
         "\"%d\" may end it): \"b%dc\""},
        {LINUX, NS(NS_OF("network")) ",\"netDevices\":{\"..\":{}}", BAD_DEVICE("..", "")},
        {LINUX, NS(NS_OF("network")) ",\"netDevices\":{\"\":{}}",
         "linux.netDevices: must not have an empty key"},
        {LINUX, NS(NS_OF("network")) ",\"netDevices\":{\"a\":{},\"b\":{\"name\":\"a\"}}",
         "linux.netDevices[\"b\"].name: \"a\" is the name of a second device too"},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

#define ACTIONS                                                                                              \
    "must be one of SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, "             \
    "SCMP_ACT_ERRNO, "                                                                                       \
    "SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG, SCMP_ACT_NOTIFY; got "
#define RULE(rest)   "\"syscalls\":[{\"names\":[\"x\"],\"action\":\"SCMP_ACT_ERRNO\"," rest "}]"
#define NOTIFY(name) "\"syscalls\":[{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_NOTIFY\"}]"

Test(spec_complaints, seccomp)
{
    static const struct sample samples[] = {
        {LINUX, "\"seccomp\":{}", "linux.seccomp.defaultAction: is required"},
        {LINUX, "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_NO\"}",
         "linux.seccomp.defaultAction: " ACTIONS "\"SCMP_ACT_NO\""},
        {LINUX, "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/x\"}",
         "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action"},
        {SECCOMP, "\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_LOG\"}]",
         "linux.seccomp.syscalls[0].names: must not be empty"},
        {SECCOMP, "\"syscalls\":[{\"names\":[\"x\"],\"action\":\"y\"}]",
         "linux.seccomp.syscalls[0].action: " ACTIONS "\"y\""},
        {SECCOMP, RULE("\"args\":[{\"index\":6,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]"),
         "linux.seccomp.syscalls[0].args[0].index: must be an integer from 0 to 5, got 6"},
        {SECCOMP, RULE("\"args\":[{\"index\":0,\"value\":1,\"op\":\"EQ\"}]"),
         "linux.seccomp.syscalls[0].args[0].op: must be one of SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE, "
         "SCMP_CMP_EQ, SCMP_CMP_GE, "
         "SCMP_CMP_GT, SCMP_CMP_MASKED_EQ; got \"EQ\""},
        {SECCOMP, RULE("\"errnoRet\":65536"),
         "linux.seccomp.syscalls[0].errnoRet: must be an integer from 0 to 65535, got 65536"},
        {SECCOMP, "\"defaultErrnoRet\":1",
         "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno, only SCMP_ACT_ERRNO and "
         "SCMP_ACT_TRACE do"},
        {SECCOMP, "\"syscalls\":[{\"names\":[\"x\"],\"action\":\"SCMP_ACT_LOG\",\"errnoRet\":1}]",
         "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_LOG takes no errno, only SCMP_ACT_ERRNO and "
         "SCMP_ACT_TRACE do"},
        {SECCOMP, "\"flags\":[\"SECCOMP_FILTER_FLAG_X\"]",
         "linux.seccomp.flags[0]: must be one of SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_LOG, "
         "SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV; got "
         "\"SECCOMP_FILTER_FLAG_X\""},
        {SECCOMP, NOTIFY("x"), "linux.seccomp.listenerPath: is required when SCMP_ACT_NOTIFY is used"},
        {SECCOMP, "\"listenerPath\":\"/x\"," NOTIFY("write"),
         "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY cannot be used for the write syscall"},
        {SECCOMP, "\"listenerMetadata\":\"m\"",
         "linux.seccomp.listenerMetadata: must not be there without listenerPath"},
    };
    check_all(samples, ARRAY_SIZE(samples));
    check(&(struct sample){SECCOMP, "\"architectures\":[\"SCMP_ARCH_LOONGARCH64\"]", NULL});
}

Test(spec_complaints, the_rest)
{
    static const struct sample samples[] = {
        {TOP, "\"hooks\":{\"poststop\":[{\"path\":\"x\",\"timeout\":0}]}",
         "2 problems:\n  hooks.poststop[0].path: must be an absolute path, got \"x\"\n"
         "  hooks.poststop[0].timeout: must be an integer from 1 to 2147483647, got 0"},
        {MOUNT, "\"destination\":\"/a\",\"type\":\"tmpfs\",\"uidMappings\":" MAP1,
         "2 problems:\n  mounts[1].gidMappings: is required when uidMappings is there\n"
         "  mounts[1].uidMappings: is for bind mounts only (type \"bind\", or option bind or rbind)"},
        {MOUNT, "\"destination\":\"/a\",\"options\":[\"bind\"]," MAPS(MAP1, MAP1), NULL},
        {LINUX, "\"rootfsPropagation\":\"rhared\"",
         "linux.rootfsPropagation: must be one of shared, slave, private, unbindable, rshared, rslave, "
         "rprivate, runbindable; "
         "got \"rhared\""},
        {LINUX, "\"intelRdt\":{\"closID\":\"../x\"}",
         "linux.intelRdt.closID: must be a plain directory name, or \"/\" for the root group, got \"../x\""},
        {LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\"}",
         "linux.memoryPolicy.nodes: is required with MPOL_BIND"},
        {LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_LOCAL\",\"nodes\":\"0\"}",
         "linux.memoryPolicy.nodes: must not be there with MPOL_LOCAL"},
        {LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0 1\"}",
         "linux.memoryPolicy.nodes: must be a list of nodes like \"0-3,7\", got \"0 1\""},
        {LINUX, "\"memoryPolicy\":{\"mode\":\"MPOL_PREFERRED\"}", NULL},
        {LINUX, "\"personality\":{\"domain\":\"BSD\"}",
         "linux.personality.domain: must be one of LINUX, LINUX32; got \"BSD\""},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

/* The user's bytes come back short and harmless. */
Test(spec_complaints, hostile_strings)
{
    struct buffer b = {.arena = &arena};
    check(&(struct sample){TOP, "\"process\":{\"args\":[\"a\"],\"cwd\":\"\\u001b[31m\\n\\\"\"}",
                           "process.cwd: must be an absolute path, got \"\\u001b[31m\\u000a\\\"\""});
    buffer_puts(&b, "\"process\":{\"args\":[\"a\"],\"cwd\":\"");
    for (int i = 0; i < 100000; i++)
        buffer_puts(&b, "\xc3\xa9");
    buffer_puts(&b, "\"}");
    const struct frame *f = &frames[TOP];
    cr_assert_eq(parse(arena_printf(&arena, "%s%s%s", f->before, b.data, f->after)), -1);
    cr_assert_lt(strlen(err.message), 200);
    cr_assert(strstr(err.message, "\xc3\xa9...\""), "%s", err.message);
}

Test(spec_complaints, very_many)
{
    struct buffer b = {.arena = &arena};
    buffer_puts(&b, "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"mounts\":[");
    for (int i = 0; i < 5000; i++)
        buffer_puts(&b, "{},");
    buffer_puts(&b, "{}]}");
    cr_assert_eq(parse(b.data), -1);
    cr_assert(strstr(err.message, "c: 5001 problems:\n  mounts[0].destination: is required\n  mounts[1]"),
              "%s", err.message);
    cr_assert(strstr(err.message, "\n  and 4937 more"), "%s", err.message);

    b = (struct buffer){.arena = &arena};
    buffer_puts(&b, "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"mounts\":[");
    for (int i = 0; i < 65536; i++)
        buffer_puts(&b, "{},");
    buffer_puts(&b, "{}]}");
    cr_assert_eq(parse(b.data), -1);
    cr_assert_str_eq(err.message, "c: mounts: must have at most 65536 entries, got 65537");
}
