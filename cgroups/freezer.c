/*
 * Pause and resume: the v1 freezer where the host has one, else cgroup.freeze of v2 (5.2). Both need time to stop the
 * last process; a cgroup that does not freeze in time is thawed again, because half a pause is none.
 */
#include <errno.h>
#include <string.h>

#include "cgroups/cgroup_private.h"

enum { FREEZE_TIMEOUT_MS = 10000, RETRY_MS = 250 };

struct freezer {
    const char *file, *freeze, *thaw;
    const char *report, *frozen; /* the line in this file that says it is done */
};

static const struct freezer freezers[] = {
    [false] = {"freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN"},
    [true] = {"cgroup.freeze", "1", "0", "cgroup.events", "frozen 1"},
};

static struct cgroup_dir *freezer_of(struct cgroup *c, struct error *err)
{
    struct cgroup_dir *d = cgroup_dir_of(c, CG_FREEZER);

    if (!d || d->fd < 0) {
        error_set(err, 0,
                  d ? "the container's cgroup %s is gone"
                    : "the container has no cgroup that could be frozen (cgroups are disabled, or the "
                      "freezer is not "
                      "mounted)%s",
                  d ? cgroup_dir_path(c->arena, d) : "");
        return NULL;
    }
    return d;
}

static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);

    for (; text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL)
        if (strncmp(text, line, n) == 0 && (text[n] == '\n' || text[n] == '\0'))
            return true;
    return false;
}

static int write_state(struct cgroup *c, const struct cgroup_dir *d, bool freeze, struct error *err)
{
    const struct freezer *f = &freezers[d->v2];

    if (cgroup_file_write(d, f->file, freeze ? f->freeze : f->thaw) == 0)
        return 0;
    return error_set(err, errno, "%s the container's cgroup: write %s of %s", freeze ? "freeze" : "thaw",
                     f->file, cgroup_dir_path(c->arena, d));
}

int cgroup_freeze(struct cgroup *c, bool freeze, struct error *err)
{
    unsigned waited = 0, written = 0;
    struct cgroup_dir *d;

    if (cgroup_open(c, err) < 0 || !(d = freezer_of(c, err)) || write_state(c, d, freeze, err) < 0)
        return -1;
    while (freeze) {
        const char *report = cgroup_file_read(c->arena, d, freezers[d->v2].report);

        if (!report)
            return error_set(err, errno, "read %s of the container's cgroup", freezers[d->v2].report);
        if (has_line(report, freezers[d->v2].frozen))
            return 0;
        if (!cgroup_wait(&waited, FREEZE_TIMEOUT_MS))
            break;
        if (!d->v2 && waited - written > RETRY_MS) { /* a process forked meanwhile, and v1 has forgotten it */
            written = waited;
            if (write_state(c, d, false, err) < 0 || write_state(c, d, true, err) < 0)
                return -1;
        }
    }
    if (!freeze)
        return 0;
    write_state(c, d, false, err);
    return error_set(
        err, 0,
        "the container's processes did not freeze within %d s (one waits for a device or a remote "
        "file system?)",
        FREEZE_TIMEOUT_MS / 1000);
}

bool cgroup_is_frozen(struct cgroup *c)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_FREEZER);
    const char *text = d && d->fd >= 0 ? cgroup_file_read(c->arena, d, freezers[d->v2].file) : NULL;

    return text && strcmp(text, freezers[d->v2].thaw) != 0;
}

int cgroup_check_thawed(struct cgroup *c, struct error *err)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_FREEZER);
    const char *report = d && d->fd >= 0 ? cgroup_file_read(c->arena, d, freezers[d->v2].report) : NULL;

    if (!report || has_line(report, d->v2 ? "frozen 0" : freezers[false].thaw))
        return 0;
    return error_set(err, 0,
                     "container's cgroup unexpectedly frozen: no process could run in %s: thaw it or the one "
                     "above it that is frozen, or give the container another linux.cgroupsPath",
                     cgroup_dir_path(c->arena, d));
}

bool cgroup_is_v1_frozen(struct cgroup *c)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_FREEZER);

    return d && !d->v2 && cgroup_is_frozen(c);
}
