/*
 * linux.resources -> cgroup files, over a fake hierarchy: directories whose files are FIFOs, so that every write is
 * seen, in order. A table says for each setting what is written on v1, v2 and hybrid hosts, or why it is refused.
 * What only a kernel can tell (values that bound each other) is tried in a real v1 hierarchy where there is one.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/log.h"
#include "cgroups/cgroup_private.h"
#include "cgroups/convert.h"
#include "runtime/spec/spec.h"

static struct arena arena;
static struct error err;

/* --- conversions -------------------------------------------------------------------------------------------------- */

Test(convert, shares)
{
    static const struct {
        uint64_t shares, weight;
    } samples[] = {{0, 1},          {1, 1},          {2, 1},         {3, 2},      {10, 4},
                   {100, 17},       {102, 17},       {256, 35},      {512, 59},   {1024, 100},
                   {1025, 101},     {2048, 174},     {4096, 303},    {8192, 532}, {204800, 8064},
                   {262143, 10000}, {262144, 10000}, {500000, 10000}};
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        cr_expect_eq(convert_shares(samples[i].shares), samples[i].weight, "%lu -> %lu", samples[i].shares,
                     convert_shares(samples[i].shares));
    for (uint64_t s = 2; s < 262144; s++)
        cr_assert(convert_shares(s) <= convert_shares(s + 1), "%lu", s);
}

Test(convert, io_weight)
{
    static const uint64_t samples[][2] = {{0, 1},      {10, 1},       {11, 11},     {100, 910},
                                          {500, 4950}, {1000, 10000}, {5000, 10000}};
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        cr_expect_eq(convert_io_weight(samples[i][0]), samples[i][1], "%lu", samples[i][0]);
}

Test(convert, swap)
{
    int64_t out = 7;
    cr_assert(convert_swap(-1, 5, &out, &err) == 0 && out == -1);
    cr_assert(convert_swap(-1, -1, &out, &err) == 0 && out == -1);
    cr_assert(convert_swap(8, 5, &out, &err) == 0 && out == 3);
    cr_assert(convert_swap(5, 5, &out, &err) == 0 && out == 0);
    cr_assert_eq(convert_swap(4, 5, &out, &err), -1);
    cr_expect_str_eq(err.message,
                     "linux.resources.memory.swap: memory+swap limit should be >= memory limit (4 < 5)");
    cr_assert_eq(convert_swap(4, -1, &out, &err), -1);
    cr_expect(strstr(err.message, "unable to set swap limit without memory limit"));
}

Test(convert, texts)
{
    cr_expect_str_eq(text_or_max(&arena, -1), "max");
    cr_expect_str_eq(text_or_max(&arena, 0), "0");
    cr_expect_str_eq(text_plain(&arena, -1), "-1");
    cr_expect_str_eq(text_of_pids(&arena, 0), "max");
    cr_expect_str_eq(text_of_pids(&arena, -1), "max");
    cr_expect_str_eq(text_of_pids(&arena, 4194304), "4194304");
    cr_expect_str_eq(text_of_pids(&arena, 4194305), "max");
    cr_expect_str_eq(text_inverted(&arena, 0), "1");
}

/* --- the fake hierarchy ------------------------------------------------------------------------------------------- */

enum host { V1, V2, HYBRID, V2_BARE /* no controllers */, NONE };

static const struct fake_dir {
    enum cgroup_controller controller;
    const char *files[20];
} v1_dirs[] = {
    {CG_MEMORY,
     {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes",
      "memory.kmem.tcp.limit_in_bytes", "memory.swappiness", "memory.oom_control", "memory.use_hierarchy"}},
    {CG_CPU,
     {"cpu.shares", "cpu.idle", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us",
      "cpu.rt_period_us", "cpu.rt_runtime_us"}},
    {CG_CPUSET, {"cpuset.cpus", "cpuset.mems"}},
    {CG_PIDS, {"pids.max"}},
    {CG_BLKIO,
     {"blkio.bfq.weight", "blkio.weight", "blkio.leaf_weight", "blkio.bfq.weight_device",
      "blkio.weight_device", "blkio.leaf_weight_device", "blkio.throttle.read_bps_device",
      "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device",
      "blkio.throttle.write_iops_device"}},
    {CG_HUGETLB,
     {"hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.rsvd.limit_in_bytes", "hugetlb.1GB.limit_in_bytes"}},
    {CG_NET_CLS, {"net_cls.classid"}},
    {CG_NET_PRIO, {"net_prio.ifpriomap"}},
    {CG_RDMA, {"rdma.max"}},
};

static const char *const v2_files[] = {
    "memory.swap.max", "memory.max",  "memory.low",      "memory.high",
    "cpu.weight",      "cpu.idle",    "cpu.max",         "cpu.max.burst",
    "cpuset.cpus",     "cpuset.mems", "pids.max",        "io.bfq.weight",
    "io.weight",       "io.max",      "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max",
    "hugetlb.1GB.max", "rdma.max",    "misc.max",        "cgroup.max.depth"};

#define V2_CONTROLLERS                                                                                       \
    (CG_BIT(CG_CPU) | CG_BIT(CG_CPUACCT) | CG_BIT(CG_CPUSET) | CG_BIT(CG_MEMORY) | CG_BIT(CG_BLKIO) |        \
     CG_BIT(CG_PIDS) | CG_BIT(CG_HUGETLB) | CG_BIT(CG_RDMA) | CG_BIT(CG_MISC))

struct tap { /* a file, and our end of it */
    const char *name;
    int fd;
};

static char root[] = "/tmp/hull-limits.XXXXXX";
static struct cgroup cgroup;
static struct tap taps[128];
static size_t n_taps;

static void tap(int dirfd, const char *name)
{
    cr_assert_eq(mkfifoat(dirfd, name, 0600), 0);
    int fd = openat(dirfd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    cr_assert(fd >= 0 && n_taps < ARRAY_SIZE(taps));
    taps[n_taps++] = (struct tap){name, fd};
}

static struct cgroup_dir *add_dir(bool v2, uint32_t controllers)
{
    struct cgroup_dir *d = &cgroup.dirs[cgroup.n_dirs];
    char *name = arena_printf(&arena, "h%zu", cgroup.n_dirs++);
    char *mount = arena_printf(&arena, "%s/%s", root, name), *path = arena_printf(&arena, "%s/box", mount);
    cr_assert(mkdir(mount, 0700) == 0 && mkdir(path, 0700) == 0);
    *d = (struct cgroup_dir){.v2 = v2,
                             .controllers = controllers,
                             .mount = mount,
                             .path = "/box",
                             .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    return d;
}

static void setup(enum host host)
{
    strcpy(root, "/tmp/hull-limits.XXXXXX");
    cr_assert(mkdtemp(root));
    cgroup = (struct cgroup){.arena = &arena,
                             .manager = CGROUP_CGROUPFS,
                             .helper = -1,
                             .dirs = arena_new_n(&arena, ARRAY_SIZE(v1_dirs) + 1, struct cgroup_dir)};
    n_taps = 0;
    for (size_t i = 0; (host == V1 || host == HYBRID) && i < ARRAY_SIZE(v1_dirs); i++) {
        if (host == HYBRID && v1_dirs[i].controller == CG_HUGETLB)
            continue; /* this one is v2's */
        struct cgroup_dir *d = add_dir(false, CG_BIT(v1_dirs[i].controller));
        for (size_t j = 0; v1_dirs[i].files[j]; j++)
            tap(d->fd, v1_dirs[i].files[j]);
    }
    if (host == V2 || host == HYBRID || host == V2_BARE) {
        uint32_t controllers = host == V2 ? V2_CONTROLLERS : host == HYBRID ? CG_BIT(CG_HUGETLB) : 0;
        struct cgroup_dir *d = add_dir(true, controllers | CGROUP_V2_CORE);
        for (size_t i = 0; i < ARRAY_SIZE(v2_files); i++)
            if (host == V2 || !strncmp(v2_files[i], "hugetlb", 7) || !strncmp(v2_files[i], "cgroup", 6))
                tap(d->fd, v2_files[i]);
    }
}

static void teardown(void)
{
    for (size_t i = 0; i < n_taps; i++)
        close(taps[i].fd);
    for (size_t i = 0; i < cgroup.n_dirs; i++)
        close(cgroup.dirs[i].fd);
    cr_assert_eq(file_remove_tree(AT_FDCWD, root, &err), 0, "%s", err.message);
}

static void remove_file(const char *name)
{
    for (size_t i = 0; i < cgroup.n_dirs; i++)
        unlinkat(cgroup.dirs[i].fd, name, 0);
}

/* "file=text; file=text"; the texts of one file one after the other. */
static char *written(void)
{
    struct buffer b = {.arena = &arena};
    buffer_puts(&b, "");
    for (size_t i = 0; i < n_taps; i++) {
        char text[4096];
        ssize_t n = read(taps[i].fd, text, sizeof(text));
        if (n > 0)
            buffer_printf(&b, "%s%s=%.*s", b.length ? "; " : "", taps[i].name, (int)n, text);
    }
    return b.data;
}

static struct spec_resources *resources(const char *json)
{
    struct spec *spec;
    char *text = arena_printf(
        &arena, "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"linux\":{\"resources\":{%s}}}", json);
    cr_assert_eq(spec_parse(&arena, text, strlen(text), "c", &spec, &err), 0, "%s\n%s", json, err.message);
    return &spec->linux_.resources;
}

/* --- what is written ---------------------------------------------------------------------------------------------- */

struct sample {
    enum host host;
    const char *json, *expected, *without; /* without: a file that the kernel has not */
};

static void check_writes(const struct sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        setup(samples[i].host);
        if (samples[i].without)
            remove_file(samples[i].without);
        error_clear(&err);
        int result = cgroup_write_limits(&cgroup, resources(samples[i].json), false, &err);
        char *got = written();
        cr_expect(result == 0 && !strcmp(got, samples[i].expected),
                  "host %d: %s\n  wanted: %s\n  got:    %s %s", samples[i].host, samples[i].json,
                  samples[i].expected, got, err.message);
        teardown();
    }
}

Test(limits, memory)
{
    static const struct sample samples[] = {
        {V1, "\"memory\":{\"limit\":1000}", "memory.limit_in_bytes=1000", NULL},
        {V2, "\"memory\":{\"limit\":1000}", "memory.max=1000", NULL},
        {HYBRID, "\"memory\":{\"limit\":1000}", "memory.limit_in_bytes=1000", NULL},
        {V1, "\"memory\":{\"limit\":-1}", "memory.limit_in_bytes=-1", NULL},
        {V2, "\"memory\":{\"limit\":-1}", "memory.max=max", NULL},
        {V1, "\"memory\":{\"reservation\":500}", "memory.soft_limit_in_bytes=500", NULL},
        {V2, "\"memory\":{\"reservation\":500}", "memory.low=500", NULL},
        {V2, "\"memory\":{\"reservation\":-1}", "memory.low=max", NULL},
        {V1, "\"memory\":{\"limit\":1000,\"swap\":3000}",
         "memory.limit_in_bytes=1000; memory.memsw.limit_in_bytes=3000", NULL},
        {V2, "\"memory\":{\"limit\":1000,\"swap\":3000}", "memory.swap.max=2000; memory.max=1000", NULL},
        {V2, "\"memory\":{\"limit\":1000,\"swap\":1000}", "memory.swap.max=0; memory.max=1000", NULL},
        {V1, "\"memory\":{\"limit\":1000,\"swap\":-1}",
         "memory.limit_in_bytes=1000; memory.memsw.limit_in_bytes=-1", NULL},
        {V2, "\"memory\":{\"limit\":1000,\"swap\":-1}", "memory.swap.max=max; memory.max=1000", NULL},
        {V2, "\"memory\":{\"limit\":1000,\"swap\":-1}", "memory.max=1000", "memory.swap.max"},
        {V1, "\"memory\":{\"kernelTCP\":4096}", "memory.kmem.tcp.limit_in_bytes=4096", NULL},
        {V2, "\"memory\":{\"kernel\":-1,\"kernelTCP\":-1}", "", NULL},
        {V1, "\"memory\":{\"kernel\":-1}", "", NULL}, /* no such file, and nothing to lift */
        {V1, "\"memory\":{\"swappiness\":0}", "memory.swappiness=0", NULL},
        {V1, "\"memory\":{\"swappiness\":60}", "memory.swappiness=60", NULL},
        {V1, "\"memory\":{\"disableOOMKiller\":true}", "memory.oom_control=1", NULL},
        {V1, "\"memory\":{\"disableOOMKiller\":false}", "memory.oom_control=0", NULL},
        {V2, "\"memory\":{\"disableOOMKiller\":false,\"useHierarchy\":true}", "", NULL},
        {V1, "\"memory\":{\"useHierarchy\":true}", "memory.use_hierarchy=1", NULL},
        {V1, "\"memory\":{\"useHierarchy\":false}", "memory.use_hierarchy=0", NULL},
        {V1, "\"memory\":{\"checkBeforeUpdate\":true,\"limit\":5}", "memory.limit_in_bytes=5", NULL},
    };
    check_writes(samples, ARRAY_SIZE(samples));
}

Test(limits, cpu)
{
    static const struct sample samples[] = {
        {V1, "\"cpu\":{\"shares\":512}", "cpu.shares=512", NULL},
        {V2, "\"cpu\":{\"shares\":512}", "cpu.weight=59", NULL},
        {V1, "\"cpu\":{\"quota\":50000,\"period\":100000}",
         "cpu.cfs_period_us=100000; cpu.cfs_quota_us=50000", NULL},
        {V2, "\"cpu\":{\"quota\":50000,\"period\":100000}", "cpu.max=50000 100000", NULL},
        {V2, "\"cpu\":{\"quota\":50000}", "cpu.max=50000", NULL},
        {V2, "\"cpu\":{\"period\":20000}", "cpu.max=max 20000", NULL},
        {V1, "\"cpu\":{\"quota\":-1}", "cpu.cfs_quota_us=-1", NULL},
        {V2, "\"cpu\":{\"quota\":-1,\"period\":50000}", "cpu.max=max 50000", NULL},
        {V1, "\"cpu\":{\"quota\":50000,\"burst\":20000}", "cpu.cfs_quota_us=50000; cpu.cfs_burst_us=20000",
         NULL},
        {V2, "\"cpu\":{\"burst\":20000}", "cpu.max.burst=20000", NULL},
        {V2, "\"cpu\":{\"burst\":0}", "", "cpu.max.burst"},
        {V1, "\"cpu\":{\"realtimePeriod\":1000000,\"realtimeRuntime\":950000}",
         "cpu.rt_period_us=1000000; cpu.rt_runtime_us=950000", NULL},
        {V1, "\"cpu\":{\"cpus\":\"0-1,3\",\"mems\":\"0\"}", "cpuset.cpus=0-1,3; cpuset.mems=0", NULL},
        {V2, "\"cpu\":{\"cpus\":\"0-1,3\",\"mems\":\"0\"}", "cpuset.cpus=0-1,3; cpuset.mems=0", NULL},
        {V1, "\"cpu\":{\"idle\":1}", "cpu.idle=1", NULL},
        {V2, "\"cpu\":{\"idle\":1}", "cpu.idle=1", NULL},
        {V2, "\"cpu\":{\"idle\":0}", "cpu.idle=0", NULL},
        {V1, "\"cpu\":{\"idle\":0}", "", "cpu.idle"},
        {HYBRID, "\"cpu\":{\"shares\":1024}", "cpu.shares=1024", NULL},
    };
    check_writes(samples, ARRAY_SIZE(samples));
}

Test(limits, pids_and_network)
{
    static const struct sample samples[] = {
        {V1, "\"pids\":{\"limit\":100}", "pids.max=100", NULL},
        {V2, "\"pids\":{\"limit\":100}", "pids.max=100", NULL},
        {V2, "\"pids\":{\"limit\":0}", "", NULL},
        {V1, "\"pids\":{\"limit\":-1}", "pids.max=max", NULL},
        {V2, "\"pids\":{\"limit\":9223372036854775807}", "pids.max=max", NULL},
        {V2_BARE, "\"pids\":{\"limit\":-1},\"memory\":{\"limit\":-1},\"cpu\":{\"quota\":-1,\"idle\":0}", "",
         NULL},
        {NONE, "\"pids\":{\"limit\":0},\"memory\":{\"limit\":-1,\"swap\":-1,\"disableOOMKiller\":false}", "",
         NULL},
        {V1, "\"network\":{\"classID\":1048577}", "net_cls.classid=1048577", NULL},
        {V1, "\"network\":{\"classID\":4294967295}", "net_cls.classid=4294967295", NULL},
        {V2, "\"network\":{\"classID\":0}", "", NULL},
        {V1, "\"network\":{\"priorities\":[{\"name\":\"lo\",\"priority\":4294967295}]}",
         "net_prio.ifpriomap=lo 4294967295", NULL},
        {HYBRID, "\"network\":{\"priorities\":[{\"name\":\"lo\",\"priority\":3}]}", "net_prio.ifpriomap=lo 3",
         NULL},
    };
    check_writes(samples, ARRAY_SIZE(samples));
}

Test(limits, block_io)
{
#define DEVICE(list, value) "\"blockIO\":{\"" list "\":[{\"major\":8,\"minor\":16," value "}]}"
    static const struct sample samples[] = {
        {V1, "\"blockIO\":{\"weight\":500}", "blkio.bfq.weight=500", NULL},
        {V1, "\"blockIO\":{\"weight\":500}", "blkio.weight=500", "blkio.bfq.weight"},
        {V2, "\"blockIO\":{\"weight\":500}", "io.bfq.weight=500", NULL},
        {V2, "\"blockIO\":{\"weight\":500}", "io.weight=4950", "io.bfq.weight"},
        {V1, "\"blockIO\":{\"leafWeight\":300}", "blkio.leaf_weight=300", NULL},
        {V1, DEVICE("weightDevice", "\"weight\":100,\"leafWeight\":200"),
         "blkio.bfq.weight_device=8:16 100; blkio.leaf_weight_device=8:16 200", NULL},
        {V1, DEVICE("weightDevice", "\"weight\":100"), "blkio.weight_device=8:16 100",
         "blkio.bfq.weight_device"},
        {V2, DEVICE("weightDevice", "\"weight\":100"), "io.bfq.weight=8:16 100", NULL},
        {V2, DEVICE("weightDevice", "\"weight\":100"), "io.weight=8:16 910", "io.bfq.weight"},
        {V1, DEVICE("throttleReadBpsDevice", "\"rate\":1000"), "blkio.throttle.read_bps_device=8:16 1000",
         NULL},
        {V1, DEVICE("throttleWriteBpsDevice", "\"rate\":1000"), "blkio.throttle.write_bps_device=8:16 1000",
         NULL},
        {V1, DEVICE("throttleReadIOPSDevice", "\"rate\":10"), "blkio.throttle.read_iops_device=8:16 10",
         NULL},
        {V1, DEVICE("throttleWriteIOPSDevice", "\"rate\":0"), "blkio.throttle.write_iops_device=8:16 0",
         NULL},
        {V2, DEVICE("throttleReadBpsDevice", "\"rate\":1000"), "io.max=8:16 rbps=1000", NULL},
        {V2, DEVICE("throttleWriteBpsDevice", "\"rate\":1000"), "io.max=8:16 wbps=1000", NULL},
        {V2, DEVICE("throttleReadIOPSDevice", "\"rate\":10"), "io.max=8:16 riops=10", NULL},
        {V2, DEVICE("throttleWriteIOPSDevice", "\"rate\":0"), "io.max=8:16 wiops=max", NULL},
        {V2,
         "\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1},{\"major\":9,"
         "\"minor\":0,"
         "\"rate\":2}]}",
         "io.max=8:0 rbps=19:0 rbps=2", NULL}, /* two writes */
    };
    check_writes(samples, ARRAY_SIZE(samples));
}

Test(limits, hugepages_rdma_unified)
{
#define HUGE(size) "\"hugepageLimits\":[{\"pageSize\":\"" size "\",\"limit\":4194304}]"
    static const struct sample samples[] = {
        {V1, HUGE("2MB"), "hugetlb.2MB.limit_in_bytes=4194304; hugetlb.2MB.rsvd.limit_in_bytes=4194304",
         NULL},
        {V2, HUGE("2MB"), "hugetlb.2MB.max=4194304; hugetlb.2MB.rsvd.max=4194304", NULL},
        {HYBRID, HUGE("2MB"), "hugetlb.2MB.max=4194304; hugetlb.2MB.rsvd.max=4194304", NULL},
        {V1, HUGE("1GB"), "hugetlb.1GB.limit_in_bytes=4194304", NULL}, /* before Linux 5.7: no rsvd */
        {V2, HUGE("1GB"), "hugetlb.1GB.max=4194304", NULL},
        {V1, "\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10000}}",
         "rdma.max=mlx5_1 hca_handle=3 hca_object=10000", NULL},
        {V2, "\"rdma\":{\"mlx5_1\":{\"hcaObjects\":0}}", "rdma.max=mlx5_1 hca_object=0", NULL},
        {V2, "\"unified\":{\"memory.high\":\"9000\",\"misc.max\":\"res_a 2\"}",
         "memory.high=9000; misc.max=res_a 2", NULL},
        {V2, "\"unified\":{\"io.max\":\"8:0 rbps=1\\n8:16 wbps=max\\n\"}", "io.max=8:0 rbps=18:16 wbps=max",
         NULL},
        {V2, "\"memory\":{\"limit\":77},\"unified\":{\"memory.max\":\"88\"}", "memory.max=7788",
         NULL}, /* last */
        {V2_BARE, "\"unified\":{\"cgroup.max.depth\":\"3\"}", "cgroup.max.depth=3", NULL},
        {HYBRID, "\"unified\":{\"hugetlb.1GB.max\":\"0\"}", "hugetlb.1GB.max=0", NULL},
    };
    check_writes(samples, ARRAY_SIZE(samples));
}

/* Everything at once, each file once: none of the rows disturbs another. */
Test(limits, many)
{
    static const struct sample samples[] = {
        {V2,
         "\"memory\":{\"limit\":1000,\"reservation\":500,\"swap\":1500},\"cpu\":{\"shares\":2,\"quota\":1000,"
         "\"period\":2000,\"burst\":500,\"idle\":0,\"cpus\":\"0\",\"mems\":\"0\"},\"pids\":{\"limit\":5}",
         "memory.swap.max=500; memory.max=1000; memory.low=500; cpu.weight=1; cpu.idle=0; cpu.max=1000 2000; "
         "cpu.max.burst=500; cpuset.cpus=0; cpuset.mems=0; pids.max=5",
         NULL},
        {V1, "\"devices\":[{\"allow\":true}]", "", NULL},
    };
    check_writes(samples, ARRAY_SIZE(samples));
}

/* --- order, and updates ------------------------------------------------------------------------------------------- */

/* All files of the v2 directory are one FIFO: texts in the order of writing. */
static char *in_order(const char *json)
{
    static char text[4096];
    setup(V2);
    int dirfd = cgroup.dirs[0].fd;
    tap(dirfd, "log");
    int log = taps[n_taps - 1].fd;
    for (size_t i = 0; i < ARRAY_SIZE(v2_files); i++) {
        remove_file(v2_files[i]);
        cr_assert_eq(symlinkat("log", dirfd, v2_files[i]), 0);
    }
    cr_assert_eq(cgroup_write_limits(&cgroup, resources(json), false, &err), 0, "%s", err.message);
    ssize_t n = read(log, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    teardown();
    return text;
}

Test(limits, order)
{
    cr_expect_str_eq(in_order("\"memory\":{\"limit\":7,\"swap\":15}"),
                     "87"); /* swap first: room to reclaim into */
    cr_expect_str_eq(in_order("\"cpu\":{\"idle\":1,\"shares\":1024}"), "1001"); /* idle has no weight */
}

static void plain_file(const char *name, const char *text)
{
    int fd = -1;
    remove_file(name);
    fd = openat(cgroup.dirs[0].fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static char *contents(const char *name)
{
    char *text;
    cr_assert_eq(file_read(cgroup.dirs[0].fd, name, 4096, &arena, &text, NULL, &err), 0, "%s", err.message);
    return text;
}

static int update(const char *json)
{
    error_clear(&err);
    return cgroup_write_limits(&cgroup, resources(json), true, &err);
}

Test(limits, update_cpu_max)
{
    setup(V2);
    plain_file("cpu.max", "50000 100000\n");
    cr_expect_eq(update("\"cpu\":{\"period\":200000}"), 0, "%s", err.message);
    cr_expect_str_eq(contents("cpu.max"), "50000 200000\n");
    plain_file("cpu.max", "max 100000\n");
    cr_expect_eq(update("\"cpu\":{\"period\":200000}"), 0, "%s", err.message);
    cr_expect_str_eq(contents("cpu.max"), "max 200000\n");
    remove_file("cpu.max");
    tap(cgroup.dirs[0].fd, "cpu.max"); /* a read would find it empty: a lone quota needs none */
    cr_expect_eq(update("\"cpu\":{\"quota\":7000}"), 0, "%s", err.message);
    cr_expect_str_eq(written(), "cpu.max=7000");
    teardown();
}

Test(limits, update_swap_alone)
{
    setup(V2);
    plain_file("memory.max", "1000\n");
    cr_expect_eq(update("\"memory\":{\"swap\":1800}"), 0, "%s", err.message);
    cr_expect_str_eq(written(), "memory.swap.max=800");
    cr_expect_eq(update("\"memory\":{\"swap\":-1}"), 0, "%s", err.message);
    cr_expect_str_eq(written(), "memory.swap.max=max");
    cr_expect_eq(update("\"memory\":{\"swap\":999}"), -1);
    cr_expect(strstr(err.message, "memory+swap limit should be >= memory limit (999 < 1000)"), "%s",
              err.message);
    plain_file("memory.max", "max\n");
    cr_expect_eq(update("\"memory\":{\"swap\":999}"), -1);
    cr_expect(strstr(err.message, "unable to set swap limit without memory limit"), "%s", err.message);
    cr_expect_str_eq(written(), "");
    cr_expect_eq(update("\"memory\":{\"limit\":-1}"), 0, "%s", err.message); /* unlimited: swap too */
    cr_expect_str_eq(written(), "memory.swap.max=max");
    cr_expect_eq(update("\"memory\":{\"limit\":500}"), 0, "%s", err.message);
    cr_expect_str_eq(written(), "");
    teardown();
}

Test(limits, swap_of_nothing)
{
    setup(V1);
    cr_expect_eq(cgroup_write_limits(&cgroup, resources("\"memory\":{\"swap\":1800}"), false, &err), -1);
    cr_expect(strstr(err.message, "unable to set swap limit without memory limit"), "%s", err.message);
    cr_expect_eq(update("\"memory\":{\"limit\":-1}"), 0, "%s", err.message);
    cr_expect_str_eq(written(), "memory.limit_in_bytes=-1; memory.memsw.limit_in_bytes=-1");
    teardown();
}

Test(limits, check_before_update)
{
    setup(V2);
    plain_file("memory.current", "5000\n");
    cr_expect_eq(update("\"memory\":{\"limit\":4999,\"checkBeforeUpdate\":true}"), -1);
    cr_expect_str_eq(err.message,
                     "linux.resources.memory.limit: 4999 is below what is in use now, 5000 bytes "
                     "(memory.checkBeforeUpdate)");
    cr_expect_str_eq(written(), "");
    cr_expect_eq(update("\"memory\":{\"limit\":5000,\"checkBeforeUpdate\":true}"), 0, "%s", err.message);
    cr_expect_str_eq(written(), "memory.max=5000");
    cr_expect_eq(update("\"memory\":{\"limit\":-1,\"checkBeforeUpdate\":true}"), 0, "%s", err.message);
    cr_expect_str_eq(written(), "memory.swap.max=max; memory.max=max");
    cr_expect_eq(update("\"memory\":{\"limit\":4999}"), 0, "%s", err.message);
    cr_expect_str_eq(written(), "memory.max=4999");
    teardown();
    setup(V1);
    plain_file("memory.memsw.usage_in_bytes", "9000\n");
    plain_file("memory.usage_in_bytes", "5000\n");
    cr_expect_eq(update("\"memory\":{\"limit\":6000,\"swap\":8999,\"checkBeforeUpdate\":true}"), -1);
    cr_expect(strstr(err.message, "memory.swap: 8999 is below what is in use now, 9000 bytes"), "%s",
              err.message);
    teardown();
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static void check_refusals(const struct sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        setup(samples[i].host);
        if (samples[i].without)
            remove_file(samples[i].without);
        error_clear(&err);
        struct spec_resources *r = resources(samples[i].json);
        int result = samples[i].without ? cgroup_write_limits(&cgroup, r, false, &err)
                                        : cgroup_check_limits(&cgroup, r, &err);
        size_t length = strlen(samples[i].expected);
        cr_expect(result == -1 && !strncmp(err.message, "linux.resources.", 16) &&
                      !strncmp(err.message + 16, samples[i].expected, length),
                  "host %d: %s\n  wanted: %s\n  got:    %s", samples[i].host, samples[i].json,
                  samples[i].expected, err.message);
        cr_expect(cgroup_has_limits(r), "%s", samples[i].json);
        cr_expect_str_eq(written(), "");
        teardown();
    }
}

Test(limits, refusals)
{
#define NOT_V2          ": cannot be enforced: cgroup v2 has no such limit (controller "
#define NONE_HERE(name) ": cannot be enforced: the " name " controller is not available here"
    static const struct sample samples[] = {
        {V2, "\"memory\":{\"kernel\":5}", "memory.kernel" NOT_V2 "memory): memory.limit counts", NULL},
        {V2, "\"memory\":{\"kernelTCP\":5}", "memory.kernelTCP" NOT_V2 "memory): memory.limit counts", NULL},
        {V2, "\"memory\":{\"swappiness\":0}", "memory.swappiness" NOT_V2 "memory)", NULL},
        {V2, "\"memory\":{\"disableOOMKiller\":true}", "memory.disableOOMKiller" NOT_V2 "memory)", NULL},
        {V2, "\"memory\":{\"useHierarchy\":false}", "memory.useHierarchy" NOT_V2 "memory)", NULL},
        {V2, "\"cpu\":{\"realtimeRuntime\":5,\"realtimePeriod\":10}", "cpu.realtimePeriod" NOT_V2 "cpu)",
         NULL},
        {V2, "\"blockIO\":{\"leafWeight\":10}", "blockIO.leafWeight" NOT_V2 "io)", NULL},
        {V2, DEVICE("weightDevice", "\"leafWeight\":10"), "blockIO.weightDevice[0].leafWeight" NOT_V2 "io)",
         NULL},
        {V2, "\"network\":{\"classID\":1}", "network.classID" NOT_V2 "net_cls)", NULL},
        {V2, "\"network\":{\"priorities\":[{\"name\":\"lo\",\"priority\":3}]}",
         "network.priorities" NOT_V2 "net_prio)", NULL},
        {V2_BARE, "\"memory\":{\"limit\":5}", "memory.limit" NONE_HERE("memory"), NULL},
        {V2_BARE, "\"cpu\":{\"shares\":5}", "cpu.shares" NONE_HERE("cpu"), NULL},
        {V2_BARE, "\"cpu\":{\"cpus\":\"0\"}", "cpu.cpus" NONE_HERE("cpuset"), NULL},
        {V2_BARE, "\"pids\":{\"limit\":5}", "pids.limit" NONE_HERE("pids"), NULL},
        {V2_BARE, "\"blockIO\":{\"weight\":50}", "blockIO.weight" NONE_HERE("io"), NULL},
        {V2_BARE, DEVICE("throttleReadIOPSDevice", "\"rate\":1"),
         "blockIO.throttleReadIOPSDevice" NONE_HERE("io"), NULL},
        {V2_BARE, HUGE("2MB"), "hugepageLimits" NONE_HERE("hugetlb"), NULL},
        {V2_BARE, "\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3}}", "rdma" NONE_HERE("rdma"), NULL},
        {V2_BARE, "\"unified\":{\"memory.high\":\"5\"}", "unified[\"memory.high\"]" NONE_HERE("memory"),
         NULL},
        {V1, "\"unified\":{\"memory.high\":\"5\"}",
         "unified[\"memory.high\"]: cannot be enforced: this host has no cgroup v2 (controller memory)",
         NULL},
        {HYBRID, "\"unified\":{\"io.max\":\"8:0 rbps=1\"}",
         "unified[\"io.max\"]: cannot be enforced: the io controller is in a v1 hierarchy (", NULL},
        {HYBRID, "\"unified\":{\"misc.max\":\"a 1\"}", "unified[\"misc.max\"]" NONE_HERE("misc"), NULL},
        {NONE, "\"memory\":{\"limit\":5}",
         "memory.limit: cannot be enforced: the container has no cgroup, so no memory controller", NULL},
        /* a file that this kernel lacks: */
        {V1, "\"cpu\":{\"idle\":1}",
         "cpu.idle: cannot be enforced: this kernel has no cpu.idle, which needs Linux 5.15: /tmp/",
         "cpu.idle"},
        {V2, "\"cpu\":{\"burst\":5}", "cpu.burst: cannot be enforced: this kernel has no cpu.max.burst",
         "cpu.max.burst"},
        {V1, "\"blockIO\":{\"leafWeight\":10}", "blockIO.leafWeight: cannot be enforced: this kernel has no ",
         "blkio.leaf_weight"},
        {V2, HUGE("64KB"),
         "hugepageLimits[0]: cannot be enforced: this kernel has no hugetlb.64KB.max, which needs pages of "
         "that size",
         "none"},
        {V2, "\"unified\":{\"memory.nonsense\":\"5\"}",
         "unified[\"memory.nonsense\"]: cannot be enforced: this kernel has no memory.nonsense", "none"},
        {V1, "\"memory\":{\"kernel\":4096}",
         "memory.kernel: cannot be enforced: this kernel has no memory.kmem.", "none"},
    };
    check_refusals(samples, ARRAY_SIZE(samples));
}

Test(limits, rootless_refusal)
{
    setup(V2_BARE);
    cgroup.rootless = true;
    cr_assert_eq(cgroup_check_limits(&cgroup, resources("\"memory\":{\"limit\":5}"), &err), -1);
    cr_expect(strstr(err.message, "is not delegated to this user (systemd: Delegate=memory"), "%s",
              err.message);
    teardown();
}

Test(limits, which_are_limits)
{
    cr_expect_not(cgroup_has_limits(resources("\"devices\":[{\"allow\":false}]")));
    cr_expect_not(cgroup_has_limits(resources(
        "\"memory\":{\"limit\":-1,\"swap\":-1,\"disableOOMKiller\":false,\"checkBeforeUpdate\":true},"
        "\"pids\":{\"limit\":0},\"cpu\":{\"idle\":0,\"burst\":0,\"quota\":-1},\"network\":{\"classID\":0},"
        "\"hugepageLimits\":[],\"unified\":{}")));
    cr_expect(cgroup_has_limits(resources("\"memory\":{\"swappiness\":0}")));
    cr_expect(cgroup_has_limits(resources("\"cpu\":{\"mems\":\"0\"}")));
    cr_expect(cgroup_has_limits(resources("\"unified\":{\"memory.high\":\"max\"}")));
}

/* /proc/swaps decides: without swap in use it is a warning, else an error. */
Test(limits, no_swap_accounting)
{
    char *swaps;
    cr_assert_eq(file_read(AT_FDCWD, "/proc/swaps", 65536, &arena, &swaps, NULL, &err), 0);
    const char *second = strchr(swaps, '\n');
    bool in_use = second && second[1];
    setup(V2);
    remove_file("memory.swap.max");
    log_open(NULL, LOG_TEXT, LOG_ERROR, NULL);
    int result =
        cgroup_write_limits(&cgroup, resources("\"memory\":{\"limit\":1000,\"swap\":3000}"), false, &err);
    cr_expect_eq(result, in_use ? -1 : 0, "%s", err.message);
    cr_expect_str_eq(written(), in_use ? "" : "memory.max=1000");
    teardown();
}

/* --- in a real v1 hierarchy ---------------------------------------------------------------------------------------- */

static void real_setup(void)
{
    static const struct {
        const char *mount;
        enum cgroup_controller controller;
    } mounts[] = {{"/sys/fs/cgroup/memory", CG_MEMORY}, {"/sys/fs/cgroup/cpu", CG_CPU}};
    char *path = arena_printf(&arena, "/hull-unit-%d", (int)getpid());
    cgroup =
        (struct cgroup){.arena = &arena, .dirs = arena_new_n(&arena, 2, struct cgroup_dir), .helper = -1};
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        char *whole = arena_printf(&arena, "%s%s", mounts[i].mount, path);
        char *tasks = arena_printf(&arena, "%s/tasks", mounts[i].mount);
        if (access(tasks, W_OK) < 0 || mkdir(whole, 0755) < 0)
            continue;
        cgroup.dirs[cgroup.n_dirs++] =
            (struct cgroup_dir){.controllers = CG_BIT(mounts[i].controller),
                                .mount = mounts[i].mount,
                                .path = path,
                                .fd = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    }
}

static void real_teardown(void)
{
    for (size_t i = 0; i < cgroup.n_dirs; i++) {
        close(cgroup.dirs[i].fd);
        cr_expect_eq(rmdir(cgroup_dir_path(&arena, &cgroup.dirs[i])), 0);
    }
}

static void expect_file(enum cgroup_controller controller, const char *name, const char *expected)
{
    const char *got = cgroup_file_read(&arena, cgroup_dir_of(&cgroup, controller), name);
    cr_expect(got && !strcmp(got, expected), "%s: %s, not %s", name, got ? got : "unreadable", expected);
}

static void memory_to(int limit, int swap)
{
    char *json = arena_printf(&arena, "\"memory\":{\"limit\":%d,\"swap\":%d}", limit << 20, swap << 20);
    cr_expect_eq(update(json), 0, "%s", err.message);
    expect_file(CG_MEMORY, "memory.limit_in_bytes", arena_printf(&arena, "%d", limit << 20));
    expect_file(CG_MEMORY, "memory.memsw.limit_in_bytes", arena_printf(&arena, "%d", swap << 20));
}

Test(limits_real_v1, memory_and_swap_up_and_down)
{
    real_setup();
    if (cgroup_dir_of(&cgroup, CG_MEMORY)) {
        memory_to(64, 128);
        memory_to(256, 512);
        memory_to(256, 256);
        memory_to(16, 32);
        cr_expect_eq(update("\"memory\":{\"limit\":67108864}"), -1);
        cr_expect(strstr(err.message, "raise memory.swap too"), "%s", err.message);
        cr_expect_eq(update("\"memory\":{\"limit\":-1}"), 0, "%s", err.message);
        expect_file(CG_MEMORY, "memory.memsw.limit_in_bytes", "9223372036854771712");
    }
    real_teardown();
}

Test(limits_real_v1, kernel_memory_is_not_believed)
{
    real_setup();
    if (cgroup_dir_of(&cgroup, CG_MEMORY)) {
        int result = update("\"memory\":{\"kernel\":16777216}");
        const char *now = cgroup_file_read(&arena, &cgroup.dirs[0], "memory.kmem.limit_in_bytes");
        cr_expect_eq(result, now && !strcmp(now, "16777216") ? 0 : -1);
        if (result < 0)
            cr_expect(strstr(err.message, "linux.resources.memory.kernel: "), "%s", err.message);
        cr_expect_eq(update("\"memory\":{\"kernel\":-1}"), 0, "%s", err.message);
    }
    real_teardown();
}

Test(limits_real_v1, below_usage, .timeout = 20)
{
    enum { SIZE = 24 << 20 };
    real_setup();
    if (cgroup_dir_of(&cgroup, CG_MEMORY)) {
        int ready[2];
        cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
        cr_assert_eq(update("\"memory\":{\"limit\":67108864,\"swap\":67108864}"), 0, "%s", err.message);
        pid_t child = fork();
        if (child == 0) {
            cgroup_file_write(&cgroup.dirs[0], "tasks", "0");
            char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            memset(p, 1, SIZE);
            if (mlock(p, SIZE) == 0 && write(ready[1], "x", 1) == 1)
                pause();
            _exit(1);
        }
        char x;
        cr_assert_eq(read(ready[0], &x, 1), 1);
        cr_expect_eq(update("\"memory\":{\"limit\":4194304}"), -1);
        cr_expect(strstr(err.message, "linux.resources.memory.limit: cannot go down to 4194304: "), "%s",
                  err.message);
        cr_expect(strstr(err.message, " bytes are in use now"), "%s", err.message);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    real_teardown();
}

Test(limits_real_v1, quota_period_burst)
{
    real_setup();
    if (cgroup_dir_of(&cgroup, CG_CPU)) {
        cr_expect_eq(update("\"cpu\":{\"quota\":50000,\"period\":50000,\"burst\":50000}"), 0, "%s",
                     err.message);
        cr_expect_eq(update("\"cpu\":{\"quota\":2000,\"period\":10000,\"burst\":1000}"), 0, "%s",
                     err.message);
        expect_file(CG_CPU, "cpu.cfs_quota_us", "2000");
        expect_file(CG_CPU, "cpu.cfs_burst_us", "1000");
        expect_file(CG_CPU, "cpu.cfs_period_us", "10000");
        cr_expect_eq(update("\"cpu\":{\"burst\":5000}"), -1);
        cr_expect(strstr(err.message, "may not be above cpu.quota"), "%s", err.message);
        cr_expect_eq(update("\"cpu\":{\"shares\":512,\"idle\":1}"), 0, "%s", err.message);
        cr_expect_eq(update("\"cpu\":{\"shares\":512}"), -1);
        cr_expect(strstr(err.message, "set cpu.idle to 0"), "%s", err.message);
        cr_expect_eq(update("\"cpu\":{\"shares\":512,\"idle\":0}"), 0, "%s", err.message);
        expect_file(CG_CPU, "cpu.shares", "512");
    }
    real_teardown();
}
