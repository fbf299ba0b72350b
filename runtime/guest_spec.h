/*
 * What of config.json applies where, when the container is inside a virtual machine. One bundle, two readers: hull on the
 * host, and hull-guest, which builds the container with the same engine and calls guest_spec_adapt() first.
 *
 *   root.path              host: shared as rootfs          guest: MOUNT/rootfs
 *   mounts, binds          host: shared as volumes/N       guest: MOUNT/volumes/N; N counts binds only, in order
 *   mounts, others         -                               guest: by the guest's kernel
 *   ids: user namespace,   host: its file server shows     guest: none, no namespace
 *     uid/gidMappings,       owners as seen inside
 *     idmap options
 *   network namespace,     host: the VMM lives in it       guest: none of its own: the machine's is the container's
 *     netDevices
 *   other namespaces       host: the VMM's own             guest: new ones; a path means the host's and is dropped
 *   hooks                  host: all but startContainer    guest: startContainer, which is executed inside
 *   cgroupsPath, resources host: limits of the machine     guest: pids, devices; its cgroup is named after the id
 *   intelRdt, affinity,    host                            guest: dropped, they name the host's processors and memory
 *     memoryPolicy
 *   LSM labels             host                            guest: dropped, its kernel has no policy
 *   seccomp, capabilities, -                               guest, unchanged; only a listener of seccomp's
 *     rlimits, masks,                                        notifications cannot be reached, and is refused
 *     sysctl, terminal ...
 */
#pragma once

#include "base/error.h"
#include "runtime/spec/spec.h"

/** Is it a bind mount: by type or by its options (a remount is none)? */
bool guest_spec_is_bind(const struct spec_mount *m);

/** Make of the bundle's @spec the guest's. @shared: where the host's tree is mounted ("/hull"). */
int guest_spec_adapt(struct arena *a, struct spec *spec, const char *shared, struct error *err);
