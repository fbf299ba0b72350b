/* The parts of config.json that are about the kernel: mounts, namespaces, devices, resources, masks. See bundle.h. */
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "images/bundle_private.h"
#include "namespaces/namespaces.h"

enum { CPU_PERIOD_US = 100000, GID_TTY = 5 };

static const struct default_mount {
    const char *destination, *type, *source;
    const char *options[8];
} default_mounts[] = {
    {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
    {"/dev", "tmpfs", "tmpfs", {"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}},
    {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
    {"/dev/pts",
     "devpts",
     "devpts",
     {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
    {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
    {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
    {"/sys/fs/cgroup", "cgroup", "cgroup", {"rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"}},
};

static const char *const masked[] = {"/proc/acpi",          "/proc/kcore",      "/proc/keys",
                                     "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                                     "/proc/sched_debug",   "/proc/scsi",       "/sys/firmware",
                                     "/sys/fs/selinux",     "/sys/dev/block",   NULL};

static const char *const read_only[] = {"/proc/asound", "/proc/bus",           "/proc/fs", "/proc/irq",
                                        "/proc/sys",    "/proc/sysrq-trigger", NULL};

/* --- mounts -------------------------------------------------------------------------------------------------------- */

static bool is_replaced(const struct bundle *b, const char *destination)
{
    for (size_t i = 0; i < b->n_mounts; i++)
        if (strcmp(b->mounts[i].destination, destination) == 0)
            return true;
    return false;
}

static void write_maps(struct json_writer *w, const char *key, const struct id_maps *maps)
{
    json_key(w, key);
    json_array(w);
    for (size_t i = 0; i < maps->n; i++) {
        json_object(w);
        bundle_uint(w, "containerID", maps->v[i].container_id);
        bundle_uint(w, "hostID", maps->v[i].host_id);
        bundle_uint(w, "size", maps->v[i].size);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_mount(struct json_writer *w, const char *destination, const char *type, const char *source,
                        const char *const *options, const struct spec_mount *m)
{
    json_object(w);
    bundle_string(w, "destination", destination);
    bundle_string(w, "type", type);
    bundle_string(w, "source", source);
    bundle_strings(w, "options", options);
    if (m && m->uid_mappings.n) {
        write_maps(w, "uidMappings", &m->uid_mappings);
        write_maps(w, "gidMappings", &m->gid_mappings);
    }
    json_object_end(w);
}

/* A user who stays in the host's network has no sysfs of his own to mount; a privileged one may write. */
static void write_default_mount(struct json_writer *w, const struct bundle *b, const struct default_mount *m)
{
    static const char *const host_sys[] = {"rbind", "rslave", "nosuid", "noexec", "nodev", "ro", NULL};
    const char *options[ARRAY_SIZE(m->options) + 1] = {0};
    size_t n = 0;
    uint32_t host;

    if (strcmp(m->type, "sysfs") == 0 && b->user_namespace && b->network != NETWORK_NONE) {
        write_mount(w, m->destination, "bind", "/sys", host_sys, NULL);
        return;
    }
    for (size_t i = 0; m->options[i]; i++) {
        bool ro = strcmp(m->options[i], "ro") == 0, gid = strncmp(m->options[i], "gid=", 4) == 0;

        if (!(ro && b->privileged) &&
            !(gid && b->user_namespace && !idmap_to_host(&b->gid_maps, GID_TTY, &host)))
            options[n++] = m->options[i];
    }
    write_mount(w, m->destination, m->type, m->source, options, NULL);
}

void bundle_write_mounts(struct json_writer *w, const struct bundle *b)
{
    json_key(w, "mounts");
    json_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(default_mounts); i++)
        if (!is_replaced(b, default_mounts[i].destination))
            write_default_mount(w, b, &default_mounts[i]);
    for (size_t i = 0; i < b->n_mounts; i++)
        write_mount(w, b->mounts[i].destination, b->mounts[i].type, b->mounts[i].source,
                    (const char *const *)b->mounts[i].options.v, &b->mounts[i]);
    json_array_end(w);
}

/* --- linux --------------------------------------------------------------------------------------------------------- */

static void write_namespaces(struct json_writer *w, const struct bundle *b)
{
    struct statfs fs;
    const bool v2 = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
    const struct {
        enum namespace_type type;
        bool wanted;
    } all[] = {{NS_PID, true},
               {NS_NETWORK, b->network != NETWORK_HOST},
               {NS_IPC, true},
               {NS_UTS, true},
               {NS_MOUNT, true},
               {NS_CGROUP, v2 && !b->privileged},
               {NS_USER, b->user_namespace}};

    json_key(w, "namespaces");
    json_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (!all[i].wanted)
            continue;
        json_object(w);
        bundle_string(w, "type", namespace_name(all[i].type));
        if (all[i].type == NS_NETWORK && b->network == NETWORK_JOINED)
            bundle_string(w, "path", b->network_path);
        if (all[i].type == NS_USER && b->user_namespace_path)
            bundle_string(w, "path", b->user_namespace_path);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_device_rule(struct json_writer *w, const struct spec_device *d, const char *access)
{
    json_object(w);
    bundle_bool(w, "allow", d != NULL || !access);
    if (d) {
        bundle_string(w, "type", d->type == 'b' ? "b" : "c");
        bundle_uint(w, "major", (uint64_t)d->major);
        bundle_uint(w, "minor", (uint64_t)d->minor);
    }
    bundle_string(w, "access", access ? access : "rwm");
    json_object_end(w);
}

static void write_resources(struct json_writer *w, const struct bundle *b)
{
    json_key(w, "resources");
    json_object(w);
    json_key(w, "devices");
    json_array(w);
    write_device_rule(w, NULL, b->privileged ? NULL : "rwm");
    for (size_t i = 0; !b->privileged && i < b->n_devices; i++)
        write_device_rule(w, &b->devices[i], b->device_access[i]);
    json_array_end(w);
    if (b->memory) {
        json_key(w, "memory");
        json_object(w);
        bundle_uint(w, "limit", b->memory);
        json_object_end(w);
    }
    if (b->cpu_quota_us) {
        json_key(w, "cpu");
        json_object(w);
        bundle_uint(w, "quota", b->cpu_quota_us);
        bundle_uint(w, "period", CPU_PERIOD_US);
        json_object_end(w);
    }
    if (b->pids) {
        json_key(w, "pids");
        json_object(w);
        bundle_uint(w, "limit", b->pids);
        json_object_end(w);
    }
    json_object_end(w);
}

static void write_devices(struct json_writer *w, const struct bundle *b)
{
    json_key(w, "devices");
    json_array(w);
    for (size_t i = 0; i < b->n_devices; i++) {
        const struct spec_device *d = &b->devices[i];

        json_object(w);
        bundle_string(w, "path", d->path);
        bundle_string(w, "type", d->type == 'b' ? "b" : "c");
        bundle_uint(w, "major", (uint64_t)d->major);
        bundle_uint(w, "minor", (uint64_t)d->minor);
        bundle_uint(w, "fileMode", d->file_mode);
        bundle_uint(w, "uid", d->uid);
        bundle_uint(w, "gid", d->gid);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_seccomp(struct json_writer *w, const struct bundle *b)
{
    struct error ignored;
    struct json *profile;

    if (b->privileged || (b->seccomp && !*b->seccomp))
        return;
    json_key(w, "seccomp");
    if (b->seccomp &&
        json_parse(b->arena, b->seccomp, strlen(b->seccomp), "profile", &profile, &ignored) == 0)
        json_value(w, profile);
    else
        bundle_seccomp_default(w, b->capabilities);
}

void bundle_write_linux(struct json_writer *w, const struct bundle *b)
{
    json_key(w, "linux");
    json_object(w);
    write_namespaces(w, b);
    if (b->user_namespace && !b->user_namespace_path) {
        write_maps(w, "uidMappings", &b->uid_maps);
        write_maps(w, "gidMappings", &b->gid_maps);
    }
    if (b->network == NETWORK_NONE) {
        json_key(w, "sysctl");
        json_object(w);
        bundle_string(w, "net.ipv4.ping_group_range", "0 0");
        json_object_end(w);
    }
    write_resources(w, b);
    write_devices(w, b);
    write_seccomp(w, b);
    if (b->selinux_mount)
        bundle_string(w, "mountLabel", b->selinux_mount);
    if (!b->privileged) {
        bundle_strings(w, "maskedPaths", masked);
        bundle_strings(w, "readonlyPaths", read_only);
    }
    json_object_end(w);
}
