/*
 * Relations inside `linux`: mostly, that a setting has the namespace which keeps it away from the host
 * (runtime-spec config-linux.md). Phrases that runc uses for the same refusals are kept, because people
 * search for them.
 */
#include <ctype.h>
#include <linux/if.h>
#include <string.h>

#include "base/log.h"
#include "runtime/spec/decode.h"

enum { UTS_NAME_MAX = 64 }; /* __NEW_UTS_LEN */

static void require_namespace(struct spec_complaints *c, const struct spec *spec, enum namespace_type type,
                              bool needed, const char *path, const char *why)
{
    if (needed && !spec->linux_.namespaces[type].present)
        complain(c, "%s: %s (linux.namespaces has no \"%s\")", path, why, namespace_name(type));
}

static void validate_needs(struct spec_complaints *c, const struct spec *spec)
{
    const struct spec_linux *l = &spec->linux_;
    const char *sys = "unable to restrict sys entries without a private MNT namespace";
    const char *maps = "User namespace mappings specified, but USER namespace isn't enabled in the config";
    const char *offsets = "time namespace offsets specified, but time namespace isn't enabled in the config";
    bool have_offsets = l->monotonic.present || l->boottime.present;

    require_namespace(c, spec, NS_UTS, spec->hostname, "hostname",
                      "unable to set hostname without a private UTS namespace");
    require_namespace(c, spec, NS_UTS, spec->domainname, "domainname",
                      "unable to set domainname without a private UTS namespace");
    require_namespace(c, spec, NS_MOUNT, l->masked_paths.n, "linux.maskedPaths", sys);
    require_namespace(c, spec, NS_MOUNT, l->readonly_paths.n, "linux.readonlyPaths", sys);
    require_namespace(c, spec, NS_USER, l->uid_mappings.n, "linux.uidMappings", maps);
    require_namespace(c, spec, NS_USER, l->gid_mappings.n, "linux.gidMappings", maps);
    require_namespace(c, spec, NS_TIME, have_offsets, "linux.timeOffsets", offsets);
    require_namespace(c, spec, NS_NETWORK, l->n_net_devices, "linux.netDevices",
                      "unable to move network devices without a NET namespace");
    if (have_offsets && l->namespaces[NS_TIME].path)
        complain(c, "linux.timeOffsets: can be set in a new time namespace only, and linux.namespaces joins "
                    "one by path");
}

/* --- user namespace
 * --------------------------------------------------------------------------------------------------------------
 */

static bool is_mapped(const struct id_maps *maps, uint32_t id)
{
    for (size_t i = 0; i < maps->n; i++)
        if (id >= maps->v[i].container_id && id - maps->v[i].container_id < maps->v[i].size)
            return true;
    return false;
}

static void validate_user_namespace(struct spec_complaints *c, const struct spec *spec)
{
    const struct spec_linux *l = &spec->linux_;
    const struct {
        const struct id_maps *maps;
        const char *path, *user;
        uint32_t id;
    } kinds[] = {
        {&l->uid_mappings, "linux.uidMappings", "process.user.uid", spec->process.user.uid},
        {&l->gid_mappings, "linux.gidMappings", "process.user.gid", spec->process.user.gid},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        validate_id_maps(c, kinds[i].maps, kinds[i].path);
        if (!l->namespaces[NS_USER].present || l->namespaces[NS_USER].path || complained_of(c, kinds[i].path))
            continue;
        if (kinds[i].maps->n == 0)
            complain(c, "%s: is required with a new user namespace", kinds[i].path);
        else if (spec->process.present && !complained_of(c, "process.user") &&
                 !is_mapped(kinds[i].maps, kinds[i].id))
            complain(c, "%s: %u is not mapped by %s", kinds[i].user, kinds[i].id, kinds[i].path);
    }
}

/* --- sysctl
 * ------------------------------------------------------------------------------------------------------------------------
 */

/* Dotted form: '.' separates, '/' stands for a dot in a name. No empty component, and none that is "." or
 * ".." on disk. */
static bool is_sysctl_name(const char *key)
{
    for (;;) {
        size_t n = strcspn(key, ".");
        if (n == 0 || strspn(key, "/") >= n)
            return false;
        if (key[n] == '\0')
            return true;
        key += n + 1;
    }
}

static bool has_prefix(const char *s, const char *prefix)
{
    return !strncmp(s, prefix, strlen(prefix));
}

/* Which keys a namespace has of its own; with a trailing dot: all below. */
static const struct {
    const char *key;
    enum namespace_type type;
    const char *refusal;
} namespaced_sysctls[] = {
    {"kernel.msgmax", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"kernel.msgmnb", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"kernel.msgmni", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"kernel.sem", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"kernel.shmall", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"kernel.shmmax", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"kernel.shmmni", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"kernel.shm_rmid_forced", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"fs.mqueue.", NS_IPC, "is not allowed in the hosts ipc namespace"},
    {"net.", NS_NETWORK, "not allowed in host network namespace"},
    {"kernel.domainname", NS_UTS, "is not in a separate kernel namespace"},
};

static const char *sysctl_refusal(const struct spec_linux *l, const char *key)
{
    if (!is_sysctl_name(key))
        return "is not a name of a kernel parameter";
    if (!strcmp(key, "kernel.hostname") && l->namespaces[NS_UTS].present)
        return "is not allowed as it conflicts with the OCI \"hostname\" field";
    for (size_t i = 0; i < ARRAY_SIZE(namespaced_sysctls); i++) {
        const char *known = namespaced_sysctls[i].key;
        bool below = known[strlen(known) - 1] == '.';
        if (below ? has_prefix(key, known) : !strcmp(key, known))
            return l->namespaces[namespaced_sysctls[i].type].present ? NULL : namespaced_sysctls[i].refusal;
    }
    return "is not in a separate kernel namespace";
}

static void validate_sysctl(struct spec_complaints *c, const struct spec_linux *l)
{
    for (size_t i = 0; i < l->n_sysctl; i++) {
        const char *key = l->sysctl[i].key, *refusal = key[0] ? sysctl_refusal(l, key) : NULL;
        if (refusal)
            complain(c, "linux.sysctl: sysctl %s %s", quoted(c->arena, key), refusal);
    }
}

/* --- network devices
 * ----------------------------------------------------------------------------------------------------------------
 */

/* dev_valid_name() of the kernel; and no '%', which a rename takes for a pattern. */
bool is_device_name(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n >= IFNAMSIZ || !strcmp(s, ".") || !strcmp(s, ".."))
        return false;
    for (; *s; s++)
        if (strchr("/:%", *s) || isspace((unsigned char)*s))
            return false;
    return true;
}

/* "eth%d": the kernel fills in the first number that is free. */
static bool is_template(const char *s)
{
    size_t n = strlen(s);
    return n > 2 && n < IFNAMSIZ && !strcmp(s + n - 2, "%d");
}

static bool is_target_name(struct arena *a, const char *s)
{
    return is_device_name(is_template(s) ? arena_strndup(a, s, strlen(s) - 2) : s);
}

static const char *target_name(const struct spec_net_device *d)
{
    return d->container_name ? d->container_name : d->host_name;
}

static void validate_net_devices(struct spec_complaints *c, const struct spec_linux *l)
{
    for (size_t i = 0; i < l->n_net_devices; i++) {
        const struct spec_net_device *d = &l->net_devices[i];
        const char *host = quoted(c->arena, d->host_name);
        bool good =
            d->host_name[0] == '\0' || is_device_name(d->host_name); /* the empty key was complained of */
        if (!good)
            complain(c,
                     "linux.netDevices[%s]: not a device name (1 to 15 bytes; no \"/\", \":\", \"%%\" or "
                     "white space)",
                     host);
        if (d->container_name && !is_target_name(c->arena, d->container_name))
            complain(c,
                     "linux.netDevices[%s].name: not a device name (1 to 15 bytes; no \"/\", \":\", \"%%\" "
                     "or white space; \"%%d\" may end it): %s",
                     host, quoted(c->arena, d->container_name));
        for (size_t j = 0; j < i; j++)
            if (!is_template(target_name(d)) && !strcmp(target_name(d), target_name(&l->net_devices[j]))) {
                complain(c, "linux.netDevices[%s].name: %s is the name of a second device too", host,
                         quoted(c->arena, target_name(d)));
                break;
            }
    }
}

/* --- intelRdt, memory policy, personality
 * -------------------------------------------------------------------------------------------- */

static void validate_intel_rdt(struct spec_complaints *c, const struct spec_intel_rdt *r)
{
    const char *id = r->clos_id;
    if (id && strcmp(id, "/") && (!strcmp(id, ".") || !strcmp(id, "..") || strchr(id, '/')))
        complain(c,
                 "linux.intelRdt.closID: must be a plain directory name, or \"/\" for the root group, got %s",
                 quoted(c->arena, id));
}

/* set_mempolicy(2): which modes take nodes. */
static void validate_memory_policy(struct spec_complaints *c, const struct spec_memory_policy *p)
{
    bool without = p->mode && (!strcmp(p->mode, "MPOL_DEFAULT") || !strcmp(p->mode, "MPOL_LOCAL"));
    bool optional = p->mode && !strcmp(p->mode, "MPOL_PREFERRED");
    int fixed = 0;
    if (!p->present)
        return;
    if (p->nodes && !is_cpu_list(p->nodes))
        complain(c, "linux.memoryPolicy.nodes: must be a list of nodes like \"0-3,7\", got %s",
                 quoted(c->arena, p->nodes));
    else if (without && p->nodes)
        complain(c, "linux.memoryPolicy.nodes: must not be there with %s", p->mode);
    else if (p->mode && !without && !optional && !p->nodes && !complained_of(c, "linux.memoryPolicy.nodes"))
        complain(c, "linux.memoryPolicy.nodes: is required with %s", p->mode);
    for (size_t i = 0; i < p->flags.n; i++)
        fixed |= !strcmp(p->flags.v[i], "MPOL_F_STATIC_NODES")     ? 1
                 : !strcmp(p->flags.v[i], "MPOL_F_RELATIVE_NODES") ? 2
                                                                   : 0;
    if (fixed == 3)
        complain(
            c, "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
    else if (fixed && p->mode && !p->nodes && (without || optional))
        complain(c, "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES need nodes");
}

void validate_linux(struct spec_complaints *c, const struct spec *spec)
{
    const struct spec_linux *l = &spec->linux_;
    const char *names[][2] = {{"hostname", spec->hostname}, {"domainname", spec->domainname}};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i][1] && strlen(names[i][1]) > UTS_NAME_MAX)
            complain(c, "%s: must be at most %d bytes long, got %zu", names[i][0], UTS_NAME_MAX,
                     strlen(names[i][1]));
    if (!complained_of(c, "linux:") && !complained_of(c, "linux.namespaces")) {
        validate_user_namespace(c, spec);
        validate_needs(c, spec);
        validate_sysctl(c, l);
    } else {
        validate_id_maps(c, &l->uid_mappings, "linux.uidMappings");
        validate_id_maps(c, &l->gid_mappings, "linux.gidMappings");
    }
    validate_net_devices(c, l);
    validate_intel_rdt(c, &l->intel_rdt);
    validate_memory_policy(c, &l->memory_policy);
    if (l->personality.flags.n)
        log_warning("linux.personality.flags: no flag is supported by the specification; ignoring %s",
                    quoted(c->arena, l->personality.flags.v[0]));
    if (l->seccomp.present)
        validate_seccomp(c, &l->seccomp);
    validate_resources(c, &l->resources, "linux.resources.");
}
