/* What confines a container besides namespaces: seccomp (a filter is really installed, in a child) and the LSMs. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buffer.h"
#include "runtime/check_private.h"

#define ACTIONS "/proc/sys/kernel/seccomp/actions_avail"

static int install_filter(void *data)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = 1, .filter = allow};
    unsigned long flags = *(const unsigned long *)data;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0 ? -1 : 0;
}

void check_seccomp(struct probe *p)
{
    static const char *const wanted[] = {"kill_process", "kill_thread", "trap", "errno",
                                         "trace",        "log",         "allow"};
    unsigned long flags = 0;
    const char *actions;

    if (check_in_child(0, install_filter, &flags, NULL) < 0) {
        probe_missing(p,
                      "boot a kernel with CONFIG_SECCOMP_FILTER; containers without a profile run meanwhile",
                      "no filter can be installed: %s", strerror(errno));
        return;
    }
    actions = check_read(p->arena, ACTIONS);
    if (!actions) {
        probe_warn(p, NULL, "filters work; which actions is not known: " ACTIONS ": %s", strerror(errno));
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (!check_has_word(actions, " ", wanted[i])) {
            probe_warn(p, "a newer kernel has it; profiles that use it fail", "the action %s is missing: %s",
                       wanted[i], actions);
            return;
        }
    probe_ok(p, "%s", actions);
}

void check_seccomp_notify(struct probe *p)
{
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    const char *actions = check_read(p->arena, ACTIONS);
    bool installed = check_in_child(0, install_filter, &flags, NULL) == 0;
    int code = errno;

    if (installed && (!actions || check_has_word(actions, " ", "user_notif")))
        probe_ok(p, "a listener was made");
    else if (!installed && code == EBUSY)
        probe_missing(p, "run hull outside of that container",
                      "a filter around this process has a listener already");
    else
        probe_missing(p, "a newer kernel has it; profiles with SCMP_ACT_NOTIFY fail", "%s",
                      installed ? "user_notif is not among the actions" : strerror(code));
}

/* --- LSMs -------------------------------------------------------------------------------------------------------- */

static bool active(struct arena *a, const char *name, const char *sign)
{
    const char *list = check_read(a, "/sys/kernel/security/lsm"); /* securityfs may not be mounted */

    return (list && check_has_word(list, ",", name)) || (!list && access(sign, F_OK) == 0);
}

void check_lsm(struct probe *p)
{
    const char *enabled = check_read(p->arena, "/sys/module/apparmor/parameters/enabled"),
               *enforce = check_read(p->arena, "/sys/fs/selinux/enforce"),
               *list = check_read(p->arena, "/sys/kernel/security/lsm");
    bool apparmor =
        (enabled && *enabled == 'Y') || active(p->arena, "apparmor", "/sys/kernel/security/apparmor");
    bool selinux = enforce || active(p->arena, "selinux", "/sys/fs/selinux/enforce");
    const char *selinux_state = !enforce          ? "selinuxfs is not mounted"
                                : *enforce == '1' ? "enforcing"
                                                  : "permissive";

    if (selinux)
        probe_ok(p, "SELinux (%s)%s", selinux_state, apparmor ? ", AppArmor" : "");
    else if (apparmor)
        probe_ok(p, "AppArmor");
    else
        probe_missing(p, "boot with apparmor=1 security=apparmor, or with SELinux, for one wall more",
                      "neither AppArmor nor SELinux is active%s%s", list ? ": " : "", list ? list : "");
}

void check_landlock(struct probe *p)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);

    if (abi > 0)
        probe_ok(p, "ABI %ld", abi);
    else
        probe_missing(p,
                      errno == EOPNOTSUPP ? "boot with landlock in the lsm= parameter"
                                          : "Linux 5.13 or later has it",
                      "%s", strerror(errno));
}

/* Lockdown takes nothing from a container's start; CRIU and some eBPF of tools beside it suffer. */
void check_lockdown(struct probe *p)
{
    const char *text = check_read(p->arena, "/sys/kernel/security/lockdown");
    const char *start = text ? strchr(text, '[') : NULL;

    if (!start)
        probe_ok(p, "none");
    else
        probe_ok(p, "%.*s", (int)strcspn(start + 1, "]"), start + 1);
}
