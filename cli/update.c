/*
 * update: new limits for a container that runs (runc's command of the same name). They come from a file
 * (`linux.resources`, JSON) and from options, which are on top of it; what neither says stays as it is.
 *
 * An option is checked as its JSON field would be, and where the field takes 0 for "not set" the option does.
 */
#include <string.h>

#include "base/number.h"
#include "base/size.h"
#include "cli/command.h"

struct update_options {
    const char *resources, *l3_cache_schema, *mem_bw_schema;
    struct spec_resources limits;
};

enum { SIZE = 1, ZERO_COUNTS = 2 }; /* SIZE: "512m", and -1 */

/* The numbers: which one an option sets, and what it may be. */
static const struct number {
    const char *option;
    size_t offset;
    int64_t min, max;
    int flags;
} numbers[] = {
#define NUMBER(option, field, ...)                                                                           \
    {                                                                                                        \
        option, offsetof(struct spec_resources, field), __VA_ARGS__                                          \
    }
    NUMBER("memory", memory.limit, -1, INT64_MAX, SIZE),
    NUMBER("memory-reservation", memory.reservation, -1, INT64_MAX, SIZE),
    NUMBER("memory-swap", memory.swap, -1, INT64_MAX, SIZE),
    NUMBER("kernel-memory", memory.kernel, -1, INT64_MAX, SIZE),
    NUMBER("kernel-memory-tcp", memory.kernel_tcp, -1, INT64_MAX, SIZE),
    NUMBER("cpu-shares", cpu.shares, 0, 262144, 0),
    NUMBER("cpu-share", cpu.shares, 0, 262144, 0),
    NUMBER("cpu-quota", cpu.quota, -1, INT64_MAX, 0),
    NUMBER("cpu-period", cpu.period, 0, 1000000, 0),
    NUMBER("cpu-burst", cpu.burst, 0, INT64_MAX, ZERO_COUNTS),
    NUMBER("cpu-rt-period", cpu.realtime_period, 0, INT32_MAX, 0),
    NUMBER("cpu-rt-runtime", cpu.realtime_runtime, -1, INT64_MAX, 0),
    NUMBER("cpu-idle", cpu.idle, 0, 1, ZERO_COUNTS),
    NUMBER("pids-limit", pids, -1, INT64_MAX, 0),
    NUMBER("blkio-weight", block_io.weight, 0, 1000, 0),
};

static struct spec_limit *limit_at(struct spec_resources *r, const struct number *n)
{
    return (struct spec_limit *)((char *)r + n->offset);
}

static int parse_limit(const struct option_use *use, void *field, struct error *err)
{
    const struct number *n = numbers;
    int64_t value;
    int result;

    if (!*use->text) /* Go's flags: not given */
        return 0;
    while (strcmp(n->option, use->row->name) != 0)
        n++;
    if (n->flags & SIZE && strcmp(use->text, "-1") != 0)
        result = size_parse(use->text, use->what, &value, err);
    else
        result = number_parse_i64(use->text, use->what, n->min, n->max, &value, err);
    if (result == 0)
        *limit_at(field, n) =
            (struct spec_limit){.set = value != 0 || n->flags & ZERO_COUNTS, .value = value};
    return result;
}

#define TEXT(name, letter, value, field, help)                                                               \
    {                                                                                                        \
        name, letter, value, offsetof(struct update_options, field), option_string, help                     \
    }
#define LIMIT(name, value, help)                                                                             \
    {                                                                                                        \
        name, 0, value, offsetof(struct update_options, limits), parse_limit, help                           \
    }

static const struct option_row rows[] = {
    TEXT("resources", 'r', "FILE|-", resources, "take limits from FILE (JSON, as linux.resources)"),
    LIMIT("memory", "SIZE", "memory limit: bytes, or with k, m or g; -1: none"),
    LIMIT("memory-reservation", "SIZE", "memory that is kept from being reclaimed first"),
    LIMIT("memory-swap", "SIZE", "limit of memory and swap together; -1: unlimited swap"),
    LIMIT("kernel-memory", "SIZE", "limit of kernel memory (old kernels with cgroup v1 only)"),
    LIMIT("kernel-memory-tcp", "SIZE", "limit of TCP buffers (cgroup v1 only)"),
    LIMIT("cpu-shares", "N", "relative weight beside other containers, 2 to 262144"),
    LIMIT("cpu-share", "N", "the same as --cpu-shares"),
    LIMIT("cpu-quota", "MICROSECONDS", "CPU time in each period; -1: no limit"),
    LIMIT("cpu-period", "MICROSECONDS", "length of a period, 1000 to 1000000"),
    LIMIT("cpu-burst", "MICROSECONDS", "unused time that may be saved up for later periods"),
    LIMIT("cpu-rt-period", "MICROSECONDS", "period for real-time processes (cgroup v1 only)"),
    LIMIT("cpu-rt-runtime", "MICROSECONDS", "CPU time of real-time processes in each (cgroup v1 only)"),
    LIMIT("cpu-idle", "0|1", "1: run only when nothing else wants the CPU"),
    TEXT("cpuset-cpus", 0, "LIST", limits.cpu.cpus, "CPUs to run on: 0-3,7"),
    TEXT("cpuset-mems", 0, "LIST", limits.cpu.mems, "memory nodes to use: 0-1"),
    LIMIT("pids-limit", "N", "number of processes and threads; -1: no limit"),
    LIMIT("blkio-weight", "N", "relative weight for disks, 10 to 1000"),
    TEXT("l3-cache-schema", 0, "SCHEMA", l3_cache_schema, "Intel RDT: share of the L3 cache, L3:0=7f0;1=1f"),
    TEXT("mem-bw-schema", 0, "SCHEMA", mem_bw_schema,
         "Intel RDT: share of the memory bandwidth, MB:0=20;1=70"),
    {0},
};

/* What the options say, on top of @r. True when they say anything. */
static bool overlay(struct spec_resources *r, struct spec_resources *options)
{
    bool any = options->cpu.cpus || options->cpu.mems;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (limit_at(options, &numbers[i])->set) {
            *limit_at(r, &numbers[i]) = *limit_at(options, &numbers[i]);
            any = true;
        }
    if (options->cpu.cpus)
        r->cpu.cpus = options->cpu.cpus;
    if (options->cpu.mems)
        r->cpu.mems = options->cpu.mems;
    return any;
}

static int update(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    struct update_options *o = options;
    struct spec_resources r = {.present = true};
    const char *id = arguments->v[0];
    bool rdt = o->l3_cache_schema || o->mem_bw_schema, limits;

    if (o->resources && spec_load_resources(rt->arena, o->resources, &r, err) < 0)
        return -1;
    limits = overlay(&r, &o->limits) || o->resources || !rdt;
    if (spec_check_resources(rt->arena, &r, "update", err) < 0)
        return -1;
    if (limits && container_update(rt, id, &r, err) < 0)
        return -1;
    return rdt ? container_update_intel_rdt(rt, id, o->l3_cache_schema, o->mem_bw_schema, err) : 0;
}

const struct command update_command = {
    .name = "update",
    .arguments = "CONTAINER",
    .summary = "change the resource limits of a container",
    .details = "What is not mentioned stays as it is. Options go on top of --resources. 0 means \"not "
               "mentioned\" but for\n"
               "--cpu-burst and --cpu-idle.\n",
    .options = rows,
    .options_size = sizeof(struct update_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .of_container = true,
    .run = update,
};
