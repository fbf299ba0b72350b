/* The guest's reading of config.json; guest_spec.h has the table. */
#include "runtime/guest_spec.h"

#include <string.h>

#include "sandbox/agent.h"

static bool one_of(const char *s, const char *const *names)
{
    for (; s && *names; names++)
        if (strcmp(s, *names) == 0)
            return true;
    return false;
}

static bool has_option(const struct spec_mount *m, const char *const *names)
{
    for (size_t i = 0; i < m->options.n; i++)
        if (one_of(m->options.v[i], names))
            return true;
    return false;
}

static const char *const bind_names[] = {"bind", "rbind", NULL};
static const char *const remount_names[] = {"remount", NULL};
/* The host has looked at the source already; what is shared is a plain file or directory with ids as seen inside. */
static const char *const host_options[] = {"idmap", "ridmap", "src-nofollow", "copy-symlink", NULL};

bool guest_spec_is_bind(const struct spec_mount *m)
{
    return (one_of(m->type, bind_names) || has_option(m, bind_names)) && !has_option(m, remount_names);
}

static void drop_options(struct string_list *options, const char *const *names)
{
    size_t kept = 0;

    for (size_t i = 0; i < options->n; i++)
        if (!one_of(options->v[i], names))
            options->v[kept++] = options->v[i];
    if (options->n)
        options->v[kept] = NULL;
    options->n = kept;
}

static void adapt_mounts(struct arena *a, struct spec *spec, const char *shared)
{
    unsigned volume = 0;

    for (size_t i = 0; i < spec->n_mounts; i++) {
        struct spec_mount *m = &spec->mounts[i];

        m->uid_mappings = m->gid_mappings = (struct id_maps){0};
        drop_options(&m->options, host_options);
        if (guest_spec_is_bind(m))
            m->source = arena_printf(a, "%s/" AGENT_FS_VOLUMES "/%u", shared, volume++);
    }
}

static void adapt_namespaces(struct spec_linux *l)
{
    l->namespaces[NS_USER] = l->namespaces[NS_NETWORK] = (struct spec_namespace){0};
    l->namespaces[NS_MOUNT].present = true; /* or the container's mounts would be the agent's */
    for (int type = 0; type < NS_COUNT; type++)
        l->namespaces[type].path = NULL;
    l->uid_mappings = l->gid_mappings = (struct id_maps){0};
}

/* What is named here stays, all else is the host's matter. */
static void adapt_resources(struct spec_resources *r)
{
    *r = (struct spec_resources){.present = r->present,
                                 .pids = r->pids,
                                 .has_devices = r->has_devices,
                                 .devices = r->devices,
                                 .n_devices = r->n_devices};
}

static void adapt_process(struct spec_process *p)
{
    p->apparmor_profile = p->selinux_label = NULL;
    p->exec_cpu_affinity_initial = p->exec_cpu_affinity_final = NULL;
}

/* The wish for a machine has been granted: inside, it is none. */
static void drop_isolation(struct spec *spec)
{
    size_t kept = 0;

    for (size_t i = 0; i < spec->n_annotations; i++)
        if (strcmp(spec->annotations[i].key, "org.hull.isolation") != 0)
            spec->annotations[kept++] = spec->annotations[i];
    spec->n_annotations = kept;
    spec->vm.json = NULL;
}

int guest_spec_adapt(struct arena *a, struct spec *spec, const char *shared, struct error *err)
{
    struct spec_linux *l = &spec->linux_;

    if (l->seccomp.listener_path)
        return error_set(
            err, 0,
            "linux.seccomp.listenerPath: \"%s\" is a socket of the host's, which a container in a "
            "virtual machine cannot reach: remove it",
            l->seccomp.listener_path);
    spec->root_path = arena_printf(a, "%s/" AGENT_FS_ROOT, shared);
    adapt_mounts(a, spec, shared);
    adapt_namespaces(l);
    adapt_resources(&l->resources);
    adapt_process(&spec->process);
    drop_isolation(spec);
    for (int type = 0; type < HOOK_COUNT; type++)
        if (type != HOOK_START_CONTAINER)
            spec->hooks[type] = (struct spec_hooks){0};
    l->cgroups_path = l->mount_label = NULL;
    l->net_devices = NULL;
    l->n_net_devices = 0;
    l->intel_rdt = (struct spec_intel_rdt){0};
    l->memory_policy = (struct spec_memory_policy){0};
    return 0;
}
