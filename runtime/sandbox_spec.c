/*
 * A sandbox's config.json, the host's half of it (guest_spec.h has the table of both halves): what a virtual machine
 * cannot give is refused by its JSON path; what stays with the host becomes a specification of its own, by which
 * create.c and init.c work as for any container:
 *
 *   mounts       a tmpfs as the root, in it rootfs and volumes/N (sandbox/agent.h), nothing else; read-only in the end
 *   process      hull-vmm: root of the user namespace, with the file server's capabilities; the labels are the user's
 *   resources    limits of the machine: the guest's memory and what is around it, hull-vmm's threads, no device
 *   namespaces   as asked for, with a mount namespace; without a time namespace, as its offsets are the guest's
 *   hooks        all but startContainer
 *
 * Refused is what the workload would notice to be missing; what it cannot tell apart is simply the guest's own.
 */
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/number.h"
#include "base/size.h"
#include "runtime/guest_spec.h"
#include "runtime/sandbox.h"
#include "sandbox/agent.h"

struct refusals {
    struct arena *arena;
    struct buffer text;
    size_t n;
};

static _printf_(2, 3) void refuse(struct refusals *r, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    buffer_printf(&r->text, "%s%s", r->n++ ? "\n  " : "", line);
}

/* --- what a virtual machine cannot give --------------------------------------------------------------------------- */

/* Of namespaces that are not here the host's may be shared and others be joined: hull-vmm is in them, the guest has its
 * own kernel's. */
static const struct {
    enum namespace_type type;
    bool own;  /* without one the container would be in the host's */
    bool path; /* another's can be joined */
} namespaces[] = {
    {NS_PID, true, false},    {NS_IPC, true, false},   {NS_NETWORK, true, true},
    {NS_MOUNT, false, false}, {NS_TIME, false, false},
};

static void check_namespaces(struct refusals *r, const struct spec_linux *l)
{
    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
        const struct spec_namespace *ns = &l->namespaces[namespaces[i].type];
        const char *name = namespace_name(namespaces[i].type);

        if (namespaces[i].own && !ns->present)
            refuse(r,
                   "linux.namespaces: without \"%s\" the container would share the host's, which a virtual "
                   "machine cannot: add {\"type\": \"%s\"}",
                   name, name);
        if (!namespaces[i].path && ns->path)
            refuse(r, "linux.namespaces: a virtual machine cannot join the %s namespace %s", name, ns->path);
    }
}

/* runtime-spec's default devices, and terminals: the guest has its own. */
static bool guest_has(const struct spec_device *d)
{
    static const struct {
        int64_t major, minor;
    } known[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}};

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (d->type == 'c' && d->major == known[i].major && d->minor == known[i].minor)
            return true;
    return d->type == 'p';
}

/* An engine's --privileged names all that there are. */
static void check_devices(struct refusals *r, const struct spec_linux *l)
{
    enum { NAMED = 3 };
    size_t n = 0;

    for (size_t i = 0; i < l->n_devices; i++)
        if (!guest_has(&l->devices[i]) && n++ < NAMED)
            refuse(r, "linux.devices[%zu] (%s): a virtual machine cannot use the host's device", i,
                   l->devices[i].path);
    if (n > NAMED)
        refuse(r, "linux.devices: nor %zu more of them", n - NAMED);
}

static void check_linux(struct refusals *r, const struct spec_linux *l)
{
    static const char *const machine_limits[] = {"memory.max", "memory.high", "pids.max"};

    check_namespaces(r, l);
    check_devices(r, l);
    if (l->n_net_devices)
        refuse(r, "linux.netDevices: sandboxes have no network devices yet");
    if (l->seccomp.listener_path)
        refuse(r,
               "linux.seccomp.listenerPath: %s is a socket of the host's, out of a virtual machine's reach",
               l->seccomp.listener_path);
    if (l->rootfs_propagation && strstr(l->rootfs_propagation, "shared"))
        refuse(r, "linux.rootfsPropagation: %s: what is mounted in a virtual machine stays in it",
               l->rootfs_propagation);
    for (size_t i = 0; i < l->resources.n_unified; i++)
        for (size_t k = 0; k < ARRAY_SIZE(machine_limits); k++)
            if (!strcmp(l->resources.unified[i].file, machine_limits[k]))
                refuse(r,
                       "linux.resources.unified[\"%s\"]: would limit the machine and not the container: use "
                       "linux.resources.%s",
                       machine_limits[k], k < 2 ? "memory.limit" : "pids.limit");
}

static bool one_of(const char *s, const char *const *names)
{
    for (; s && *names; names++)
        if (strcmp(s, *names) == 0)
            return true;
    return false;
}

static const char *bind_source(struct arena *a, const struct spec_mount *m, const char *bundle)
{
    return m->source[0] == '/' ? m->source : arena_printf(a, "%s/%s", bundle, m->source);
}

static const char *kind_of_file(const char *path)
{
    static const struct {
        long magic;
        const char *name;
    } kernels[] = {
        {PROC_SUPER_MAGIC, "proc of the host's"},       {SYSFS_MAGIC, "sysfs of the host's"},
        {CGROUP_SUPER_MAGIC, "cgroup of the host's"},   {CGROUP2_SUPER_MAGIC, "cgroup of the host's"},
        {DEVPTS_SUPER_MAGIC, "terminal of the host's"},
    };
    struct stat st;
    struct statfs fs;

    if (stat(path, &st) < 0 || statfs(path, &fs) < 0)
        return NULL; /* mounting it says why */
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
        return "device of the host's";
    if (S_ISSOCK(st.st_mode))
        return "socket of the host's";
    if (S_ISFIFO(st.st_mode))
        return "named pipe of the host's";
    for (size_t i = 0; i < ARRAY_SIZE(kernels); i++)
        if (fs.f_type == kernels[i].magic)
            return kernels[i].name;
    return NULL;
}

/* File systems that need nothing of the host's but its kernel, which the guest has one of. */
static const char *const guest_types[] = {"proc",   "sysfs",   "tmpfs",   "devpts",   "mqueue",
                                          "cgroup", "cgroup2", "ramfs",   "devtmpfs", "securityfs",
                                          "bpf",    "debugfs", "tracefs", "configfs", NULL};

static void check_mount(struct refusals *r, const struct spec_mount *m, size_t i, const char *bundle)
{
    static const char *const binds[] = {"bind", "rbind", NULL}, *const shared[] = {"shared", "rshared", NULL},
                             *const remount[] = {"remount", NULL};
    bool bind = one_of(m->type, binds), again = false;
    const char *kind;

    for (size_t k = 0; k < m->options.n; k++) {
        bind |= one_of(m->options.v[k], binds);
        again |= one_of(m->options.v[k], remount);
        if (one_of(m->options.v[k], shared))
            refuse(r, "mounts[%zu] (%s): %s: what is mounted in a virtual machine stays in it", i,
                   m->destination, m->options.v[k]);
    }
    if (bind && again)
        refuse(r, "mounts[%zu] (%s): remount: the host would not know; give the mount itself these options",
               i, m->destination);
    else if (bind && m->source) {
        kind = kind_of_file(bind_source(r->arena, m, bundle));
        if (kind)
            refuse(r, "mounts[%zu] (%s): %s is a %s, which a virtual machine cannot use", i, m->destination,
                   m->source, kind);
    } else if (!bind && !again && m->type && !one_of(m->type, guest_types))
        refuse(r,
               "mounts[%zu] (%s): a virtual machine cannot mount the host's %s: mount it there, and bind it",
               i, m->destination, m->type);
}

static void check_vm(struct refusals *r, const struct spec_vm *vm)
{
    const struct {
        bool there;
        const char *path, *why;
    } rows[] = {
        {vm->hypervisor_path, "hypervisor", "hull has its own"},
        {vm->image_path, "image", "the container's root is root.path"},
        {vm->kernel_parameters.n, "kernel.parameters", "the kernel's command line is hull's"},
        {vm->device_tree, "hwConfig.deviceTree", "the machine describes itself by ACPI"},
        {vm->passes_devices, "hwConfig", "dtdevs, iomems and irqs: devices of the host cannot be passed on"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].there)
            refuse(r, "vm.%s: %s", rows[i].path, rows[i].why);
}

int sandbox_check_spec(struct arena *a, const struct spec *user, const char *bundle, struct error *err)
{
    struct refusals r = {.arena = a, .text.arena = a};

    check_linux(&r, &user->linux_);
    for (size_t i = 0; i < user->n_mounts; i++)
        check_mount(&r, &user->mounts[i], i, bundle);
    check_vm(&r, &user->vm);
    if (user->length > AGENT_MAX_CONFIG)
        refuse(&r, "config.json: %zu bytes, a sandbox takes at most %d", user->length, AGENT_MAX_CONFIG);
    if (r.n == 0)
        return 0;
    return error_set(err, 0, r.n == 1 ? "%s" : "what a sandbox cannot give:\n  %s", r.text.data);
}

/* --- size ---------------------------------------------------------------------------------------------------------- */

static const char *annotation(const struct spec *s, const char *key)
{
    for (size_t i = 0; i < s->n_annotations; i++)
        if (!strcmp(s->annotations[i].key, key))
            return s->annotations[i].value;
    return NULL;
}

/* Of a checked list: "0-3,7" is 5. */
static unsigned count_cpus(const char *list)
{
    unsigned n = 0;

    while (*list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10),
                      last = *end == '-' ? strtoul(end + 1, &end, 10) : first;

        n += (unsigned)(last - first + 1);
        list = *end ? end + 1 : end;
    }
    return n;
}

/* As many as can run at once; more would only wait for each other. */
static unsigned usual_cpus(const struct spec_resources_cpu *cpu)
{
    const int64_t period = cpu->period.set && cpu->period.value > 0 ? cpu->period.value : 100000;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t n = 1, most = online > 0 && online < VMM_MAX_CPUS ? (uint64_t)online : VMM_MAX_CPUS;

    if (cpu->quota.set && cpu->quota.value > 0)
        n = ((uint64_t)cpu->quota.value + (uint64_t)period - 1) / (uint64_t)period;
    else if (cpu->cpus && cpu->cpus[0])
        n = count_cpus(cpu->cpus);
    return (unsigned)(n < 1 ? 1 : n > most ? most : n);
}

enum { CPU_MASK_MAX = 32 };

#define MEMORY_ANNOTATION SANDBOX_ANNOTATIONS "memory"
#define CPUS_ANNOTATION   SANDBOX_ANNOTATIONS "cpus"
#define MASK_ANNOTATION   SANDBOX_ANNOTATIONS "cpu-mask"

static int choose_cpus(const struct spec *s, unsigned *cpus, struct error *err)
{
    const char *text = annotation(s, CPUS_ANNOTATION);
    uint64_t n;

    if (text) {
        if (number_parse_u64(text, "annotations[\"" CPUS_ANNOTATION "\"]", 1, VMM_MAX_CPUS, &n, err) < 0)
            return -1;
        *cpus = (unsigned)n;
        return 0;
    }
    if (!s->vm.has_vcpus) {
        *cpus = usual_cpus(&s->linux_.resources.cpu);
        return 0;
    }
    if (s->vm.vcpus < 1 || s->vm.vcpus > VMM_MAX_CPUS)
        return error_set(err, 0, "vm.hwConfig.vcpus: must be from 1 to %d, got %lld", VMM_MAX_CPUS,
                         (long long)s->vm.vcpus);
    *cpus = (unsigned)s->vm.vcpus;
    return 0;
}

/* What was asked for outright is given as it is, or not at all. */
static int check_memory(const char *what, int64_t bytes, uint64_t *memory, struct error *err)
{
    if (bytes < (int64_t)SANDBOX_MEMORY_MIN || bytes > (int64_t)SANDBOX_MEMORY_MAX)
        return error_set(err, 0, "%s: must be from %llu MiB to %llu GiB (in bytes), got %lld", what,
                         SANDBOX_MEMORY_MIN >> 20, SANDBOX_MEMORY_MAX >> 30, (long long)bytes);
    *memory = (uint64_t)bytes;
    return 0;
}

static int choose_memory(const struct spec *s, uint64_t *memory, struct error *err)
{
    static const char name[] = "annotations[\"" MEMORY_ANNOTATION "\"]";
    const struct spec_limit *limit = &s->linux_.resources.memory.limit;
    const char *text = annotation(s, MEMORY_ANNOTATION);
    int64_t bytes;

    if (text)
        return size_parse(text, name, &bytes, err) < 0 ? -1 : check_memory(name, bytes, memory, err);
    if (s->vm.has_memory)
        return check_memory("vm.hwConfig.memory", s->vm.memory, memory, err);
    *memory = limit->set && limit->value > 0 ? (uint64_t)limit->value : SANDBOX_MEMORY_DEFAULT;
    if (*memory < SANDBOX_MEMORY_MIN)
        *memory = SANDBOX_MEMORY_MIN;
    if (*memory > SANDBOX_MEMORY_MAX)
        *memory = SANDBOX_MEMORY_MAX;
    return 0;
}

int sandbox_size(const struct spec *user, uint64_t *memory, unsigned *cpus, struct error *err)
{
    if (choose_memory(user, memory, err) < 0 || choose_cpus(user, cpus, err) < 0)
        return -1;
    *memory = (*memory + SANDBOX_MEMORY_ALIGNMENT - 1) / SANDBOX_MEMORY_ALIGNMENT * SANDBOX_MEMORY_ALIGNMENT;
    return 0;
}

int sandbox_cpu_mask(const struct spec *user, const char **mask, struct error *err)
{
    const char *text = annotation(user, MASK_ANNOTATION);

    *mask = text;
    if (!text || (*text && strlen(text) <= CPU_MASK_MAX &&
                  strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text)))
        return 0;
    return error_set(
        err, 0, "annotations[\"" MASK_ANNOTATION "\"]: %.64s: must be the name of a CPU mask, as x86-64-v2",
        *text ? text : "nothing");
}

/* --- the host's half ----------------------------------------------------------------------------------------------- */

static void limit_machine(struct spec_resources *r, uint64_t memory)
{
    struct spec_resources_memory *m = &r->memory;

    if (m->limit.set && m->limit.value > 0) {
        int64_t was = m->limit.value;

        m->limit.value = (int64_t)(memory + SANDBOX_OVERHEAD + memory / SANDBOX_OVERHEAD_PART);
        if (m->swap.set && m->swap.value > 0) /* memory and swap together */
            m->swap.value += m->limit.value - was;
    }
    if (r->pids.set && r->pids.value > 0)
        r->pids.value = SANDBOX_PIDS;
    r->has_devices = true; /* none but what every container has: /dev/kvm is open already */
    r->devices = NULL;
    r->n_devices = 0;
}

/* The list with @more at its end, without crun's copy-symlink: what a link leads to is what is shared. */
static struct string_list with_options(struct arena *a, const struct string_list *list,
                                       const char *const *more)
{
    static const char *const dropped[] = {"copy-symlink", NULL};
    struct string_list out = {.v = arena_new_n(a, list->n + 8, char *)};

    for (size_t i = 0; i < list->n; i++)
        if (!one_of(list->v[i], dropped))
            out.v[out.n++] = list->v[i];
    for (; *more; more++)
        out.v[out.n++] = (char *)*more;
    return out;
}

/* Nothing that is shared can be executed here, be a device, or give rights: it is there to be read and written. */
static const char *const bind_options[] = {"rnosuid", "rnodev", "rnoexec", NULL};

static struct spec_mount share(struct arena *a, const struct spec_mount *m, const char *source,
                               const char *destination, const char *name)
{
    return (struct spec_mount){.destination = (char *)destination,
                               .type = m->type,
                               .source = (char *)source,
                               .options = with_options(a, &m->options, bind_options),
                               .uid_mappings = m->uid_mappings,
                               .gid_mappings = m->gid_mappings,
                               .name = (char *)name};
}

static void share_mounts(struct arena *a, struct spec *host, const struct sandbox *s)
{
    const struct spec *user = s->user;
    static const struct string_list none;
    static const char *const tree_options[] = {"nosuid", "nodev", "noexec", "mode=0755", "size=4m", NULL};
    static const struct spec_mount root = {.type = (char *)"rbind"};
    unsigned volume = 0;

    host->mounts = arena_new_n(a, user->n_mounts + 2, struct spec_mount);
    host->mounts[0] = (struct spec_mount){.destination = (char *)"/",
                                          .type = (char *)"tmpfs",
                                          .source = (char *)"hull",
                                          .options = with_options(a, &none, tree_options),
                                          .name = (char *)"the sandbox's tree"};
    host->mounts[1] = share(a, &root, s->rootfs, "/" AGENT_FS_ROOT, "root.path");
    host->n_mounts = 2;
    for (size_t i = 0; i < user->n_mounts; i++) {
        const struct spec_mount *m = &user->mounts[i];

        if (guest_spec_is_bind(m))
            host->mounts[host->n_mounts++] =
                share(a, m, m->source, arena_printf(a, "/" AGENT_FS_VOLUMES "/%u", volume++),
                      arena_printf(a, "mounts[%zu] (%s)", i, m->destination));
    }
}

/* hull-vmm, as init is to start it; what it is told comes by vmm_options_format(). */
static struct spec_process vmm_process(const struct spec_process *user)
{
    const uint64_t keeps = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FOWNER |
                           1ULL << CAP_FSETID | 1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_SETFCAP;
    static char *args[] = {(char *)"hull-vmm", NULL};

    return (struct spec_process){
        .present = true,
        .terminal = user->terminal,
        .has_console_size = user->has_console_size,
        .console_height = user->console_height,
        .console_width = user->console_width,
        .user = {.has_umask = true}, /* modes are the guest's to cut */
        .args = {.v = args, .n = 1},
        .cwd = (char *)"/",
        .capabilities = {.present = true, .bounding = keeps, .effective = keeps, .permitted = keeps},
        .no_new_privileges = true,
        .apparmor_profile = user->apparmor_profile,
        .selinux_label = user->selinux_label,
        .has_oom_score_adj = user->has_oom_score_adj,
        .oom_score_adj = user->oom_score_adj,
        .io_priority = user->io_priority,
    };
}

struct spec *sandbox_host_spec(struct arena *a, const struct sandbox *s, const char *place)
{
    const struct spec *user = s->user;
    struct spec *host = arena_new(a, struct spec);
    struct spec_linux *l = &host->linux_;

    *host = *user;
    host->hostname = host->domainname = NULL;
    host->root_path = (char *)place;
    host->root_readonly = true;
    host->process = vmm_process(&user->process);
    host->hooks[HOOK_START_CONTAINER] = (struct spec_hooks){0};
    share_mounts(a, host, s);

    *l = (struct spec_linux){.uid_mappings = user->linux_.uid_mappings,
                             .gid_mappings = user->linux_.gid_mappings,
                             .cgroups_path = user->linux_.cgroups_path,
                             .mount_label = user->linux_.mount_label,
                             .intel_rdt = user->linux_.intel_rdt,
                             .memory_policy = user->linux_.memory_policy,
                             .resources = user->linux_.resources};
    memcpy(l->namespaces, user->linux_.namespaces, sizeof(l->namespaces));
    l->namespaces[NS_MOUNT].present = true;
    l->namespaces[NS_TIME].present = false;
    limit_machine(&l->resources, s->vmm.memory);
    return host;
}
