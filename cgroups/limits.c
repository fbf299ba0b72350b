/*
 * linux.resources -> the files of the container's cgroup (runtime-spec config-linux.md, "Control groups"), but for
 * devices. One row of a table a number: where it stands in the structure, which controller's it is, and the file and
 * the text in v1 and in v2; what a row cannot say is said below the table, and lists are in limits_lists.c.
 *
 * No limit is passed over in silence: where nothing on this host can enforce it, cgroup_check_limits() says which
 * controller is missing, before anything was made. A value that limits nothing (-1, idle 0 ...) needs no controller.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"
#include "cgroups/cgroup_private.h"
#include "cgroups/convert.h"
#include "cgroups/limits_private.h"

enum knob_kind { KNOB_NUMBER, KNOB_SWITCH, KNOB_INVERTED, KNOB_LIST };

struct knob {
    const char *path;
    uint8_t kind, controller;
    uint16_t offset;     /* of the struct spec_limit, the "has_" bool in front of a bool, the char * */
    const char *v1, *v2; /* files; NULL: that version has none */
    const char *(*to_v1)(struct arena *, int64_t); /* NULL: add_special() does it */
    const char *(*to_v2)(struct arena *, int64_t);
    const char *other_v1, *other_v2; /* where the kernel has not the first one */
    const char *(*to_other_v2)(struct arena *, int64_t);
    int64_t unlimited; /* this and what is below limit nothing */
    const char *usage, *since, *rule;
    const char *instead; /* without a file in v2: what to do */
};

#define AT(m)      .offset = offsetof(struct spec_resources, m)
#define ANY_LIMITS .unlimited = INT64_MIN
#define PLAIN(v)   .v1 = (v), .to_v1 = text_plain
#define SAME(v)    PLAIN(v), .v2 = (v), .to_v2 = text_plain

/* In the order of writing: where one value must be written before another it stands first. */
static const struct knob knobs[] = {
    {"linux.resources.memory.useHierarchy", KNOB_INVERTED, CG_MEMORY, AT(memory.has_use_hierarchy),
     .v1 = "memory.use_hierarchy", .to_v1 = text_inverted,
     .rule = "cgroups are hierarchical since Linux 5.11",
     .instead = "cgroup v2 is always hierarchical: remove it"},
    {"linux.resources.memory.swap", KNOB_NUMBER, CG_MEMORY, AT(memory.swap), .v2 = "memory.swap.max",
     .v1 = "memory.memsw.limit_in_bytes", .unlimited = -1},
    {"linux.resources.memory.limit", KNOB_NUMBER, CG_MEMORY, AT(memory.limit), PLAIN("memory.limit_in_bytes"),
     .v2 = "memory.max", .to_v2 = text_or_max, .unlimited = -1, .usage = "memory.usage_in_bytes",
     .rule = "it may not be above the limit of memory and swap: raise memory.swap too"},
    {"linux.resources.memory.reservation", KNOB_NUMBER, CG_MEMORY, AT(memory.reservation),
     PLAIN("memory.soft_limit_in_bytes"), .v2 = "memory.low", .to_v2 = text_or_max, .unlimited = -1},
    {"linux.resources.memory.kernel", KNOB_NUMBER, CG_MEMORY, AT(memory.kernel),
     PLAIN("memory.kmem.limit_in_bytes"), .unlimited = -1, .usage = "memory.kmem.usage_in_bytes",
     .instead = "memory.limit counts the kernel's memory too: use that"},
    {"linux.resources.memory.kernelTCP", KNOB_NUMBER, CG_MEMORY, AT(memory.kernel_tcp),
     PLAIN("memory.kmem.tcp.limit_in_bytes"), .unlimited = -1, .usage = "memory.kmem.tcp.usage_in_bytes",
     .instead = "memory.limit counts socket buffers too: use that"},
    {"linux.resources.memory.swappiness", KNOB_NUMBER, CG_MEMORY, AT(memory.swappiness),
     PLAIN("memory.swappiness"), ANY_LIMITS, .instead = "use memory.swap, or unified[\"memory.swap.high\"]"},
    {"linux.resources.memory.disableOOMKiller", KNOB_SWITCH, CG_MEMORY, AT(memory.has_disable_oom_killer),
     PLAIN("memory.oom_control"),
     .instead = "use unified[\"memory.high\"], which throttles and does not kill"},
    {"linux.resources.cpu.shares", KNOB_NUMBER, CG_CPU, AT(cpu.shares), PLAIN("cpu.shares"),
     .v2 = "cpu.weight", .to_v2 = text_of_shares, ANY_LIMITS,
     .rule = "an idle cgroup has none: set cpu.idle to 0"},
    {"linux.resources.cpu.idle", KNOB_NUMBER, CG_CPU, AT(cpu.idle), SAME("cpu.idle"), .since = "Linux 5.15"},
    {"linux.resources.cpu.period", KNOB_NUMBER, CG_CPU, AT(cpu.period), PLAIN("cpu.cfs_period_us"),
     .v2 = "cpu.max", ANY_LIMITS, .since = "CONFIG_CFS_BANDWIDTH",
     .rule = "cpu.quota in each cpu.period may not be more than the parent cgroup's"},
    {"linux.resources.cpu.quota", KNOB_NUMBER, CG_CPU, AT(cpu.quota), PLAIN("cpu.cfs_quota_us"),
     .v2 = "cpu.max", .unlimited = -1, .since = "CONFIG_CFS_BANDWIDTH",
     .rule = "it may not be below cpu.burst, nor more than the parent cgroup's"},
    {"linux.resources.cpu.burst", KNOB_NUMBER, CG_CPU, AT(cpu.burst), PLAIN("cpu.cfs_burst_us"),
     .v2 = "cpu.max.burst", .to_v2 = text_plain, .since = "Linux 5.14",
     .rule = "it may not be above cpu.quota"},
    {"linux.resources.cpu.realtimePeriod", KNOB_NUMBER, CG_CPU, AT(cpu.realtime_period),
     PLAIN("cpu.rt_period_us"), ANY_LIMITS, .since = "CONFIG_RT_GROUP_SCHED",
     .rule = "it may not be below cpu.realtimeRuntime",
     .instead = "cgroup v2 does not limit real-time processes: remove it"},
    {"linux.resources.cpu.realtimeRuntime", KNOB_NUMBER, CG_CPU, AT(cpu.realtime_runtime),
     PLAIN("cpu.rt_runtime_us"), ANY_LIMITS, .since = "CONFIG_RT_GROUP_SCHED",
     .rule = "it may not be more than the parent cgroup's cpu.rt_runtime_us has left, which is 0 until set",
     .instead = "cgroup v2 does not limit real-time processes: remove it"},
    {"linux.resources.cpu.cpus", KNOB_LIST, CG_CPUSET, AT(cpu.cpus), .v1 = "cpuset.cpus", .v2 = "cpuset.cpus",
     .rule = "each must be a CPU of this host, and of the parent cgroup"},
    {"linux.resources.cpu.mems", KNOB_LIST, CG_CPUSET, AT(cpu.mems), .v1 = "cpuset.mems", .v2 = "cpuset.mems",
     .rule = "each must be a memory node of this host, and of the parent cgroup"},
    {"linux.resources.pids.limit", KNOB_NUMBER, CG_PIDS, AT(pids), .v1 = "pids.max", .v2 = "pids.max",
     .to_v1 = text_of_pids, .to_v2 = text_of_pids},
    {"linux.resources.blockIO.weight", KNOB_NUMBER, CG_BLKIO, AT(block_io.weight), PLAIN("blkio.bfq.weight"),
     .other_v1 = "blkio.weight", .v2 = "io.bfq.weight", .to_v2 = text_plain, .other_v2 = "io.weight",
     .to_other_v2 = text_of_weight, ANY_LIMITS, .since = "the BFQ scheduler (module bfq) or, on v2, io.cost"},
    {"linux.resources.blockIO.leafWeight", KNOB_NUMBER, CG_BLKIO, AT(block_io.leaf_weight),
     PLAIN("blkio.leaf_weight"), ANY_LIMITS, .since = "the CFQ scheduler (gone since Linux 5.0)",
     .instead = "there is nothing like it: remove it"},
    {"linux.resources.network.classID", KNOB_NUMBER, CG_NET_CLS, AT(network.class_id),
     PLAIN("net_cls.classid"), .instead = "let nftables match the cgroup (socket cgroupv2)"},
};

/* --- what is asked for ------------------------------------------------------------------------------------------ */

/* The value of a row; set only where @r says something. */
static struct spec_limit value_of(const struct knob *k, const struct spec_resources *r)
{
    const char *at = (const char *)r + k->offset;
    const bool *flags = (const bool *)at;

    switch ((enum knob_kind)k->kind) {
    case KNOB_NUMBER:
        return *(const struct spec_limit *)at;
    case KNOB_SWITCH:
        return (struct spec_limit){flags[0], flags[1]};
    case KNOB_INVERTED:
        return (struct spec_limit){flags[0], !flags[1]};
    case KNOB_LIST:
        break;
    }
    return (struct spec_limit){*(char *const *)at != NULL, 1};
}

static bool limits_something(const struct knob *k, const struct spec_limit *value)
{
    return value->set && value->value > k->unlimited;
}

bool cgroup_has_limits(const struct spec_resources *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
        struct spec_limit value = value_of(&knobs[i], r);
        if (limits_something(&knobs[i], &value))
            return true;
    }
    return limit_lists_any(r);
}

/* --- can it be enforced? ---------------------------------------------------------------------------------------- */

int limit_without_controller(const struct cgroup *c, const char *path, enum cgroup_controller controller,
                             bool v2_only, struct error *err)
{
    const struct cgroup_dir *elsewhere = cgroup_dir_of(c, controller);
    const char *name = cgroup_controller_name(controller, v2_only || (c->n_dirs && c->dirs[0].v2));

    if (c->n_dirs == 0)
        return error_set(err, 0, "%s: cannot be enforced: the container has no cgroup, so no %s controller",
                         path, name);
    if (v2_only && !cgroup_dir_v2(c))
        return error_set(
            err, 0,
            "%s: cannot be enforced: this host has no cgroup v2 (controller %s): use the settings "
            "beside linux.resources.unified",
            path, name);
    if (v2_only && elsewhere)
        return error_set(
            err, 0,
            "%s: cannot be enforced: the %s controller is in a v1 hierarchy (%s), not in v2: use the "
            "settings beside linux.resources.unified",
            path, name, elsewhere->mount);
    if (c->rootless)
        return error_set(err, 0,
                         "%s: cannot be enforced: the %s controller is not delegated to this user (systemd: "
                         "Delegate=%s for user@.service)",
                         path, name, name);
    return error_set(
        err, 0,
        "%s: cannot be enforced: the %s controller is not available here: the kernel may lack it or "
        "have it disabled (cgroup_disable=), or the cgroup above may not pass it on",
        path, name);
}

static int check_knob(const struct cgroup *c, const struct knob *k, struct error *err)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, k->controller);
    const char *name = cgroup_controller_name(k->controller, d && d->v2);
    bool on_v2 = d ? d->v2 : c->n_dirs && c->dirs[0].v2;

    if (on_v2 && !k->v2)
        return error_set(err, 0, "%s: cannot be enforced: cgroup v2 has no such limit (controller %s): %s",
                         k->path, name, k->instead);
    if (!d)
        return limit_without_controller(c, k->path, k->controller, false, err);
    return 0;
}

int cgroup_check_limits(const struct cgroup *c, const struct spec_resources *r, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
        struct spec_limit value = value_of(&knobs[i], r);
        if (limits_something(&knobs[i], &value) && check_knob(c, &knobs[i], err) < 0)
            return -1;
    }
    return limit_lists_check(c, r, err);
}

/* --- what a row cannot say ---------------------------------------------------------------------------------------- */

/* A number in a file of the cgroup; "max" and more than fits: -1. */
static int read_number(struct limit_writes *w, const struct cgroup_dir *d, const char *file, int64_t *out,
                       struct error *err)
{
    const char *text = cgroup_file_read(w->c->arena, d, file);
    uint64_t value;

    if (!text)
        return error_set(err, errno, "read %s/%s", cgroup_dir_path(w->c->arena, d), file);
    *out = -1;
    if (strcmp(text, "max") == 0)
        return 0;
    if (number_parse_u64(text, file, 0, UINT64_MAX, &value, err) < 0)
        return -1;
    *out = value > INT64_MAX ? -1 : (int64_t)value;
    return 0;
}

/* checkBeforeUpdate: do not even try to reclaim, or kill. */
static int check_usage(struct limit_writes *w, const struct cgroup_dir *d, struct error *err)
{
    const struct spec_resources_memory *m = &w->r->memory;
    const struct {
        const struct spec_limit *limit;
        const char *path, *v1, *v2;
    } checks[] = {{&m->limit, "limit", "memory.usage_in_bytes", "memory.current"},
                  {&m->swap, "swap", "memory.memsw.usage_in_bytes", "memory.current"}};
    int64_t usage;

    for (size_t i = 0; w->update && m->check_before_update && i < ARRAY_SIZE(checks); i++) {
        if (!checks[i].limit->set || checks[i].limit->value < 0)
            continue;
        if (read_number(w, d, d->v2 ? checks[i].v2 : checks[i].v1, &usage, err) < 0)
            return -1;
        if (usage > checks[i].limit->value)
            return error_set(err, 0,
                             "linux.resources.memory.%s: %" PRId64 " is below what is in use now, %" PRId64
                             " bytes (memory.checkBeforeUpdate)",
                             checks[i].path, checks[i].limit->value, usage);
    }
    return 0;
}

/* Where the kernel does not account swap nothing limits it; which does no harm while there is none. */
static int without_swap_accounting(const struct limit_writes *w, struct error *err)
{
    const struct cgroup_dir proc = {.fd = AT_FDCWD};
    const char *text = cgroup_file_read(w->c->arena, &proc, "/proc/swaps");
    const char *second = text ? strchr(text, '\n') : NULL;

    if (second && second[1])
        return error_set(
            err, 0,
            "linux.resources.memory.swap: cannot be enforced: the memory controller does not account "
            "swap (kernel parameter swapaccount=1)");
    log_warning(
        "linux.resources.memory.swap: not enforced: the memory controller does not account swap; this host "
        "uses none now");
    return 0;
}

static int add_swap(struct limit_writes *w, const struct cgroup_dir *d, struct error *err)
{
    const struct spec_resources_memory *m = &w->r->memory;
    const char *file = d->v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes";
    struct limit_write one = {.path = "linux.resources.memory.swap",
                              .dir = d,
                              .file = file,
                              .usage = d->v2 ? NULL : "memory.memsw.usage_in_bytes",
                              .rule = "memory+swap limit should be >= memory limit"};
    int64_t limit = m->limit.set ? m->limit.value : -1, swap = m->swap.value;

    if (!m->swap.set) { /* no limit of memory: none of both together */
        if (!w->update || !m->limit.set || m->limit.value >= 0)
            return 0;
        swap = -1;
    }
    if (d->v2 && w->update && !m->limit.set && swap >= 0 && read_number(w, d, "memory.max", &limit, err) < 0)
        return -1;
    if ((d->v2 || !w->update) && convert_swap(swap, limit, &limit, err) < 0)
        return -1;
    one.text = d->v2 ? text_or_max(w->c->arena, limit) : text_plain(w->c->arena, swap);
    if (swap < 0)
        one.optional = true;
    else
        one.without = without_swap_accounting;
    limit_write_add(w, &one);
    return 0;
}

/* cpu.max holds both: "QUOTA PERIOD". A lone quota keeps the kernel's period, a lone period needs the quota. */
static int add_cpu_max(struct limit_writes *w, const struct cgroup_dir *d, struct error *err)
{
    const struct spec_limit *quota = &w->r->cpu.quota, *period = &w->r->cpu.period;
    struct arena *a = w->c->arena;
    struct limit_write one = {.path = quota->set ? "linux.resources.cpu.quota" : "linux.resources.cpu.period",
                              .dir = d,
                              .file = "cpu.max",
                              .since = "CONFIG_CFS_BANDWIDTH",
                              .rule = "cpu.quota may not be below cpu.burst"};
    const char *q = quota->set ? text_or_max(a, quota->value) : "max";

    if (!quota->set && !period->set)
        return 0;
    if (!quota->set && w->update) {
        char *now = cgroup_file_read(a, d, "cpu.max");
        if (!now)
            return error_set(err, errno, "linux.resources.cpu.period: read %s/cpu.max",
                             cgroup_dir_path(a, d));
        now[strcspn(now, " ")] = '\0';
        q = now;
    }
    one.text = period->set ? arena_printf(a, "%s %" PRId64, q, period->value) : q;
    limit_write_add(w, &one);
    return 0;
}

/* Newer kernels take a limit of kernel memory, and forget it. */
static int verify_kernel_memory(struct limit_writes *w, struct error *err)
{
    const struct spec_limit *kernel = &w->r->memory.kernel;
    const struct cgroup_dir *d = cgroup_dir_of(w->c, CG_MEMORY);
    int64_t now;

    if (!d || d->v2 || !kernel->set || kernel->value < 0)
        return 0;
    if (read_number(w, d, "memory.kmem.limit_in_bytes", &now, err) < 0)
        return -1;
    if (now < 0 || now > kernel->value)
        return error_set(err, 0,
                         "linux.resources.memory.kernel: cannot be enforced: this kernel's memory controller "
                         "limits kernel memory by memory.limit only: use that");
    return 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void add_knob(struct limit_writes *w, const struct knob *k)
{
    const struct cgroup_dir *d = cgroup_dir_of(w->c, k->controller);
    struct spec_limit value = value_of(k, w->r);
    const char *(*convert)(struct arena *, int64_t) = d && d->v2 ? k->to_v2 : k->to_v1;
    const char *file = d && d->v2 ? k->v2 : k->v1;
    struct arena *a = w->c->arena;

    if (!value.set || !d || !file || (!convert && k->kind != KNOB_LIST))
        return;
    struct limit_write one = {.path = k->path,
                              .dir = d,
                              .file = file,
                              .other_file = d->v2 ? k->other_v2 : k->other_v1,
                              .usage = d->v2 ? NULL : k->usage,
                              .since = k->since,
                              .rule = k->rule,
                              .optional = value.value <= k->unlimited};
    if (k->kind == KNOB_LIST) {
        one.text = *(char *const *)((const char *)w->r + k->offset);
        one.optional = false;
    } else {
        one.text = convert(a, value.value);
    }
    one.other_text = d->v2 && k->to_other_v2 ? k->to_other_v2(a, value.value) : one.text;
    limit_write_add(w, &one);
}

int cgroup_write_limits(struct cgroup *c, const struct spec_resources *r, bool update, struct error *err)
{
    struct limit_writes w = {.c = c, .r = r, .update = update};
    const struct cgroup_dir *memory = cgroup_dir_of(c, CG_MEMORY), *cpu = cgroup_dir_of(c, CG_CPU);

    if (cgroup_check_limits(c, r, err) < 0)
        return -1;
    if (memory && (check_usage(&w, memory, err) < 0 || (memory->v2 && add_swap(&w, memory, err) < 0)))
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(knobs); i++)
        add_knob(&w, &knobs[i]);
    if (memory && !memory->v2 &&
        add_swap(&w, memory, err) < 0) /* v1: after the limit, which may not be above it */
        return -1;
    if (cpu && cpu->v2 && add_cpu_max(&w, cpu, err) < 0)
        return -1;
    limit_lists_add(&w);
    return limit_writes_run(&w, err) < 0 ? -1 : verify_kernel_memory(&w, err);
}
