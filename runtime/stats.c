/*
 * The statistics document of runc (types/events.go there): containerd's shim and others parse it, so names, nesting and
 * what is left out when it is zero are kept. What a controller did not tell counts as zero. Beyond runc's, v2's CPU lists
 * are told, and the interfaces of a network namespace that is the container's own, which runc leaves to the engine.
 * "intel_rdt" is always there and empty.
 */
#include "runtime/stats.h"

#include <string.h>

#include "net/counters.h"

enum { CPU_MAX = UINT16_MAX };

/* In each object some numbers are always there, the others only when they are not zero. */
static void number(struct json_writer *w, const char *key, struct cgroup_number n)
{
    json_key(w, key);
    json_uint(w, n.set ? n.value : 0);
}

static void number_if(struct json_writer *w, const char *key, struct cgroup_number n)
{
    if (n.set && n.value)
        number(w, key, n);
}

static void array_if(struct json_writer *w, const char *key, const uint64_t *v, size_t n)
{
    if (n == 0)
        return;
    json_key(w, key);
    json_array(w);
    for (size_t i = 0; i < n; i++)
        json_uint(w, v[i]);
    json_array_end(w);
}

/* The kernel gives two decimals; as Go writes them, without zeros at the end. */
static void percent(struct json_writer *w, const char *key, double value)
{
    char text[32];
    size_t n;

    snprintf(text, sizeof(text), "%.2f", value);
    n = strlen(text);
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    text[n] = '\0';
    json_key(w, key);
    json_value(w, &(struct json){.type = JSON_NUMBER, .text = text, .length = n});
}

static void pressure_line(struct json_writer *w, const char *key, const struct cgroup_pressure_line *l)
{
    json_key(w, key);
    json_object(w);
    percent(w, "avg10", l->avg10);
    percent(w, "avg60", l->avg60);
    percent(w, "avg300", l->avg300);
    json_key(w, "total");
    json_uint(w, l->total);
    json_object_end(w);
}

static void pressure(struct json_writer *w, const struct cgroup_pressure *p)
{
    if (!p->set)
        return;
    json_key(w, "psi");
    json_object(w);
    pressure_line(w, "some", &p->some);
    pressure_line(w, "full", &p->full);
    json_object_end(w);
}

static void write_cpu(struct json_writer *w, const struct cgroup_stats *s)
{
    json_key(w, "cpu");
    json_object(w);
    json_key(w, "usage");
    json_object(w);
    number_if(w, "total", s->cpu.total);
    array_if(w, "percpu", s->cpu.per_cpu, s->cpu.n_per_cpu);
    array_if(w, "percpu_kernel", s->cpu.per_cpu_kernel, s->cpu.n_per_cpu_modes);
    array_if(w, "percpu_user", s->cpu.per_cpu_user, s->cpu.n_per_cpu_modes);
    number(w, "kernel", s->cpu.kernel);
    number(w, "user", s->cpu.user);
    json_object_end(w);
    json_key(w, "throttling");
    json_object(w);
    number_if(w, "periods", s->cpu.periods);
    number_if(w, "throttledPeriods", s->cpu.throttled_periods);
    number_if(w, "throttledTime", s->cpu.throttled_time);
    json_object_end(w);
    pressure(w, &s->cpu.pressure);
    json_object_end(w);
}

/* "0-3,8" as [0,1,2,3,8] */
static void list_if(struct json_writer *w, const char *key, const char *list)
{
    if (!list || !*list)
        return;
    json_key(w, key);
    json_array(w);
    while (*list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;

        if (end == list)
            break;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (; first <= last && first <= CPU_MAX; first++)
            json_uint(w, first);
        list = *end == ',' ? end + 1 : "";
    }
    json_array_end(w);
}

static void write_cpuset(struct json_writer *w, const struct cgroup_stats *s)
{
    json_key(w, "cpuset");
    json_object(w);
    list_if(w, "cpus", s->cpuset.cpus);
    number(w, "cpu_exclusive", s->cpuset.cpu_exclusive);
    list_if(w, "mems", s->cpuset.mems);
    number(w, "mem_hardwall", s->cpuset.mem_hardwall);
    number(w, "mem_exclusive", s->cpuset.mem_exclusive);
    number(w, "memory_migrate", s->cpuset.memory_migrate);
    number(w, "memory_spread_page", s->cpuset.memory_spread_page);
    number(w, "memory_spread_slab", s->cpuset.memory_spread_slab);
    number(w, "memory_pressure", s->cpuset.memory_pressure);
    number(w, "sched_load_balance", s->cpuset.sched_load_balance);
    json_key(w, "sched_relax_domain_level");
    json_int(w, (int64_t)s->cpuset.sched_relax_domain_level.value); /* -1: the system's */
    json_object_end(w);
}

static void memory_entry(struct json_writer *w, const char *key, const struct cgroup_memory_entry *m)
{
    json_key(w, key);
    json_object(w);
    number(w, "limit", m->limit);
    number_if(w, "usage", m->usage);
    number_if(w, "max", m->max_usage);
    number(w, "failcnt", m->failcnt);
    json_object_end(w);
}

static void write_memory(struct json_writer *w, const struct cgroup_stats *s)
{
    json_key(w, "memory");
    json_object(w);
    number_if(w, "cache", s->memory.cache);
    memory_entry(w, "usage", &s->memory.usage);
    memory_entry(w, "swap", &s->memory.swap);
    memory_entry(w, "kernel", &s->memory.kernel);
    memory_entry(w, "kernelTCP", &s->memory.kernel_tcp);
    if (s->memory.n_raw) {
        json_key(w, "raw");
        json_object(w);
        for (size_t i = 0; i < s->memory.n_raw; i++) {
            json_key(w, s->memory.raw[i].name);
            json_uint(w, s->memory.raw[i].value);
        }
        json_object_end(w);
    }
    pressure(w, &s->memory.pressure);
    json_object_end(w);
}

static void write_pids(struct json_writer *w, const struct cgroup_stats *s)
{
    json_key(w, "pids");
    json_object(w);
    number_if(w, "current", s->pids.current);
    if (s->pids.limit.value != UINT64_MAX)
        number_if(w, "limit", s->pids.limit);
    json_object_end(w);
}

static void io_entries_if(struct json_writer *w, const char *key, const struct cgroup_io_entries *e)
{
    if (e->n == 0)
        return;
    json_key(w, key);
    json_array(w);
    for (size_t i = 0; i < e->n; i++) {
        json_object(w);
        number_if(w, "major", (struct cgroup_number){true, e->v[i].major});
        number_if(w, "minor", (struct cgroup_number){true, e->v[i].minor});
        json_key(w, "op");
        json_string(w, e->v[i].op);
        number_if(w, "value", (struct cgroup_number){true, e->v[i].value});
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_io(struct json_writer *w, const struct cgroup_stats *s)
{
    json_key(w, "blkio");
    json_object(w);
    io_entries_if(w, "ioServiceBytesRecursive", &s->io.service_bytes);
    io_entries_if(w, "ioServicedRecursive", &s->io.serviced);
    pressure(w, &s->io.pressure);
    json_object_end(w);
}

static void write_hugetlb(struct json_writer *w, const struct cgroup_stats *s)
{
    json_key(w, "hugetlb");
    json_object(w);
    for (size_t i = 0; i < s->n_hugetlb; i++) {
        json_key(w, s->hugetlb[i].page_size);
        json_object(w);
        number_if(w, "usage", s->hugetlb[i].m.usage);
        number_if(w, "max", s->hugetlb[i].m.max_usage);
        number(w, "failcnt", s->hugetlb[i].m.failcnt);
        json_object_end(w);
    }
    json_object_end(w);
}

static void write_interfaces(struct json_writer *w, pid_t pid)
{
    struct net_counters *c;
    size_t n = net_counters_read(w->arena, pid, &c);

    json_key(w, "network_interfaces");
    if (n == 0) {
        json_string(w, NULL);
        return;
    }
    json_array(w);
    for (size_t i = 0; i < n; i++) {
        const struct {
            const char *key;
            uint64_t value;
        } fields[] = {
            {"RxBytes", c[i].rx_bytes},     {"RxPackets", c[i].rx_packets}, {"RxErrors", c[i].rx_errors},
            {"RxDropped", c[i].rx_dropped}, {"TxBytes", c[i].tx_bytes},     {"TxPackets", c[i].tx_packets},
            {"TxErrors", c[i].tx_errors},   {"TxDropped", c[i].tx_dropped},
        };

        json_object(w);
        json_key(w, "Name");
        json_string(w, c[i].name);
        for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
            json_key(w, fields[f].key);
            json_uint(w, fields[f].value);
        }
        json_object_end(w);
    }
    json_array_end(w);
}

void stats_write(struct json_writer *w, const struct cgroup_stats *s, pid_t pid)
{
    json_object(w);
    write_cpu(w, s);
    write_cpuset(w, s);
    write_memory(w, s);
    write_pids(w, s);
    write_io(w, s);
    write_hugetlb(w, s);
    json_key(w, "intel_rdt");
    json_object(w);
    json_object_end(w);
    write_interfaces(w, pid);
    json_object_end(w);
}

static struct json_writer begin_event(struct arena *a, const char *type, const struct container *c)
{
    struct json_writer w = json_writer_begin(a, false);

    json_object(&w);
    json_key(&w, "type");
    json_string(&w, type);
    json_key(&w, "id");
    json_string(&w, c->id);
    return w;
}

int stats_event(struct arena *a, const struct cgroup *cg, const struct container *c, char **text,
                size_t *length, struct error *err)
{
    struct cgroup view = *cg; /* the same directories */
    struct cgroup_stats s;
    struct json_writer w;

    view.arena = a;
    if (cgroup_stats(&view, &s, err) < 0)
        return -1;
    w = begin_event(a, "stats", c);
    json_key(&w, "data");
    stats_write(&w, &s, c->pid);
    json_object_end(&w);
    *text = json_writer_end(&w, length);
    return 0;
}

char *oom_event(struct arena *a, const struct container *c, size_t *length)
{
    struct json_writer w = begin_event(a, "oom", c);

    json_object_end(&w);
    return json_writer_end(&w, length);
}
