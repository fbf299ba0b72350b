/*
 * stats: what all containers use, for people: a table that is refreshed in place on a terminal, and printed anew each
 * interval where there is none.
 *
 * A CPU share needs two samples, so the first table comes FIRST_WAIT after the start, and each one tells of the time since
 * the one before. Rounds are independent: each finds out anew which containers there are, and lives in an arena of its own
 * that is freed when the next but one is made. Without names the command follows whatever comes and goes; with names it
 * ends when the last of these has.
 *
 * Signals are taken from a signalfd while waiting: ^C ends with status 0, ^Z leaves the terminal as it was meanwhile. On a
 * terminal the table has the alternate screen, which shows each frame by one write and is wiped by none; the last
 * table stays on the ordinary one.
 */
#include "cli/stats.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>

#include "cli/command.h"
#include "net/counters.h"

#define NS_PER_S         1000000000ULL
#define DEFAULT_INTERVAL NS_PER_S
#define FIRST_WAIT       (NS_PER_S / 5)

#define SCREEN_ENTER "\x1b[?1049h\x1b[?25l" /* alternate screen, no cursor */
#define SCREEN_LEAVE "\x1b[?25h\x1b[?1049l"
#define SCREEN_HOME  "\x1b[H"
#define LINE_END     "\x1b[K\r\n" /* and nothing of the old line behind it */
#define SCREEN_END   "\x1b[J"

struct stats_options {
    uint64_t interval; /* ns; 0: not given */
    enum format format;
    bool no_stream, no_trunc;
};

static const struct option_row rows[] = {
    {"format", 'f', "table|json", offsetof(struct stats_options, format), option_choice,
     "how to print (default: table)"},
    {"interval", 'i', "TIME", offsetof(struct stats_options, interval), option_interval,
     "how often: 500ms, 5s, 1m ... (default: 1s)"},
    {"no-stream", 0, NULL, offsetof(struct stats_options, no_stream), option_flag, "print once, and end"},
    {"no-trunc", 0, NULL, offsetof(struct stats_options, no_trunc), option_flag, "print whole ids"},
    {0},
};

struct session {
    const struct runtime *rt;
    const struct stats_options *o;
    const struct string_list *names; /* n 0: all */
    struct stats_round rounds[2];    /* the latest and the one before */
    unsigned latest;
    int signals;
    bool screen; /* the alternate screen is ours */
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* --- samples --- */

static void add_cpu(struct stats_sample *now, const struct stats_round *before)
{
    for (size_t i = 0; i < before->n; i++) {
        const struct stats_sample *old = &before->v[i];

        if (strcmp(old->id, now->id) != 0 || old->pid != now->pid || old->start_time != now->start_time ||
            !old->s.cpu.total.set || !now->s.cpu.total.set ||
            now->s.cpu.total.value < old->s.cpu.total.value || now->at <= old->at)
            continue;
        now->cpu.set = true;
        now->cpu.value = (uint64_t)((double)(now->s.cpu.total.value - old->s.cpu.total.value) * 10000 /
                                    (double)(now->at - old->at));
    }
}

static void add_net(struct arena *a, struct stats_sample *sample)
{
    struct net_counters *c;
    size_t n = net_counters_read(a, sample->pid, &c);

    sample->has_net = n > 0;
    for (size_t i = 0; i < n; i++) {
        sample->net_rx += c[i].rx_bytes;
        sample->net_tx += c[i].tx_bytes;
    }
}

/* A container that runs without a cgroup of its own has a sample, too, with nothing in it. */
static int take_sample(const struct runtime *rt, const char *id, struct stats_sample *sample,
                       struct error *err)
{
    struct cgroup *cgroup = NULL;
    struct container c;

    *sample = (struct stats_sample){0};
    if (container_cgroup(rt, id, &c, &cgroup, err) == 0) {
        sample->at = now_ns();
        sample->has_stats = cgroup_stats(cgroup, &sample->s, NULL) == 0;
        cgroup_close(cgroup);
    } else if (container_load(rt, id, &c, NULL) < 0 || c.pid == 0) {
        return -1;
    }
    sample->id = c.id;
    sample->pid = c.pid;
    sample->start_time = c.start_time;
    add_net(rt->arena, sample);
    return 0;
}

/* @strict: each container must be there; later it may have gone. */
static int take_round(struct session *s, bool strict, struct error *err)
{
    const struct stats_round *before = &s->rounds[s->latest];
    struct stats_round *round = &s->rounds[s->latest ^= 1];
    struct runtime rt = *s->rt;
    struct string_list ids = *s->names;

    arena_free(&round->arena);
    *round = (struct stats_round){0};
    rt.arena = &round->arena;
    if (ids.n == 0 && container_ids(&rt, &ids, err) < 0)
        return -1;
    round->v = arena_new_n(&round->arena, ids.n + 1, struct stats_sample);
    for (size_t i = 0; i < ids.n; i++) {
        struct stats_sample *sample = &round->v[round->n];

        if (take_sample(&rt, ids.v[i], sample, err) == 0) {
            add_cpu(sample, before);
            round->n++;
        } else if (strict && s->names->n) {
            return s->names->n > 1 ? error_wrap(err, "container %s", ids.v[i]) : -1;
        }
    }
    return 0;
}

/* --- the terminal --- */

static bool is_screen(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static int screen(struct session *s, bool on, struct error *err)
{
    const char *text = on ? SCREEN_ENTER : SCREEN_LEAVE;

    if (s->screen == on)
        return 0;
    s->screen = on;
    return print_text(text, strlen(text), err);
}

static int show_frame(const char *text, struct arena *a, struct error *err)
{
    struct buffer frame = {.arena = a};

    buffer_puts(&frame, SCREEN_HOME);
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        buffer_add(&frame, text, (size_t)(end - text));
        buffer_puts(&frame, LINE_END);
    }
    buffer_puts(&frame, SCREEN_END);
    return print_text(frame.data, frame.length, err);
}

static int show(struct session *s, struct error *err)
{
    struct stats_round *round = &s->rounds[s->latest];
    struct stats_view view = {.no_trunc = s->o->no_trunc};
    struct buffer b = {.arena = &round->arena};
    struct winsize size;

    if (s->o->format == FORMAT_JSON) {
        stats_json(&b, round);
        return print_text(b.data, b.length, err);
    }
    if (s->screen && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
        view.columns = size.ws_col;
        view.rows = size.ws_row;
    }
    stats_table(&b, round, &view);
    return s->screen ? show_frame(b.data, &round->arena, err) : print_text(b.data, b.length, err);
}

/* --- waiting --- */

static int open_signals(struct session *s, struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaddset(&set, numbers[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || (s->signals = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
        return error_set(err, errno, "signalfd");
    return 0;
}

static int suspend(struct session *s, struct error *err)
{
    bool was_on = s->screen;

    if (screen(s, false, err) < 0)
        return -1;
    kill(getpid(), SIGSTOP);
    return was_on && screen(s, true, err) < 0 ? -1 : show(s, err);
}

/* Until @deadline. 1: a signal asks to end. */
static int wait_until(struct session *s, uint64_t deadline, struct error *err)
{
    struct pollfd fd = {.fd = s->signals, .events = POLLIN};

    for (;;) {
        uint64_t now = now_ns(), left = deadline > now ? deadline - now : 0;
        int n = ppoll(&fd, 1, &(struct timespec){(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)}, NULL);
        struct signalfd_siginfo signal;

        if (n < 0 && errno != EINTR)
            return error_set(err, errno, "wait for the next interval");
        if (n == 0)
            return 0;
        if (n < 0 || read(s->signals, &signal, sizeof(signal)) != sizeof(signal))
            continue;
        if (signal.ssi_signo != SIGTSTP && signal.ssi_signo != SIGWINCH)
            return 1;
        if (signal.ssi_signo == SIGTSTP && suspend(s, err) < 0)
            return -1;
        if (signal.ssi_signo == SIGWINCH && s->screen && show(s, err) < 0)
            return -1;
    }
}

/* Tables until a signal or the last of the named containers ends it. */
static int follow(struct session *s, struct error *err)
{
    uint64_t interval = s->o->interval ? s->o->interval : DEFAULT_INTERVAL, next = now_ns();

    for (;;) {
        int r;

        if (take_round(s, false, err) < 0)
            return -1;
        if (s->names->n && s->rounds[s->latest].n == 0) {
            s->latest ^= 1; /* what was last to be told of them */
            return 0;
        }
        if (show(s, err) < 0)
            return -1;
        next += interval;
        r = wait_until(s, next, err);
        if (r != 0)
            return r < 0 ? -1 : 0;
        if (next < now_ns() - interval)
            next = now_ns(); /* stopped meanwhile, or the rounds take longer than that */
    }
}

static int run_session(struct session *s, struct error *err)
{
    uint64_t interval = s->o->interval,
             first = interval && (s->o->no_stream || interval < FIRST_WAIT) ? interval : FIRST_WAIT;
    int r;

    if (open_signals(s, err) < 0 || take_round(s, true, err) < 0)
        return -1;
    r = wait_until(s, now_ns() + first, err);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (s->o->no_stream)
        return take_round(s, false, err) < 0 ? -1 : show(s, err);
    if (s->o->format == FORMAT_TABLE && is_screen() && screen(s, true, err) < 0)
        return -1;
    return follow(s, err);
}

static int stats(const struct runtime *rt, void *options, const struct string_list *arguments,
                 struct error *err)
{
    struct session s = {.rt = rt, .o = options, .names = arguments, .signals = -1};
    int r = run_session(&s, err);

    if (s.screen && (screen(&s, false, r < 0 ? NULL : err) < 0 || (r == 0 && show(&s, err) < 0)))
        r = -1;
    fd_closep(&s.signals);
    return r;
}

const struct command stats_command = {
    .name = "stats",
    .arguments = "[CONTAINER...]",
    .summary = "show what containers use, as a live table",
    .details =
        "CPU is the share of one CPU since the table before; memory is without page cache that can be\n"
        "dropped at once; pressure is the share of the last 10 seconds in which a process had to wait.\n",
    .options = rows,
    .options_size = sizeof(struct stats_options),
    .max_arguments = ARGUMENTS_ANY,
    .run = stats,
};
