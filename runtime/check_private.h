/* Between the probes of runtime/check*.c and their table in check.c. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "runtime/check.h"

/* Facts that many probes need; found once. */
struct check_host {
    const char *state_directory;
    bool privileged;         /* CAP_SYS_ADMIN: namespaces without a user namespace around them */
    bool maps_itself;        /* root without CAP_SETFCAP may not map itself into a user namespace (5.12) */
    unsigned kernel[2];      /* major, minor */
    struct cgroup_dir *dirs; /* cgroup_layout() */
    size_t n_dirs;
};

struct probe {
    struct arena *arena;
    const struct check_host *host;
    const struct check_row *row;
    struct check_result *result;
};

typedef void probe_function(struct probe *p);

enum check_need { CHECK_OPTIONAL, CHECK_CONTAINERS, CHECK_SANDBOXES };

struct check_row {
    const char *group, *name;
    enum check_need need;
    probe_function *probe;
    int number; /* what of its kind, for probes that serve several rows: an enum namespace_type, ... */
};

/* A probe calls one of these, once. @remedy may be NULL. */
void probe_ok(struct probe *p, const char *fmt, ...) _printf_(2, 3);
/** Some containers will miss it, or it is less than it could be: warn, whatever the row's need. */
void probe_warn(struct probe *p, const char *remedy, const char *fmt, ...) _printf_(3, 4);
/** It isn't there: no in a row that is needed, warn in one that is optional. */
void probe_missing(struct probe *p, const char *remedy, const char *fmt, ...) _printf_(3, 4);

/**
 * Run @body in a forked child that has first unshared @namespaces (CLONE_NEW*; with CLONE_NEWUSER the caller's ids are
 * 0 there, with CLONE_NEWNS no mount propagates back). 0 when it returned 0; else -1 with the errno of the body, or of
 * what came before it, in which case *entered (may be NULL) is false. A child that hangs is ended after 2 s: ETIMEDOUT.
 */
int check_in_child(int namespaces, int (*body)(void *data), void *data, bool *entered);
/** CLONE_NEWUSER for callers who have no namespaces without it, else 0. */
int check_userns_flag(const struct check_host *host);

/** "6.18.5-cloud" -> {6, 18}. */
bool check_parse_version(const char *release, unsigned version[2]);
bool check_version_below(const unsigned version[2], unsigned major, unsigned minor);
/** True when @word stands in @list, whose words are apart by any of @separators. */
bool check_has_word(const char *list, const char *separators, const char *word);
/** A small file of /proc, /sys or /etc in the arena, without the newline at its end; NULL with errno. */
char *check_read(struct arena *a, const char *path);

/* check_kernel.c */
probe_function check_kernel_version, check_clone3, check_clone_into_cgroup, check_pidfd, check_openat2,
    check_close_range, check_mount_api, check_mount_setattr, check_memfd, check_exe_seal, check_namespace;
/* check_users.c */
probe_function check_userns_limit, check_userns_unprivileged, check_id_helpers, check_id_ranges;
/** The ranges that /etc/subuid's @text gives to the user: "name:start:count" or "uid:start:count". Returns how many ids,
 * *start is the first range's. */
uint64_t check_subid_count(const char *text, const char *name, uid_t uid, uint32_t *start);
/* check_cgroups.c */
probe_function check_cgroup_layout, check_cgroup_controllers, check_cgroup_delegation, check_cgroup_kill,
    check_cgroup_systemd;
/* check_security.c */
probe_function check_seccomp, check_seccomp_notify, check_lsm, check_landlock, check_lockdown;
/* check_files.c */
probe_function check_state_directory, check_proc_mount, check_overlay, check_overlay_userns, check_idmap;
enum check_idmap_of { IDMAP_ROOT, IDMAP_STATE, IDMAP_TMPFS, IDMAP_OVERLAY };
/* check_tools.c */
probe_function check_nftables, check_tun, check_helper, check_criu;
enum check_helper_name { CHECK_HULL_NET, CHECK_HULL_SYSTEMD };
/* check_sandbox.c */
probe_function check_cpu, check_nested_paging, check_kvm, check_kvm_capabilities, check_vhost_net,
    check_vhost_vsock, check_guest_kernel, check_build;
