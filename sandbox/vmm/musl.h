/*
 * What glibc's headers have and musl's (1.2.3) have not, for the files that hull-vmm is made of. The compiler includes this
 * before each of them (configure.ac); with glibc it is empty.
 */
#pragma once

#include <features.h>

#ifndef __GLIBC__
#include <linux/stat.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SIGCLD
#define SIGCLD SIGCHLD
#endif

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#define RENAME_WHITEOUT  (1 << 2)
#endif

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif

static inline int statx(int dir, const char *path, int flags, unsigned mask, struct statx *to)
{
    return (int)syscall(SYS_statx, dir, path, flags, mask, to);
}

static inline int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

static inline ssize_t preadv2(int fd, const struct iovec *v, int n, off_t offset, int flags)
{
    return syscall(SYS_preadv2, fd, v, n, offset, 0, flags);
}

static inline ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t offset, int flags)
{
    return syscall(SYS_pwritev2, fd, v, n, offset, 0, flags);
}
#endif
