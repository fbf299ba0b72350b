/* linux.resources: every field read back, what counts as missing, and what is refused in which words. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "runtime/spec/spec.h"

static struct arena arena;
static struct error err;

static int parse(const char *resources, struct spec_resources *out)
{
    struct spec *spec;
    char *text = arena_printf(
        &arena, "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"linux\":{\"resources\":%s}}",
        resources);
    error_clear(&err);
    if (spec_parse(&arena, text, strlen(text), "c", &spec, &err) < 0)
        return -1;
    *out = spec->linux_.resources;
    return 0;
}

static struct spec_resources good(const char *resources)
{
    struct spec_resources r = {0};
    cr_assert_eq(parse(resources, &r), 0, "%s", err.message);
    return r;
}

#define IS(limit, number) cr_expect((limit).set && (limit).value == (number), #limit)

static const char full[] =
    "{\"memory\":{\"limit\":1,\"reservation\":-1,\"swap\":9223372036854775807,\"kernel\":4,\"kernelTCP\":5,"
    "\"swappiness\":100,\"disableOOMKiller\":true,\"useHierarchy\":false,\"checkBeforeUpdate\":true},"
    "\"cpu\":{\"shares\":262144,\"quota\":-1,\"period\":1000000,\"burst\":0,\"realtimeRuntime\":950000,"
    "\"realtimePeriod\":1000000,\"idle\":1,\"cpus\":\"0-1,3\",\"mems\":\"0\"},\"pids\":{\"limit\":-1},"
    "\"blockIO\":{\"weight\":10,\"leafWeight\":1000,"
    "\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":500,\"leafWeight\":300},"
    "{\"major\":4095,\"minor\":1048575,\"weight\":0,\"leafWeight\":10}],"
    "\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":1,\"rate\":100}],"
    "\"throttleWriteBpsDevice\":[{\"major\":8,\"minor\":2,\"rate\":200}],"
    "\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":3,\"rate\":300}],"
    "\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":4,\"rate\":0}]},"
    "\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":0},{\"pageSize\":\"1GB\",\"limit\":1073741824}],"
    "\"network\":{\"classID\":4294967295,\"priorities\":[{\"name\":\"eth0\",\"priority\":7}]},"
    "\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10000},\"mlx4_0\":{\"hcaObjects\":0}},"
    "\"unified\":{\"memory.high\":\"1000\",\"hugetlb.2MB.max\":\"max\",\"cgroup.max.depth\":\"3\"},"
    "\"devices\":[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":229,\"access\":"
    "\"mwr\"},{\"allow\":true,\"type\":\"b\",\"major\":8,\"minor\":-1,\"access\":\"r\"},"
    "{\"allow\":false,\"type\":\"\",\"major\":null,\"access\":\"\"},{\"allow\":true,\"type\":\"c\",\"minor\":"
    "0,"
    "\"access\":\"w\"}]}";

Test(spec_resources, numbers)
{
    struct spec_resources r = good(full);
    cr_assert(r.present);
    IS(r.memory.limit, 1);
    IS(r.memory.reservation, -1);
    IS(r.memory.swap, INT64_MAX);
    IS(r.memory.kernel, 4);
    IS(r.memory.kernel_tcp, 5);
    IS(r.memory.swappiness, 100);
    cr_expect(r.memory.has_disable_oom_killer && r.memory.disable_oom_killer);
    cr_expect(r.memory.has_use_hierarchy && !r.memory.use_hierarchy && r.memory.check_before_update);
    IS(r.cpu.shares, 262144);
    IS(r.cpu.quota, -1);
    IS(r.cpu.period, 1000000);
    IS(r.cpu.burst, 0);
    IS(r.cpu.realtime_runtime, 950000);
    IS(r.cpu.realtime_period, 1000000);
    IS(r.cpu.idle, 1);
    cr_expect_str_eq(r.cpu.cpus, "0-1,3");
    cr_expect_str_eq(r.cpu.mems, "0");
    IS(r.pids, -1);
    IS(r.network.class_id, UINT32_MAX);
}

Test(spec_resources, lists)
{
    struct spec_resources r = good(full);
    const struct spec_resources_block_io *b = &r.block_io;
    IS(b->weight, 10);
    IS(b->leaf_weight, 1000);
    cr_assert_eq(b->n_weight_devices, 2);
    cr_expect(b->weight_devices[0].major == 8 && b->weight_devices[0].minor == 0);
    IS(b->weight_devices[0].weight, 500);
    IS(b->weight_devices[0].leaf_weight, 300);
    cr_expect(b->weight_devices[1].major == 4095 && b->weight_devices[1].minor == 1048575);
    cr_expect_not(b->weight_devices[1].weight.set);
    for (int i = 0; i < THROTTLE_COUNT; i++) {
        cr_assert_eq(b->throttle[i].n, 1);
        cr_expect(b->throttle[i].v[0].major == 8 && b->throttle[i].v[0].minor == i + 1);
        cr_expect_eq(b->throttle[i].v[0].rate, i == THROTTLE_WRITE_IOPS ? 0 : 100 * (i + 1));
    }
    cr_assert_eq(r.n_hugepages, 2);
    cr_expect_str_eq(r.hugepages[0].page_size, "2MB");
    cr_expect(r.hugepages[0].limit == 0 && r.hugepages[1].limit == 1 << 30);
    cr_assert_eq(r.network.n_priorities, 1);
    cr_expect_str_eq(r.network.priorities[0].name, "eth0");
    cr_expect_eq(r.network.priorities[0].priority, 7);
    cr_assert_eq(r.n_rdma, 2);
    cr_expect_str_eq(r.rdma[0].device, "mlx5_1");
    IS(r.rdma[0].hca_handles, 3);
    IS(r.rdma[0].hca_objects, 10000);
    cr_expect_not(r.rdma[1].hca_handles.set);
    IS(r.rdma[1].hca_objects, 0);
    cr_assert_eq(r.n_unified, 3);
    cr_expect_str_eq(r.unified[0].file, "memory.high");
    cr_expect_str_eq(r.unified[0].value, "1000");
    cr_expect_str_eq(r.unified[1].value, "max");
}

Test(spec_resources, device_rules)
{
    static const struct spec_device_rule expected[] = {
        {false, 'a', -1, -1, 0},
        {true, 'c', 10, 229, DEVICE_ACCESS_ALL},
        {true, 'b', 8, -1, DEVICE_ACCESS_READ},
        {false, 'a', -1, -1, 0},
        {true, 'c', -1, 0, DEVICE_ACCESS_WRITE},
    };
    struct spec_resources r = good(full);
    cr_assert(r.has_devices);
    cr_assert_eq(r.n_devices, ARRAY_SIZE(expected));
    for (size_t i = 0; i < r.n_devices; i++) {
        const struct spec_device_rule *got = &r.devices[i], *want = &expected[i];
        cr_expect(got->allow == want->allow && got->type == want->type && got->major == want->major &&
                      got->minor == want->minor && got->access == want->access,
                  "devices[%zu]", i);
    }
    cr_expect(good("{\"devices\":[]}").has_devices);
    cr_expect_not(good("{\"devices\":null}").has_devices);
}

/* Go's zero values, and null. */
Test(spec_resources, missing)
{
    struct spec_resources none =
        good("{\"memory\":{\"limit\":0,\"reservation\":0,\"swap\":0,\"kernel\":0,\"kernelTCP\":0},"
             "\"cpu\":{\"shares\":0,\"quota\":0,\"period\":0,\"realtimeRuntime\":0,\"realtimePeriod\":0,"
             "\"cpus\":\"\",\"mems\":\"\",\"idle\":null},\"pids\":{\"limit\":0},\"blockIO\":{\"weight\":0,"
             "\"leafWeight\":0,"
             "\"weightDevice\":null},\"hugepageLimits\":[],\"network\":{},\"rdma\":{},\"unified\":{}}");
    struct spec_resources empty = good("{}");
    none.hugepages = NULL; /* an empty list has a place */
    none.rdma = NULL;
    none.unified = NULL;
    cr_expect(none.present && empty.present && !good("null").present);
    const struct spec_limit *limits[] = {
        &none.memory.limit,         &none.memory.reservation,   &none.memory.swap,     &none.memory.kernel,
        &none.memory.kernel_tcp,    &none.cpu.shares,           &none.cpu.quota,       &none.cpu.period,
        &none.cpu.realtime_runtime, &none.cpu.realtime_period,  &none.cpu.idle,        &none.pids,
        &none.block_io.weight,      &none.block_io.leaf_weight, &none.network.class_id};
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        cr_expect_not(limits[i]->set, "%zu", i);
    cr_expect(!none.cpu.cpus && !none.cpu.mems && !none.n_hugepages && !none.n_rdma && !none.n_unified);
    struct spec_resources zero = good("{\"memory\":{\"swappiness\":0},"
                                      "\"network\":{\"classID\":0},\"cpu\":{\"burst\":0,\"idle\":0}}");
    IS(zero.memory.swappiness, 0);
    IS(zero.network.class_id, 0);
    IS(zero.cpu.burst, 0);
    IS(zero.cpu.idle, 0);
}

/* --- refusals ------------------------------------------------------------------------------------------------- */

struct sample {
    const char *resources, *expected; /* NULL accepts; else what follows "c: linux.resources." */
};

static void check_all(const struct sample *samples, size_t n)
{
    struct spec_resources r;
    for (size_t i = 0; i < n; i++) {
        int result = parse(samples[i].resources, &r);
        if (!samples[i].expected)
            cr_expect_eq(result, 0, "%s\n%s", samples[i].resources, err.message);
        else
            cr_expect(
                result == -1 &&
                    !strcmp(err.message, arena_printf(&arena, "c: linux.resources.%s", samples[i].expected)),
                "%s\n  wanted: %s\n  got:    %s", samples[i].resources, samples[i].expected, err.message);
    }
}

Test(spec_resources, ranges)
{
    static const struct sample samples[] = {
        {"{\"memory\":{\"limit\":-2}}",
         "memory.limit: must be an integer from -1 to 9223372036854775807, got -2"},
        {"{\"memory\":{\"limit\":\"1g\"}}",
         "memory.limit: must be an integer from -1 to 9223372036854775807, got a string"},
        {"{\"memory\":{\"limit\":9223372036854775808}}",
         "memory.limit: must be an integer from -1 to 9223372036854775807, got 9223372036854775808"},
        {"{\"memory\":{\"swappiness\":101}}", "memory.swappiness: must be an integer from 0 to 100, got 101"},
        {"{\"memory\":{\"disableOOMKiller\":1}}", "memory.disableOOMKiller: must be true or false, got 1"},
        {"{\"cpu\":{\"shares\":262145}}", "cpu.shares: must be an integer from 0 to 262144, got 262145"},
        {"{\"cpu\":{\"shares\":-1}}", "cpu.shares: must be an integer from 0 to 262144, got -1"},
        {"{\"cpu\":{\"idle\":2}}", "cpu.idle: must be an integer from 0 to 1, got 2"},
        {"{\"cpu\":{\"period\":1000001}}", "cpu.period: must be an integer from 0 to 1000000, got 1000001"},
        {"{\"cpu\":{\"period\":999}}", "cpu.period: must be at least 1000 (microseconds), got 999"},
        {"{\"cpu\":{\"quota\":999}}", "cpu.quota: must be at least 1000 (microseconds), got 999"},
        {"{\"cpu\":{\"quota\":1000,\"period\":1000}}", NULL},
        {"{\"pids\":{\"limit\":-2}}",
         "pids.limit: must be an integer from -1 to 9223372036854775807, got -2"},
        {"{\"blockIO\":{\"weight\":9}}", "blockIO.weight: must be from 10 to 1000, or 0 for not set, got 9"},
        {"{\"blockIO\":{\"weight\":1001}}", "blockIO.weight: must be an integer from 0 to 1000, got 1001"},
        {"{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0,\"leafWeight\":1}]}}",
         "blockIO.weightDevice[0].leafWeight: must be from 10 to 1000, or 0 for not set, got 1"},
        {"{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0}]}}",
         "blockIO.weightDevice[0]: has neither weight nor leafWeight"},
        {"{\"blockIO\":{\"weightDevice\":[{\"major\":-1,\"minor\":0,\"weight\":10}]}}",
         "blockIO.weightDevice[0].major: must be an integer from 0 to 4095, got -1"},
        {"{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":-5}]}}",
         "blockIO.throttleReadBpsDevice[0].rate: must be an integer from 0 to 9223372036854775807, got -5"},
        {"{\"blockIO\":{\"throttleWriteIOPSDevice\":[{\"major\":8,\"rate\":5}]}}",
         "blockIO.throttleWriteIOPSDevice[0].minor: is required"},
        {"{\"network\":{\"classID\":4294967296}}",
         "network.classID: must be an integer from 0 to 4294967295, got 4294967296"},
        {"{\"network\":{\"priorities\":[{\"name\":\"eth0\",\"priority\":-1}]}}",
         "network.priorities[0].priority: must be an integer from 0 to 4294967295, got -1"},
        {"{\"rdma\":{\"d\":{\"hcaHandles\":4294967296}}}",
         "rdma[\"d\"].hcaHandles: must be an integer from 0 to 4294967295, got 4294967296"},
        {"{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":-1}]}",
         "hugepageLimits[0].limit: must be an integer from 0 to 9223372036854775807, got -1"},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

Test(spec_resources, relations)
{
    static const struct sample samples[] = {
        {"{\"memory\":{\"limit\":2000,\"swap\":1999}}",
         "memory.swap: memory+swap limit should be >= memory limit (1999 < 2000)"},
        {"{\"memory\":{\"limit\":2000,\"swap\":2000}}", NULL},
        {"{\"memory\":{\"limit\":2000,\"swap\":-1}}", NULL},
        {"{\"memory\":{\"limit\":-1,\"swap\":-1}}", NULL},
        {"{\"memory\":{\"limit\":-1,\"swap\":5}}",
         "memory.swap: unable to set swap limit without memory limit: give memory.limit"},
        {"{\"cpu\":{\"quota\":5000,\"burst\":5001}}", "cpu.burst: must not be above cpu.quota (5001 > 5000)"},
        {"{\"cpu\":{\"quota\":-1,\"burst\":5001}}", NULL},
        {"{\"cpu\":{\"realtimeRuntime\":11,\"realtimePeriod\":10}}",
         "cpu.realtimeRuntime: must not be above cpu.realtimePeriod (11 > 10)"},
        {"{\"cpu\":{\"cpus\":\"0-\"}}", "cpu.cpus: must be a list of CPUs like \"0-3,7\", got \"0-\""},
        {"{\"cpu\":{\"mems\":\"0\\n1\"}}",
         "cpu.mems: must be a list of memory nodes like \"0-3,7\", got \"0\\u000a1\""},
    };
    check_all(samples, ARRAY_SIZE(samples));
}

Test(spec_resources, names)
{
#define PLAIN     "must be a plain name of a cgroup v2 file, like \"memory.high\""
#define STEERING  "is no limit but steers the cgroup itself, which is the runtime's"
#define PAGE_SIZE "must be like \"64KB\", \"2MB\" or \"1GB\", got "
    static const struct sample samples[] = {
        {"{\"unified\":{\"../memory.max\":\"1\"}}", "unified[\"../memory.max\"]: " PLAIN},
        {"{\"unified\":{\"memory..max\":\"1\"}}", "unified[\"memory..max\"]: " PLAIN},
        {"{\"unified\":{\"a/b.c\":\"1\"}}", "unified[\"a/b.c\"]: " PLAIN},
        {"{\"unified\":{\"memory\":\"1\"}}", "unified[\"memory\"]: " PLAIN},
        {"{\"unified\":{\".max\":\"1\"}}", "unified[\".max\"]: " PLAIN},
        {"{\"unified\":{\"memory.max\\n\":\"1\"}}", "unified[\"memory.max\\u000a\"]: " PLAIN},
        {"{\"unified\":{\"\":\"1\"}}", "unified: must not have an empty key"},
        {"{\"unified\":{\"memory.swap.max\":\"\"}}", "unified[\"memory.swap.max\"]: must not be empty"},
        {"{\"unified\":{\"memory.max\":1}}", "unified[\"memory.max\"]: must be a string, got 1"},
        {"{\"unified\":{\"cgroup.procs\":\"0\"}}", "unified[\"cgroup.procs\"]: " STEERING},
        {"{\"unified\":{\"cgroup.threads\":\"0\"}}", "unified[\"cgroup.threads\"]: " STEERING},
        {"{\"unified\":{\"cgroup.kill\":\"1\"}}", "unified[\"cgroup.kill\"]: " STEERING},
        {"{\"unified\":{\"cgroup.freeze\":\"1\"}}", "unified[\"cgroup.freeze\"]: " STEERING},
        {"{\"unified\":{\"cgroup.type\":\"threaded\"}}", "unified[\"cgroup.type\"]: " STEERING},
        {"{\"unified\":{\"cgroup.subtree_control\":\"+cpu\"}}",
         "unified[\"cgroup.subtree_control\"]: " STEERING},
        {"{\"hugepageLimits\":[{\"pageSize\":\"2M\",\"limit\":1}]}",
         "hugepageLimits[0].pageSize: " PAGE_SIZE "\"2M\""},
        {"{\"hugepageLimits\":[{\"pageSize\":\"../MB\",\"limit\":1}]}",
         "hugepageLimits[0].pageSize: " PAGE_SIZE "\"../MB\""},
        {"{\"hugepageLimits\":[{\"pageSize\":\"02MB\",\"limit\":1}]}",
         "hugepageLimits[0].pageSize: " PAGE_SIZE "\"02MB\""},
        {"{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":1},{\"pageSize\":\"2MB\",\"limit\":2}]}",
         "hugepageLimits[1].pageSize: \"2MB\" is there twice"},
        {"{\"hugepageLimits\":[{\"limit\":1}]}", "hugepageLimits[0].pageSize: is required"},
        {"{\"network\":{\"priorities\":[{\"name\":\"eth0 5\",\"priority\":1}]}}",
         "network.priorities[0].name: not a device name (1 to 15 bytes; no \"/\", \":\", \"%\" or white "
         "space): \"eth0 5\""},
        {"{\"rdma\":{\"mlx5_0 hca_handle=max\":{\"hcaObjects\":1}}}",
         "rdma[\"mlx5_0 hca_handle=max\"]: not a name of an RDMA device"},
        {"{\"rdma\":{\"mlx5_0\":{}}}", "rdma[\"mlx5_0\"]: has neither hcaHandles nor hcaObjects"},
        {"{\"devices\":[{\"type\":\"c\"}]}", "devices[0].allow: is required"},
        {"{\"devices\":[{\"allow\":true,\"type\":\"u\"}]}",
         "devices[0].type: must be \"a\" (all), \"b\" (block) or \"c\" (character), got \"u\""},
        {"{\"devices\":[{\"allow\":true,\"type\":7}]}",
         "devices[0].type: must be \"a\" (all), \"b\" (block) or \"c\" (character), got a number"},
        {"{\"devices\":[{\"allow\":true,\"access\":\"rx\"}]}",
         "devices[0].access: must be made of \"r\", \"w\" and \"m\" (mknod), got \"rx\""},
        {"{\"devices\":[{\"allow\":true,\"access\":[]}]}",
         "devices[0].access: must be made of \"r\", \"w\" and \"m\" (mknod), got an array"},
        {"{\"devices\":[{\"allow\":true,\"major\":-2}]}",
         "devices[0].major: must be an integer from -1 to 4294967295, got -2"},
    };
    check_all(samples, ARRAY_SIZE(samples));
    char *huge = arena_alloc(&arena, 4097);
    memset(huge, '1', 4096);
    struct spec_resources r;
    cr_expect_eq(parse(arena_printf(&arena, "{\"unified\":{\"memory.max\":\"%s\"}}", huge), &r), -1);
    cr_expect(strstr(err.message, "has a value of more than 4095 bytes"));
}

/* --- update --resources ----------------------------------------------------------------------------------------- */

Test(spec_resources, from_file_and_stdin)
{
    struct spec_resources r;
    char dir[] = "/tmp/hull-resources.XXXXXX";
    cr_assert(mkdtemp(dir));
    char *path = arena_printf(&arena, "%s/r.json", dir);
    cr_assert_eq(file_replace(AT_FDCWD, path, 0600, full, strlen(full), &err), 0, "%s", err.message);
    cr_assert_eq(spec_load_resources(&arena, path, &r, &err), 0, "%s", err.message);
    cr_assert(r.present && r.n_devices == 5);

    int saved = dup(STDIN_FILENO), fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    close(fd);
    r = (struct spec_resources){0};
    cr_assert_eq(spec_load_resources(&arena, "-", &r, &err), 0, "%s", err.message);
    IS(r.memory.limit, 1);
    cr_assert_eq(spec_load_resources(&arena, "-", &r, &err), -1, "stdin was read to its end");
    cr_expect(!strncmp(err.message, "standard input:1:1: ", 20), "%s", err.message);
    dup2(saved, STDIN_FILENO);
    close(saved);

    static const char bad[] =
        "{\"memory\":{\"limit\":\"x\",\"swap\":true},\"unified\":{\"cgroup.procs\":\"1\"}}";
    cr_assert_eq(file_replace(AT_FDCWD, path, 0600, bad, strlen(bad), &err), 0);
    cr_assert_eq(spec_load_resources(&arena, path, &r, &err), -1);
    char *expected = arena_printf(
        &arena,
        "%s: 3 problems:\n  memory.limit: must be an integer from -1 to 9223372036854775807, got a string\n"
        "  memory.swap: must be an integer from -1 to 9223372036854775807, got true\n"
        "  unified[\"cgroup.procs\"]: is no limit but steers the cgroup itself, which is the runtime's",
        path);
    cr_expect_str_eq(err.message, expected);
    cr_assert_eq(spec_load_resources(&arena, "/nonexistent/x", &r, &err), -1);
    cr_expect_str_eq(err.message, "open /nonexistent/x: No such file or directory");
    cr_assert_eq(file_remove_tree(AT_FDCWD, dir, &err), 0);
}
