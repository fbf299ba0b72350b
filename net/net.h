/*
 * Network pieces of an OCI container: the loopback of a new network namespace, and linux.netDevices.
 * Loopback needs one ioctl. Moving devices speaks rtnetlink by libmnl, in the helper libexec/hull/hull-net,
 * because Debian has no static libmnl and `hull` is linked statically; the helper runs only when netDevices
 * are there.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "runtime/spec/spec.h"

/** Bring `lo` up in the current network namespace. */
int net_loopback_up(struct error *err);

/** Is there an interface besides loopback that is up, in the current network namespace? Its @name (IF_NAMESIZE bytes). */
bool net_interface_up(char *name);

/** Move host devices into the network namespace @netns_fd, rename, keep addresses, set up. Undone by the
 * kernel: physical devices return when the namespace dies. */
int net_devices_move(const struct spec_net_device *devices, size_t n, int netns_fd, struct error *err);

/** The same with the helper at another path (tests run it from their build tree); @helper NULL: where it is
 * installed. */
int net_devices_move_with(const char *helper, const struct spec_net_device *devices, size_t n, int netns_fd,
                          struct error *err);
