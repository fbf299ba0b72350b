/*
 * Limits as properties of a scope (systemd.resource-control(5), org.freedesktop.systemd1(5)). They are written to the cgroup's
 * files too, exactly, by cgroup_write_limits(); the unit must have them because systemd writes what it knows again whenever
 * it likes (daemon-reload, a neighbour's change). So where a property cannot say quite the same, it is a little wider.
 *
 * On v1 the properties are those of v1, which take the same numbers as the files.
 */
#include <inttypes.h>
#include <string.h>

#include "base/number.h"
#include "cgroups/cgroup_private.h"
#include "cgroups/convert.h"
#include "cgroups/devices.h"
#include "cgroups/systemd_private.h"

enum { CPU_MAX = 8192, PERIOD_DEFAULT_US = 100000, QUOTA_STEP_US = 10000, DEVICES_MAX = 1024 };

/* The first systemd that has it. */
enum { ANY_VERSION = 0, WITH_PERIOD = 242, WITH_CPUSET = 244, WITH_IDLE = 252 };

static void open_property(struct json_writer *w, const char *name, const char *signature)
{
    json_array(w);
    json_string(w, name);
    json_string(w, signature);
}

static void close_property(struct json_writer *w, unsigned version)
{
    if (version)
        json_uint(w, version);
    json_array_end(w);
}

static void put_u64(struct json_writer *w, const char *name, uint64_t value, unsigned version)
{
    open_property(w, name, "t");
    json_uint(w, value);
    close_property(w, version);
}

static void put_bool(struct json_writer *w, const char *name, bool value)
{
    open_property(w, name, "b");
    json_bool(w, value);
    close_property(w, ANY_VERSION);
}

static void put_string(struct json_writer *w, const char *name, const char *value)
{
    open_property(w, name, "s");
    json_string(w, value);
    close_property(w, ANY_VERSION);
}

/* -1 is "infinity". */
static void put_limit(struct json_writer *w, const char *name, const struct spec_limit *limit, int64_t lowest)
{
    if (limit->set)
        put_u64(w, name,
                limit->value < 0 ? UINT64_MAX : (uint64_t)(limit->value < lowest ? lowest : limit->value),
                ANY_VERSION);
}

/* --- cpu ----------------------------------------------------------------------------------------------------- */

/* systemd keeps percents: rounded up, so that a reload cannot take any away. */
static void put_quota(struct json_writer *w, int64_t quota, uint64_t period)
{
    uint64_t per_second;

    put_u64(w, "CPUQuotaPeriodUSec", period, WITH_PERIOD);
    if (quota <= 0 || __builtin_mul_overflow((uint64_t)quota, 1000000, &per_second)) {
        put_u64(w, "CPUQuotaPerSecUSec", UINT64_MAX, ANY_VERSION);
        return;
    }
    per_second = (per_second + period - 1) / period;
    per_second = (per_second + QUOTA_STEP_US - 1) / QUOTA_STEP_US * QUOTA_STEP_US;
    put_u64(w, "CPUQuotaPerSecUSec", per_second, ANY_VERSION);
}

static void put_cpu(const struct cgroup_dir *d, const struct spec_resources_cpu *cpu, struct json_writer *w)
{
    uint64_t period =
        cpu->period.set && cpu->period.value > 0 ? (uint64_t)cpu->period.value : PERIOD_DEFAULT_US;
    bool shares = cpu->shares.set && cpu->shares.value > 0;

    if (!d)
        return;
    if (d->v2 && cpu->idle.set && cpu->idle.value == 1)
        put_u64(w, "CPUWeight", 0, WITH_IDLE);
    else if (shares && d->v2)
        put_u64(w, "CPUWeight", convert_shares((uint64_t)cpu->shares.value), ANY_VERSION);
    else if (shares)
        put_u64(w, "CPUShares", (uint64_t)cpu->shares.value, ANY_VERSION);
    if (cpu->quota.set || cpu->period.set)
        put_quota(w, cpu->quota.set ? cpu->quota.value : -1, period);
}

bool systemd_cpu_list(const char *list, uint8_t *mask, size_t size, size_t *used)
{
    memset(mask, 0, size);
    *used = 0;
    while (*list) {
        unsigned first, last;
        int n = 0;

        if (sscanf(list, "%u-%u%n", &first, &last, &n) < 2 || n == 0) {
            if (sscanf(list, "%u%n", &first, &n) < 1)
                return false;
            last = first;
        }
        if (first > last || last >= size * 8)
            return false;
        for (unsigned i = first; i <= last; i++)
            mask[i / 8] |= (uint8_t)(1U << i % 8);
        *used = last / 8 + 1 > *used ? last / 8 + 1 : *used;
        list += n;
        if (*list == ',' && list[1])
            list++;
        else if (*list && *list != '\n')
            return false;
        else
            break;
    }
    return true;
}

/* A list as a bit mask, the lowest first; an empty one takes the property away. What only the kernel understands
 * ("0-31:2/4") is left to the file. */
static void put_list(struct json_writer *w, const char *name, const char *list)
{
    uint8_t mask[CPU_MAX / 8];
    size_t used;

    if (!list || !systemd_cpu_list(list, mask, sizeof(mask), &used))
        return;
    open_property(w, name, "ay");
    json_array(w);
    for (size_t i = 0; i < used; i++)
        json_uint(w, mask[i]);
    json_array_end(w);
    close_property(w, WITH_CPUSET);
}

/* --- memory ---------------------------------------------------------------------------------------------------- */

static void put_memory(const struct cgroup_dir *d, const struct spec_resources_memory *m,
                       struct json_writer *w)
{
    struct spec_limit swap = {.set = true};

    if (!d)
        return;
    put_limit(w, d->v2 ? "MemoryMax" : "MemoryLimit", &m->limit, 1);
    if (!d->v2)
        return;
    put_limit(w, "MemoryLow", &m->reservation, 0);
    if (m->swap.set &&
        convert_swap(m->swap.value, m->limit.set ? m->limit.value : -1, &swap.value, NULL) == 0)
        put_limit(w, "MemorySwapMax", &swap, 0);
}

/* --- io ---------------------------------------------------------------------------------------------------------- */

static void put_io(const struct cgroup_dir *d, const struct spec_resources_block_io *io,
                   struct json_writer *w)
{
    static const char *const names[][THROTTLE_COUNT] = {
        {[THROTTLE_READ_BPS] = "BlockIOReadBandwidth", [THROTTLE_WRITE_BPS] = "BlockIOWriteBandwidth"},
        {[THROTTLE_READ_BPS] = "IOReadBandwidthMax",
         [THROTTLE_WRITE_BPS] = "IOWriteBandwidthMax",
         [THROTTLE_READ_IOPS] = "IOReadIOPSMax",
         [THROTTLE_WRITE_IOPS] = "IOWriteIOPSMax"},
    };

    if (!d)
        return;
    if (io->weight.set && io->weight.value > 0)
        put_u64(w, d->v2 ? "IOWeight" : "BlockIOWeight",
                d->v2 ? convert_io_weight((uint64_t)io->weight.value) : (uint64_t)io->weight.value,
                ANY_VERSION);
    for (unsigned t = 0; t < THROTTLE_COUNT; t++) {
        const struct spec_throttles *list = &io->throttle[t];

        if (list->n == 0 || !names[d->v2][t])
            continue;
        open_property(w, names[d->v2][t], "a(st)");
        json_array(w);
        for (size_t i = 0; i < list->n; i++) {
            char path[64];

            snprintf(path, sizeof(path), "/dev/block/%" PRId64 ":%" PRId64, list->v[i].major,
                     list->v[i].minor);
            json_array(w);
            json_string(w, path);
            json_uint(w, list->v[i].rate > 0 ? (uint64_t)list->v[i].rate
                                             : UINT64_MAX); /* 0 takes the limit away */
            json_array_end(w);
        }
        json_array_end(w);
        close_property(w, ANY_VERSION);
    }
}

/* --- devices ------------------------------------------------------------------------------------------------------- */

static void put_device(struct json_writer *w, const struct device_entry *e)
{
    const char *class = e->type == 'b' ? "block" : "char";
    char pattern[64], access[4] = "";
    size_t n = 0;

    if (e->major == DEVICE_ANY)
        snprintf(pattern, sizeof(pattern), "%s-*", class); /* there is no "any major, this minor" */
    else if (e->minor == DEVICE_ANY)
        snprintf(pattern, sizeof(pattern), "%s-%" PRId64, class, e->major);
    else
        snprintf(pattern, sizeof(pattern), "/dev/%s/%" PRId64 ":%" PRId64, class, e->major, e->minor);
    for (unsigned bit = 0; bit < 3; bit++)
        if (e->access & (1U << bit))
            access[n++] = "rwm"[bit];
    json_array(w);
    json_string(w, pattern);
    json_string(w, access);
    json_array_end(w);
}

/*
 * The rules are our own program's (v1: devices.list) to enforce; systemd's list must not forbid what they allow. It has no
 * exceptions: it is the same or wider. It is not for a user's systemd, which may not guard devices.
 */
static int put_devices(const struct cgroup *c, const struct spec_resources *r, struct json_writer *w,
                       struct error *err)
{
    struct device_policy policy;

    if (c->user_manager)
        return 0;
    if (device_policy_make(c->arena, r, &policy, err) < 0)
        return -1;
    bool all = device_policy_allows_all(&policy) || policy.n > DEVICES_MAX;

    put_string(w, "DevicePolicy", all ? "auto" : "strict");
    open_property(w, "DeviceAllow", "a(ss)"); /* takes away what was there */
    json_array(w);
    json_array_end(w);
    close_property(w, ANY_VERSION);
    if (all)
        return 0;
    open_property(w, "DeviceAllow", "a(ss)");
    json_array(w);
    for (size_t i = 0; i < policy.n; i++)
        if (policy.v[i].access)
            put_device(w, &policy.v[i]);
    json_array_end(w);
    close_property(w, ANY_VERSION);
    return 0;
}

/* --- unified ------------------------------------------------------------------------------------------------------- */

/* "max", "infinity" or a number; what is none is the kernel's to refuse, when the file is written. */
static bool number_or_max(const char *text, uint64_t *out)
{
    size_t n = strcspn(text, "\n ");
    char digits[24];

    if (n == 3 && memcmp(text, "max", 3) == 0) {
        *out = UINT64_MAX;
        return true;
    }
    if (n >= sizeof(digits))
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    return number_parse_u64(digits, "", 0, UINT64_MAX, out, NULL) == 0;
}

static void put_cpu_max(struct json_writer *w, const char *text)
{
    const char *second = strchr(text, ' ');
    uint64_t quota, period = PERIOD_DEFAULT_US;

    if (number_or_max(text, &quota) && (!second || number_or_max(second + 1, &period)) && period > 0 &&
        period < UINT64_MAX)
        put_quota(w, quota > INT64_MAX ? -1 : (int64_t)quota, period);
}

static void put_unified(const struct spec_unified *u, struct json_writer *w)
{
    static const struct {
        const char *file, *property;
        uint64_t min;
    } numbers[] = {
        {"cpu.weight", "CPUWeight", 1},   {"memory.max", "MemoryMax", 1},
        {"memory.high", "MemoryHigh", 1}, {"memory.low", "MemoryLow", 0},
        {"memory.min", "MemoryMin", 0},   {"memory.swap.max", "MemorySwapMax", 0},
        {"pids.max", "TasksMax", 1},
    };
    uint64_t value;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (strcmp(u->file, numbers[i].file) == 0 && number_or_max(u->value, &value) &&
            value >= numbers[i].min)
            put_u64(w, numbers[i].property, value, ANY_VERSION);
    if (strcmp(u->file, "cpu.max") == 0)
        put_cpu_max(w, u->value);
    if (strcmp(u->file, "cpu.idle") == 0 && number_or_max(u->value, &value) && value == 1)
        put_u64(w, "CPUWeight", 0, WITH_IDLE);
    if (strcmp(u->file, "cpuset.cpus") == 0)
        put_list(w, "AllowedCPUs", u->value);
    if (strcmp(u->file, "cpuset.mems") == 0)
        put_list(w, "AllowedMemoryNodes", u->value);
}

/* --- all of them ----------------------------------------------------------------------------------------------------- */

int systemd_limit_properties(const struct cgroup *c, const struct spec_resources *r, struct json_writer *w,
                             struct error *err)
{
    const struct cgroup_dir *cpuset = cgroup_dir_of(c, CG_CPUSET);

    put_cpu(cgroup_dir_of(c, CG_CPU), &r->cpu, w);
    put_memory(cgroup_dir_of(c, CG_MEMORY), &r->memory, w);
    put_io(cgroup_dir_of(c, CG_BLKIO), &r->block_io, w);
    if (r->pids.set && cgroup_dir_of(c, CG_PIDS))
        put_u64(w, "TasksMax", r->pids.value <= 0 ? UINT64_MAX : (uint64_t)r->pids.value, ANY_VERSION);
    if (cpuset && cpuset->v2) { /* systemd leaves v1's cpuset alone */
        put_list(w, "AllowedCPUs", r->cpu.cpus);
        put_list(w, "AllowedMemoryNodes", r->cpu.mems);
    }
    for (size_t i = 0; i < r->n_unified; i++)
        put_unified(&r->unified[i], w);
    return r->has_devices ? put_devices(c, r, w, err) : 0;
}

int systemd_scope_properties(const struct cgroup *c, const struct cgroup_request *q,
                             const struct spec_resources *r, struct json_writer *w, struct error *err)
{
    put_string(w, "Description", arena_printf(c->arena, "Hull container %s", q->id));
    put_string(w, "Slice", c->slice);
    put_bool(w, "Delegate", true);
    put_bool(w, "DefaultDependencies", false);
    put_string(w, "CollectMode", "inactive-or-failed"); /* nobody has to reset-failed what was killed */
    put_bool(w, "CPUAccounting", true);
    put_bool(w, "MemoryAccounting", true);
    put_bool(w, "TasksAccounting", true);
    put_bool(w, "IOAccounting", true);
    if (systemd_limit_properties(c, r, w, err) < 0 || (!r->has_devices && put_devices(c, r, w, err) < 0))
        return -1;
    return systemd_annotation_properties(c->arena, q->annotations, q->n_annotations, w, err);
}
