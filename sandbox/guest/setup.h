/* What PID 1 does to a machine that has just booted, before there is a container. */
#pragma once

#include "base/error.h"

/** Load the modules that the initramfs brought (LIST: a file name a line, in order), and remove them from its memory. No
 * list: a kernel that needs none. */
int setup_modules(const char *list, struct error *err);

/** From the initramfs, which pivot_root(2) refuses, to a root of our own on a tmpfs; all file systems that the engine needs, the
 * cgroup controllers, loopback, limits. */
int setup_machine(struct error *err);

/** The host's tree, at AGENT_FS_MOUNT. */
int setup_shared(struct error *err);
