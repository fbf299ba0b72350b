/*
 * Tables for the `linux` object (runtime-spec config-linux.md). `resources` is in decode_resources.c.
 */
#include "runtime/spec/decode.h"

#include <string.h>

/* --- namespaces: a list by type becomes an array
 * ----------------------------------------------------------------------- */

struct namespace_entry {
    char *type, *path;
};

static const struct field namespace_table_fields[] = {
    STRING("type", struct namespace_entry, type, .flags = REQUIRED | NAMES, .names = namespace_names),
    STRING("path", struct namespace_entry, path, .flags = ABSOLUTE),
};
TABLE(namespace_table, ELEMENT(struct namespace_entry));

struct namespace_list {
    struct namespace_entry *v;
    size_t n;
};
static const struct field namespaces_field =
    LIST("namespaces", struct namespace_list, v, n, &namespace_table);

static void decode_namespaces(struct decoder *d, const struct place *at, const struct json *json,
                              void *target)
{
    struct spec_namespace *namespaces = target;
    struct namespace_list list = {0};
    decode_field(d, at, json, &namespaces_field, &list);
    for (size_t i = 0; i < list.n; i++) {
        int type = name_index(namespace_names, list.v[i].type);
        struct place here = {.up = at, .index = i};
        if (type < 0)
            continue;
        if (namespaces[type].present)
            complain_at(d, &here, "is a second \"%s\" namespace; each type may be listed once",
                        list.v[i].type);
        namespaces[type] = (struct spec_namespace){.present = true, .path = list.v[i].path};
    }
}

/* --- id maps, time offsets, devices
 * -------------------------------------------------------------------------------------- */

static const struct field id_map_fields[] = {
    U32("containerID", struct id_map, container_id, .flags = REQUIRED),
    U32("hostID", struct id_map, host_id, .flags = REQUIRED),
    U32("size", struct id_map, size, .flags = REQUIRED),
};
const struct table spec_id_map_table = {
    .fields = id_map_fields, .n = ARRAY_SIZE(id_map_fields), .size = sizeof(struct id_map)};

static const struct field time_offset_table_fields[] = {
    I64("secs", struct spec_time_offset, secs),
    U32("nanosecs", struct spec_time_offset, nanosecs, RANGE(0, 999999999)),
};
TABLE(time_offset_table);

static const struct field time_offsets_table_fields[] = {
    OBJECT("monotonic", struct spec_linux, monotonic, &time_offset_table,
           AUX(struct spec_linux, monotonic.present)),
    OBJECT("boottime", struct spec_linux, boottime, &time_offset_table,
           AUX(struct spec_linux, boottime.present)),
};
TABLE(time_offsets_table, .closed = true);

static const struct field device_type_field =
    STRING("type", struct namespace_entry, type, .flags = REQUIRED | NAMES, .names = device_types);

static void decode_device_type(struct decoder *d, const struct place *at, const struct json *json,
                               void *target)
{
    struct namespace_entry entry = {0};
    decode_field(d, at, json, &device_type_field, &entry);
    if (entry.type)
        *(char *)target = entry.type[0] == 'u' ? 'c' : entry.type[0];
}

static void device_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    static const char *const numbers[] = {"major", "minor"};
    const struct spec_device *device = object;
    for (size_t i = 0; device->type && device->type != 'p' && i < ARRAY_SIZE(numbers); i++) {
        const struct json *number = json_get(json, numbers[i]);
        struct place here = {.up = at, .key = numbers[i]};
        if (!number || number->type == JSON_NULL)
            complain_at(d, &here, "is required for a device of type \"%c\"", device->type);
    }
}

/* mknod(2) takes 12 bits of major and 20 of minor number, and cuts the rest off silently: another device. */
static const struct field device_table_fields[] = {
    STRING("path", struct spec_device, path, .flags = REQUIRED | ABSOLUTE),
    CUSTOM("type", struct spec_device, type, decode_device_type, .flags = REQUIRED),
    I64("major", struct spec_device, major, RANGE(0, (1 << 12) - 1)),
    I64("minor", struct spec_device, minor, RANGE(0, (1 << 20) - 1)),
    U32("fileMode", struct spec_device, file_mode, AUX(struct spec_device, has_file_mode)),
    U32("uid", struct spec_device, uid, AUX(struct spec_device, has_uid)),
    U32("gid", struct spec_device, gid, AUX(struct spec_device, has_gid)),
};
TABLE(device_table, ELEMENT(struct spec_device), .done = device_done);

static const struct field net_device_table_fields[] = {
    STRING("name", struct spec_net_device, container_name),
};
TABLE(net_device_table, KEYED(struct spec_net_device, host_name));

/* --- sysctl: keys in the dotted form
 * -------------------------------------------------------------------------------------- */

/* sysctl(8): when the first separator is a '/', then '/' separates and a '.' belongs to a name; else the
 * other way round. */
static void sysctl_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)at, (void)json;
    struct spec_sysctl *s = object;
    if (s->key[strcspn(s->key, "./")] != '/')
        return;
    s->key = arena_strdup(d->arena, s->key);
    for (char *p = s->key; *p; p++)
        *p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
}

static const struct field sysctl_table_fields[] = {
    STRING("value", struct spec_sysctl, value, .flags = MAY_BE_EMPTY),
};
TABLE(sysctl_table, KEYED(struct spec_sysctl, key), .value_is_field = true, .done = sysctl_done);

/* --- seccomp
 * -------------------------------------------------------------------------------------------------------------
 */

static const struct field seccomp_arg_table_fields[] = {
    U32("index", struct spec_seccomp_arg, index, RANGE(0, 5), .flags = REQUIRED),
    U64("value", struct spec_seccomp_arg, value, .flags = REQUIRED),
    U64("valueTwo", struct spec_seccomp_arg, value_two),
    STRING("op", struct spec_seccomp_arg, op, .flags = REQUIRED | NAMES, .names = seccomp_operator_names),
};
TABLE(seccomp_arg_table, ELEMENT(struct spec_seccomp_arg));

/* SECCOMP_RET_DATA is 16 bits wide. */
static const struct field seccomp_rule_table_fields[] = {
    STRINGS("names", struct spec_seccomp_rule, names, .flags = REQUIRED | NOT_EMPTY),
    STRING("action", struct spec_seccomp_rule, action, .flags = REQUIRED | NAMES,
           .names = seccomp_action_names),
    U32("errnoRet", struct spec_seccomp_rule, errno_ret, AUX(struct spec_seccomp_rule, has_errno_ret),
        RANGE(0, UINT16_MAX)),
    LIST("args", struct spec_seccomp_rule, args, n_args, &seccomp_arg_table),
};
TABLE(seccomp_rule_table, ELEMENT(struct spec_seccomp_rule));

static void seccomp_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)at;
    struct spec_seccomp *s = object;
    s->raw = d->text + json->raw_start;
    s->raw_length = json->raw_end - json->raw_start;
}

static const struct field seccomp_table_fields[] = {
    STRING("defaultAction", struct spec_seccomp, default_action, .flags = REQUIRED | NAMES,
           .names = seccomp_action_names),
    U32("defaultErrnoRet", struct spec_seccomp, default_errno_ret,
        AUX(struct spec_seccomp, has_default_errno_ret), RANGE(0, UINT16_MAX)),
    STRINGS("architectures", struct spec_seccomp, architectures, .flags = NAMES,
            .names = seccomp_architecture_names),
    STRINGS("flags", struct spec_seccomp, flags, .flags = NAMES, .names = seccomp_flag_names),
    STRING("listenerPath", struct spec_seccomp, listener_path),
    STRING("listenerMetadata", struct spec_seccomp, listener_metadata),
    LIST("syscalls", struct spec_seccomp, rules, n_rules, &seccomp_rule_table),
};
TABLE(seccomp_table, .done = seccomp_done);

/* --- intelRdt, memoryPolicy, personality
 * ------------------------------------------------------------------------------------ */

static const struct field intel_rdt_table_fields[] = {
    STRING("closID", struct spec_intel_rdt, clos_id),
    STRING("l3CacheSchema", struct spec_intel_rdt, l3_cache_schema),
    STRING("memBwSchema", struct spec_intel_rdt, mem_bw_schema),
    STRINGS("schemata", struct spec_intel_rdt, schemata),
    BOOL("enableCMT", struct spec_intel_rdt, enable_cmt),
    BOOL("enableMBM", struct spec_intel_rdt, enable_mbm),
    BOOL("enableMonitoring", struct spec_intel_rdt, enable_monitoring),
};
TABLE(intel_rdt_table);

static const struct field memory_policy_table_fields[] = {
    STRING("mode", struct spec_memory_policy, mode, .flags = REQUIRED | NAMES, .names = memory_policy_modes),
    STRING("nodes", struct spec_memory_policy, nodes),
    STRINGS("flags", struct spec_memory_policy, flags, .flags = NAMES, .names = memory_policy_flags),
};
TABLE(memory_policy_table);

static const struct field personality_table_fields[] = {
    STRING("domain", struct spec_personality, domain, .flags = REQUIRED | NAMES,
           .names = personality_domains),
    STRINGS("flags", struct spec_personality, flags),
};
TABLE(personality_table);

/* --- the object
 * -------------------------------------------------------------------------------------------------------------
 */

enum { NET_DEVICES_MAX = 1024 }; /* each is compared with all others */

static const struct field linux_fields[] = {
    CUSTOM("namespaces", struct spec_linux, namespaces, decode_namespaces),
    LIST("uidMappings", struct spec_linux, uid_mappings.v, uid_mappings.n, &spec_id_map_table,
         .max = ID_MAPS_MAX),
    LIST("gidMappings", struct spec_linux, gid_mappings.v, gid_mappings.n, &spec_id_map_table,
         .max = ID_MAPS_MAX),
    INLINE("timeOffsets", &time_offsets_table),
    LIST("devices", struct spec_linux, devices, n_devices, &device_table),
    MAP("netDevices", struct spec_linux, net_devices, n_net_devices, &net_device_table,
        .max = NET_DEVICES_MAX),
    STRING("cgroupsPath", struct spec_linux, cgroups_path),
    STRING("rootfsPropagation", struct spec_linux, rootfs_propagation, .flags = NAMES,
           .names = propagation_names),
    OBJECT("seccomp", struct spec_linux, seccomp, &seccomp_table, AUX(struct spec_linux, seccomp.present)),
    STRINGS("maskedPaths", struct spec_linux, masked_paths, .flags = ABSOLUTE),
    STRINGS("readonlyPaths", struct spec_linux, readonly_paths, .flags = ABSOLUTE),
    STRING("mountLabel", struct spec_linux, mount_label),
    MAP("sysctl", struct spec_linux, sysctl, n_sysctl, &sysctl_table),
    OBJECT("intelRdt", struct spec_linux, intel_rdt, &intel_rdt_table,
           AUX(struct spec_linux, intel_rdt.present)),
    OBJECT("memoryPolicy", struct spec_linux, memory_policy, &memory_policy_table,
           AUX(struct spec_linux, memory_policy.present)),
    OBJECT("personality", struct spec_linux, personality, &personality_table,
           AUX(struct spec_linux, personality.present)),
    OBJECT("resources", struct spec_linux, resources, &spec_resources_table,
           AUX(struct spec_linux, resources.present)),
};
const struct table spec_linux_table = {.fields = linux_fields, .n = ARRAY_SIZE(linux_fields)};
