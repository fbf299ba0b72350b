/*
 * Statistics in the form of v2 (Documentation/admin-guide/cgroup-v2.rst), told in the terms of v1, which those who read
 * them know: swap includes memory, times are nanoseconds, a limit that was hit is a failcnt.
 */
#include "cgroups/stats_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_US 1000

void stats_v2_cpu(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    static const struct stats_field fields[] = {
        {"usage_usec", offsetof(struct cgroup_stats, cpu.total), NS_PER_US},
        {"user_usec", offsetof(struct cgroup_stats, cpu.user), NS_PER_US},
        {"system_usec", offsetof(struct cgroup_stats, cpu.kernel), NS_PER_US},
        {"nr_periods", offsetof(struct cgroup_stats, cpu.periods), 1},
        {"nr_throttled", offsetof(struct cgroup_stats, cpu.throttled_periods), 1},
        {"throttled_usec", offsetof(struct cgroup_stats, cpu.throttled_time), NS_PER_US},
    };

    stats_fields(stats_text(r, d, "cpu.stat"), fields, ARRAY_SIZE(fields), out);
}

/* What it has in effect: what was asked for is empty where nothing was. */
void stats_v2_cpuset(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    const char *text = stats_text(r, d, "cpuset.cpus.effective");

    out->cpuset.cpus = text ? arena_strdup(r->arena, text) : NULL;
    text = stats_text(r, d, "cpuset.mems.effective");
    out->cpuset.mems = text ? arena_strdup(r->arena, text) : NULL;
}

static struct cgroup_memory_entry read_entry(struct stats_reader *r, const struct cgroup_dir *d,
                                             const char *prefix)
{
    static const struct {
        const char *suffix;
        size_t offset;
    } files[] = {
        {"current", offsetof(struct cgroup_memory_entry, usage)},
        {"peak", offsetof(struct cgroup_memory_entry, max_usage)}, /* 5.19 */
        {"max", offsetof(struct cgroup_memory_entry, limit)},
    };
    struct cgroup_memory_entry entry = {0};
    char name[64];

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct cgroup_number *number = (void *)((char *)&entry + files[i].offset);

        snprintf(name, sizeof(name), "%s.%s", prefix, files[i].suffix);
        *number = stats_number(r, d, name);
        if (i == 0 && !number->set)
            break; /* this kind is not accounted: spare the other two */
    }
    return entry;
}

static struct cgroup_number sum(struct cgroup_number a, struct cgroup_number b)
{
    if (!a.set || !b.set)
        return (struct cgroup_number){0};
    if (__builtin_add_overflow(a.value, b.value, &a.value))
        a.value = UINT64_MAX; /* one of them is "max" */
    return a;
}

void stats_v2_memory(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    static const struct stats_field events[] = {
        {"max", offsetof(struct cgroup_stats, memory.usage.failcnt), 1},
        {"oom_kill", offsetof(struct cgroup_stats, memory.oom_kill), 1},
    };
    static const struct stats_field swap_events[] = {
        {"max", offsetof(struct cgroup_stats, memory.swap_only.failcnt), 1},
    };

    out->memory.usage = read_entry(r, d, "memory");
    out->memory.swap_only = read_entry(r, d, "memory.swap");
    stats_fields(stats_text(r, d, "memory.events"), events, ARRAY_SIZE(events), out);
    stats_fields(stats_text(r, d, "memory.swap.events"), swap_events, ARRAY_SIZE(swap_events), out);
    out->memory.swap.usage = sum(out->memory.usage.usage, out->memory.swap_only.usage);
    out->memory.swap.limit = sum(out->memory.usage.limit, out->memory.swap_only.limit);
    out->memory.swap.failcnt = out->memory.swap_only.failcnt;
    stats_memory_raw(r, d, out);
    out->memory.cache = stats_memory_value(out, "file");
    out->memory.kernel.usage = stats_memory_value(out, "kernel"); /* 5.18 */
    out->memory.kernel_tcp.usage = stats_memory_value(out, "sock");
}

void stats_v2_hugetlb(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    static const struct stats_field events[] = {{"max", offsetof(struct cgroup_memory_entry, failcnt), 1}};
    const char *const *sizes;
    size_t n = stats_page_sizes(&sizes);

    out->hugetlb = arena_new_n(r->arena, n + 1, struct cgroup_hugetlb);
    for (size_t i = 0; i < n; i++) {
        char name[48];

        snprintf(name, sizeof(name), "hugetlb.%s", sizes[i]);
        struct cgroup_memory_entry m = read_entry(r, d, name);
        if (!m.usage.set)
            continue;
        snprintf(name, sizeof(name), "hugetlb.%s.events", sizes[i]);
        stats_fields(stats_text(r, d, name), events, ARRAY_SIZE(events), &m);
        out->hugetlb[out->n_hugetlb++] = (struct cgroup_hugetlb){arena_strdup(r->arena, sizes[i]), m};
    }
}

static void add_io_field(struct arena *a, struct cgroup_stats *out, struct cgroup_io_entry entry,
                         const char *field)
{
    static const struct {
        const char *name, *op;
        size_t offset;
    } fields[] = {
        {"rbytes=", "Read", offsetof(struct cgroup_stats, io.service_bytes)},
        {"wbytes=", "Write", offsetof(struct cgroup_stats, io.service_bytes)},
        {"dbytes=", "Discard", offsetof(struct cgroup_stats, io.service_bytes)},
        {"rios=", "Read", offsetof(struct cgroup_stats, io.serviced)},
        {"wios=", "Write", offsetof(struct cgroup_stats, io.serviced)},
        {"dios=", "Discard", offsetof(struct cgroup_stats, io.serviced)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        size_t length = strlen(fields[i].name);
        struct cgroup_number value;

        if (strncmp(field, fields[i].name, length) != 0)
            continue;
        value = stats_parse_number(field + length);
        entry.op = fields[i].op;
        entry.value = value.value;
        if (value.set)
            stats_io_add(a, (void *)((char *)out + fields[i].offset), entry);
    }
}

/* "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0". Some kernels leave out the newline after a device that has
 * nothing to tell, so a device is recognized wherever it stands. */
void stats_v2_io(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    char *text = stats_text(r, d, "io.stat"), *word;
    struct cgroup_io_entry entry = {0};
    bool device = false;

    while ((word = strsep(&text, " \n"))) {
        if (!strchr(word, '=')) {
            if (*word)
                device = sscanf(word, "%" SCNu64 ":%" SCNu64, &entry.major, &entry.minor) == 2;
        } else if (device) {
            add_io_field(r->arena, out, entry, word);
        }
    }
}
