/* Which kernel a guest boots, and the initramfs that goes with it. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/**
 * Open a kernel and its initramfs. @wanted: its path; NULL: the installed tailored kernel (LIBEXECDIR/vmlinux; in a build tree
 * guest-kernel's), else the newest one in /boot that can be a guest. The modules are those beside the kernel
 * in an unpacked package (DIR/../lib/modules/RELEASE, or DIR/../usr/lib/...), or of /lib/modules/RELEASE; none there: the kernel is taken to have all built in. @release, which may be
 * NULL: its `uname -r`. An error says what was looked at and what to do.
 */
int guest_kernel_open(struct arena *a, const char *wanted, int *kernel, int *initrd, char **release,
                      struct error *err);

/** The release of the kernel image that @fd is: a bzImage, or an ELF vmlinux. */
int guest_kernel_release(struct arena *a, int fd, char **release, struct error *err);
