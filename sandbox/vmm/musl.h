/*
 * What glibc's headers have and musl's (1.2.3) have not, for the files that hull-vmm is made of. The compiler includes this
 * before each of them (configure.ac); with glibc it is empty. Newer ones (1.2.5) have some of it, and a statx that lacks
 * stx_mnt_id: theirs are declared under other names, so that what is meant is the same with each.
 */
#pragma once

#include <features.h>

#ifndef __GLIBC__
#define statx           musl_statx
#define statx_timestamp musl_statx_timestamp
#define renameat2       musl_renameat2
#define preadv2         musl_preadv2
#define pwritev2        musl_pwritev2
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#undef statx
#undef statx_timestamp
#undef renameat2
#undef preadv2
#undef pwritev2

#include <linux/stat.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef getdents64
#define getdents64 getdents
#endif

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
