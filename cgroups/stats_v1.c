/* Statistics in the form of v1: a file a number, times in ticks and nanoseconds (Documentation/admin-guide/cgroup-v1). */
#include "cgroups/stats_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S 1000000000ULL

/* --- cpu, cpuacct --- */

void stats_v1_cpu(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    static const struct stats_field fields[] = {
        {"nr_periods", offsetof(struct cgroup_stats, cpu.periods), 1},
        {"nr_throttled", offsetof(struct cgroup_stats, cpu.throttled_periods), 1},
        {"throttled_time", offsetof(struct cgroup_stats, cpu.throttled_time), 1},
    };

    stats_fields(stats_text(r, d, "cpu.stat"), fields, ARRAY_SIZE(fields), out);
}

/* "NS NS ... ", one a CPU */
static void read_per_cpu(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    char *text = stats_text(r, d, "cpuacct.usage_percpu"), *word;
    size_t room = 1, n = 0;

    if (!text)
        return;
    for (const char *p = text; *p; p++)
        room += *p == ' ';
    out->cpu.per_cpu = arena_new_n(r->arena, room, uint64_t);
    while ((word = strsep(&text, " "))) {
        struct cgroup_number ns = stats_parse_number(word);
        if (ns.set)
            out->cpu.per_cpu[n++] = ns.value;
    }
    out->cpu.n_per_cpu = n;
}

/* "cpu user system", then "0 NS NS", one line a CPU */
static void read_per_cpu_modes(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    char *text = stats_text(r, d, "cpuacct.usage_all"), *line;
    size_t room = 1, n = 0;

    if (!text)
        return;
    for (const char *p = text; *p; p++)
        room += *p == '\n';
    out->cpu.per_cpu_user = arena_new_n(r->arena, room, uint64_t);
    out->cpu.per_cpu_kernel = arena_new_n(r->arena, room, uint64_t);
    while ((line = strsep(&text, "\n")))
        if (sscanf(line, "%*u %" SCNu64 " %" SCNu64, &out->cpu.per_cpu_user[n],
                   &out->cpu.per_cpu_kernel[n]) == 2)
            n++;
    out->cpu.n_per_cpu_modes = n;
}

void stats_v1_cpuacct(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    long hz = sysconf(_SC_CLK_TCK);
    const uint64_t ns_per_tick = NS_PER_S / (hz > 0 ? (uint64_t)hz : 100);
    const struct stats_field fields[] = {
        {"user", offsetof(struct cgroup_stats, cpu.user), ns_per_tick},
        {"system", offsetof(struct cgroup_stats, cpu.kernel), ns_per_tick},
    };

    out->cpu.total = stats_number(r, d, "cpuacct.usage");
    stats_fields(stats_text(r, d, "cpuacct.stat"), fields, ARRAY_SIZE(fields), out);
    read_per_cpu(r, d, out);
    read_per_cpu_modes(r, d, out);
}

/* --- cpuset --- */

void stats_v1_cpuset(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    static const struct {
        const char *file;
        size_t offset;
    } flags[] = {
        {"cpuset.cpu_exclusive", offsetof(struct cgroup_stats, cpuset.cpu_exclusive)},
        {"cpuset.mem_hardwall", offsetof(struct cgroup_stats, cpuset.mem_hardwall)},
        {"cpuset.mem_exclusive", offsetof(struct cgroup_stats, cpuset.mem_exclusive)},
        {"cpuset.memory_migrate", offsetof(struct cgroup_stats, cpuset.memory_migrate)},
        {"cpuset.memory_spread_page", offsetof(struct cgroup_stats, cpuset.memory_spread_page)},
        {"cpuset.memory_spread_slab", offsetof(struct cgroup_stats, cpuset.memory_spread_slab)},
        {"cpuset.memory_pressure", offsetof(struct cgroup_stats, cpuset.memory_pressure)},
        {"cpuset.sched_load_balance", offsetof(struct cgroup_stats, cpuset.sched_load_balance)},
        {"cpuset.sched_relax_domain_level", offsetof(struct cgroup_stats, cpuset.sched_relax_domain_level)},
    };
    const char *text = stats_text(r, d, "cpuset.cpus");

    out->cpuset.cpus = text ? arena_strdup(r->arena, text) : NULL;
    text = stats_text(r, d, "cpuset.mems");
    out->cpuset.mems = text ? arena_strdup(r->arena, text) : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        *(struct cgroup_number *)(void *)((char *)out + flags[i].offset) = stats_number(r, d, flags[i].file);
}

/* --- memory, hugetlb --- */

static struct cgroup_memory_entry read_entry(struct stats_reader *r, const struct cgroup_dir *d,
                                             const char *prefix)
{
    static const struct {
        const char *suffix;
        size_t offset;
    } files[] = {
        {"usage_in_bytes", offsetof(struct cgroup_memory_entry, usage)},
        {"max_usage_in_bytes", offsetof(struct cgroup_memory_entry, max_usage)},
        {"limit_in_bytes", offsetof(struct cgroup_memory_entry, limit)},
        {"failcnt", offsetof(struct cgroup_memory_entry, failcnt)},
    };
    struct cgroup_memory_entry entry = {0};
    char name[64];

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct cgroup_number *number = (void *)((char *)&entry + files[i].offset);

        snprintf(name, sizeof(name), "%s.%s", prefix, files[i].suffix);
        *number = stats_number(r, d, name);
        if (i == 0 && !number->set)
            break; /* this kind is not accounted: spare the other three */
    }
    return entry;
}

void stats_v1_memory(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    static const struct stats_field fields[] = {
        {"oom_kill", offsetof(struct cgroup_stats, memory.oom_kill), 1}};
    struct cgroup_memory_entry *usage = &out->memory.usage, *swap = &out->memory.swap;

    *usage = read_entry(r, d, "memory");
    *swap = read_entry(r, d, "memory.memsw");
    out->memory.kernel = read_entry(r, d, "memory.kmem");
    out->memory.kernel_tcp = read_entry(r, d, "memory.kmem.tcp");
    stats_memory_raw(r, d, out);
    out->memory.cache = stats_memory_value(out, "total_cache"); /* with the cgroups below, as usage is */
    out->memory.swap_only.usage = stats_memory_value(out, "total_swap");
    if (usage->limit.set && swap->limit.set && swap->limit.value >= usage->limit.value)
        out->memory.swap_only.limit = (struct cgroup_number){true, swap->limit.value - usage->limit.value};
    stats_fields(stats_text(r, d, "memory.oom_control"), fields, ARRAY_SIZE(fields), out);
}

void stats_v1_hugetlb(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    const char *const *sizes;
    size_t n = stats_page_sizes(&sizes);

    out->hugetlb = arena_new_n(r->arena, n + 1, struct cgroup_hugetlb);
    for (size_t i = 0; i < n; i++) {
        char prefix[32];

        snprintf(prefix, sizeof(prefix), "hugetlb.%s", sizes[i]);
        struct cgroup_memory_entry m = read_entry(r, d, prefix);
        if (m.usage.set)
            out->hugetlb[out->n_hugetlb++] = (struct cgroup_hugetlb){arena_strdup(r->arena, sizes[i]), m};
    }
}

/* --- blkio --- */

/* "8:0 Read 4096" a line and, last, "Total 4096" of all devices, which is passed over. True: a device was there. */
static bool read_io(struct stats_reader *r, const struct cgroup_dir *d, const char *file,
                    struct cgroup_io_entries *e)
{
    char *text = stats_text(r, d, file), *line;

    while ((line = strsep(&text, "\n"))) {
        struct cgroup_io_entry entry;
        char op[16];

        if (sscanf(line, "%" SCNu64 ":%" SCNu64 " %15s %" SCNu64, &entry.major, &entry.minor, op,
                   &entry.value) != 4)
            continue;
        entry.op = arena_strdup(r->arena, op);
        stats_io_add(r->arena, e, entry);
    }
    return e->n > 0;
}

/* A device that BFQ schedules is accounted by BFQ; the throttling layer sees the others. */
void stats_v1_blkio(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    if (read_io(r, d, "blkio.bfq.io_service_bytes_recursive", &out->io.service_bytes)) {
        read_io(r, d, "blkio.bfq.io_serviced_recursive", &out->io.serviced);
        return;
    }
    read_io(r, d, "blkio.throttle.io_service_bytes_recursive", &out->io.service_bytes);
    read_io(r, d, "blkio.throttle.io_serviced_recursive", &out->io.serviced);
}
