/*
 * What a container uses: each controller is read from the directory that has it, in the form of that directory's
 * version (stats_v1.c, stats_v2.c); here is what they share and what is the same in both.
 *
 * A container can write none of these files, but they come and go: with the kernel's configuration, its version, and
 * with the cgroup itself, which may be removed while it is read. So nothing here fails: a file that is missing, or a
 * line that is not understood, leaves its field unset.
 *
 * A file costs three system calls: open, one read, close. Each of these files is made by the kernel as one record,
 * which a read either gets whole or is cut off by the buffer's end; a read that leaves room has had it all.
 */
#include "cgroups/stats_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/number.h"

enum { FIRST_CAPACITY = 16 << 10, MAX_CAPACITY = 4 << 20, MAX_PAGE_SIZES = 16 };

static const struct {
    enum cgroup_controller controller;
    stats_part *v1, *v2;
} parts[] = {
    {CG_CPU, stats_v1_cpu, stats_v2_cpu},
    {CG_CPUACCT, stats_v1_cpuacct, NULL}, /* v2 has it in cpu.stat */
    {CG_CPUSET, stats_v1_cpuset, stats_v2_cpuset},
    {CG_MEMORY, stats_v1_memory, stats_v2_memory},
    {CG_BLKIO, stats_v1_blkio, stats_v2_io},
    {CG_HUGETLB, stats_v1_hugetlb, stats_v2_hugetlb},
};

/* --- files --- */

static ssize_t read_some(int fd, char *to, size_t room)
{
    ssize_t n;

    do
        n = read(fd, to, room);
    while (n < 0 && errno == EINTR);
    return n;
}

char *stats_text(struct stats_reader *r, const struct cgroup_dir *d, const char *file)
{
    _cleanup_(fd_closep) int fd = d->fd < 0 ? -1 : openat(d->fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    size_t n = 0;

    if (fd < 0)
        return NULL;
    for (;;) {
        size_t room = r->capacity - n;
        ssize_t got = room < 2 ? 0 : read_some(fd, r->text + n, room - 1);

        if (got < 0)
            return NULL;
        n += (size_t)got;
        if (n + 1 < r->capacity)
            break;
        if (r->capacity >= MAX_CAPACITY)
            return NULL;
        size_t capacity = r->capacity ? r->capacity * 2 : FIRST_CAPACITY;
        r->text = arena_grow(r->arena, r->text, r->capacity, capacity);
        r->capacity = capacity;
    }
    if (n && r->text[n - 1] == '\n')
        n--;
    r->text[n] = '\0';
    return r->text;
}

struct cgroup_number stats_parse_number(const char *text)
{
    struct cgroup_number number = {.set = true, .value = UINT64_MAX};

    if (strcmp(text, "max") != 0 && strcmp(text, "-1") != 0)
        number.set = number_parse_u64(text, "", 0, UINT64_MAX, &number.value, NULL) == 0;
    return number;
}

struct cgroup_number stats_number(struct stats_reader *r, const struct cgroup_dir *d, const char *file)
{
    const char *text = stats_text(r, d, file);

    return text ? stats_parse_number(text) : (struct cgroup_number){0};
}

bool stats_pair(char **rest, char **name, uint64_t *value)
{
    char *line;

    while ((line = strsep(rest, "\n"))) {
        struct cgroup_number number;

        *name = strsep(&line, " ");
        if (!line)
            continue;
        number = stats_parse_number(line);
        if (!number.set)
            continue;
        *value = number.value;
        return true;
    }
    return false;
}

void stats_fields(char *text, const struct stats_field *fields, size_t n, void *target)
{
    uint64_t value;
    char *name;

    while (stats_pair(&text, &name, &value)) {
        for (size_t i = 0; i < n; i++) {
            if (strcmp(fields[i].name, name) != 0)
                continue;
            struct cgroup_number *number = (void *)((char *)target + fields[i].offset);
            *number = (struct cgroup_number){true, value * fields[i].factor};
        }
    }
}

/* --- what both versions have in common --- */

void stats_memory_raw(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    const char *text = stats_text(r, d, "memory.stat");
    char *rest = text ? arena_strdup(r->arena, text) : NULL, *name;
    size_t lines = 1;
    uint64_t value;

    for (const char *p = rest; p && (p = strchr(p, '\n')); p++)
        lines++;
    out->memory.raw = arena_new_n(r->arena, lines, struct cgroup_raw);
    while (stats_pair(&rest, &name, &value))
        out->memory.raw[out->memory.n_raw++] = (struct cgroup_raw){name, value};
}

struct cgroup_number stats_memory_value(const struct cgroup_stats *s, const char *name)
{
    for (size_t i = 0; i < s->memory.n_raw; i++)
        if (strcmp(s->memory.raw[i].name, name) == 0)
            return (struct cgroup_number){true, s->memory.raw[i].value};
    return (struct cgroup_number){0};
}

void stats_io_add(struct arena *a, struct cgroup_io_entries *e, struct cgroup_io_entry entry)
{
    e->v = arena_grow(a, e->v, e->n * sizeof(entry), (e->n + 1) * sizeof(entry));
    e->v[e->n++] = entry;
}

/* The hugetlb controller names its files after page sizes in the largest unit that leaves no zero. */
static void add_page_size(const char *directory, char (*text)[16], const char **names, size_t *n)
{
    uint64_t kb;

    if (*n == MAX_PAGE_SIZES || sscanf(directory, "hugepages-%" SCNu64 "kB", &kb) != 1)
        return;
    if (kb >= 1 << 20)
        snprintf(text[*n], sizeof(*text), "%uGB", (unsigned)(kb >> 20));
    else if (kb >= 1 << 10)
        snprintf(text[*n], sizeof(*text), "%uMB", (unsigned)(kb >> 10));
    else
        snprintf(text[*n], sizeof(*text), "%uKB", (unsigned)kb);
    names[*n] = text[*n];
    ++*n;
}

size_t stats_page_sizes(const char *const **names)
{
    static char text[MAX_PAGE_SIZES][16];
    static const char *list[MAX_PAGE_SIZES];
    static size_t n;
    static bool known;

    if (!known) {
        _cleanup_(closedirp) DIR *dir = opendir("/sys/kernel/mm/hugepages");
        struct dirent *entry;

        while (dir && (entry = readdir(dir)))
            add_page_size(entry->d_name, text, list, &n);
        known = true;
    }
    *names = list;
    return n;
}

static void read_pids(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    out->pids.current = stats_number(r, d, "pids.current");
    out->pids.limit = stats_number(r, d, "pids.max");
}

/* "DEVICE hca_handle=2 hca_object=max" */
static struct cgroup_rdma *read_rdma(struct stats_reader *r, const struct cgroup_dir *d, const char *file,
                                     size_t *n)
{
    char *text = stats_text(r, d, file), *line, *field;
    struct cgroup_rdma *list = NULL;

    while ((line = strsep(&text, "\n"))) {
        struct cgroup_rdma entry = {.device = strsep(&line, " ")};

        while ((field = strsep(&line, " "))) {
            if (strncmp(field, "hca_handle=", 11) == 0)
                entry.handles = stats_parse_number(field + 11);
            else if (strncmp(field, "hca_object=", 11) == 0)
                entry.objects = stats_parse_number(field + 11);
        }
        if (!entry.handles.set && !entry.objects.set)
            continue;
        entry.device = arena_strdup(r->arena, entry.device);
        list = arena_grow(r->arena, list, *n * sizeof(entry), (*n + 1) * sizeof(entry));
        list[(*n)++] = entry;
    }
    return list;
}

/* Documentation/accounting/psi.rst. Older kernels have no "full" line for the CPU. */
static void read_pressure(struct stats_reader *r, const struct cgroup_dir *d, const char *file,
                          struct cgroup_pressure *p)
{
    char *text = stats_text(r, d, file), *line;

    while ((line = strsep(&text, "\n"))) {
        struct cgroup_pressure_line l;
        char kind[8];

        if (sscanf(line, "%7s avg10=%lf avg60=%lf avg300=%lf total=%" SCNu64, kind, &l.avg10, &l.avg60,
                   &l.avg300, &l.total) != 5)
            continue;
        if (strcmp(kind, "some") == 0) {
            p->some = l;
            p->set = true;
        } else if (strcmp(kind, "full") == 0) {
            p->full = l;
        }
    }
}

/* What a v2 cgroup tells whatever its controllers: so a hybrid host has pressures, too. */
static void read_core(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out)
{
    if (!out->cpu.total.set)
        stats_v2_cpu(r, d, out);
    read_pressure(r, d, "cpu.pressure", &out->cpu.pressure);
    read_pressure(r, d, "memory.pressure", &out->memory.pressure);
    read_pressure(r, d, "io.pressure", &out->io.pressure);
}

int cgroup_stats(struct cgroup *c, struct cgroup_stats *out, struct error *err)
{
    struct stats_reader r = {.arena = c->arena};
    const struct cgroup_dir *d;

    *out = (struct cgroup_stats){0};
    if (c->n_dirs == 0)
        return error_set(err, 0,
                         "the container has no cgroup to read statistics from (it was created with "
                         "--cgroup-manager=disabled, or where it may make none)");
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        d = cgroup_dir_of(c, parts[i].controller);
        stats_part *part = !d ? NULL : d->v2 ? parts[i].v2 : parts[i].v1;
        if (part)
            part(&r, d, out);
    }
    if ((d = cgroup_dir_of(c, CG_PIDS)))
        read_pids(&r, d, out);
    if ((d = cgroup_dir_of(c, CG_RDMA))) {
        out->rdma_current = read_rdma(&r, d, "rdma.current", &out->n_rdma_current);
        out->rdma_limit = read_rdma(&r, d, "rdma.max", &out->n_rdma_limit);
    }
    if ((d = cgroup_dir_v2(c)))
        read_core(&r, d, out);
    return 0;
}
