/*
 * hull check's table and the running of it: one row a question, asked in this order. A row says what the answer is needed
 * for; the probe only says whether the thing is there. Containers can run when no row that they need says no, sandboxes
 * when besides none of theirs does: a sandbox is a container whose last step differs.
 */
#include "runtime/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/file.h"
#include "cgroups/cgroup.h"
#include "runtime/check_private.h"
#include "runtime/spec/spec.h"

static const struct check_row rows[] = {
    {"kernel", "kernel", CHECK_CONTAINERS, check_kernel_version, 0},
    {"kernel", "clone3", CHECK_OPTIONAL, check_clone3, 0},
    {"kernel", "clone-into-cgroup", CHECK_OPTIONAL, check_clone_into_cgroup, 0},
    {"kernel", "pidfd", CHECK_CONTAINERS, check_pidfd, 0},
    {"kernel", "openat2", CHECK_OPTIONAL, check_openat2, 0},
    {"kernel", "close_range", CHECK_OPTIONAL, check_close_range, 0},
    {"kernel", "mount-api", CHECK_OPTIONAL, check_mount_api, 0},
    {"kernel", "mount_setattr", CHECK_OPTIONAL, check_mount_setattr, 0},
    {"kernel", "memfd", CHECK_CONTAINERS, check_memfd, 0},
    {"kernel", "exe-seal", CHECK_OPTIONAL, check_exe_seal, 0},
    {"namespaces", "namespace.user", CHECK_CONTAINERS, check_namespace, NS_USER},
    {"namespaces", "namespace.mount", CHECK_CONTAINERS, check_namespace, NS_MOUNT},
    {"namespaces", "namespace.pid", CHECK_CONTAINERS, check_namespace, NS_PID},
    {"namespaces", "namespace.network", CHECK_CONTAINERS, check_namespace, NS_NETWORK},
    {"namespaces", "namespace.ipc", CHECK_CONTAINERS, check_namespace, NS_IPC},
    {"namespaces", "namespace.uts", CHECK_CONTAINERS, check_namespace, NS_UTS},
    {"namespaces", "namespace.cgroup", CHECK_OPTIONAL, check_namespace, NS_CGROUP},
    {"namespaces", "namespace.time", CHECK_OPTIONAL, check_namespace, NS_TIME},
    {"users", "userns.limit", CHECK_CONTAINERS, check_userns_limit, 0},
    {"users", "userns.unprivileged", CHECK_CONTAINERS, check_userns_unprivileged, 0},
    {"users", "newuidmap", CHECK_OPTIONAL, check_id_helpers, 0},
    {"users", "subids", CHECK_OPTIONAL, check_id_ranges, 0},
    {"cgroups", "cgroup", CHECK_OPTIONAL, check_cgroup_layout, 0},
    {"cgroups", "cgroup.controllers", CHECK_OPTIONAL, check_cgroup_controllers, 0},
    {"cgroups", "cgroup.delegation", CHECK_OPTIONAL, check_cgroup_delegation, 0},
    {"cgroups", "cgroup.kill", CHECK_OPTIONAL, check_cgroup_kill, 0},
    {"cgroups", "systemd", CHECK_OPTIONAL, check_cgroup_systemd, 0},
    {"security", "seccomp", CHECK_CONTAINERS, check_seccomp, 0},
    {"security", "seccomp.notify", CHECK_OPTIONAL, check_seccomp_notify, 0},
    {"security", "lsm", CHECK_OPTIONAL, check_lsm, 0},
    {"security", "landlock", CHECK_OPTIONAL, check_landlock, 0},
    {"security", "lockdown", CHECK_OPTIONAL, check_lockdown, 0},
    {"files", "state", CHECK_CONTAINERS, check_state_directory, 0},
    {"files", "proc", CHECK_CONTAINERS, check_proc_mount, 0},
    {"files", "overlay", CHECK_OPTIONAL, check_overlay, 0},
    {"files", "overlay.userns", CHECK_OPTIONAL, check_overlay_userns, 0},
    {"files", "idmap.root", CHECK_OPTIONAL, check_idmap, IDMAP_ROOT},
    {"files", "idmap.state", CHECK_OPTIONAL, check_idmap, IDMAP_STATE},
    {"files", "idmap.tmpfs", CHECK_OPTIONAL, check_idmap, IDMAP_TMPFS},
    {"files", "idmap.overlay", CHECK_OPTIONAL, check_idmap, IDMAP_OVERLAY},
    {"network", "nftables", CHECK_OPTIONAL, check_nftables, 0},
    {"network", "tun", CHECK_OPTIONAL, check_tun, 0},
    {"tools", "hull-net", CHECK_OPTIONAL, check_helper, CHECK_HULL_NET},
    {"tools", "hull-systemd", CHECK_OPTIONAL, check_helper, CHECK_HULL_SYSTEMD},
    {"tools", "criu", CHECK_OPTIONAL, check_criu, 0},
    {"sandbox", "build", CHECK_SANDBOXES, check_build, 0},
    {"sandbox", "cpu", CHECK_SANDBOXES, check_cpu, 0},
    {"sandbox", "nested-paging", CHECK_OPTIONAL, check_nested_paging, 0},
    {"sandbox", "kvm", CHECK_SANDBOXES, check_kvm, 0},
    {"sandbox", "kvm.capabilities", CHECK_SANDBOXES, check_kvm_capabilities, 0},
    {"sandbox", "vhost-net", CHECK_OPTIONAL, check_vhost_net, 0},
    {"sandbox", "vhost-vsock", CHECK_OPTIONAL, check_vhost_vsock, 0},
    {"sandbox", "guest-kernel", CHECK_SANDBOXES, check_guest_kernel, 0},
};

const char *check_status_name(enum check_status status)
{
    static const char *const names[] = {[CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_NO] = "no"};

    return names[status];
}

static void answer(struct probe *p, enum check_status status, const char *remedy, const char *fmt, va_list ap)
{
    char detail[1024];

    vsnprintf(detail, sizeof(detail), fmt, ap);
    p->result->status = status;
    p->result->detail = arena_strdup(p->arena, detail);
    p->result->remedy = remedy;
}

void probe_ok(struct probe *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(p, CHECK_OK, NULL, fmt, ap);
    va_end(ap);
}

void probe_warn(struct probe *p, const char *remedy, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(p, CHECK_WARN, remedy, fmt, ap);
    va_end(ap);
}

void probe_missing(struct probe *p, const char *remedy, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(p, p->row->need == CHECK_OPTIONAL ? CHECK_WARN : CHECK_NO, remedy, fmt, ap);
    va_end(ap);
}

/* --- a child to try things in ------------------------------------------------------------------------------------ */

static int write_text(const char *path, const char *text)
{
    return file_write(AT_FDCWD, path, text, strlen(text), NULL);
}

static int enter(int namespaces)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char map[64];

    if (unshare(namespaces) < 0)
        return -1;
    if (namespaces & CLONE_NEWUSER) {
        if (write_text("/proc/self/setgroups", "deny") < 0)
            return -1;
        snprintf(map, sizeof(map), "0 %u 1", uid);
        if (write_text("/proc/self/uid_map", map) < 0)
            return -1;
        snprintf(map, sizeof(map), "0 %u 1", gid);
        if (write_text("/proc/self/gid_map", map) < 0)
            return -1;
    }
    if (namespaces & CLONE_NEWNS)
        return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return 0;
}

/* The exit status carries the errno (Linux has none above 133, and none of those few above 127 come up here); its high
 * bit says that the body was not reached. */
enum { NOT_ENTERED = 0x80 };

static _Noreturn void child(int namespaces, int (*body)(void *data), void *data)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGALRM, SIG_DFL);
    alarm(2);
    if (enter(namespaces) < 0)
        _exit((errno & 0x7f) | NOT_ENTERED);
    _exit(body(data) == 0 ? 0 : errno & 0x7f);
}

int check_in_child(int namespaces, int (*body)(void *data), void *data, bool *entered)
{
    int status;
    pid_t pid = fork();

    if (entered)
        *entered = false;
    if (pid < 0)
        return -1;
    if (pid == 0)
        child(namespaces, body, data);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (entered)
        *entered = !WIFEXITED(status) || !(WEXITSTATUS(status) & NOT_ENTERED);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    errno = !WIFEXITED(status)             ? WTERMSIG(status) == SIGALRM ? ETIMEDOUT : ECANCELED
            : (WEXITSTATUS(status) & 0x7f) ? WEXITSTATUS(status) & 0x7f
                                           : EIO;
    return -1;
}

int check_userns_flag(const struct check_host *host)
{
    return host->privileged ? 0 : CLONE_NEWUSER;
}

/* --- small parsing ------------------------------------------------------------------------------------------------ */

bool check_parse_version(const char *release, unsigned version[2])
{
    return sscanf(release, "%4u.%4u", &version[0], &version[1]) == 2;
}

bool check_version_below(const unsigned version[2], unsigned major, unsigned minor)
{
    return version[0] < major || (version[0] == major && version[1] < minor);
}

bool check_has_word(const char *list, const char *separators, const char *word)
{
    size_t length = strlen(word), n;

    for (list += strspn(list, separators); *list; list += n + strspn(list + n, separators)) {
        n = strcspn(list, separators);
        if (n == length && memcmp(list, word, n) == 0)
            return true;
    }
    return false;
}

char *check_read(struct arena *a, const char *path)
{
    char *text;
    size_t length;

    if (file_read(AT_FDCWD, path, 4 << 20, a, &text, &length, NULL) < 0)
        return NULL;
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    return text;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static bool has_capability(cap_value_t capability)
{
    cap_flag_value_t value = CAP_CLEAR;
    cap_t caps = cap_get_proc();

    if (caps)
        cap_get_flag(caps, capability, CAP_EFFECTIVE, &value);
    cap_free(caps);
    return value == CAP_SET;
}

static void find_host(struct arena *a, const char *state_directory, struct check_host *host)
{
    struct utsname name;

    *host = (struct check_host){.state_directory = state_directory,
                                .privileged = has_capability(CAP_SYS_ADMIN),
                                .maps_itself = geteuid() != 0 || has_capability(CAP_SETFCAP)};
    if (uname(&name) < 0 || !check_parse_version(name.release, host->kernel))
        host->kernel[0] = host->kernel[1] = 0;
    if (cgroup_layout(a, &host->dirs, &host->n_dirs, NULL) < 0)
        host->n_dirs = 0;
}

void host_check(struct arena *a, const char *state_directory, struct check_report *out)
{
    struct check_host host;
    bool lacks[3] = {false};

    find_host(a, state_directory, &host);
    out->n = ARRAY_SIZE(rows);
    out->results = arena_new_n(a, out->n, struct check_result);
    for (size_t i = 0; i < out->n; i++) {
        struct check_result *r = &out->results[i];
        struct probe p = {.arena = a, .host = &host, .row = &rows[i], .result = r};

        *r = (struct check_result){.group = rows[i].group, .name = rows[i].name};
        rows[i].probe(&p);
        lacks[rows[i].need] |= r->status == CHECK_NO;
    }
    out->containers = !lacks[CHECK_CONTAINERS];
    out->sandboxes = out->containers && !lacks[CHECK_SANDBOXES];
}
