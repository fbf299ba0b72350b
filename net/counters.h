/* What went over a container's network interfaces. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"

struct net_counters {
    const char *name; /* the container's choice: any bytes but '/' and blanks */
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped;
};

/** The interfaces but loopback of the network namespace that @pid is in. None when that is the caller's own, whose
 * traffic is not the container's, or when the process is gone. Returns how many. */
size_t net_counters_read(struct arena *a, pid_t pid, struct net_counters **out);
