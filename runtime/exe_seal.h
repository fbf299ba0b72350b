/* Keep the host's hull binary out of a container's reach (CVE-2019-5736); see exe_seal.c. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/** Before the first clone: where the kernel cannot do exe_seal() (no CONFIG_CHECKPOINT_RESTORE), run again
 * from a sealed copy in memory. Returns 0 when nothing is left to do. */
int exe_seal_prepare(char **argv, struct error *err);

/** In the forked child, before it enters anything of the container's: detach this process from its binary.
 *  @new_mount_namespace: it was cloned with CLONE_NEWNS, where that costs no copy. */
int exe_seal(bool new_mount_namespace, struct error *err);
