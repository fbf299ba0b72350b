/*
 * The host's /proc, opened once and checked to be procfs (fstatfs PROC_SUPER_MAGIC) and its root, so that a container's
 * tmpfs or symlink at /proc cannot swallow a write (CVE-2019-16884, CVE-2025-52881). All access goes through that fd.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

/** The checked descriptor of /proc, O_PATH, opened on first use and kept. -1 with errno where it isn't procfs. */
int procfs_fd(void);

/** Forget the descriptor (a new pid namespace needs a new /proc; a child that pivots needs the new one). */
void procfs_reset(void);

/** Open a file below /proc ("self/attr/exec") without leaving procfs: RESOLVE_BENEATH|NO_XDEV, "self" is allowed. */
int procfs_open(const char *path, int flags);

/** Write @text to a file below /proc. */
int procfs_write(const char *path, const char *text, struct error *err);

/** Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat) and its state letter.
 *  -1 with errno ESRCH when there is none. @state may be NULL. */
int process_start_time(pid_t pid, uint64_t *ticks, char *state);

/** The id of the mount that @fd lies on (mnt_id of fdinfo; two binds of one file system differ). 0, or -1 with errno. */
int fd_mount_id(int fd, uint64_t *id);
