/*
 * process.apparmorProfile and process.selinuxLabel: what the next execve(2) changes the process to.
 *
 * A label that nothing on the host enforces would be a silent loss of confinement, so it is an error, found
 * in the parent before anything was made; AppArmor's "unconfined" asks for nothing and passes anywhere. The
 * labels are written later and never depend on another look at /sys, which by then is the container's. They
 * go through the checked procfs.
 */
#include "runtime/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/procfs.h"

#define APPARMOR_ENABLED "/sys/module/apparmor/parameters/enabled"
#define UNCONFINED       "unconfined"

static bool apparmor_enabled(void)
{
    _cleanup_(fd_closep) int fd = open(APPARMOR_ENABLED, O_RDONLY | O_CLOEXEC);
    char answer;

    return fd >= 0 && read(fd, &answer, 1) == 1 && answer == 'Y';
}

static bool selinux_enabled(void)
{
    struct statfs fs;

    return statfs("/sys/fs/selinux", &fs) == 0 && (unsigned long)fs.f_type == SELINUX_MAGIC;
}

static bool is_given(const char *label)
{
    return label && *label;
}

int lsm_check(const struct spec_process *p, struct error *err)
{
    if (is_given(p->apparmor_profile) && strcmp(p->apparmor_profile, UNCONFINED) != 0 && !apparmor_enabled())
        return error_set(err, 0,
                         "process.apparmorProfile: \"%s\" was asked for, but AppArmor is not enabled on this "
                         "host; enable it "
                         "or remove the profile",
                         p->apparmor_profile);
    if (is_given(p->selinux_label) && !selinux_enabled())
        return error_set(
            err, 0,
            "process.selinuxLabel: \"%s\" was asked for, but SELinux is disabled or not supported on this "
            "host; enable it or remove the label",
            p->selinux_label);
    return 0;
}

/* Kernels since 5.1 keep AppArmor's attributes apart from those of other modules; older ones share one file.
 */
static const char *apparmor_exec_file(void)
{
    static const char own[] = "self/attr/apparmor/exec";
    _cleanup_(fd_closep) int fd = procfs_open(own, O_WRONLY);

    return fd >= 0 || errno != ENOENT ? own : "self/attr/exec";
}

static int apparmor_apply(const char *profile, struct error *err)
{
    char text[4096];
    int length = snprintf(text, sizeof(text), "exec %s", profile);

    if (length < 0 || (size_t)length >= sizeof(text))
        return error_set(err, ENAMETOOLONG, "process.apparmorProfile");
    if (procfs_write(apparmor_exec_file(), text, err) == 0)
        return 0;
    if (strcmp(profile, UNCONFINED) == 0) {
        error_clear(
            err); /* no AppArmor, or a profile around Hull that it may not leave: then it holds here too */
        return 0;
    }
    return error_wrap(err, "process.apparmorProfile: apply \"%s\" (is it loaded?)", profile);
}

int lsm_apply_exec_label(const struct spec_process *p, struct error *err)
{
    if (is_given(p->apparmor_profile) && apparmor_apply(p->apparmor_profile, err) < 0)
        return -1;
    if (is_given(p->selinux_label) && procfs_write("self/attr/exec", p->selinux_label, err) < 0)
        return error_wrap(err, "process.selinuxLabel: apply \"%s\"", p->selinux_label);
    return 0;
}
