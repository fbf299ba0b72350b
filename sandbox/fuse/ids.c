/*
 * As whom the server works: as itself, except when it makes files, which then belong to the client's user from the
 * first moment (setfsuid(2), setfsgid(2): the thread's alone). Its capabilities stay meanwhile: the client has checked
 * permissions, with the groups and capabilities of its own that the host cannot know.
 */
/* #syscalls(fs): setfsuid setfsgid capget capset umask */
/* #syscalls: unshare fchdir rt_sigaction prctl */
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/fuse/internal.h"

#define CAP_BIT(c) (1u << (c)) /* all that we keep are below 32 */
#define KEPT                                                                                                 \
    (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) |            \
     CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETFCAP))

/* The bare calls: these tell what the id was, and what it is is seen by asking for an id that is none. */
static uid_t set_fsuid(uid_t uid)
{
    return (uid_t)syscall(SYS_setfsuid, uid);
}

static gid_t set_fsgid(gid_t gid)
{
    return (gid_t)syscall(SYS_setfsgid, gid);
}

static int restrict_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];

    if (syscall(SYS_capget, &header, caps) < 0)
        return -1;
    caps[0].effective = caps[0].permitted = caps[0].permitted & KEPT;
    caps[0].inheritable = 0;
    caps[1] = (struct __user_cap_data_struct){0};
    return (int)syscall(SYS_capset, &header, caps);
}

int fuse_ids_enter(struct fuse_server *s, const struct fuse_in_header *h, uint32_t mask)
{
    if ((mask & 0777) != s->mask) {
        s->mask = mask & 0777;
        umask(s->mask);
    }
    if (h->gid != s->own.gid) {
        set_fsgid(h->gid);
        if (set_fsgid((gid_t)-1) != h->gid)
            return -EPERM;
    }
    if (h->uid != s->own.uid) {
        set_fsuid(h->uid);
        if (set_fsuid((uid_t)-1) != h->uid || (!s->fixed_caps && restrict_capabilities() < 0)) {
            fuse_ids_leave(s, h);
            return -EPERM;
        }
    }
    return 0;
}

void fuse_ids_leave(struct fuse_server *s, const struct fuse_in_header *h)
{
    if (h->uid != s->own.uid)
        set_fsuid(s->own.uid);
    if (h->gid != s->own.gid)
        set_fsgid(s->own.gid);
}

int fuse_thread_confine(struct fuse_server *s, struct error *err)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    if (unshare(CLONE_FS) < 0 || fchdir(s->proc_fds) < 0)
        return error_set(err, errno, "a working directory for the file server");
    if (sigaction(SIGXFSZ, &ignore, NULL) < 0)
        return error_set(err, errno, "ignore SIGXFSZ");
    s->mask = 0;
    umask(0);
    s->own = (struct fuse_ids){.uid = set_fsuid((uid_t)-1), .gid = set_fsgid((gid_t)-1)};
    s->fixed_caps = prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || restrict_capabilities() < 0)
        return error_set(err, errno, "drop the file server's capabilities");
    s->confined = true;
    return 0;
}
