/*
 * A session keyring of the container's own, so that it neither sees nor fills the keyring of whoever called
 * Hull.
 *
 * The keyring is found by name ("_ses.ID"), which is how `exec` comes into the same one; for that it must be
 * searchable by its owner. Two system calls; keyctl(2) is called raw, libkeyutils is not needed.
 */
#include "runtime/process.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/procfs.h"

/* include/linux/key.h, not in uapi: what a new session keyring has by default, and search for its owner. */
enum {
    KEY_POSSESSOR_ALL = 0x3f000000,
    KEY_OWNER_VIEW = 0x00010000,
    KEY_OWNER_READ = 0x00020000,
    KEY_OWNER_SEARCH = 0x00080000,
    KEY_OWNER_LINK = 0x00100000,
};

int keyring_join(const char *container_id, const char *selinux_label, struct error *err)
{
    char name[1100]; /* ids are at most 1024 bytes */
    bool labelled = selinux_label && *selinux_label;
    long keyring;
    int joined;

    if (labelled && procfs_write("self/attr/keycreate", selinux_label, err) < 0)
        return error_wrap(err, "process.selinuxLabel: label the session keyring");
    snprintf(name, sizeof(name), "_ses.%s", container_id);
    keyring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    joined = errno;
    if (labelled && procfs_write("self/attr/keycreate", "", err) < 0)
        return error_wrap(err, "process.selinuxLabel: reset the label of new keys");
    if (keyring < 0) {
        if (joined == ENOSYS)
            return 0;
        /* Only a filter or LSM around Hull says so, and it holds for the container as well: no key can be
         * reached. */
        if (joined == EPERM) {
            log_warning("no session keyring of its own for the container: keyctl(2) is denied around Hull");
            return 0;
        }
        return error_set(err, joined, "join session keyring %s%s", name,
                         joined == EDQUOT ? " (raise kernel.keys.maxkeys, or use --no-new-keyring)" : "");
    }
    if (keyring == 0) /* it is ours already: nested in a container of the same id */
        return 0;
    if (syscall(SYS_keyctl, KEYCTL_SETPERM, keyring,
                KEY_POSSESSOR_ALL | KEY_OWNER_VIEW | KEY_OWNER_READ | KEY_OWNER_SEARCH | KEY_OWNER_LINK) <
        0) {
        /* An older one of the same name, owned by another: `exec` by its uid is where this is met, and
         * harmless. */
        if (errno == EACCES)
            return 0;
        return error_set(err, errno, "set permissions of session keyring %s", name);
    }
    return 0;
}
