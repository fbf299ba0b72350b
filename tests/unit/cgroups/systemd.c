/* The systemd manager without a systemd: names, values of annotations, limits as properties. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/json.h"
#include "cgroups/cgroup.h"
#include "cgroups/systemd_private.h"

static struct arena arena;
static struct error err;

/* --- slice:prefix:name --- */

static struct cgroup *planned(const char *path, bool rootless, const char *id)
{
    static struct cgroup_dir dir;
    static struct cgroup c;
    struct cgroup_request q = {.manager = CGROUP_SYSTEMD, .id = id, .path = path, .rootless = rootless};

    dir =
        (struct cgroup_dir){.v2 = true, .controllers = ~0U, .mount = "/sys/fs/cgroup", .path = "/", .fd = -1};
    c = (struct cgroup){.arena = &arena, .manager = CGROUP_SYSTEMD, .dirs = &dir, .n_dirs = 1, .helper = -1};
    err = (struct error){0};
    return systemd_plan(&c, &q, &err) < 0 ? NULL : &c;
}

Test(systemd, paths)
{
    static const struct {
        const char *path;
        bool rootless;
        const char *id, *slice, *unit, *directory;
    } cases[] = {
        {NULL, false, "web", "system.slice", "hull-web.scope", "/system.slice/hull-web.scope"},
        {"", true, "web", "user.slice", "hull-web.scope", "/user.slice/hull-web.scope"},
        {"machine.slice:libpod:0f", false, "x", "machine.slice", "libpod-0f.scope",
         "/machine.slice/libpod-0f.scope"},
        {":docker:0f", false, "x", "system.slice", "docker-0f.scope", "/system.slice/docker-0f.scope"},
        {"a.slice::plain", false, "x", "a.slice", "plain.scope", "/a.slice/plain.scope"},
        {"kube-pods-p1.slice:cri:0f", false, "x", "kube-pods-p1.slice", "cri-0f.scope",
         "/kube.slice/kube-pods.slice/kube-pods-p1.slice/cri-0f.scope"},
        {"-:p:n", false, "x", "-.slice", "p-n.scope", "/p-n.scope"},
        {"-.slice:p:n", false, "x", "-.slice", "p-n.scope", "/p-n.scope"},
        {NULL, false, "a+b", "system.slice", "hull-a\\x2bb.scope", "/system.slice/hull-a\\x2bb.scope"},
        {":../..:n", false, "x", "system.slice", "..\\x2f..-n.scope", "/system.slice/..\\x2f..-n.scope"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cgroup *c = planned(cases[i].path, cases[i].rootless, cases[i].id);

        cr_assert(c, "%s: %s", cases[i].path, err.message);
        cr_expect_str_eq(c->slice, cases[i].slice);
        cr_expect_str_eq(c->unit, cases[i].unit);
        cr_expect_str_eq(c->dirs[0].path, cases[i].directory);
        cr_expect_eq(c->user_manager, cases[i].rootless);
    }
}

Test(systemd, wrong_paths)
{
    static const char *const paths[] = {
        "/a/b",           "a:b",           "a.slice:b:c:d",     "a.slice:b:",
        "system:b:c",     "a/b.slice:b:c", "-a.slice:b:c",      "a-.slice:b:c",
        "a--b.slice:b:c", ".slice:b:c",    "a.slice:b:c.slice", "../x.slice:b:c"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        cr_expect_null(planned(paths[i], false, "x"), "%s", paths[i]);
        cr_expect(strstr(err.message, "cgroupsPath"), "%s: %s", paths[i], err.message);
    }
    planned("/a/b", false, "x");
    cr_expect_str_eq(err.message,
                     "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got "
                     "\"/a/b\" instead");
}

/* --- annotations --- */

static const char *property(const char *key, const char *value)
{
    struct spec_annotation v = {.key = (char *)key, .value = (char *)value};
    struct json_writer w = json_writer_begin(&arena, false);
    const char *text;
    int r;

    err = (struct error){0};
    json_array(&w);
    r = systemd_annotation_properties(&arena, &v, 1, &w, &err);
    if (r == 0)
        json_array_end(&w);
    text = json_writer_end(&w, NULL);
    return r < 0 ? NULL : text;
}

Test(systemd, annotations)
{
    static const struct {
        const char *name, *value, *json;
    } cases[] = {
        {"CollectMode", "'inactive-or-failed'", "[[\"CollectMode\",\"s\",\"inactive-or-failed\"]]"},
        {"CollectMode", " \"it's \\\"\" ", "[[\"CollectMode\",\"s\",\"it's \\\"\"]]"},
        {"TimeoutStopUSec", "uint64 123456789", "[[\"TimeoutStopUSec\",\"t\",123456789]]"},
        {"TimeoutStopSec", "2", "[[\"TimeoutStopUSec\",\"t\",2000000]]"},
        {"TimeoutStopSec", "1.5", "[[\"TimeoutStopUSec\",\"t\",1500000]]"},
        {"CPUWeight", "uint64 18446744073709551615", "[[\"CPUWeight\",\"t\",18446744073709551615]]"},
        {"Number", "-2147483648", "[[\"Number\",\"i\",-2147483648]]"},
        {"Number", "byte 0xff", "[[\"Number\",\"y\",255]]"},
        {"Flag", "true", "[[\"Flag\",\"b\",true]]"},
        {"After", "['a.service', \"b.service\"]", "[[\"After\",\"as\",[\"a.service\",\"b.service\"]]]"},
        {"After", "@as []", "[[\"After\",\"as\",[]]]"},
        {"DeviceAllow", "@a(ss) [('/dev/kvm', 'rw'), ('char-pts', 'rwm')]",
         "[[\"DeviceAllow\",\"a(ss)\",[[\"/dev/kvm\",\"rw\"],[\"char-pts\",\"rwm\"]]]]"},
        {"IOReadBandwidthMax", "[('/dev/sda', uint64 5)]",
         "[[\"IOReadBandwidthMax\",\"a(st)\",[[\"/dev/sda\",5]]]]"},
        {"AllowedCPUs", "[byte 3, 0]", "[[\"AllowedCPUs\",\"ay\",[3,0]]]"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *json =
            property(arena_printf(&arena, "org.systemd.property.%s", cases[i].name), cases[i].value);

        cr_assert(json, "%s: %s", cases[i].value, err.message);
        cr_expect_str_eq(json, cases[i].json);
    }
    cr_expect_str_eq(property("org.hull.other", "what it is"), "[]");
}

Test(systemd, wrong_annotations)
{
    static const struct {
        const char *name, *value, *complaint;
    } cases[] = {
        {"CollectMode", "inactive", "at byte 0"},
        {"CollectMode", "'x", "no end"},
        {"CollectMode", "'x' 'y'", "more text"},
        {"Ab", "true", "three or more letters"},
        {"A.b", "true", "letters"},
        {"", "true", "letters"},
        {"PIDs", "[uint32 1]", "set by hull"},
        {"Slice", "'x.slice'", "linux.cgroupsPath"},
        {"Delegate", "false", "set by hull"},
        {"Number", "3000000000", "uint64"},
        {"Number", "byte 256", "range"},
        {"Number", "uint32 -1", "range"},
        {"Number", "1x", "not a whole number"},
        {"Number", "", "expected a string"},
        {"List", "[]", "@as []"},
        {"List", "['a' 'b']", "\",\""},
        {"List", "['a',", "expected a string"},
        {"List", "['a', 1]", "another type"},
        {"List", "@as ['a', true]", "another type"},
        {"Pair", "@(ss) ('a')", "fewer"},
        {"Pair", "@(s) ('a', 'b')", "more values"},
        {"Deep", "[[[[[[[[[[1]]]]]]]]]]", "too deep"},
        {"Type", "@v <1>", "not a type"},
        {"TimeoutStopSec", "'5'", "number of seconds"},
        {"TimeoutStopSec", "-5", "from 0"},
        {"Number", "int64 9223372036854775808", "range"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_null(
            property(arena_printf(&arena, "org.systemd.property.%s", cases[i].name), cases[i].value), "%s",
            cases[i].value);
        cr_expect(strstr(err.message, cases[i].complaint), "%s: %s", cases[i].value, err.message);
        cr_expect(strncmp(err.message, "annotations.org.systemd.property.", 33) == 0);
    }
}

/* --- limits --- */

static const char *limits(bool v2, const struct spec_resources *r)
{
    struct cgroup_dir dir = {.v2 = v2, .controllers = ~0U, .mount = "/m", .path = "/", .fd = -1};
    struct cgroup c = {.arena = &arena, .manager = CGROUP_SYSTEMD, .dirs = &dir, .n_dirs = 1, .helper = -1};
    struct json_writer w = json_writer_begin(&arena, false);

    json_array(&w);
    cr_assert(systemd_limit_properties(&c, r, &w, &err) == 0, "%s", err.message);
    json_array_end(&w);
    return json_writer_end(&w, NULL);
}

#define SET(v)                                                                                               \
    {                                                                                                        \
        true, v                                                                                              \
    }

Test(systemd, cpu)
{
    cr_expect_str_eq(limits(true, &(struct spec_resources){.cpu = {.shares = SET(1024)}}),
                     "[[\"CPUWeight\",\"t\",100]]");
    cr_expect_str_eq(limits(false, &(struct spec_resources){.cpu = {.shares = SET(1024)}}),
                     "[[\"CPUShares\",\"t\",1024]]");
    cr_expect_str_eq(limits(true, &(struct spec_resources){.cpu = {.shares = SET(9), .idle = SET(1)}}),
                     "[[\"CPUWeight\",\"t\",0,252]]");
    /* 1.5 CPUs */
    cr_expect_str_eq(
        limits(true, &(struct spec_resources){.cpu = {.quota = SET(75000), .period = SET(50000)}}),
        "[[\"CPUQuotaPeriodUSec\",\"t\",50000,242],[\"CPUQuotaPerSecUSec\",\"t\",1500000]]");
    /* one third: a percent more, not less */
    cr_expect_str_eq(limits(true, &(struct spec_resources){.cpu = {.quota = SET(33333)}}),
                     "[[\"CPUQuotaPeriodUSec\",\"t\",100000,242],[\"CPUQuotaPerSecUSec\",\"t\",340000]]");
    cr_expect_str_eq(
        limits(true, &(struct spec_resources){.cpu = {.quota = SET(-1)}}),
        "[[\"CPUQuotaPeriodUSec\",\"t\",100000,242],[\"CPUQuotaPerSecUSec\",\"t\",18446744073709551615]]");
    cr_expect_str_eq(
        limits(true, &(struct spec_resources){.cpu = {.cpus = (char *)"0-1,9", .mems = (char *)"0"}}),
        "[[\"AllowedCPUs\",\"ay\",[3,2],244],[\"AllowedMemoryNodes\",\"ay\",[1],244]]");
}

Test(systemd, memory_and_pids)
{
    cr_expect_str_eq(limits(true,
                            &(struct spec_resources){
                                .memory = {.limit = SET(4096), .swap = SET(8192), .reservation = SET(1024)},
                                .pids = SET(5)}),
                     "[[\"MemoryMax\",\"t\",4096],[\"MemoryLow\",\"t\",1024],[\"MemorySwapMax\",\"t\",4096],"
                     "[\"TasksMax\",\"t\",5]]");
    cr_expect_str_eq(limits(false, &(struct spec_resources){.memory = {.limit = SET(4096), .swap = SET(8192)},
                                                            .pids = SET(-1)}),
                     "[[\"MemoryLimit\",\"t\",4096],[\"TasksMax\",\"t\",18446744073709551615]]");
    cr_expect_str_eq(
        limits(true, &(struct spec_resources){.memory = {.limit = SET(-1), .swap = SET(-1)}}),
        "[[\"MemoryMax\",\"t\",18446744073709551615],[\"MemorySwapMax\",\"t\",18446744073709551615]]");
}

Test(systemd, io_and_unified)
{
    struct spec_throttle_device device = {8, 0, 1000};
    struct spec_unified unified[] = {{(char *)"memory.high", (char *)"max"},
                                     {(char *)"cpu.max", (char *)"50000 100000"},
                                     {(char *)"cpuset.cpus", (char *)"1"},
                                     {(char *)"memory.oom.group", (char *)"1"}};

    cr_expect_str_eq(
        limits(true, &(struct spec_resources){.block_io = {.weight = SET(1000),
                                                           .throttle[THROTTLE_WRITE_IOPS] = {&device, 1}}}),
        "[[\"IOWeight\",\"t\",10000],[\"IOWriteIOPSMax\",\"a(st)\",[[\"/dev/block/8:0\",1000]]]]");
    cr_expect_str_eq(limits(true, &(struct spec_resources){.unified = unified, .n_unified = 4}),
                     "[[\"MemoryHigh\",\"t\",18446744073709551615],[\"CPUQuotaPeriodUSec\",\"t\",100000,242],"
                     "[\"CPUQuotaPerSecUSec\",\"t\",500000],[\"AllowedCPUs\",\"ay\",[2],244]]");
}

Test(systemd, devices)
{
    struct spec_device_rule deny_all = {.type = 'a', .major = -1, .minor = -1, .access = 7},
                            allow_all = {.allow = true, .type = 'a', .major = -1, .minor = -1, .access = 7},
                            rules[] = {deny_all, {true, 'c', 10, 229, 3}, {true, 'b', 8, -1, 1}};
    const char *text =
        limits(true, &(struct spec_resources){.has_devices = true, .devices = rules, .n_devices = 3});

    cr_expect(strstr(text, "[\"DevicePolicy\",\"s\",\"strict\"],[\"DeviceAllow\",\"a(ss)\",[]]"), "%s", text);
    cr_expect(strstr(text, "[\"/dev/char/10:229\",\"rwm\"]"), "%s", text); /* mknod is for all */
    cr_expect(strstr(text, "[\"block-8\",\"rm\"]"), "%s", text);
    cr_expect(strstr(text, "[\"/dev/char/1:3\",\"rwm\"]"), "%s", text);
    cr_expect(strstr(text, "[\"char-*\",\"m\"]"), "%s", text);
    text = limits(true, &(struct spec_resources){.has_devices = true, .devices = &allow_all, .n_devices = 1});
    cr_expect_str_eq(text, "[[\"DevicePolicy\",\"s\",\"auto\"],[\"DeviceAllow\",\"a(ss)\",[]]]");
}

Test(systemd, cpu_lists)
{
    uint8_t mask[4];
    size_t used;

    cr_expect(systemd_cpu_list("0,2-3,31", mask, sizeof(mask), &used));
    cr_expect(used == 4 && mask[0] == 0x0d && mask[3] == 0x80);
    cr_expect(systemd_cpu_list("", mask, sizeof(mask), &used) && used == 0);
    cr_expect(systemd_cpu_list("1\n", mask, sizeof(mask), &used) && used == 1);
    cr_expect_not(systemd_cpu_list("32", mask, sizeof(mask), &used));
    cr_expect_not(systemd_cpu_list("3-1", mask, sizeof(mask), &used));
    cr_expect_not(systemd_cpu_list("0-3:1/2", mask, sizeof(mask), &used));
    cr_expect_not(systemd_cpu_list("1,", mask, sizeof(mask), &used));
    cr_expect_not(systemd_cpu_list("-1", mask, sizeof(mask), &used));
    cr_expect_not(systemd_cpu_list("x", mask, sizeof(mask), &used));
}

Test(systemd, signatures)
{
    cr_expect_eq(signature_first("a(ss)u"), 5);
    cr_expect_eq(signature_first("as"), 2);
    cr_expect_eq(signature_first("t"), 1);
    cr_expect_eq(signature_first("a"), 0);
    cr_expect_eq(signature_first("()"), 0);
    cr_expect_eq(signature_first("(s"), 0);
    cr_expect_eq(signature_first("a{sv}"), 0);
    cr_expect_eq(signature_first("v"), 0);
    cr_expect_eq(signature_first("aaaaaaaaaaaaaaas"), 0);
}
