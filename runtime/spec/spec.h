/*
 * The typed view of config.json (runtime-spec 1.3, Linux part). decode.c fills it from one table of fields
 * per object; no other file touches the specification's raw JSON. Everything lives in the command's arena;
 * strings are NULL when the field is missing, lists have n == 0. "has_" tells a missing number from a zero
 * one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/json.h"
#include "runtime/spec/resources.h"

#define SPEC_VERSION "1.3.0"

struct string_list {
    char **v; /* NULL-terminated when n > 0 */
    size_t n;
};

struct id_map {
    uint32_t container_id, host_id, size;
};

struct id_maps {
    struct id_map *v;
    size_t n;
};

enum namespace_type { NS_USER, NS_CGROUP, NS_IPC, NS_UTS, NS_NETWORK, NS_PID, NS_TIME, NS_MOUNT, NS_COUNT };

struct spec_namespace {
    bool present;
    char *path; /* NULL: a new one */
};

struct spec_rlimit {
    char *type;   /* "RLIMIT_NOFILE" */
    int resource; /* RLIMIT_NOFILE; -1 when unknown (validate complains) */
    uint64_t soft, hard;
};

struct spec_user {
    uint32_t uid, gid;
    bool has_umask;
    uint32_t umask;
    uint32_t *additional_gids;
    size_t n_additional_gids;
};

/* Bit N is capability N. Names that this build or kernel does not know are in `unknown`, and warned of by
 * validate. */
struct spec_capabilities {
    bool present; /* process.capabilities was there */
    uint64_t bounding, effective, inheritable, permitted, ambient;
    struct string_list unknown;
};

struct spec_scheduler {
    bool present;
    char *policy; /* "SCHED_OTHER" ... */
    int policy_number;
    int32_t nice, priority;
    struct string_list flags; /* "SCHED_FLAG_RESET_ON_FORK" ... */
    uint64_t flag_bits;
    uint64_t runtime, deadline, period; /* ns */
};

struct spec_io_priority {
    bool present;
    char *class_name; /* "IOPRIO_CLASS_BE" */
    int class_number;
    int32_t priority;
};

struct spec_process {
    bool present;
    bool terminal;
    bool has_console_size;
    uint32_t console_height, console_width;
    struct spec_user user;
    struct string_list args, env;
    char *cwd;
    struct spec_capabilities capabilities;
    struct spec_rlimit *rlimits;
    size_t n_rlimits;
    bool no_new_privileges;
    char *apparmor_profile, *selinux_label;
    bool has_oom_score_adj;
    int32_t oom_score_adj;
    struct spec_scheduler scheduler;
    struct spec_io_priority io_priority;
    char *exec_cpu_affinity_initial, *exec_cpu_affinity_final; /* cpu lists */
};

struct spec_mount {
    char *destination, *type, *source;
    struct string_list options;
    struct id_maps uid_mappings, gid_mappings;
    char *name; /* what messages call it; NULL: mounts[i] (destination) */
};

struct spec_device {
    char *path;
    char type; /* 'c' (also "u"), 'b' or 'p' */
    int64_t major, minor;
    bool has_file_mode, has_uid, has_gid;
    uint32_t file_mode, uid, gid;
};

struct spec_net_device {
    char *host_name;      /* key of linux.netDevices */
    char *container_name; /* NULL: keeps its name */
};

struct spec_sysctl {
    char *key, *value;
};

struct spec_hook {
    char *path;
    struct string_list args, env;
    bool has_timeout;
    int64_t timeout; /* s */
};

struct spec_hooks {
    struct spec_hook *v;
    size_t n;
};

enum hook_type {
    HOOK_PRESTART,
    HOOK_CREATE_RUNTIME,
    HOOK_CREATE_CONTAINER,
    HOOK_START_CONTAINER,
    HOOK_POSTSTART,
    HOOK_POSTSTOP,
    HOOK_COUNT
};

struct spec_annotation {
    char *key, *value;
};

struct spec_seccomp_arg {
    uint32_t index;
    uint64_t value, value_two;
    char *op; /* "SCMP_CMP_EQ" ... */
};

struct spec_seccomp_rule {
    struct string_list names;
    char *action;
    bool has_errno_ret;
    uint32_t errno_ret;
    struct spec_seccomp_arg *args;
    size_t n_args;
};

struct spec_seccomp {
    bool present;
    const char *raw; /* the section's own bytes: the filter cache's key */
    size_t raw_length;
    char *default_action;
    bool has_default_errno_ret;
    uint32_t default_errno_ret;
    struct string_list architectures, flags;
    char *listener_path, *listener_metadata;
    struct spec_seccomp_rule *rules;
    size_t n_rules;
};

struct spec_intel_rdt {
    bool present;
    char *clos_id, *l3_cache_schema, *mem_bw_schema;
    struct string_list schemata;
    bool enable_cmt, enable_mbm, enable_monitoring;
};

struct spec_memory_policy {
    bool present;
    char *mode;  /* "MPOL_BIND" ... */
    char *nodes; /* "0-3,7" */
    struct string_list flags;
};

struct spec_personality {
    bool present;
    char *domain; /* "LINUX" or "LINUX32" */
    struct string_list flags;
};

struct spec_time_offset {
    bool present;
    int64_t secs;
    uint32_t nanosecs;
};

struct spec_linux {
    struct spec_namespace namespaces[NS_COUNT];
    struct id_maps uid_mappings, gid_mappings;
    struct spec_time_offset monotonic, boottime;
    struct spec_device *devices;
    size_t n_devices;
    struct spec_net_device *net_devices;
    size_t n_net_devices;
    char *cgroups_path;
    char *rootfs_propagation; /* "slave", "rprivate" ... NULL: rslave for the host's side */
    struct spec_seccomp seccomp;
    struct string_list masked_paths, readonly_paths;
    char *mount_label;
    struct spec_sysctl *sysctl;
    size_t n_sysctl;
    struct spec_intel_rdt intel_rdt;
    struct spec_memory_policy memory_policy;
    struct spec_personality personality;
    struct spec_resources resources;
};

/* config-vm.md. What hull has no use for is only known to be there. */
struct spec_vm {
    const struct json *json; /* the `vm` object, NULL when missing */
    char *hypervisor_path, *kernel_path, *kernel_initrd, *image_path, *device_tree;
    struct string_list kernel_parameters;
    bool has_vcpus, has_memory;
    int64_t vcpus, memory; /* bytes */
    bool passes_devices;   /* dtdevs, iomems or irqs */
};

struct spec {
    char *oci_version, *hostname, *domainname;
    char *root_path; /* as written; relative to the bundle */
    bool root_readonly;
    struct spec_process process;
    struct spec_mount *mounts;
    size_t n_mounts;
    struct spec_hooks hooks[HOOK_COUNT];
    struct spec_annotation *annotations;
    size_t n_annotations;
    struct spec_linux linux_;
    struct spec_vm vm;
    const char *text; /* the file's bytes, as read */
    size_t length;
};

/* Complaints are collected, not returned one at a time; each starts with its JSON path: "process.user.uid:
 * ..." */
struct spec_complaints {
    struct arena *arena;
    struct string_list list;
    size_t capacity;
    size_t dropped; /* how many more there were than are kept */
};

/**
 * Read and decode the file @name (usually "config.json") below @dirfd, then validate it: syntax, types,
 * required fields, values (everything that can be known without touching the host). All complaints go into
 * one error message, a line each ("config.json: process.cwd: must be an absolute path, got \"tmp\""). Unknown
 * capabilities and the like are logged as warnings.
 */
int spec_load(struct arena *a, int dirfd, const char *name, struct spec **out, struct error *err);

/** The same from text that is in memory already (and must stay there). */
int spec_parse(struct arena *a, const char *text, size_t length, const char *name, struct spec **out,
               struct error *err);

/** A bare process object, as `exec --process FILE` gives it; @name is the file's name for messages. Validated
 * too. */
int spec_load_process(struct arena *a, const char *path, struct spec_process *out, struct error *err);

/** A bare `linux.resources` object, as `update --resources FILE` gives it; "-" is stdin. */
int spec_load_resources(struct arena *a, const char *path, struct spec_resources *out, struct error *err);
/** The relations between the numbers of @r, which came from elsewhere (options); @name is for messages. */
int spec_check_resources(struct arena *a, const struct spec_resources *r, const char *name,
                         struct error *err);

/** The document `hull spec` writes: runc's example (busybox shell, tty), on demand for a user without root, and then one
 * that a sandbox can have as well. Plain JSON text. */
char *spec_example(struct arena *a, bool rootless, bool sandbox, size_t *length);

/** Name tables shared with features, exec flags and messages. -1 / NULL when unknown. */
int capability_from_name(const char *name);      /* "CAP_SYS_ADMIN" or "sys_admin", any case */
const char *capability_name(int number);         /* "CAP_SYS_ADMIN" */
int namespace_from_name(const char *name);       /* "network" -> NS_NETWORK */
const char *namespace_name(enum namespace_type); /* "network" */
int rlimit_from_name(const char *name);          /* "RLIMIT_NOFILE" */
const char *hook_name(enum hook_type);           /* "createRuntime" */
