/*
 * The document that `hull spec` writes: what runc's example says, so that scripts which edit it keep working.
 * The rootless variant maps the caller's ids alone, has the host's network and binds /sys (a new sysfs needs a
 * network namespace of one's own), and asks for no cgroup; a sandbox can have neither of the host's.
 */
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "runtime/spec/decode.h"

static const char *const capabilities[] = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", NULL};

static const char *const masked[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    NULL,
};

static const char *const readonly[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static const struct example_mount {
    const char *destination, *type, *source;
    const char *options[8];
    int which; /* 0: always, 1: as root, -1: rootless; 2: with a network namespace, -2: in the host's */
} mounts[] = {
    {"/proc", "proc", "proc", {NULL}, 0},
    {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}, 0},
    {"/dev/pts",
     "devpts",
     "devpts",
     {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
     1},
    {"/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}, -1},
    {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}, 0},
    {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}, 0},
    {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}, 2},
    {"/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"}, -2},
    {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}, 0},
};

static void write_string(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_string(w, value);
}

static void write_number(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_uint(w, value);
}

static void write_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

static void write_strings(struct json_writer *w, const char *key, const char *const *values)
{
    json_key(w, key);
    json_array(w);
    for (; *values; values++)
        json_string(w, *values);
    json_array_end(w);
}

static void write_process(struct json_writer *w)
{
    static const char *const args[] = {"sh", NULL};
    static const char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                      "TERM=xterm", NULL};

    json_key(w, "process");
    json_object(w);
    write_bool(w, "terminal", true);
    json_key(w, "user");
    json_object(w);
    write_number(w, "uid", 0);
    write_number(w, "gid", 0);
    json_object_end(w);
    write_strings(w, "args", args);
    write_strings(w, "env", env);
    write_string(w, "cwd", "/");
    json_key(w, "capabilities");
    json_object(w);
    write_strings(w, "bounding", capabilities);
    write_strings(w, "effective", capabilities);
    write_strings(w, "permitted", capabilities);
    json_object_end(w);
    json_key(w, "rlimits");
    json_array(w);
    json_object(w);
    write_string(w, "type", "RLIMIT_NOFILE");
    write_number(w, "hard", 1024);
    write_number(w, "soft", 1024);
    json_object_end(w);
    json_array_end(w);
    write_bool(w, "noNewPrivileges", true);
    json_object_end(w);
}

static void write_mounts(struct json_writer *w, bool rootless, bool network)
{
    json_key(w, "mounts");
    json_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        const struct example_mount *m = &mounts[i];
        if (m->which == (rootless ? 1 : -1) || m->which == (network ? -2 : 2))
            continue;
        json_object(w);
        write_string(w, "destination", m->destination);
        write_string(w, "type", m->type);
        write_string(w, "source", m->source);
        if (m->options[0])
            write_strings(w, "options", m->options);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_id_map(struct json_writer *w, const char *key, uint32_t host)
{
    json_key(w, key);
    json_array(w);
    json_object(w);
    write_number(w, "containerID", 0);
    write_number(w, "hostID", host);
    write_number(w, "size", 1);
    json_object_end(w);
    json_array_end(w);
}

static void write_resources(struct json_writer *w)
{
    json_key(w, "resources");
    json_object(w);
    json_key(w, "devices");
    json_array(w);
    json_object(w);
    write_bool(w, "allow", false);
    write_string(w, "access", "rwm");
    json_object_end(w);
    json_array_end(w);
    json_object_end(w);
}

/* A cgroup namespace belongs to cgroup v2, where it costs nothing; on v1 it changes what the mount shows. */
static bool cgroup_is_v2(void)
{
    struct statfs fs;
    return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static void write_namespaces(struct json_writer *w, bool rootless, bool network)
{
    const struct {
        enum namespace_type type;
        bool wanted;
    } namespaces[] = {{NS_PID, true},   {NS_NETWORK, network},       {NS_IPC, true},     {NS_UTS, true},
                      {NS_MOUNT, true}, {NS_CGROUP, cgroup_is_v2()}, {NS_USER, rootless}};

    json_key(w, "namespaces");
    json_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
        if (!namespaces[i].wanted)
            continue;
        json_object(w);
        write_string(w, "type", namespace_name(namespaces[i].type));
        json_object_end(w);
    }
    json_array_end(w);
}

char *spec_example(struct arena *a, bool rootless, bool sandbox, size_t *length)
{
    const bool network = !rootless || sandbox;
    struct json_writer w = json_writer_begin(a, true);

    json_object(&w);
    write_string(&w, "ociVersion", SPEC_VERSION);
    write_process(&w);
    json_key(&w, "root");
    json_object(&w);
    write_string(&w, "path", "rootfs");
    write_bool(&w, "readonly", true);
    json_object_end(&w);
    write_string(&w, "hostname", "hull");
    write_mounts(&w, rootless, network);
    json_key(&w, "linux");
    json_object(&w);
    if (rootless) {
        write_id_map(&w, "uidMappings", geteuid());
        write_id_map(&w, "gidMappings", getegid());
    } else {
        write_resources(&w);
    }
    write_namespaces(&w, rootless, network);
    write_strings(&w, "maskedPaths", masked);
    write_strings(&w, "readonlyPaths", readonly);
    json_object_end(&w);
    json_object_end(&w);
    return json_writer_end(&w, length);
}
