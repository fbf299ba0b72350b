/* What of config.json is left for the guest, and how it is changed: the table of runtime/guest_spec.h. */
#include "runtime/guest_spec.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/arena.h"

static const char config[] =
    "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"/srv/web\",\"readonly\":true},\"hostname\":\"web\","
    "\"process\":{\"terminal\":true,\"user\":{\"uid\":5,\"gid\":6},\"cwd\":\"/\",\"args\":[\"sh\"],"
    "\"apparmorProfile\":\"docker-default\",\"selinuxLabel\":\"a:b:c:s0\",\"execCPUAffinity\":{\"initial\":"
    "\"7\"},"
    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":7,\"hard\":8}]},"
    "\"mounts\":["
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/host/a\",\"options\":[\"ro\",\"idmap\"],"
    "\"uidMappings\":[{\"containerID\":0,\"hostID\":9,\"size\":1}],"
    "\"gidMappings\":[{\"containerID\":0,\"hostID\":9,\"size\":1}]},"
    "{\"destination\":\"/a\",\"type\":\"none\",\"source\":\"/host/"
    "a\",\"options\":[\"remount\",\"bind\",\"ro\"]},"
    "{\"destination\":\"/b\",\"source\":\"relative\",\"options\":[\"src-nofollow\",\"rbind\",\"rprivate\"]}],"
    "\"hooks\":{\"createRuntime\":[{\"path\":\"/h1\"}],\"createContainer\":[{\"path\":\"/h2\"}],"
    "\"startContainer\":[{\"path\":\"/h3\"}],\"poststart\":[{\"path\":\"/h4\"}],\"poststop\":[{\"path\":\"/"
    "h5\"}]},"
    "\"annotations\":{\"one\":\"1\",\"org.hull.isolation\":\"vm\",\"two\":\"2\"},"
    "\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"/proc/1/ns/pid\"},{\"type\":\"network\"},"
    "{\"type\":\"user\"},{\"type\":\"uts\"},{\"type\":\"mount\"}],"
    "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":10}],"
    "\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":10}],"
    "\"cgroupsPath\":\"/x/y\",\"mountLabel\":\"a:b:c:s0\",\"netDevices\":{\"eth7\":{}},"
    "\"resources\":{\"memory\":{\"limit\":100000000},\"cpu\":{\"cpus\":\"0-3\",\"quota\":1000,\"period\":"
    "1000},"
    "\"pids\":{\"limit\":12},\"unified\":{\"memory.high\":\"1\"},\"devices\":[{\"allow\":false,\"access\":"
    "\"rwm\"}]},"
    "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"maskedPaths\":[\"/proc/kcore\"]%s}}";

static struct arena arena;
static struct error err;

static struct spec *parse(const char *more)
{
    const char *text = arena_printf(&arena, config, more);
    struct spec *spec = NULL;

    cr_assert_eq(spec_parse(&arena, text, strlen(text), "config.json", &spec, &err), 0, "%s", err.message);
    return spec;
}

static struct spec *adapt(void)
{
    struct spec *spec = parse("");

    cr_assert_eq(guest_spec_adapt(&arena, spec, "/hull", &err), 0, "%s", err.message);
    return spec;
}

Test(sandbox_guest_spec, the_root_and_volumes)
{
    const struct spec *s = adapt();

    cr_expect_str_eq(s->root_path, "/hull/rootfs");
    cr_expect(s->root_readonly);
    cr_expect_str_eq(s->mounts[0].source, "proc");
    cr_expect_str_eq(s->mounts[1].source, "/hull/volumes/0");
    cr_expect_str_eq(s->mounts[3].source, "/hull/volumes/1", "a remount is no bind");
    cr_expect_eq(s->mounts[1].options.n, 1);
    cr_expect_str_eq(s->mounts[1].options.v[0], "ro");
    cr_expect_null(s->mounts[1].options.v[1]);
    cr_expect_eq(s->mounts[3].options.n, 2);
    cr_expect_eq(s->mounts[1].uid_mappings.n + s->mounts[1].gid_mappings.n, 0);
}

Test(sandbox_guest_spec, namespaces)
{
    const struct spec_namespace *ns = adapt()->linux_.namespaces;

    cr_expect(!ns[NS_USER].present && !ns[NS_NETWORK].present && !ns[NS_IPC].present);
    cr_expect(ns[NS_PID].present && ns[NS_UTS].present && ns[NS_MOUNT].present);
    cr_expect_null(ns[NS_PID].path);
}

Test(sandbox_guest_spec, what_is_the_hosts_is_gone)
{
    const struct spec *s = adapt();
    const struct spec_linux *l = &s->linux_;

    cr_expect_eq(l->uid_mappings.n + l->gid_mappings.n + l->n_net_devices, 0);
    cr_expect(!l->cgroups_path && !l->mount_label && !s->process.apparmor_profile &&
              !s->process.selinux_label);
    cr_expect_null(s->process.exec_cpu_affinity_initial);
    cr_expect(!l->resources.memory.limit.set && !l->resources.cpu.cpus && !l->resources.cpu.quota.set);
    cr_expect_eq(l->resources.n_unified, 0);
    for (int type = 0; type < HOOK_COUNT; type++)
        cr_expect_eq(s->hooks[type].n, type == HOOK_START_CONTAINER, "%s", hook_name(type));
    cr_expect_eq(s->n_annotations, 2);
    cr_expect_str_eq(s->annotations[1].key, "two");
}

Test(sandbox_guest_spec, what_is_the_containers_stays)
{
    const struct spec *s = adapt();
    const struct spec_linux *l = &s->linux_;

    cr_expect(s->process.terminal);
    cr_expect_eq(s->process.n_rlimits, 1);
    cr_expect_eq(s->process.user.uid, 5);
    cr_expect_str_eq(s->hostname, "web");
    cr_expect_eq(l->resources.pids.value, 12);
    cr_expect_eq(l->resources.n_devices, 1);
    cr_expect_eq(l->n_sysctl, 1);
    cr_expect_eq(l->masked_paths.n, 1);
}

Test(sandbox_guest_spec, a_listener_is_out_of_reach)
{
    struct spec *s =
        parse(",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/run/x.sock\","
              "\"syscalls\":[{\"names\":[\"mknod\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}");

    cr_expect_eq(guest_spec_adapt(&arena, s, "/hull", &err), -1);
    cr_expect(strstr(err.message, "linux.seccomp.listenerPath: \"/run/x.sock\""), "%s", err.message);
}
