/* The statistics document: byte for byte what those who parse runc's expect. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "runtime/stats.h"

static struct arena arena;

static const char *document(const struct cgroup_stats *s)
{
    struct json_writer w = json_writer_begin(&arena, false);

    stats_write(&w, s, getpid()); /* our own network namespace: no interfaces */
    return json_writer_end(&w, NULL);
}

static struct cgroup_number n(uint64_t value)
{
    return (struct cgroup_number){true, value};
}

Test(stats, nothing_known)
{
    static const struct cgroup_stats s;

    cr_expect_str_eq(
        document(&s),
        "{\"cpu\":{\"usage\":{\"kernel\":0,\"user\":0},\"throttling\":{}},"
        "\"cpuset\":{\"cpu_exclusive\":0,\"mem_hardwall\":0,\"mem_exclusive\":0,\"memory_migrate\":0,"
        "\"memory_spread_page\":0,\"memory_spread_slab\":0,\"memory_pressure\":0,\"sched_load_balance\":0,"
        "\"sched_relax_domain_level\":0},"
        "\"memory\":{\"usage\":{\"limit\":0,\"failcnt\":0},\"swap\":{\"limit\":0,\"failcnt\":0},"
        "\"kernel\":{\"limit\":0,\"failcnt\":0},\"kernelTCP\":{\"limit\":0,\"failcnt\":0}},"
        "\"pids\":{},\"blkio\":{},\"hugetlb\":{},\"intel_rdt\":{},\"network_interfaces\":null}");
}

Test(stats, all_known)
{
    static char name[] = "cache", size[] = "2MB", cpus[] = "0-2,5", mems[] = "0";
    static uint64_t total[] = {1, 2}, kernel[] = {3, 4}, user[] = {5, 6};
    struct cgroup_raw raw = {name, 7};
    struct cgroup_io_entry bytes = {8, 0, "Read", 4096}, count = {8, 16, "Write", 0};
    struct cgroup_hugetlb huge = {size, {.usage = n(9), .max_usage = n(10), .failcnt = n(11)}};
    struct cgroup_stats s = {
        .cpu = {.total = n(100),
                .kernel = n(30),
                .user = n(70),
                .per_cpu = total,
                .n_per_cpu = 2,
                .per_cpu_kernel = kernel,
                .per_cpu_user = user,
                .n_per_cpu_modes = 2,
                .periods = n(1),
                .throttled_periods = n(2),
                .throttled_time = n(3),
                .pressure = {true, {3.07, 4.6, 10, 5}, {0.5, 0, 100, 0}}},
        .cpuset = {.cpus = cpus,
                   .mems = mems,
                   .sched_load_balance = n(1),
                   .sched_relax_domain_level = n(UINT64_MAX)},
        .memory = {.cache = n(7), .usage = {n(1), n(2), n(UINT64_MAX), n(4)}, .raw = &raw, .n_raw = 1},
        .pids = {n(3), n(50)},
        .io = {.service_bytes = {&bytes, 1}, .serviced = {&count, 1}},
        .hugetlb = &huge,
        .n_hugetlb = 1,
    };
    const char *text = document(&s);
    static const char *const parts[] = {
        "{\"usage\":{\"total\":100,\"percpu\":[1,2],\"percpu_kernel\":[3,4],\"percpu_user\":[5,6],\"kernel\":"
        "30,"
        "\"user\":70},\"throttling\":{\"periods\":1,\"throttledPeriods\":2,\"throttledTime\":3},\"psi\":{"
        "\"some\":{"
        "\"avg10\":3.07,\"avg60\":4.6,\"avg300\":10,\"total\":5},\"full\":{\"avg10\":0.5,\"avg60\":0,"
        "\"avg300\":100,"
        "\"total\":0}}}",
        "{\"cpus\":[0,1,2,5],\"cpu_exclusive\":0,\"mems\":[0],",
        "\"sched_load_balance\":1,\"sched_relax_domain_level\":-1}",
        "\"memory\":{\"cache\":7,\"usage\":{\"limit\":18446744073709551615,\"usage\":1,\"max\":2,\"failcnt\":"
        "4},",
        "\"raw\":{\"cache\":7}}",
        "\"pids\":{\"current\":3,\"limit\":50}",
        "\"blkio\":{\"ioServiceBytesRecursive\":[{\"major\":8,\"op\":\"Read\",\"value\":4096}],"
        "\"ioServicedRecursive\":[{\"major\":8,\"minor\":16,\"op\":\"Write\"}]}",
        "\"hugetlb\":{\"2MB\":{\"usage\":9,\"max\":10,\"failcnt\":11}}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        cr_expect(strstr(text, parts[i]), "no %s in %s", parts[i], text);
    s.pids.limit.value = UINT64_MAX;
    cr_expect(strstr(document(&s), "\"pids\":{\"current\":3}"));
}

Test(stats, strange_cpu_lists)
{
    static const struct {
        const char *list, *json;
    } rows[] = {
        {"", "{\"cpu_exclusive\""}, {"x", "{\"cpus\":[],"},  {"0,", "{\"cpus\":[0],"},
        {"3-1", "{\"cpus\":[],"},   {"1-", "{\"cpus\":[],"}, {"65535-99999999", "{\"cpus\":[65535],"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct cgroup_stats s = {.cpuset.cpus = arena_strdup(&arena, rows[i].list)};

        cr_expect(strstr(document(&s), rows[i].json), "%s: %s", rows[i].list, document(&s));
    }
}

Test(stats, events)
{
    struct container c = {.id = arena_strdup(&arena, "web"), .pid = getpid()};
    struct cgroup cg = {.arena = &arena};
    struct error err = {0};
    size_t length;
    char *text;

    cr_expect_str_eq(oom_event(&arena, &c, &length), "{\"type\":\"oom\",\"id\":\"web\"}");
    cr_expect_eq(length, strlen("{\"type\":\"oom\",\"id\":\"web\"}"));
    cr_expect_eq(stats_event(&arena, &cg, &c, &text, &length, &err), -1);
}
