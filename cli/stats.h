/* What `hull stats` knows of a container at one time, and how it shows it. */
#pragma once

#include "base/buffer.h"
#include "cgroups/cgroup.h"

struct stats_sample {
    const char *id;
    pid_t pid;
    uint64_t start_time; /* with pid: the same container still, not one that took its id */
    uint64_t at;         /* ns, monotonic */
    bool has_stats;      /* it has a cgroup */
    struct cgroup_stats s;
    bool has_net; /* a network namespace of its own */
    uint64_t net_rx, net_tx;
    struct cgroup_number cpu; /* hundredths of a percent of one CPU, since the sample before */
};

struct stats_round {
    struct arena arena;
    struct stats_sample *v;
    size_t n;
};

struct stats_view {
    bool no_trunc;
    size_t columns, rows; /* of the terminal; 0: no bounds */
};

void stats_table(struct buffer *b, const struct stats_round *round, const struct stats_view *view);
/** One array, one line. */
void stats_json(struct buffer *b, const struct stats_round *round);
