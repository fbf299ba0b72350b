/*
 * Relations and formats inside `linux.resources`: what the kernel would refuse, and what may not be asked for.
 *
 * `unified` names files of the container's cgroup that hull, as root, writes to. The name must be that of a
 * limit: a plain file name, which cannot leave the directory, and none of the files that act on processes or
 * on the tree ("cgroup.procs" with "0" would move hull itself, "cgroup.freeze" would have the container never
 * start, "cgroup.subtree_control" would make its own cgroup unfit for processes).
 */
#include <ctype.h>
#include <string.h>

#include "runtime/spec/decode.h"

struct check {
    struct spec_complaints *c;
    const char *at; /* "linux.resources." or "" */
};

static void check_memory(const struct check *k, const struct spec_resources_memory *m)
{
    if (!m->limit.set || !m->swap.set)
        return;
    if (m->swap.value > 0 && m->swap.value < m->limit.value)
        complain(k->c, "%smemory.swap: memory+swap limit should be >= memory limit (%lld < %lld)", k->at,
                 (long long)m->swap.value, (long long)m->limit.value);
    else if (m->swap.value > 0 && m->limit.value < 0)
        complain(k->c, "%smemory.swap: unable to set swap limit without memory limit: give memory.limit",
                 k->at);
}

/* The kernel's rules: at least 1 ms of quota and period (kernel/sched/core.c). */
static void check_cpu(const struct check *k, const struct spec_resources_cpu *p)
{
    const struct {
        const char *name;
        const struct spec_limit *limit;
    } times[] = {{"quota", &p->quota}, {"period", &p->period}};
    const struct {
        const char *name, *list, *of;
    } lists[] = {{"cpus", p->cpus, "CPUs"}, {"mems", p->mems, "memory nodes"}};

    for (size_t i = 0; i < ARRAY_SIZE(times); i++)
        if (times[i].limit->set && times[i].limit->value >= 0 && times[i].limit->value < 1000)
            complain(k->c, "%scpu.%s: must be at least 1000 (microseconds), got %lld", k->at, times[i].name,
                     (long long)times[i].limit->value);
    if (p->burst.set && p->quota.set && p->quota.value > 0 && p->burst.value > p->quota.value)
        complain(k->c, "%scpu.burst: must not be above cpu.quota (%lld > %lld)", k->at,
                 (long long)p->burst.value, (long long)p->quota.value);
    if (p->realtime_runtime.set && p->realtime_period.set &&
        p->realtime_runtime.value > p->realtime_period.value)
        complain(k->c, "%scpu.realtimeRuntime: must not be above cpu.realtimePeriod (%lld > %lld)", k->at,
                 (long long)p->realtime_runtime.value, (long long)p->realtime_period.value);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        if (lists[i].list && !is_cpu_list(lists[i].list))
            complain(k->c, "%scpu.%s: must be a list of %s like \"0-3,7\", got %s", k->at, lists[i].name,
                     lists[i].of, quoted(k->c->arena, lists[i].list));
}

static void check_weight(const struct check *k, const char *path, const struct spec_limit *w)
{
    if (w->set && w->value < 10)
        complain(k->c, "%s%s: must be from 10 to 1000, or 0 for not set, got %lld", k->at, path,
                 (long long)w->value);
}

static void check_block_io(const struct check *k, const struct spec_resources_block_io *b)
{
    check_weight(k, "blockIO.weight", &b->weight);
    check_weight(k, "blockIO.leafWeight", &b->leaf_weight);
    for (size_t i = 0; i < b->n_weight_devices; i++) {
        const char *path = arena_printf(k->c->arena, "blockIO.weightDevice[%zu]", i);
        const struct spec_weight_device *w = &b->weight_devices[i];
        check_weight(k, arena_printf(k->c->arena, "%s.weight", path), &w->weight);
        check_weight(k, arena_printf(k->c->arena, "%s.leafWeight", path), &w->leaf_weight);
        if (!w->weight.set && !w->leaf_weight.set &&
            !complained_of(k->c, arena_printf(k->c->arena, "%s%s", k->at, path)))
            complain(k->c, "%s%s: has neither weight nor leafWeight", k->at, path);
    }
}

/* "64KB", "2MB", "1GB": as in the names of the files, hugetlb.2MB.max. */
static bool is_page_size(const char *s)
{
    size_t digits = strspn(s, "0123456789");
    return digits > 0 && digits < 8 && *s != '0' && s[digits] && strchr("KMG", s[digits]) &&
           !strcmp(s + digits + 1, "B");
}

static void check_hugepages(const struct check *k, const struct spec_resources *r)
{
    for (size_t i = 0; i < r->n_hugepages; i++) {
        const char *size = r->hugepages[i].page_size;
        if (!size)
            continue;
        if (!is_page_size(size))
            complain(k->c,
                     "%shugepageLimits[%zu].pageSize: must be like \"64KB\", \"2MB\" or \"1GB\", got %s",
                     k->at, i, quoted(k->c->arena, size));
        for (size_t j = 0; j < i; j++)
            if (r->hugepages[j].page_size && !strcmp(size, r->hugepages[j].page_size)) {
                complain(k->c, "%shugepageLimits[%zu].pageSize: %s is there twice", k->at, i,
                         quoted(k->c->arena, size));
                break;
            }
    }
}

static void check_network(const struct check *k, const struct spec_resources_network *n)
{
    for (size_t i = 0; i < n->n_priorities; i++)
        if (n->priorities[i].name && !is_device_name(n->priorities[i].name))
            complain(k->c,
                     "%snetwork.priorities[%zu].name: not a device name (1 to 15 bytes; no \"/\", \":\", "
                     "\"%%\" or white space): %s",
                     k->at, i, quoted(k->c->arena, n->priorities[i].name));
}

/* The kernel takes "DEVICE name=value ...": a blank in DEVICE would begin a value. */
static void check_rdma(const struct check *k, const struct spec_resources *r)
{
    for (size_t i = 0; i < r->n_rdma; i++) {
        const char *name = quoted(k->c->arena, r->rdma[i].device);
        bool blank = false;
        for (const char *s = r->rdma[i].device; *s; s++)
            blank |= isspace((unsigned char)*s) || iscntrl((unsigned char)*s);
        if (blank || strlen(r->rdma[i].device) > 63)
            complain(k->c, "%srdma[%s]: not a name of an RDMA device", k->at, name);
        else if (!r->rdma[i].hca_handles.set && !r->rdma[i].hca_objects.set &&
                 !complained_of(k->c, arena_printf(k->c->arena, "%srdma[%s]", k->at, name)))
            complain(k->c, "%srdma[%s]: has neither hcaHandles nor hcaObjects", k->at, name);
    }
}

static const char *unified_refusal(const char *file)
{
    static const char *const limits[] = {"cgroup.max.depth", "cgroup.max.descendants", NULL};
    size_t length = strlen(file);
    for (const char *s = file; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
            return "must be a plain name of a cgroup v2 file, like \"memory.high\"";
    if (length > 255 || !isalpha((unsigned char)*file) || !strchr(file, '.') || strstr(file, ".."))
        return "must be a plain name of a cgroup v2 file, like \"memory.high\"";
    if (!strncmp(file, "cgroup.", 7) && name_index(limits, file) < 0)
        return "is no limit but steers the cgroup itself, which is the runtime's";
    return NULL;
}

static void check_unified(const struct check *k, const struct spec_resources *r)
{
    enum { VALUE_MAX = 4096 }; /* kernfs takes a page at most */
    for (size_t i = 0; i < r->n_unified; i++) {
        const struct spec_unified *u = &r->unified[i];
        const char *refusal = *u->file ? unified_refusal(u->file) : NULL; /* "" was complained of */
        if (!refusal && u->value && strlen(u->value) >= VALUE_MAX)
            refusal = "has a value of more than 4095 bytes";
        if (refusal)
            complain(k->c, "%sunified[%s]: %s", k->at, quoted(k->c->arena, u->file), refusal);
    }
}

void validate_resources(struct spec_complaints *c, const struct spec_resources *r, const char *at)
{
    const struct check k = {.c = c, .at = at};
    check_memory(&k, &r->memory);
    check_cpu(&k, &r->cpu);
    check_block_io(&k, &r->block_io);
    check_hugepages(&k, r);
    check_network(&k, &r->network);
    check_rdma(&k, r);
    check_unified(&k, r);
}
