/*
 * events: one line of JSON each interval with what the container uses, and one each time that a process of it is
 * killed for want of memory; until the container ends. --stats prints the first kind once. Lines are runc's.
 *
 * Two descriptors tell the rest: the watch on the cgroup, and a pidfd of the container's first process. Where both speak
 * at once the watch goes first: an OOM kill that ended the container is told before the end.
 */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "base/log.h"
#include "base/procfs.h"
#include "base/syscalls.h"
#include "cli/command.h"
#include "runtime/stats.h"

#define NS_PER_S         1000000000ULL
#define DEFAULT_INTERVAL (5 * NS_PER_S)

struct events_options {
    uint64_t interval; /* ns; 0: not given */
    bool stats;
};

static const struct option_row rows[] = {
    {"interval", 0, "TIME", offsetof(struct events_options, interval), option_interval,
     "how often to print what is used: 100ms, 1m30s ... (default: 5s)"},
    {"stats", 0, NULL, offsetof(struct events_options, stats), option_flag,
     "print what is used once, and end"},
    {0},
};

struct watched {
    struct container c;
    struct cgroup *cgroup;
    struct cgroup_oom oom;
    int pidfd;
};

static void watched_close(struct watched *w)
{
    fd_closep(&w->pidfd);
    cgroup_oom_close(&w->oom);
    if (w->cgroup)
        cgroup_close(w->cgroup);
}

static int print_line(char *text, size_t length, struct error *err)
{
    text[length] = '\n'; /* in the place of the terminating NUL */
    return print_text(text, length + 1, err);
}

static int print_stats(struct watched *w, struct error *err)
{
    struct arena round = {0};
    size_t length;
    char *text;
    int r = stats_event(&round, w->cgroup, &w->c, &text, &length, err);

    if (r == 0)
        r = print_line(text, length, err);
    arena_free(&round);
    return r;
}

/* All kills since the last time. *ended: nothing more will come. */
static int print_kills(struct watched *w, bool *ended, struct error *err)
{
    struct arena round = {0};
    struct cgroup view = *w->cgroup;
    uint64_t kills;
    bool gone;
    int r;

    view.arena = &round;
    r = cgroup_oom_read(&view, &w->oom, &kills, &gone, err);
    for (; r == 0 && kills > 0; kills--) {
        size_t length;
        char *text = oom_event(&round, &w->c, &length);

        r = print_line(text, length, err);
    }
    *ended |= gone;
    arena_free(&round);
    return r;
}

/* The process that state.json names, not one that has its pid meanwhile. */
static int hold_process(struct watched *w, struct error *err)
{
    uint64_t start;

    w->pidfd = sys_pidfd_open(w->c.pid, 0);
    if (w->pidfd < 0 && errno != ESRCH)
        return error_set(err, errno, "pidfd_open of process %d", w->c.pid);
    if (w->pidfd < 0 || process_start_time(w->c.pid, &start, NULL) < 0 || start != w->c.start_time)
        return error_set(err, 0, "container with id %s is not running", w->c.id);
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Wait until @deadline for news. True: there are some. */
static int wait_for_news(struct pollfd fds[2], uint64_t deadline, struct error *err)
{
    uint64_t now = now_ns(), left = deadline > now ? deadline - now : 0;
    int n = ppoll(fds, 2, &(struct timespec){(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)}, NULL);

    if (n < 0 && errno != EINTR)
        return error_set(err, errno, "wait for events");
    return n > 0;
}

static int follow(struct watched *w, uint64_t interval, struct error *err)
{
    struct pollfd fds[] = {{.fd = w->oom.fd, .events = POLLIN}, {.fd = w->pidfd, .events = POLLIN}};
    uint64_t deadline = now_ns() + interval;
    bool ended = false;

    while (!ended) {
        int news = wait_for_news(fds, deadline, err);

        if (news < 0)
            return -1;
        if (news && print_kills(w, &ended, err) < 0)
            return -1;
        if (news && fds[1].revents)
            ended = true;
        if (now_ns() < deadline || ended)
            continue;
        deadline = now_ns() + interval;
        if (print_stats(w, err) < 0)
            return -1;
    }
    return 0;
}

static int events(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    _cleanup_(watched_close) struct watched w = {.oom.fd = -1, .pidfd = -1};
    const struct events_options *o = options;

    if (container_cgroup(rt, arguments->v[0], &w.c, &w.cgroup, err) < 0)
        return -1;
    if (o->stats)
        return print_stats(&w, err);
    if (hold_process(&w, err) < 0 || cgroup_oom_watch(w.cgroup, &w.oom, err) < 0)
        return -1;
    return follow(&w, o->interval ? o->interval : DEFAULT_INTERVAL, err);
}

const struct command events_command = {
    .name = "events",
    .arguments = "CONTAINER",
    .summary = "print what a container uses, and its OOM kills (JSON)",
    .options = rows,
    .options_size = sizeof(struct events_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .of_container = true,
    .run = events,
};
