/*
 * Tables for `linux.resources` (runtime-spec config-linux.md, "Control groups"), which `update --resources`
 * takes too. A number is a struct spec_limit: its value, and whether it was there.
 *
 * Zero is "not set" for the numbers that cannot mean it (memory.limit, cpu.shares, blockIO.weight ...): Go
 * programs with plain numbers in their structures write it so, and runc has always read it so.
 */
#include "runtime/spec/decode.h"

#include <string.h>

#define LIMIT(n, t, m, ...)  I64(n, t, m.value, AUX(t, m.set), ##__VA_ARGS__)
#define MEMORY(n, m, ...)    LIMIT(n, struct spec_resources_memory, m, ##__VA_ARGS__)
#define CPU(n, m, ...)       LIMIT(n, struct spec_resources_cpu, m, ##__VA_ARGS__)
#define BYTES                RANGE(-1, INT64_MAX)
#define NOT_NEGATIVE         RANGE(0, INT64_MAX)
#define ZERO_IS_MISSING(...) zero_is_missing((struct spec_limit *[]){__VA_ARGS__, NULL})

static void zero_is_missing(struct spec_limit **limits)
{
    for (; *limits; limits++)
        if ((*limits)->value == 0)
            (*limits)->set = false;
}

/* --- memory, cpu
 * -------------------------------------------------------------------------------------------------------------------- */

static void memory_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)d, (void)at, (void)json;
    struct spec_resources_memory *m = object;
    ZERO_IS_MISSING(&m->limit, &m->reservation, &m->swap, &m->kernel, &m->kernel_tcp);
}

static const struct field memory_table_fields[] = {
    MEMORY("limit", limit, BYTES),
    MEMORY("reservation", reservation, BYTES),
    MEMORY("swap", swap, BYTES),
    MEMORY("kernel", kernel, BYTES),
    MEMORY("kernelTCP", kernel_tcp, BYTES),
    MEMORY("swappiness", swappiness, RANGE(0, 100)),
    BOOL("disableOOMKiller", struct spec_resources_memory, disable_oom_killer,
         AUX(struct spec_resources_memory, has_disable_oom_killer)),
    BOOL("useHierarchy", struct spec_resources_memory, use_hierarchy,
         AUX(struct spec_resources_memory, has_use_hierarchy)),
    BOOL("checkBeforeUpdate", struct spec_resources_memory, check_before_update),
};
TABLE(memory_table, .done = memory_done);

static void cpu_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)d, (void)at, (void)json;
    struct spec_resources_cpu *c = object;
    ZERO_IS_MISSING(&c->shares, &c->quota, &c->period, &c->realtime_runtime, &c->realtime_period);
}

/* The kernel's bounds: shares 2 to 262144 (1, which is written for "the least", it takes as 2), period up to
 * 1 s, real-time period up to what an int holds. */
static const struct field cpu_table_fields[] = {
    CPU("shares", shares, RANGE(0, 262144)),
    CPU("quota", quota, RANGE(-1, INT64_MAX)),
    CPU("period", period, RANGE(0, 1000000)),
    CPU("burst", burst, NOT_NEGATIVE),
    CPU("realtimeRuntime", realtime_runtime, RANGE(-1, INT64_MAX)),
    CPU("realtimePeriod", realtime_period, RANGE(0, INT32_MAX)),
    CPU("idle", idle, RANGE(0, 1)),
    STRING("cpus", struct spec_resources_cpu, cpus),
    STRING("mems", struct spec_resources_cpu, mems),
};
TABLE(cpu_table, .done = cpu_done);

static void pids_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)d, (void)at, (void)json;
    struct spec_resources *r = object;
    ZERO_IS_MISSING(&r->pids);
}

static const struct field pids_table_fields[] = {
    LIMIT("limit", struct spec_resources, pids, RANGE(-1, INT64_MAX)),
};
TABLE(pids_table, .done = pids_done);

/* --- blockIO
 * ------------------------------------------------------------------------------------------------------------------------ */

/* dev_t has 12 bits of major and 20 of minor number; in what the kernel parses more of them is another device. */
#define DEVICE_NUMBERS(t)                                                                                    \
    I64("major", t, major, RANGE(0, (1 << 12) - 1), .flags = REQUIRED),                                      \
        I64("minor", t, minor, RANGE(0, (1 << 20) - 1), .flags = REQUIRED)

static void weight_device_done(struct decoder *d, const struct place *at, const struct json *json,
                               void *object)
{
    (void)d, (void)at, (void)json;
    struct spec_weight_device *w = object;
    ZERO_IS_MISSING(&w->weight, &w->leaf_weight);
}

static const struct field weight_device_table_fields[] = {
    DEVICE_NUMBERS(struct spec_weight_device),
    LIMIT("weight", struct spec_weight_device, weight, RANGE(0, 1000)),
    LIMIT("leafWeight", struct spec_weight_device, leaf_weight, RANGE(0, 1000)),
};
TABLE(weight_device_table, ELEMENT(struct spec_weight_device), .done = weight_device_done);

static const struct field throttle_table_fields[] = {
    DEVICE_NUMBERS(struct spec_throttle_device),
    I64("rate", struct spec_throttle_device, rate, NOT_NEGATIVE, .flags = REQUIRED),
};
TABLE(throttle_table, ELEMENT(struct spec_throttle_device));

static void block_io_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)d, (void)at, (void)json;
    struct spec_resources_block_io *b = object;
    ZERO_IS_MISSING(&b->weight, &b->leaf_weight);
}

#define THROTTLE(name, i)                                                                                    \
    LIST(name, struct spec_resources_block_io, throttle[i].v, throttle[i].n, &throttle_table)
static const struct field block_io_table_fields[] = {
    LIMIT("weight", struct spec_resources_block_io, weight, RANGE(0, 1000)),
    LIMIT("leafWeight", struct spec_resources_block_io, leaf_weight, RANGE(0, 1000)),
    LIST("weightDevice", struct spec_resources_block_io, weight_devices, n_weight_devices,
         &weight_device_table),
    THROTTLE("throttleReadBpsDevice", THROTTLE_READ_BPS),
    THROTTLE("throttleWriteBpsDevice", THROTTLE_WRITE_BPS),
    THROTTLE("throttleReadIOPSDevice", THROTTLE_READ_IOPS),
    THROTTLE("throttleWriteIOPSDevice", THROTTLE_WRITE_IOPS),
};
TABLE(block_io_table, .done = block_io_done);

/* --- devices
 * ------------------------------------------------------------------------------------------------------------------------ */

static void decode_rule_type(struct decoder *d, const struct place *at, const struct json *json, void *target)
{
    static const char *const types[] = {"a", "b", "c", "", NULL};
    int i = json->type == JSON_STRING ? name_index(types, json->text) : -1;
    if (i < 0)
        complain_at(d, at, "must be \"a\" (all), \"b\" (block) or \"c\" (character), got %s",
                    json->type == JSON_STRING ? quoted(d->arena, json->text) : json_type_name(json->type));
    else if (*types[i])
        *(char *)target = *types[i];
}

static void decode_rule_access(struct decoder *d, const struct place *at, const struct json *json,
                               void *target)
{
    static const struct {
        char letter;
        uint32_t bit;
    } kinds[] = {{'r', DEVICE_ACCESS_READ}, {'w', DEVICE_ACCESS_WRITE}, {'m', DEVICE_ACCESS_MKNOD}};
    const char *s = json->type == JSON_STRING ? json->text : "?";
    uint32_t access = 0;

    for (size_t i = 0; *s && i < ARRAY_SIZE(kinds);) {
        if (*s != kinds[i].letter) {
            i++;
            continue;
        }
        access |= kinds[i].bit;
        s++;
        i = 0;
    }
    if (*s)
        complain_at(d, at, "must be made of \"r\", \"w\" and \"m\" (mknod), got %s",
                    json->type == JSON_STRING ? quoted(d->arena, json->text) : json_type_name(json->type));
    else
        *(uint32_t *)target = access;
}

/* What a rule leaves out is any: type, numbers, access. */
static void rule_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    static const char *const numbers[] = {"major", "minor"};
    (void)d, (void)at;
    struct spec_device_rule *r = object;
    int64_t *const values[] = {&r->major, &r->minor};
    if (!r->type)
        r->type = 'a';
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const struct json *number = json_get(json, numbers[i]);
        if (!number || number->type == JSON_NULL)
            *values[i] = -1;
    }
}

static const struct field rule_table_fields[] = {
    BOOL("allow", struct spec_device_rule, allow, .flags = REQUIRED),
    CUSTOM("type", struct spec_device_rule, type, decode_rule_type),
    I64("major", struct spec_device_rule, major, RANGE(-1, UINT32_MAX)),
    I64("minor", struct spec_device_rule, minor, RANGE(-1, UINT32_MAX)),
    CUSTOM("access", struct spec_device_rule, access, decode_rule_access),
};
TABLE(rule_table, ELEMENT(struct spec_device_rule), .done = rule_done);

/* --- hugepages, network, rdma, unified
 * ---------------------------------------------------------------------------------------------- */

static const struct field hugepage_table_fields[] = {
    STRING("pageSize", struct spec_hugepage_limit, page_size, .flags = REQUIRED),
    I64("limit", struct spec_hugepage_limit, limit, NOT_NEGATIVE, .flags = REQUIRED),
};
TABLE(hugepage_table, ELEMENT(struct spec_hugepage_limit));

static const struct field priority_table_fields[] = {
    STRING("name", struct spec_interface_priority, name, .flags = REQUIRED),
    U32("priority", struct spec_interface_priority, priority, .flags = REQUIRED),
};
TABLE(priority_table, ELEMENT(struct spec_interface_priority));

static const struct field network_table_fields[] = {
    LIMIT("classID", struct spec_resources_network, class_id, RANGE(0, UINT32_MAX)),
    LIST("priorities", struct spec_resources_network, priorities, n_priorities, &priority_table),
};
TABLE(network_table);

static const struct field rdma_table_fields[] = {
    LIMIT("hcaHandles", struct spec_rdma, hca_handles, RANGE(0, UINT32_MAX)),
    LIMIT("hcaObjects", struct spec_rdma, hca_objects, RANGE(0, UINT32_MAX)),
};
TABLE(rdma_table, KEYED(struct spec_rdma, device));

static const struct field unified_table_fields[] = {
    STRING("value", struct spec_unified, value, .flags = REQUIRED),
};
TABLE(unified_table, KEYED(struct spec_unified, file), .value_is_field = true);

/* --- the object
 * --------------------------------------------------------------------------------------------------------------------- */

enum { RESOURCES_MAX = 1024 }; /* of what is compared with all others of its list */

static void resources_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)d, (void)at;
    struct spec_resources *r = object;
    const struct json *devices = json_get(json, "devices");
    r->has_devices = devices && devices->type == JSON_ARRAY;
}

static const struct field resources_fields[] = {
    OBJECT("memory", struct spec_resources, memory, &memory_table),
    OBJECT("cpu", struct spec_resources, cpu, &cpu_table),
    INLINE("pids", &pids_table),
    OBJECT("blockIO", struct spec_resources, block_io, &block_io_table),
    LIST("hugepageLimits", struct spec_resources, hugepages, n_hugepages, &hugepage_table,
         .max = RESOURCES_MAX),
    OBJECT("network", struct spec_resources, network, &network_table),
    MAP("rdma", struct spec_resources, rdma, n_rdma, &rdma_table, .max = RESOURCES_MAX),
    MAP("unified", struct spec_resources, unified, n_unified, &unified_table, .max = RESOURCES_MAX),
    LIST("devices", struct spec_resources, devices, n_devices, &rule_table),
};
const struct table spec_resources_table = {
    .fields = resources_fields, .n = ARRAY_SIZE(resources_fields), .done = resources_done};
