/* Decoding: one document that sets every field, read back field by field; null, defaults, the ways in, the
 * example. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"
#include "runtime/spec/spec.h"

static struct arena arena;
static struct error err;

static const char full[] =
    "{\"ociVersion\":\"1.2.1-rc.1+b5\",\"hostname\":\"h\",\"domainname\":\"d.example\",\"unknown\":[{\"x\":1}"
    "],"
    "\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
    "\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":25,\"width\":80},"
    "\"user\":{\"uid\":1000,\"gid\":100,\"umask\":18,\"additionalGids\":[5,4294967295]},"
    "\"args\":[\"sh\",\"\",\"-c\"],\"env\":[\"A=b\",\"C=\"],\"cwd\":\"/tmp\","
    "\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_CHECKPOINT_RESTORE\"],\"effective\":[\"cap_kill\"],"
    "\"inheritable\":[\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\",\"CAP_NEW\"],\"ambient\":[\"CAP_KILL\",\"CAP_"
    "NEW\"]},"
    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,\"hard\":18446744073709551615}],"
    "\"noNewPrivileges\":true,\"apparmorProfile\":\"prof\",\"selinuxLabel\":\"u:r:t:s0\",\"oomScoreAdj\":-"
    "1000,"
    "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"nice\":-20,\"priority\":0,\"flags\":[\"SCHED_FLAG_"
    "RECLAIM\","
    "\"SCHED_FLAG_UTIL_CLAMP_MAX\"],\"runtime\":2000,\"deadline\":3000,\"period\":4000},"
    "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\",\"priority\":7},"
    "\"execCPUAffinity\":{\"initial\":\"0-3,7\",\"final\":\"1\"}},"
    "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"data\",\"source\":\"/srv\",\"options\":[\"rbind\",\"ro\"],"
    "\"uidMappings\":[{\"containerID\":0,\"hostID\":5,\"size\":2}],"
    "\"gidMappings\":[{\"containerID\":0,\"hostID\":6,\"size\":3}]}],"
    "\"hooks\":{\"prestart\":[{\"path\":\"/a\"}],\"createRuntime\":[{\"path\":\"/b\",\"args\":[\"b\",\"1\"],"
    "\"env\":[\"K=v\"],\"timeout\":5}],\"createContainer\":[{\"path\":\"/"
    "c\"}],\"startContainer\":[{\"path\":\"/d\"}],"
    "\"poststart\":[{\"path\":\"/e\"}],\"poststop\":[{\"path\":\"/f\"},{\"path\":\"/g\"}]},"
    "\"annotations\":{\"org.example.a\":\"1\",\"empty\":\"\"},"
    "\"vm\":{\"hypervisor\":{\"path\":\"/x\"}},"
    "\"linux\":{\"namespaces\":[{\"type\":\"user\"},{\"type\":\"cgroup\"},{\"type\":\"ipc\"},{\"type\":"
    "\"uts\"},"
    "{\"type\":\"network\",\"path\":\"/run/netns/"
    "x\"},{\"type\":\"pid\",\"path\":\"\"},{\"type\":\"time\"},{\"type\":\"mount\"}],"
    "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"
    "\"gidMappings\":[{\"containerID\":0,\"hostID\":200000,\"size\":1000},{\"containerID\":1000,\"hostID\":1,"
    "\"size\":1}],"
    "\"timeOffsets\":{\"monotonic\":{\"secs\":-5,\"nanosecs\":9},\"boottime\":{\"secs\":86400}},"
    "\"devices\":[{\"path\":\"/dev/"
    "fuse\",\"type\":\"u\",\"major\":10,\"minor\":229,\"fileMode\":438,\"uid\":1,\"gid\":2},"
    "{\"path\":\"/dev/f\",\"type\":\"p\"}],"
    "\"netDevices\":{\"eth5\":{\"name\":\"eth0\"},\"eth6\":{}},"
    "\"cgroupsPath\":\"/a/b\",\"rootfsPropagation\":\"rslave\","
    "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"architectures\":[\"SCMP_ARCH_"
    "X86_64\"],"
    "\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"listenerPath\":\"/l\",\"listenerMetadata\":\"m\","
    "\"syscalls\":[{\"names\":[\"read\",\"clone\"],\"action\":\"SCMP_ACT_TRACE\",\"errnoRet\":7,\"args\":[{"
    "\"index\":5,"
    "\"value\":18446744073709551615,\"valueTwo\":2,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]},"
    "\"maskedPaths\":[\"/proc/kcore\"],\"readonlyPaths\":[\"/proc/sys\"],\"mountLabel\":\"l\","
    "\"sysctl\":{\"net/ipv4/conf/eno2.100/rp_filter\":\"1\",\"kernel.msgmax\":\"\"},"
    "\"intelRdt\":{\"closID\":\"g\",\"l3CacheSchema\":\"L3:0=f\",\"memBwSchema\":\"MB:0=20\",\"schemata\":["
    "\"L2:0=f\"],"
    "\"enableCMT\":true,\"enableMBM\":true,\"enableMonitoring\":true},"
    "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0-1\",\"flags\":[\"MPOL_F_STATIC_NODES\"]},"
    "\"personality\":{\"domain\":\"LINUX32\",\"flags\":[]},\"resources\":{\"pids\":{\"limit\":5}}}}";

static struct spec *parse(const char *text)
{
    struct spec *spec = NULL;
    error_clear(&err);
    cr_assert_eq(spec_parse(&arena, text, strlen(text), "config.json", &spec, &err), 0, "%s", err.message);
    return spec;
}

static uint64_t bit(const char *name)
{
    return UINT64_C(1) << capability_from_name(name);
}

Test(spec_decode, top_level)
{
    struct spec *s = parse(full);
    cr_assert_str_eq(s->oci_version, "1.2.1-rc.1+b5");
    cr_assert_str_eq(s->hostname, "h");
    cr_assert_str_eq(s->domainname, "d.example");
    cr_assert_str_eq(s->root_path, "rootfs");
    cr_assert(s->root_readonly);
    cr_assert_eq(s->text, full);
    cr_assert_eq(s->length, strlen(full));
    cr_assert_eq(s->n_annotations, 2);
    cr_assert_str_eq(s->annotations[0].key, "org.example.a");
    cr_assert_str_eq(s->annotations[0].value, "1");
    cr_assert_str_eq(s->annotations[1].value, "");
    cr_assert(json_get(s->vm.json, "hypervisor"));
    cr_assert(s->linux_.resources.present && s->linux_.resources.pids.value == 5);
}

Test(spec_decode, process)
{
    struct spec_process *p = &parse(full)->process;
    cr_assert(p->present && p->terminal && p->has_console_size && p->no_new_privileges);
    cr_assert_eq(p->console_height, 25);
    cr_assert_eq(p->console_width, 80);
    cr_assert(p->user.uid == 1000 && p->user.gid == 100 && p->user.has_umask && p->user.umask == 022);
    cr_assert_eq(p->user.n_additional_gids, 2);
    cr_assert_eq(p->user.additional_gids[1], UINT32_MAX);
    cr_assert_eq(p->args.n, 3);
    cr_assert_str_eq(p->args.v[1], "");
    cr_assert_null(p->args.v[3]);
    cr_assert_str_eq(p->env.v[1], "C=");
    cr_assert_str_eq(p->cwd, "/tmp");
    cr_assert_str_eq(p->apparmor_profile, "prof");
    cr_assert_str_eq(p->selinux_label, "u:r:t:s0");
    cr_assert(p->has_oom_score_adj && p->oom_score_adj == -1000);
    cr_assert_str_eq(p->exec_cpu_affinity_initial, "0-3,7");
    cr_assert_str_eq(p->exec_cpu_affinity_final, "1");
}

Test(spec_decode, names_become_the_kernels_numbers)
{
    struct spec_process *p = &parse(full)->process;
    cr_assert_eq(p->n_rlimits, 1);
    cr_assert(p->rlimits[0].resource == RLIMIT_NOFILE && p->rlimits[0].soft == 10 &&
              p->rlimits[0].hard == RLIM_INFINITY);
    cr_assert(p->scheduler.present && p->scheduler.policy_number == 6 &&
              p->scheduler.flag_bits == (0x02 | 0x40));
    cr_assert(p->scheduler.nice == -20 && p->scheduler.runtime == 2000 && p->scheduler.period == 4000);
    cr_assert(p->io_priority.present && p->io_priority.class_number == 3 && p->io_priority.priority == 7);
    cr_assert(p->capabilities.present);
    cr_assert_eq(p->capabilities.bounding, bit("CAP_CHOWN") | UINT64_C(1) << 40);
    cr_assert_eq(p->capabilities.effective, bit("kill"));
    cr_assert_eq(p->capabilities.permitted, bit("CAP_KILL"));
    cr_assert_eq(p->capabilities.inheritable, bit("CAP_KILL"));
    cr_assert_eq(p->capabilities.ambient, bit("CAP_KILL"));
    cr_assert_eq(p->capabilities.unknown.n, 1, "each unknown name once");
    cr_assert_str_eq(p->capabilities.unknown.v[0], "CAP_NEW");
}

Test(spec_decode, mounts_and_hooks)
{
    struct spec *s = parse(full);
    cr_assert_eq(s->n_mounts, 2);
    cr_assert_str_eq(s->mounts[0].type, "proc");
    cr_assert_str_eq(s->mounts[1].destination, "/data", "relative means below /");
    cr_assert_null(s->mounts[1].type);
    cr_assert_str_eq(s->mounts[1].options.v[1], "ro");
    cr_assert(s->mounts[1].uid_mappings.n == 1 && s->mounts[1].uid_mappings.v[0].host_id == 5);
    cr_assert(s->mounts[1].gid_mappings.v[0].size == 3);
    for (int i = 0; i < HOOK_COUNT; i++)
        cr_assert_eq(s->hooks[i].v[0].path[1], 'a' + i);
    cr_assert_eq(s->hooks[HOOK_POSTSTOP].n, 2);
    struct spec_hook *hook = &s->hooks[HOOK_CREATE_RUNTIME].v[0];
    cr_assert(hook->has_timeout && hook->timeout == 5 && hook->args.n == 2);
    cr_assert_str_eq(hook->env.v[0], "K=v");
    cr_assert_not(s->hooks[HOOK_PRESTART].v[0].has_timeout);
}

Test(spec_decode, linux_part)
{
    struct spec_linux *l = &parse(full)->linux_;
    for (int i = 0; i < NS_COUNT; i++)
        cr_assert(l->namespaces[i].present);
    cr_assert_str_eq(l->namespaces[NS_NETWORK].path, "/run/netns/x");
    cr_assert_null(l->namespaces[NS_PID].path, "an empty path is none");
    cr_assert(l->uid_mappings.n == 1 && l->uid_mappings.v[0].size == 65536);
    cr_assert(l->gid_mappings.n == 2 && l->gid_mappings.v[1].container_id == 1000);
    cr_assert(l->monotonic.present && l->monotonic.secs == -5 && l->monotonic.nanosecs == 9);
    cr_assert(l->boottime.present && l->boottime.secs == 86400);
    cr_assert_eq(l->n_devices, 2);
    struct spec_device *d = l->devices;
    cr_assert(d->type == 'c' && d->major == 10 && d->minor == 229);
    cr_assert(d->has_file_mode && d->file_mode == 0666 && d->has_uid && d->uid == 1 && d->has_gid &&
              d->gid == 2);
    cr_assert(d[1].type == 'p' && !d[1].has_uid);
    cr_assert_eq(l->n_net_devices, 2);
    cr_assert_str_eq(l->net_devices[0].host_name, "eth5");
    cr_assert_str_eq(l->net_devices[0].container_name, "eth0");
    cr_assert_null(l->net_devices[1].container_name);
    cr_assert_str_eq(l->cgroups_path, "/a/b");
    cr_assert_str_eq(l->rootfs_propagation, "rslave");
    cr_assert_str_eq(l->masked_paths.v[0], "/proc/kcore");
    cr_assert_str_eq(l->readonly_paths.v[0], "/proc/sys");
    cr_assert_str_eq(l->mount_label, "l");
    cr_assert_eq(l->n_sysctl, 2);
    cr_assert_str_eq(l->sysctl[0].key, "net.ipv4.conf.eno2/100.rp_filter");
    cr_assert_str_eq(l->sysctl[1].value, "");
    cr_assert(l->intel_rdt.present && l->intel_rdt.enable_cmt && l->intel_rdt.enable_mbm &&
              l->intel_rdt.enable_monitoring);
    cr_assert_str_eq(l->intel_rdt.clos_id, "g");
    cr_assert_str_eq(l->intel_rdt.l3_cache_schema, "L3:0=f");
    cr_assert_str_eq(l->intel_rdt.mem_bw_schema, "MB:0=20");
    cr_assert_str_eq(l->intel_rdt.schemata.v[0], "L2:0=f");
    cr_assert(l->memory_policy.present && l->memory_policy.flags.n == 1);
    cr_assert_str_eq(l->memory_policy.mode, "MPOL_BIND");
    cr_assert_str_eq(l->memory_policy.nodes, "0-1");
    cr_assert(l->personality.present);
    cr_assert_str_eq(l->personality.domain, "LINUX32");
}

Test(spec_decode, seccomp)
{
    struct spec_seccomp *s = &parse(full)->linux_.seccomp;
    cr_assert(s->present && s->has_default_errno_ret && s->default_errno_ret == 38);
    cr_assert(!strncmp(s->raw, "{\"defaultAction\"", 16) && s->raw[s->raw_length - 1] == '}');
    cr_assert(!strncmp(s->raw + s->raw_length, ",\"maskedPaths\"", 14));
    cr_assert_str_eq(s->default_action, "SCMP_ACT_ERRNO");
    cr_assert_str_eq(s->architectures.v[0], "SCMP_ARCH_X86_64");
    cr_assert_str_eq(s->flags.v[0], "SECCOMP_FILTER_FLAG_LOG");
    cr_assert_str_eq(s->listener_path, "/l");
    cr_assert_str_eq(s->listener_metadata, "m");
    cr_assert_eq(s->n_rules, 1);
    struct spec_seccomp_rule *r = s->rules;
    cr_assert(r->names.n == 2 && r->has_errno_ret && r->errno_ret == 7 && r->n_args == 1);
    cr_assert_str_eq(r->names.v[1], "clone");
    cr_assert(r->args[0].index == 5 && r->args[0].value == UINT64_MAX && r->args[0].value_two == 2);
    cr_assert_str_eq(r->args[0].op, "SCMP_CMP_MASKED_EQ");
}

Test(spec_decode, null_is_missing)
{
    struct spec *s = parse(
        "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\",\"readonly\":null},\"mounts\":null,"
        "\"hostname\":null,\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"env\":null,\"capabilities\":null,"
        "\"user\":{\"uid\":null,\"additionalGids\":null},\"oomScoreAdj\":null},\"annotations\":null,"
        "\"linux\":{\"seccomp\":null,\"resources\":null,\"namespaces\":null,\"sysctl\":null}}");
    cr_assert(!s->hostname && !s->n_mounts && !s->process.capabilities.present &&
              !s->process.has_oom_score_adj);
    cr_assert(!s->linux_.seccomp.present && !s->linux_.resources.present &&
              !s->process.user.n_additional_gids);
}

Test(spec_decode, the_least)
{
    struct spec *s = parse("{\"ociVersion\":\"1.0.2-dev\",\"root\":{\"path\":\"r\"}}");
    cr_assert_not(s->process.present);
    cr_assert_not(s->linux_.namespaces[NS_MOUNT].present);
}

Test(spec_decode, example_round_trip)
{
    size_t length;
    char *text = spec_example(&arena, false, false, &length);
    cr_assert_eq(length, strlen(text));
    struct spec *s = parse(text);
    cr_assert_str_eq(s->oci_version, SPEC_VERSION);
    cr_assert(s->process.terminal && s->root_readonly && s->n_mounts == 7 &&
              s->linux_.resources.n_devices == 1);
    cr_assert(s->linux_.namespaces[NS_NETWORK].present && !s->linux_.namespaces[NS_USER].present);

    s = parse(spec_example(&arena, true, false, &length));
    cr_assert(s->linux_.namespaces[NS_USER].present && !s->linux_.namespaces[NS_NETWORK].present);
    cr_assert(s->linux_.uid_mappings.n == 1 && s->linux_.uid_mappings.v[0].host_id == geteuid());
    cr_assert(s->n_mounts == 7 && !s->linux_.resources.present);
    cr_assert_str_eq(s->mounts[5].options.v[0], "rbind");

    s = parse(spec_example(&arena, true, true, &length));
    cr_assert(s->linux_.namespaces[NS_USER].present && s->linux_.namespaces[NS_NETWORK].present);
    cr_assert(s->n_mounts == 7);
    cr_assert_str_eq(s->mounts[5].type, "sysfs");
}

Test(spec_decode, ways_in)
{
    struct spec *spec;
    struct spec_process process;
    char dir[] = "/tmp/hull-spec.XXXXXX";
    cr_assert(mkdtemp(dir));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    cr_assert_eq(spec_load(&arena, fd, "config.json", &spec, &err), -1);
    cr_assert_str_eq(err.message, "JSON specification file config.json not found");
    cr_assert_eq(file_replace(fd, "config.json", 0600, full, strlen(full), &err), 0);
    cr_assert_eq(spec_load(&arena, fd, "config.json", &spec, &err), 0, "%s", err.message);

    static const char good[] = "{\"args\":[\"true\"],\"cwd\":\"/\"}",
                      bad[] = "{\"args\":[],\"cwd\":\"tmp\",\"env\":[\"X\"]}";
    char *path = arena_printf(&arena, "%s/process.json", dir);
    cr_assert_eq(file_replace(fd, "process.json", 0600, good, strlen(good), &err), 0);
    cr_assert_eq(spec_load_process(&arena, path, &process, &err), 0, "%s", err.message);
    cr_assert(process.present && process.args.n == 1);
    cr_assert_eq(file_replace(fd, "process.json", 0600, bad, strlen(bad), &err), 0);
    cr_assert_eq(spec_load_process(&arena, path, &process, &err), -1);
    char *expected =
        arena_printf(&arena,
                     "%s: 3 problems:\n  args: must not be empty\n"
                     "  cwd: must be an absolute path, got \"tmp\"\n  env[0]: must be NAME=value, got \"X\"",
                     path);
    cr_assert_str_eq(err.message, expected);
    close(fd);
    cr_assert_eq(file_remove_tree(AT_FDCWD, dir, &err), 0);
}

Test(spec_names, tables)
{
    cr_assert_eq(capability_from_name("CAP_SYS_ADMIN"), 21);
    cr_assert_eq(capability_from_name("sys_admin"), 21);
    cr_assert_eq(capability_from_name("CAP_"), -1);
    cr_assert_eq(capability_from_name("CAP_SYS_ADMINX"), -1);
    for (int i = 0; i <= 40; i++)
        cr_assert_eq(capability_from_name(capability_name(i)), i);
    cr_assert_null(capability_name(41));
    cr_assert_null(capability_name(-1));
    for (int i = 0; i < NS_COUNT; i++)
        cr_assert_eq(namespace_from_name(namespace_name(i)), i);
    cr_assert_eq(namespace_from_name("net"), -1);
    cr_assert_eq(rlimit_from_name("RLIMIT_RTTIME"), RLIMIT_RTTIME);
    cr_assert_eq(rlimit_from_name("NOFILE"), -1);
    cr_assert_str_eq(hook_name(HOOK_START_CONTAINER), "startContainer");
}
