/*
 * Mounts as descriptors: open_tree, mount_setattr and move_mount, with mount(2) through /proc/self/fd of the
 * checked procfs where the kernel (before 5.12) or a seccomp filter around us lacks them. No path of a
 * container is ever handed to mount(2).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "namespaces/mount_options.h"

enum { FD_BATCH_MAX = 96 };

/* Descriptors that are no longer needed: kept until there are many, so that their numbers run on and a few
 * ranges close them all. Only what was added is ever closed. */
struct fd_batch {
    int fds[FD_BATCH_MAX]; /* ascending */
    int n;
};

void fd_batch_add(struct fd_batch *b, int fd); /* -1 is fine; keeps errno */
void fd_batch_flush(struct fd_batch *b);

/** A detached copy of the mount (AT_RECURSIVE: and those below) at @path below @dirfd. -1 with errno. */
int tree_clone(int dirfd, const char *path, unsigned at_flags);
/** Put the detached @tree (or move an attached one) onto @target. -1 with errno. */
int tree_attach(int tree, int target);
/** True when errno says that the call itself is missing or filtered, so that mount(2) should be tried. */
bool tree_call_missing(void);
/** move_mount(2) is missing: tree_clone() says ENOSYS from now on. */
void trees_give_up(void);
bool trees_given_up(void);

/** Bind what @source names (a descriptor; of a mount in this namespace) onto @target: one call by mount(2),
 * which needs the working directory to be /proc/self/fd; the descriptor of that is kept in @fds_dir (-1 at
 * first). */
int bind_fd(int *fds_dir, bool *cwd_is_fds, int source, int target);

/** mount(2) on an open descriptor, through the checked procfs. @source: NULL, or a path, or another
 * descriptor as text. */
int mount_on_fd(const char *source, int target, const char *type, unsigned long flags, const char *data);

/** Apply flags and propagation to a tree that is not attached yet. Returns 1 when only mount(2) can do it:
 * attach the tree, then call mount_apply_attached(). */
int mount_apply_detached(int tree, const struct mount_options *o, struct error *err);
int mount_apply_attached(int tree, const struct mount_options *o, struct error *err);

/** Let the detached @tree show its files with the ids of the user namespace @userns (a descriptor). -1 with errno: EINVAL,
 * the file system cannot; ENOSYS, before Linux 5.12. */
int mount_idmap(int tree, int userns, bool recursive);

/** Raise flags (MS_*) of one attached mount, keep all others. */
int mount_raise_flags(int mount_fd, unsigned long ms_flags);
/** One propagation word (MS_SLAVE|MS_REC ...) for an attached mount. */
int mount_propagation(int mount_fd, unsigned long ms_flags);
