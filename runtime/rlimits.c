/*
 * process.rlimits and process.oomScoreAdj (runtime-spec config.md, POSIX process and Linux process).
 *
 * Both are limits that an unprivileged or nested host may not be able to raise. One prlimit(2) a limit is the
 * usual cost; only when the kernel says EPERM is the present limit read, and the nearest one that it grants
 * set with a warning.
 */
#include "runtime/process.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/procfs.h"

/* prlimit() said EPERM: go no higher than the hard limit that the process has. */
static int rlimit_clamp(const struct spec_rlimit *r, pid_t pid, struct error *err)
{
    struct rlimit now, want;

    if (prlimit(pid, (__rlimit_resource_t)r->resource, NULL, &now) < 0)
        return error_set(err, errno, "process.rlimits: get %s", r->type);
    want.rlim_max = r->hard < now.rlim_max ? r->hard : now.rlim_max;
    want.rlim_cur = r->soft < want.rlim_max ? r->soft : want.rlim_max;
    if (prlimit(pid, (__rlimit_resource_t)r->resource, &want, NULL) < 0)
        return error_set(err, errno, "process.rlimits: set %s to soft %" PRIu64 ", hard %" PRIu64, r->type,
                         r->soft, r->hard);
    log_warning("process.rlimits: %s: soft %" PRIu64 ", hard %" PRIu64
                " is beyond what this host grants without "
                "CAP_SYS_RESOURCE; soft %" PRIu64 ", hard %" PRIu64 " was set",
                r->type, r->soft, r->hard, (uint64_t)want.rlim_cur, (uint64_t)want.rlim_max);
    return 0;
}

int rlimits_apply(const struct spec_process *p, pid_t pid, struct error *err)
{
    for (size_t i = 0; i < p->n_rlimits; i++) {
        const struct spec_rlimit *r = &p->rlimits[i];
        struct rlimit want = {.rlim_cur = r->soft, .rlim_max = r->hard};

        if (prlimit(pid, (__rlimit_resource_t)r->resource, &want, NULL) == 0)
            continue;
        if (errno != EPERM)
            return error_set(err, errno, "process.rlimits: set %s to soft %" PRIu64 ", hard %" PRIu64,
                             r->type, r->soft, r->hard);
        if (rlimit_clamp(r, pid, err) < 0)
            return -1;
    }
    return 0;
}

int oom_score_adj_apply(const struct spec_process *p, pid_t pid, struct error *err)
{
    struct error refused = {0};
    char path[40] = "self/oom_score_adj", text[16];

    if (!p->has_oom_score_adj)
        return 0;
    snprintf(text, sizeof(text), "%d", (int)p->oom_score_adj);
    if (pid)
        snprintf(path, sizeof(path), "%d/oom_score_adj", (int)pid);
    if (procfs_write(path, text, &refused) == 0)
        return 0;
    /* Lowering it below what the process was given needs CAP_SYS_RESOURCE in the initial user namespace. */
    if (refused.code == EACCES || refused.code == EPERM) {
        log_warning("process.oomScoreAdj: this host does not let %d be set (CAP_SYS_RESOURCE is missing); "
                    "left as it is",
                    (int)p->oom_score_adj);
        return 0;
    }
    if (err)
        *err = refused;
    return error_wrap(err, "process.oomScoreAdj %d", (int)p->oom_score_adj);
}
