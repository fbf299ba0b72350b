/* Statistics out of fake directories: v1, v2, hybrid; files that are missing, strange or long. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fake.h"

static struct arena arena;
static struct error err;
static struct cgroup_stats s;

static void read_stats(struct cgroup_dir *dirs, size_t n)
{
    struct cgroup c = fake_cgroup(&arena, dirs, n);

    cr_assert_eq(cgroup_stats(&c, &s, &err), 0, "%s", err.message);
    for (size_t i = 0; i < n; i++)
        fake_remove(&dirs[i]);
}

static void is(struct cgroup_number number, uint64_t value, const char *what)
{
    cr_expect(number.set, "%s is unset", what);
    cr_expect_eq(number.value, value, "%s is %llu, not %llu", what, (unsigned long long)number.value,
                 (unsigned long long)value);
}
#define IS(field, value) is(s.field, value, #field)
#define UNSET(field)     cr_expect(!s.field.set, #field " is set")

static const uint64_t tick = 10000000; /* USER_HZ is 100 on every Linux that criterion runs on */

Test(cgroup_stats, v1_cpu)
{
    struct cgroup_dir dirs[] = {
        fake_dir(false, CG_BIT(CG_CPU),
                 (const char *const[]){
                     "cpu.stat", "nr_periods 7\nnr_throttled 3\nthrottled_time 250\nnr_bursts 9\n", NULL}),
        fake_dir(false, CG_BIT(CG_CPUACCT),
                 (const char *const[]){"cpuacct.usage", "9039988\n", "cpuacct.stat", "user 5\nsystem 2\n",
                                       "cpuacct.usage_percpu", "2534509 6505479 \n", "cpuacct.usage_all",
                                       "cpu user system\n0 10 20\n1 30 40\n", NULL}),
    };

    read_stats(dirs, 2);
    IS(cpu.periods, 7);
    IS(cpu.throttled_periods, 3);
    IS(cpu.throttled_time, 250);
    IS(cpu.total, 9039988);
    IS(cpu.user, 5 * tick);
    IS(cpu.kernel, 2 * tick);
    cr_assert_eq(s.cpu.n_per_cpu, 2);
    cr_expect_eq(s.cpu.per_cpu[1], 6505479);
    cr_assert_eq(s.cpu.n_per_cpu_modes, 2);
    cr_expect_eq(s.cpu.per_cpu_user[1], 30);
    cr_expect_eq(s.cpu.per_cpu_kernel[1], 40);
    cr_expect(!s.cpu.pressure.set);
}

Test(cgroup_stats, v1_memory)
{
    struct cgroup_dir d = fake_dir(
        false, CG_BIT(CG_MEMORY),
        (const char *const[]){"memory.usage_in_bytes", "4096\n", "memory.max_usage_in_bytes", "8192\n",
                              "memory.limit_in_bytes", "9223372036854771712\n", "memory.failcnt", "2\n",
                              "memory.memsw.usage_in_bytes", "5000\n", "memory.memsw.limit_in_bytes",
                              "9223372036854771712\n", "memory.kmem.usage_in_bytes", "100\n", "memory.stat",
                              "cache 1\nrss 2\ntotal_cache 3\ntotal_swap 904\n", "memory.oom_control",
                              "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", NULL});

    read_stats(&d, 1);
    IS(memory.usage.usage, 4096);
    IS(memory.usage.max_usage, 8192);
    IS(memory.usage.limit, 9223372036854771712ULL);
    IS(memory.usage.failcnt, 2);
    IS(memory.swap.usage, 5000);
    IS(memory.swap_only.usage, 904);
    IS(memory.kernel.usage, 100);
    UNSET(memory.kernel.limit);
    UNSET(memory.kernel_tcp.usage);
    IS(memory.cache, 3);
    IS(memory.oom_kill, 4);
    cr_assert_eq(s.memory.n_raw, 4);
    cr_expect_str_eq(s.memory.raw[1].name, "rss");
    cr_expect_eq(s.memory.raw[1].value, 2);
}

Test(cgroup_stats, v1_the_rest)
{
    struct cgroup_dir dirs[] = {
        fake_dir(false, CG_BIT(CG_CPUSET) | CG_BIT(CG_PIDS),
                 (const char *const[]){"cpuset.cpus", "0-1,4\n", "cpuset.mems", "0\n",
                                       "cpuset.sched_load_balance", "1\n", "cpuset.sched_relax_domain_level",
                                       "-1\n", "pids.current", "12\n", "pids.max", "max\n", NULL}),
        fake_dir(false, CG_BIT(CG_BLKIO),
                 (const char *const[]){"blkio.bfq.io_service_bytes_recursive", "Total 0\n",
                                       "blkio.throttle.io_service_bytes_recursive",
                                       "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\nTotal 4608\n",
                                       "blkio.throttle.io_serviced_recursive", "8:0 Read 1\nTotal 1\n",
                                       NULL}),
    };

    read_stats(dirs, 2);
    cr_expect_str_eq(s.cpuset.cpus, "0-1,4");
    cr_expect_str_eq(s.cpuset.mems, "0");
    IS(cpuset.sched_load_balance, 1);
    IS(cpuset.sched_relax_domain_level, UINT64_MAX);
    UNSET(cpuset.cpu_exclusive);
    IS(pids.current, 12);
    IS(pids.limit, UINT64_MAX);
    cr_assert_eq(s.io.service_bytes.n, 3);
    cr_expect_eq(s.io.service_bytes.v[0].major, 8);
    cr_expect_str_eq(s.io.service_bytes.v[1].op, "Write");
    cr_expect_eq(s.io.service_bytes.v[1].value, 512);
    cr_assert_eq(s.io.serviced.n, 1);
}

Test(cgroup_stats, bfq_where_it_schedules)
{
    struct cgroup_dir d = fake_dir(
        false, CG_BIT(CG_BLKIO),
        (const char *const[]){"blkio.bfq.io_service_bytes_recursive", "8:16 Read 7\nTotal 7\n",
                              "blkio.bfq.io_serviced_recursive", "8:16 Read 2\nTotal 2\n",
                              "blkio.throttle.io_service_bytes_recursive", "8:16 Read 9\nTotal 9\n", NULL});

    read_stats(&d, 1);
    cr_assert_eq(s.io.service_bytes.n, 1);
    cr_expect_eq(s.io.service_bytes.v[0].value, 7);
    cr_expect_eq(s.io.serviced.v[0].value, 2);
}

static const uint32_t v2_controllers = CG_BIT(CG_CPU) | CG_BIT(CG_CPUACCT) | CG_BIT(CG_CPUSET) |
                                       CG_BIT(CG_MEMORY) | CG_BIT(CG_BLKIO) | CG_BIT(CG_PIDS) |
                                       CG_BIT(CG_RDMA);

Test(cgroup_stats, v2)
{
    struct cgroup_dir d = fake_dir(
        true, v2_controllers,
        (const char *const[]){
            "cpu.stat",
            "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\nthrottled_usec 5\n",
            "cpu.pressure",
            "some avg10=3.07 avg60=4.60 avg300=1.68 total=665821138\n",
            "cpuset.cpus",
            "\n",
            "cpuset.cpus.effective",
            "0-3\n",
            "cpuset.mems.effective",
            "0\n",
            "memory.current",
            "1000\n",
            "memory.max",
            "2000\n",
            "memory.peak",
            "1500\n",
            "memory.swap.current",
            "10\n",
            "memory.swap.max",
            "max\n",
            "memory.events",
            "low 0\nhigh 0\nmax 6\noom 2\noom_kill 1\noom_group_kill 0\n",
            "memory.stat",
            "anon 500\nfile 400\nkernel 90\nsock 8\n",
            "memory.pressure",
            "some avg10=1.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.50 avg60=0.00 avg300=0.00 "
            "total=4\n",
            "io.stat",
            "8:16 8:0 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=3 dios=4 cost.usage=5\n253:0 rbytes=1 "
            "wbytes=max\n",
            "pids.current",
            "3\n",
            "pids.max",
            "100\n",
            "rdma.current",
            "mlx5_0 hca_handle=2 hca_object=2000\n",
            "rdma.max",
            "mlx5_0 hca_handle=max hca_object=max\n",
            NULL});

    read_stats(&d, 1);
    IS(cpu.total, 30000);
    IS(cpu.user, 20000);
    IS(cpu.kernel, 10000);
    IS(cpu.periods, 4);
    IS(cpu.throttled_periods, 2);
    IS(cpu.throttled_time, 5000);
    cr_expect(s.cpu.pressure.set);
    cr_expect_float_eq(s.cpu.pressure.some.avg10, 3.07, 0.0001);
    cr_expect_float_eq(s.cpu.pressure.some.avg300, 1.68, 0.0001);
    cr_expect_eq(s.cpu.pressure.some.total, 665821138);
    cr_expect_str_eq(s.cpuset.cpus, "0-3");
    IS(memory.usage.usage, 1000);
    IS(memory.usage.limit, 2000);
    IS(memory.usage.max_usage, 1500);
    IS(memory.usage.failcnt, 6);
    IS(memory.swap_only.usage, 10);
    IS(memory.swap_only.limit, UINT64_MAX);
    IS(memory.swap.usage, 1010);
    IS(memory.swap.limit, UINT64_MAX);
    IS(memory.cache, 400);
    IS(memory.kernel.usage, 90);
    IS(memory.kernel_tcp.usage, 8);
    IS(memory.oom_kill, 1);
    cr_expect_eq(s.memory.n_raw, 4);
    cr_expect_float_eq(s.memory.pressure.full.avg10, 0.5, 0.0001);
    cr_expect(!s.io.pressure.set);
    IS(pids.current, 3);
    IS(pids.limit, 100);
    cr_assert_eq(s.n_rdma_current, 1);
    cr_expect_str_eq(s.rdma_current[0].device, "mlx5_0");
    cr_expect_eq(s.rdma_current[0].objects.value, 2000);
    cr_expect_eq(s.rdma_limit[0].handles.value, UINT64_MAX);
    cr_assert_eq(s.io.service_bytes.n, 5);
    cr_expect_eq(s.io.service_bytes.v[0].minor, 0);
    cr_expect_eq(s.io.service_bytes.v[0].value, 4096);
    cr_expect_str_eq(s.io.service_bytes.v[2].op, "Discard");
    cr_expect_eq(s.io.service_bytes.v[3].major, 253);
    cr_expect_eq(s.io.serviced.n, 3);
}

/* A hybrid host's v2 directory has no controllers, but tells pressures; and the CPU time where no v1 hierarchy does. */
Test(cgroup_stats, hybrid)
{
    const char *const v2_files[] = {"cpu.stat", "usage_usec 30\n", "cpu.pressure",
                                    "some avg10=2.00 avg60=0.00 avg300=0.00 total=1\n", NULL};
    struct cgroup_dir dirs[] = {
        fake_dir(false, CG_BIT(CG_CPUACCT), (const char *const[]){"cpuacct.usage", "77\n", NULL}),
        fake_dir(true, 0, v2_files),
    };
    struct cgroup_dir alone = fake_dir(true, 0, v2_files);

    read_stats(dirs, 2);
    IS(cpu.total, 77);
    cr_expect(s.cpu.pressure.set);
    read_stats(&alone, 1);
    IS(cpu.total, 30000);
}

Test(cgroup_stats, huge_pages)
{
    struct cgroup_dir dirs[] = {
        fake_dir(false, CG_BIT(CG_HUGETLB),
                 (const char *const[]){"hugetlb.2MB.usage_in_bytes", "2097152\n",
                                       "hugetlb.2MB.max_usage_in_bytes", "4194304\n", "hugetlb.2MB.failcnt",
                                       "1\n", "hugetlb.3MB.usage_in_bytes", "1\n", NULL}),
    };
    struct cgroup_dir v2 =
        fake_dir(true, CG_BIT(CG_HUGETLB),
                 (const char *const[]){"hugetlb.2MB.current", "2097152\n", "hugetlb.2MB.max", "max\n",
                                       "hugetlb.2MB.events", "max 5\n", NULL});

    if (access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK) < 0)
        cr_skip_test("this kernel has no pages of 2 MB");
    read_stats(dirs, 1);
    cr_assert_eq(s.n_hugetlb, 1);
    cr_expect_str_eq(s.hugetlb[0].page_size, "2MB");
    IS(hugetlb[0].m.usage, 2097152);
    IS(hugetlb[0].m.max_usage, 4194304);
    IS(hugetlb[0].m.failcnt, 1);
    read_stats(&v2, 1);
    cr_assert_eq(s.n_hugetlb, 1);
    IS(hugetlb[0].m.limit, UINT64_MAX);
    IS(hugetlb[0].m.failcnt, 5);
}

Test(cgroup_stats, nothing_there_is_nothing_set)
{
    struct cgroup_dir dirs[] = {fake_dir(false, UINT32_MAX, (const char *const[]){NULL}),
                                fake_dir(true, UINT32_MAX, (const char *const[]){NULL})};
    const struct cgroup_stats empty = {0};
    struct cgroup_dir v2 = dirs[1];

    read_stats(dirs, 1);
    cr_expect_null(s.cpuset.cpus);
    UNSET(cpu.total);
    UNSET(memory.usage.usage);
    UNSET(pids.current);
    cr_expect_eq(s.memory.n_raw + s.io.service_bytes.n + s.n_hugetlb + s.n_rdma_limit, 0);
    read_stats(&v2, 1);
    s.memory.raw = NULL;
    s.hugetlb = NULL;
    cr_expect_eq(memcmp(&s, &empty, sizeof(s)), 0);
}

Test(cgroup_stats, strange_lines_are_passed_over)
{
    struct cgroup_dir d =
        fake_dir(true, v2_controllers,
                 (const char *const[]){"cpu.stat", "usage_usec\nusage_usec -5\n\nuser_usec 1\n junk\n",
                                       "memory.stat", "anon 99999999999999999999\nfile 12 3\nsock 8",
                                       "memory.current", "", "pids.current", "three\n", "io.stat",
                                       "rbytes=1 8:x rbytes=2 8:0 rbytes= rios=1\n", "cpu.pressure",
                                       "some avg10=x\n", NULL});

    cr_assert_eq(mkdirat(d.fd, "pids.max", 0755), 0);
    cr_assert_eq(symlinkat("/proc/self/stat", d.fd, "memory.max"), 0);
    read_stats(&d, 1);
    UNSET(cpu.total);
    IS(cpu.user, 1000);
    UNSET(memory.usage.usage);
    UNSET(pids.current);
    UNSET(pids.limit);
    cr_expect_eq(s.memory.n_raw, 1);
    cr_expect_eq(s.io.service_bytes.n, 0);
    cr_expect_eq(s.io.serviced.n, 1);
    cr_expect(!s.cpu.pressure.set);
}

Test(cgroup_stats, long_files)
{
    enum { CPUS = 4096 };
    static char text[CPUS * 12 + 2], *p = text;
    struct cgroup_dir d = fake_dir(false, CG_BIT(CG_CPUACCT), (const char *const[]){NULL});

    for (unsigned i = 0; i < CPUS; i++)
        p += sprintf(p, "%u ", 1000000000 + i);
    fake_file(&d, "cpuacct.usage_percpu", text);
    read_stats(&d, 1);
    cr_assert_eq(s.cpu.n_per_cpu, CPUS);
    cr_expect_eq(s.cpu.per_cpu[CPUS - 1], 1000000000 + CPUS - 1);
}

Test(cgroup_stats, no_cgroup_is_an_error)
{
    struct cgroup c = fake_cgroup(&arena, NULL, 0);

    cr_assert_eq(cgroup_stats(&c, &s, &err), -1);
    cr_expect(strstr(err.message, "no cgroup"), "%s", err.message);
}
