/*
 * linux.resources of the specification, typed (config-linux.md, "Control groups"). The same structure is filled from
 * config.json, from `update --resources`, and from update's flags: what is not set stays as it is.
 * A zero counts as not set where it would make no sense (limits of memory and pids, shares, weights, quota, periods).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spec_limit {
    bool set;
    int64_t value; /* -1: unlimited, where the specification has that */
};

struct spec_resources_memory {
    struct spec_limit limit, reservation, swap /* memory + swap */, kernel, kernel_tcp; /* bytes */
    struct spec_limit swappiness;                                                       /* 0..100 */
    bool has_disable_oom_killer, disable_oom_killer;
    bool has_use_hierarchy, use_hierarchy;
    bool check_before_update;
};

struct spec_resources_cpu {
    struct spec_limit shares;                            /* 2..262144 on v1; 0 means not set */
    struct spec_limit quota, period;                     /* us; quota -1: none */
    struct spec_limit burst;                             /* us */
    struct spec_limit realtime_runtime, realtime_period; /* us */
    struct spec_limit idle;                              /* 0 or 1 */
    char *cpus, *mems;                                   /* lists: "0-3,7" */
};

struct spec_weight_device {
    int64_t major, minor;
    struct spec_limit weight, leaf_weight; /* 10..1000 */
};

struct spec_throttle_device {
    int64_t major, minor;
    int64_t rate; /* bytes/s or operations/s */
};

struct spec_throttles {
    struct spec_throttle_device *v;
    size_t n;
};

enum throttle_type {
    THROTTLE_READ_BPS,
    THROTTLE_WRITE_BPS,
    THROTTLE_READ_IOPS,
    THROTTLE_WRITE_IOPS,
    THROTTLE_COUNT
};

struct spec_resources_block_io {
    struct spec_limit weight, leaf_weight; /* 10..1000 */
    struct spec_weight_device *weight_devices;
    size_t n_weight_devices;
    struct spec_throttles throttle[THROTTLE_COUNT];
};

struct spec_hugepage_limit {
    char *page_size; /* "2MB", "1GB" */
    int64_t limit;   /* bytes */
};

struct spec_interface_priority {
    char *name;
    uint32_t priority;
};

struct spec_resources_network {
    struct spec_limit class_id; /* u32 */
    struct spec_interface_priority *priorities;
    size_t n_priorities;
};

struct spec_rdma {
    char *device; /* key of the map: "mlx5_1" */
    struct spec_limit hca_handles, hca_objects;
};

struct spec_unified {
    char *file; /* key of the map: a name of a cgroup v2 file, without '/' */
    char *value;
};

enum { DEVICE_ACCESS_READ = 1, DEVICE_ACCESS_WRITE = 2, DEVICE_ACCESS_MKNOD = 4, DEVICE_ACCESS_ALL = 7 };

struct spec_device_rule {
    bool allow;
    char type;            /* 'a', 'b' or 'c' */
    int64_t major, minor; /* -1: any */
    uint32_t access;      /* DEVICE_ACCESS_*; 0 when the rule names none, which is all */
};

struct spec_resources {
    bool present;
    struct spec_resources_memory memory;
    struct spec_resources_cpu cpu;
    struct spec_limit pids; /* -1: unlimited */
    struct spec_resources_block_io block_io;
    struct spec_hugepage_limit *hugepages;
    size_t n_hugepages;
    struct spec_resources_network network;
    struct spec_rdma *rdma;
    size_t n_rdma;
    struct spec_unified *unified;
    size_t n_unified;
    bool has_devices;
    struct spec_device_rule *devices; /* later rules win */
    size_t n_devices;
};
