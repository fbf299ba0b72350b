/*
 * How `hull stats` shows a round of samples: a table for people, an array for programs. What is not known (a controller
 * that the host does not have, a first sample) is "--" in the one and null in the other.
 *
 * Memory is what docker and kubectl call so: without the page cache that can be dropped at once (inactive_file). It is
 * told of the limit or, where that is none or more than the machine has, of the machine's memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "cli/stats.h"

enum { COLUMNS = 8, COLUMN_GAP = 3, SHORT_ID = 12, FULL_ID = 64 };

struct row {
    const char *cell[COLUMNS];
};

static const struct row titles = {{"ID", "CPU %", "MEM USAGE / LIMIT", "MEM %", "PIDS", "BLOCK IN / OUT",
                                   "NET IN / OUT", "PRESSURE CPU / MEM / IO"}};

struct figures {
    struct cgroup_number memory, limit, memory_share /* hundredths of a percent */, read, written, rx, tx;
};

static uint64_t machine_memory(void)
{
    struct sysinfo info;

    return sysinfo(&info) < 0 ? UINT64_MAX : (uint64_t)info.totalram * info.mem_unit;
}

/* @v1: what that version calls the same with the cgroups below. */
static uint64_t memory_stat(const struct cgroup_stats *s, const char *v1, const char *name)
{
    uint64_t value = 0;

    for (size_t i = 0; i < s->memory.n_raw; i++) {
        if (strcmp(s->memory.raw[i].name, v1) == 0)
            return s->memory.raw[i].value;
        if (strcmp(s->memory.raw[i].name, name) == 0)
            value = s->memory.raw[i].value;
    }
    return value;
}

static struct cgroup_number io_sum(const struct cgroup_io_entries *e, const char *op)
{
    struct cgroup_number sum = {.set = true};

    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->v[i].op, op) == 0)
            sum.value += e->v[i].value;
    return sum;
}

static struct figures figures_of(const struct stats_sample *sample)
{
    const struct cgroup_stats *s = &sample->s;
    struct figures f = {.rx = {sample->has_net, sample->net_rx}, .tx = {sample->has_net, sample->net_tx}};
    uint64_t cache = memory_stat(s, "total_inactive_file", "inactive_file");

    if (!sample->has_stats)
        return f;
    f.read = io_sum(&s->io.service_bytes, "Read");
    f.written = io_sum(&s->io.service_bytes, "Write");
    f.memory = s->memory.usage.usage;
    if (!f.memory.set)
        return f;
    f.memory.value -= cache < f.memory.value ? cache : f.memory.value;
    f.limit = (struct cgroup_number){true, machine_memory()};
    if (s->memory.usage.limit.set && s->memory.usage.limit.value < f.limit.value)
        f.limit = s->memory.usage.limit;
    f.memory_share.set = f.limit.value > 0;
    if (f.limit.value > 0)
        f.memory_share.value = (uint64_t)((double)f.memory.value * 10000 / (double)f.limit.value);
    return f;
}

/* --- the table --- */

/* 999B, 1.50KiB, 512MiB */
static const char *bytes(struct arena *a, struct cgroup_number n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)n.value;
    size_t unit = 0;

    if (!n.set)
        return "--";
    for (; value >= 1000 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1024;
    return arena_printf(a, "%.*f%s", unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2, value, units[unit]);
}

static const char *byte_pair(struct arena *a, struct cgroup_number left, struct cgroup_number right)
{
    return arena_printf(a, "%s / %s", bytes(a, left), bytes(a, right));
}

static const char *percent(struct arena *a, struct cgroup_number n)
{
    return n.set ? arena_printf(a, "%" PRIu64 ".%02u%%", n.value / 100, (unsigned)(n.value % 100)) : "--";
}

static const char *pids(struct arena *a, const struct cgroup_stats *s)
{
    if (!s->pids.current.set)
        return "--";
    if (!s->pids.limit.set || s->pids.limit.value == UINT64_MAX)
        return arena_printf(a, "%" PRIu64, s->pids.current.value);
    return arena_printf(a, "%" PRIu64 " / %" PRIu64, s->pids.current.value, s->pids.limit.value);
}

static const char *pressure(struct arena *a, const struct cgroup_pressure *p)
{
    return p->set ? arena_printf(a, "%.1f%%", p->some.avg10) : "--";
}

/* Engines name containers by 64 hexadecimal digits, of which people use the first twelve. */
static const char *short_id(struct arena *a, const char *id, bool no_trunc)
{
    bool cut = !no_trunc && strlen(id) == FULL_ID && strspn(id, "0123456789abcdef") == FULL_ID;

    return cut ? arena_strndup(a, id, SHORT_ID) : id;
}

static struct row make_row(struct arena *a, const struct stats_sample *sample, const struct stats_view *view)
{
    const struct cgroup_stats *s = &sample->s;
    struct figures f = figures_of(sample);

    return (struct row){{
        short_id(a, sample->id, view->no_trunc),
        percent(a, sample->cpu),
        byte_pair(a, f.memory, f.limit),
        percent(a, f.memory_share),
        pids(a, s),
        byte_pair(a, f.read, f.written),
        byte_pair(a, f.rx, f.tx),
        arena_printf(a, "%s / %s / %s", pressure(a, &s->cpu.pressure), pressure(a, &s->memory.pressure),
                     pressure(a, &s->io.pressure)),
    }};
}

/* What goes beyond the terminal's edge is left out: a line that wraps would spoil the next frame. */
static void add_line(struct buffer *b, const struct row *row, const size_t *width, size_t columns)
{
    struct buffer line = {.arena = b->arena};

    for (size_t i = 0; i < COLUMNS; i++)
        buffer_printf(&line, "%-*s", i + 1 < COLUMNS ? (int)(width[i] + COLUMN_GAP) : 0, row->cell[i]);
    if (columns && line.length > columns)
        line.length = columns;
    buffer_add(b, line.data, line.length);
    buffer_puts(b, "\n");
}

void stats_table(struct buffer *b, const struct stats_round *round, const struct stats_view *view)
{
    struct row *rows = arena_new_n(b->arena, round->n + 1, struct row);
    size_t width[COLUMNS] = {0}, shown = round->n;

    rows[0] = titles;
    for (size_t i = 0; i < round->n; i++)
        rows[i + 1] = make_row(b->arena, &round->v[i], view);
    for (size_t i = 0; i <= round->n; i++)
        for (size_t column = 0; column < COLUMNS; column++)
            if (strlen(rows[i].cell[column]) > width[column])
                width[column] = strlen(rows[i].cell[column]);
    /* One line for the titles, one for the cursor, and one to say how many are not shown. */
    if (view->rows && round->n + 2 > view->rows)
        shown = view->rows > 3 ? view->rows - 3 : 0;
    for (size_t i = 0; i <= shown; i++)
        add_line(b, &rows[i], width, view->columns);
    if (shown < round->n)
        buffer_printf(b, "... %zu more\n", round->n - shown);
}

/* --- JSON --- */

static void number(struct json_writer *w, const char *key, struct cgroup_number n)
{
    json_key(w, key);
    if (n.set && n.value != UINT64_MAX)
        json_uint(w, n.value);
    else
        json_string(w, NULL);
}

/* In hundredths, written with two decimals. */
static void share(struct json_writer *w, const char *key, struct cgroup_number n)
{
    char text[32];

    json_key(w, key);
    if (!n.set) {
        json_string(w, NULL);
        return;
    }
    snprintf(text, sizeof(text), "%" PRIu64 ".%02u", n.value / 100, (unsigned)(n.value % 100));
    json_value(w, &(struct json){.type = JSON_NUMBER, .text = text, .length = strlen(text)});
}

static void pressure_share(struct json_writer *w, const char *key, const struct cgroup_pressure *p)
{
    share(w, key, (struct cgroup_number){p->set, (uint64_t)(p->some.avg10 * 100 + 0.5)});
}

static void write_sample(struct json_writer *w, const struct stats_sample *sample)
{
    const struct cgroup_stats *s = &sample->s;
    struct figures f = figures_of(sample);

    json_object(w);
    json_key(w, "id");
    json_string(w, sample->id);
    json_key(w, "pid");
    json_int(w, sample->pid);
    share(w, "cpu_percent", sample->cpu);
    number(w, "cpu_ns", s->cpu.total);
    number(w, "memory_usage", f.memory);
    number(w, "memory_limit", f.limit);
    share(w, "memory_percent", f.memory_share);
    number(w, "memory_oom_kills", s->memory.oom_kill);
    number(w, "pids", s->pids.current);
    number(w, "pids_limit", s->pids.limit);
    number(w, "block_read", f.read);
    number(w, "block_written", f.written);
    number(w, "net_received", f.rx);
    number(w, "net_sent", f.tx);
    pressure_share(w, "pressure_cpu", &s->cpu.pressure);
    pressure_share(w, "pressure_memory", &s->memory.pressure);
    pressure_share(w, "pressure_io", &s->io.pressure);
    json_object_end(w);
}

void stats_json(struct buffer *b, const struct stats_round *round)
{
    struct json_writer w = json_writer_begin(b->arena, false);
    size_t length;
    char *text;

    json_array(&w);
    for (size_t i = 0; i < round->n; i++)
        write_sample(&w, &round->v[i]);
    json_array_end(&w);
    text = json_writer_end(&w, &length);
    buffer_add(b, text, length);
    buffer_puts(b, "\n");
}
