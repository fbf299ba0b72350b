/*
 * Interface counters of another network namespace, without entering it: /proc/PID/net/dev is that of the process.
 * Two lines of headings, then "NAME: " and sixteen numbers a line, eight received and eight sent (net/core/net-procfs.c).
 */
#include "net/counters.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/procfs.h"

enum { NET_DEV_MAX = 16 << 20 };

static bool shares_ours(pid_t pid)
{
    struct stat ours, its;
    char path[32];

    snprintf(path, sizeof(path), "%d/ns/net", pid);
    return fstatat(procfs_fd(), path, &its, 0) < 0 || fstatat(procfs_fd(), "self/ns/net", &ours, 0) < 0 ||
           (its.st_ino == ours.st_ino && its.st_dev == ours.st_dev);
}

static bool parse_line(struct arena *a, char *line, struct net_counters *c)
{
    char *colon = strrchr(line, ':'); /* an alias has one in its name */

    if (!colon)
        return false;
    *colon = '\0';
    line += strspn(line, " ");
    if (strcmp(line, "lo") == 0)
        return false;
    c->name = arena_strdup(a, line);
    return sscanf(colon + 1,
                  "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64 "%*u %*u %*u %*u"
                  "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64,
                  &c->rx_bytes, &c->rx_packets, &c->rx_errors, &c->rx_dropped, &c->tx_bytes, &c->tx_packets,
                  &c->tx_errors, &c->tx_dropped) == 8;
}

size_t net_counters_read(struct arena *a, pid_t pid, struct net_counters **out)
{
    char path[32], *text, *line;
    size_t n = 0, lines = 1;

    *out = NULL;
    if (shares_ours(pid))
        return 0;
    snprintf(path, sizeof(path), "%d/net/dev", pid);
    _cleanup_(fd_closep) int fd = procfs_open(path, O_RDONLY);
    if (fd < 0 || fd_read_all(fd, NET_DEV_MAX, a, &text, NULL) < 0)
        return 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        lines++;
    *out = arena_new_n(a, lines, struct net_counters);
    while ((line = strsep(&text, "\n")))
        n += parse_line(a, line, &(*out)[n]);
    return n;
}
