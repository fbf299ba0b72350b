/*
 * To be told when the kernel kills for want of memory.
 *
 *   v1  An eventfd that memory.oom_control is tied to by cgroup.event_control. It counts the times that the cgroup
 *       was out of memory (once for each process that is killed, and where killing is disabled, for each time that
 *       they all wait), and once more when the cgroup is removed.
 *   v2  inotify on memory.events, whose oom_kill says how many processes were killed in the cgroup and below it, and
 *       on cgroup.events, whose "populated 0" says that none is left. The changes are told by names, not by what they
 *       mean, so the files are read again each time; what is no news is no event.
 *
 * In both the cgroup may be gone by the time that its last news is read: those count, then *gone.
 */
#include "cgroups/cgroup_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/number.h"

static int watch_v1(const struct cgroup_dir *d, struct cgroup_oom *w, struct error *err)
{
    _cleanup_(fd_closep) int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    _cleanup_(fd_closep) int control = openat(d->fd, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    char text[32];

    if (event < 0)
        return error_set(err, errno, "eventfd for OOM events");
    if (control < 0)
        return error_set(err, errno, "open memory.oom_control of %s%s", d->mount, d->path);
    snprintf(text, sizeof(text), "%d %d", event, control);
    if (cgroup_file_write(d, "cgroup.event_control", text) < 0)
        return error_set(err, errno, "ask cgroup.event_control of %s%s for OOM events", d->mount, d->path);
    *w = (struct cgroup_oom){.fd = steal_fd(&event), .v2 = false};
    return 0;
}

/* The value of the line "@name N" of a file; false where there is none. */
static bool read_value(struct arena *a, const struct cgroup_dir *d, const char *file, const char *name,
                       uint64_t *value)
{
    char *text = cgroup_file_read(a, d, file), *line;

    while ((line = strsep(&text, "\n"))) {
        const char *word = strsep(&line, " ");
        if (line && strcmp(word, name) == 0)
            return number_parse_u64(line, name, 0, UINT64_MAX, value, NULL) == 0;
    }
    return false;
}

static int watch_file(int inotify, const struct cgroup_dir *d, const char *file)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", d->fd, file);
    return inotify_add_watch(inotify, path, IN_MODIFY);
}

static int watch_v2(struct arena *a, const struct cgroup_dir *d, struct cgroup_oom *w, struct error *err)
{
    _cleanup_(fd_closep) int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (inotify < 0)
        return error_set(err, errno, "inotify for OOM events (see /proc/sys/fs/inotify/max_user_instances)");
    if (watch_file(inotify, d, "cgroup.events") < 0)
        return error_set(err, errno, "watch cgroup.events of %s%s", d->mount, d->path);
    /* Without the memory controller there is no such file, and nothing to be told of but the end. */
    if (watch_file(inotify, d, "memory.events") < 0 && errno != ENOENT)
        return error_set(err, errno, "watch memory.events of %s%s", d->mount, d->path);
    *w = (struct cgroup_oom){.v2 = true};
    read_value(a, d, "memory.events", "oom_kill", &w->seen);
    w->fd = steal_fd(&inotify);
    return 0;
}

int cgroup_oom_watch(struct cgroup *c, struct cgroup_oom *w, struct error *err)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_MEMORY);

    *w = (struct cgroup_oom){.fd = -1};
    if (!d)
        d = cgroup_dir_v2(c);
    if (!d || d->fd < 0)
        return 0;
    return d->v2 ? watch_v2(c->arena, d, w, err) : watch_v1(d, w, err);
}

static int read_v1(const struct cgroup_dir *d, struct cgroup_oom *w, uint64_t *kills, bool *gone,
                   struct error *err)
{
    uint64_t count;

    if (read(w->fd, &count, sizeof(count)) != sizeof(count))
        return errno == EAGAIN || errno == EINTR ? 0
                                                 : error_set(err, errno, "read the eventfd of OOM events");
    *gone = faccessat(d->fd, "memory.oom_control", F_OK, 0) < 0;
    *kills = count - *gone; /* the removal was counted, too */
    return 0;
}

static int read_v2(struct arena *a, const struct cgroup_dir *d, struct cgroup_oom *w, uint64_t *kills,
                   bool *gone, struct error *err)
{
    char events[4096] __attribute__((aligned(8)));
    uint64_t now = w->seen, populated = 0;
    ssize_t n;

    do
        n = read(w->fd, events, sizeof(events));
    while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0 && errno != EAGAIN)
        return error_set(err, errno, "read the inotify of OOM events");
    /* In this order: what dies last dies before the cgroup is empty. */
    *gone = !read_value(a, d, "cgroup.events", "populated", &populated) || populated == 0;
    read_value(a, d, "memory.events", "oom_kill", &now);
    if (now > w->seen)
        *kills = now - w->seen;
    w->seen = now;
    return 0;
}

int cgroup_oom_read(struct cgroup *c, struct cgroup_oom *w, uint64_t *kills, bool *gone, struct error *err)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_MEMORY);

    *kills = 0;
    *gone = false;
    if (w->fd < 0)
        return 0;
    if (!d)
        d = cgroup_dir_v2(c);
    return w->v2 ? read_v2(c->arena, d, w, kills, gone, err) : read_v1(d, w, kills, gone, err);
}

void cgroup_oom_close(struct cgroup_oom *w)
{
    fd_closep(&w->fd);
    w->fd = -1;
}
