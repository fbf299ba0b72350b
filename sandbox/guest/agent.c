/*
 * The agent's conversation. One loop, one thread; poll(2) over the control connection, the three streams, SIGCHLD, the engine's
 * log and the pipe that tells of execve.
 *
 *   HELLO -> CREATE -> (engine) -> CREATED -> START -> STARTED -> the process ends -> streams empty -> EXITED
 *
 * `phase` is where it stands. A failure is told in an ERROR, and ends it. The process may also end before START (a signal):
 * EXITED follows CREATED then. EXITED comes last: after all output has been handed to the streams, these are closed, and what the guest's
 * kernel holds of files is written to the host's.
 */
#include "sandbox/guest/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/syscalls.h"
#include "sandbox/guest/container.h"
#include "sandbox/guest/control.h"
#include "sandbox/guest/relay.h"

enum phase { PHASE_CREATED, PHASE_STARTING, PHASE_RUNNING };

enum { POLL_CONTROL, POLL_SIGNAL, POLL_EXECUTED, POLL_LOG, POLL_STREAMS, STREAMS = 3 };

struct conversation {
    const struct agent_place *place;
    int control, signal_fd;
    enum phase phase;
    bool ended, over; /* ended: the process; over: nothing is left to say */
    uint32_t status;
    pid_t forgetter; /* the child that makes the kernel forget, or 0 */
    struct guest_container container;
    struct relay streams[STREAMS];
    char log_line[8192]; /* what has been read of the engine's log, up to an end of line */
    size_t log_length;
    struct error start_error; /* the last error in the log since START */
};

static int say(struct conversation *c, enum agent_type type, const void *payload, uint32_t length,
               struct error *err)
{
    return control_send(c->control, type, payload, length, err);
}

/* The other side hears of every failure but that of hearing. */
static int tell_error(struct conversation *c, const struct error *why, struct error *err)
{
    c->over = true;
    return control_send_error(c->control, why, err);
}

static int send_hello(struct conversation *c, struct error *err)
{
    struct agent_hello hello = {.version = AGENT_VERSION};
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    hello.boot_us = (uint32_t)(now.tv_sec * 1000000 + now.tv_nsec / 1000);
    return say(c, AGENT_HELLO, &hello, sizeof(hello), err);
}

/* --- the engine's log -------------------------------------------------------------------------------------------- */

static int pass_line(struct conversation *c, struct error *err)
{
    struct arena a = {0};
    struct json *line;
    enum log_level level = LOG_WARNING;
    const char *words, *name;
    int result = 0;

    if (json_parse(&a, c->log_line, strlen(c->log_line), "log", &line, NULL) == 0 &&
        (words = json_get_string(line, "msg"))) {
        name = json_get_string(line, "level");
        if (name)
            log_level_parse(name, &level, NULL);
        if (level == LOG_ERROR && c->phase == PHASE_STARTING)
            error_set(&c->start_error, 0, "%s", words);
        else
            result = control_send_log(c->control, level, words, err);
    }
    arena_free(&a);
    return result;
}

/* Everything that is in the fifo now. A line that is longer than the buffer is cut, and then is no JSON. */
static int pass_log(struct conversation *c, struct error *err)
{
    char data[4096];
    ssize_t n;

    if (c->container.log < 0)
        return 0;
    while ((n = read(c->container.log, data, sizeof(data))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (data[i] != '\n') {
                if (c->log_length < sizeof(c->log_line) - 1)
                    c->log_line[c->log_length++] = data[i];
                continue;
            }
            c->log_line[c->log_length] = '\0';
            c->log_length = 0;
            if (pass_line(c, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* --- CREATE ------------------------------------------------------------------------------------------------------ */

/* #syscalls: clock_settime */
static void set_clock(const struct agent_create *how)
{
    struct timespec now = {.tv_sec = (time_t)(how->realtime_ns / 1000000000),
                           .tv_nsec = (long)(how->realtime_ns % 1000000000)};

    if (how->realtime_ns && clock_settime(CLOCK_REALTIME, &now) < 0)
        log_warning("set the clock: %s", strerror(errno));
}

static int check_create(const struct control_message *m, struct error *err)
{
    const struct agent_create *how = m->payload;

    if (m->header.type != AGENT_CREATE || m->header.process != 0)
        return error_set(err, EPROTO, "the VMM's first message is %u, and not CREATE", m->header.type);
    if (m->header.length < sizeof(*how) || how->id_length > m->header.length - sizeof(*how))
        return error_set(err, EPROTO, "CREATE is too short: %u bytes", m->header.length);
    return 0;
}

static int connect_stream(struct conversation *c, int stream, enum agent_port port, int *inside,
                          enum relay_end end, struct error *err)
{
    int outside = c->place->connect(port, err);

    if (outside < 0)
        return -1;
    return stream == STDIN_FILENO ? relay_begin(&c->streams[stream], outside, steal_fd(inside), end, err)
                                  : relay_begin(&c->streams[stream], steal_fd(inside), outside, end, err);
}

static int connect_streams(struct conversation *c, struct error *err)
{
    struct guest_container *g = &c->container;
    enum relay_end input_end = g->terminal ? RELAY_END_KEY : RELAY_CLOSE;

    if (connect_stream(c, STDIN_FILENO, AGENT_PORT_STDIN, &g->stdin_fd, input_end, err) < 0 ||
        connect_stream(c, STDOUT_FILENO, AGENT_PORT_STDOUT, &g->stdout_fd, RELAY_CLOSE, err) < 0)
        return -1;
    return g->terminal ? 0
                       : connect_stream(c, STDERR_FILENO, AGENT_PORT_STDERR, &g->stderr_fd, RELAY_CLOSE, err);
}

/* From here on children are waited for by the loop. Not before: the container inherits the mask. */
static int watch_children(struct conversation *c, struct error *err)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    c->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return c->signal_fd < 0 ? error_set(err, errno, "signalfd") : 0;
}

static int create(struct conversation *c, const struct control_message *m, struct error *err)
{
    const struct agent_create *how = m->payload;
    const char *id = (const char *)(how + 1);
    const char *config = id + how->id_length;

    if (c->place->set_clock)
        set_clock(how);
    c->container.id = arena_strndup(c->container.arena, id, how->id_length);
    if (guest_container_create(&c->container, how, config, m->header.length - sizeof(*how) - how->id_length,
                               err) < 0)
        return -1;
    return connect_streams(c, err) < 0 ? -1 : watch_children(c, err);
}

/* 1: created; 0: it is over; -1. */
static int serve_create(struct conversation *c, struct error *err)
{
    struct control_message m;
    struct error why = {0};
    int r = control_receive(c->control, c->container.arena,
                            sizeof(struct agent_create) + 1024 + AGENT_MAX_CONFIG, &m, err);

    if (r <= 0)
        return r;
    if (check_create(&m, &why) < 0 || create(c, &m, &why) < 0) {
        pass_log(c, NULL);
        return tell_error(c, &why, err);
    }
    return pass_log(c, err) < 0 || say(c, AGENT_CREATED, NULL, 0, err) < 0 ? -1 : 1;
}

/* --- what comes on the control connection ------------------------------------------------------------------------ */

static int on_start(struct conversation *c, const struct control_message *m, struct error *err)
{
    (void)m;
    if (c->phase != PHASE_CREATED)
        return error_set(err, EPROTO, "START came twice");
    if (c->ended) /* EXITED is under way */
        return 0;
    if (guest_container_start(&c->container, err) < 0)
        return -1;
    c->phase = PHASE_STARTING;
    return 0;
}

/* One that has ended can no longer be signalled: that is no error, the two crossed. */
static int on_signal(struct conversation *c, const struct control_message *m, struct error *err)
{
    uint32_t number;

    memcpy(&number, m->payload, sizeof(number));
    if (number == 0 || number > (uint32_t)SIGRTMAX)
        return error_set(err, EINVAL, "there is no signal %u", number);
    if (!c->ended && sys_pidfd_send_signal(c->container.pidfd, (int)number) < 0 && errno != ESRCH)
        return error_set(err, errno, "signal the container's process");
    return 0;
}

static int on_window(struct conversation *c, const struct control_message *m, struct error *err)
{
    struct agent_window w;

    (void)err;
    memcpy(&w, m->payload, sizeof(w));
    guest_container_resize(&c->container, &w);
    return 0;
}

/* Without a line in the kernel's log from now on. It is no bit to set beside others, as 1 to 4 may be written; and each number
 * is to be written to the file's beginning, else it is passed over (Documentation/admin-guide/sysctl, sysctl_writes_strict). */
#define QUIETLY "4"

/* That takes a while, and the kernel does it within the write: a child waits for it. It holds on to nothing of ours. */
static void forget_files(const char *caches, uint32_t what)
{
    char digit = (char)('0' + what);
    int fd = open(caches, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
        _exit(1);
    syscall(SYS_close_range, STDERR_FILENO, ~0U, 0);
    _exit(pwrite(STDOUT_FILENO, QUIETLY, 1, 0) != 1 || pwrite(STDOUT_FILENO, &digit, 1, 0) != 1);
}

/* #syscalls: clone dup2 */
static int on_forget(struct conversation *c, const struct control_message *m, struct error *err)
{
    uint32_t what;
    pid_t pid;

    memcpy(&what, m->payload, sizeof(what));
    if (what != AGENT_CACHES_NAMES && what != AGENT_CACHES_ALL)
        return error_set(err, EINVAL, "there are no caches %u", what);
    if (!c->place->caches || c->forgetter > 0)
        return 0;
    pid = fork();
    if (pid == 0)
        forget_files(c->place->caches, what);
    c->forgetter = pid > 0 ? pid : 0; /* a guest that has no room for a child forgets by itself */
    return 0;
}

static const struct {
    uint16_t type;
    uint16_t length;
    int (*handle)(struct conversation *c, const struct control_message *m, struct error *err);
} messages[] = {
    {AGENT_START, 0, on_start},
    {AGENT_SIGNAL, sizeof(uint32_t), on_signal},
    {AGENT_WINDOW_SIZE, sizeof(struct agent_window), on_window},
    {AGENT_FORGET, sizeof(uint32_t), on_forget},
};

enum { MAX_MESSAGE = 64 };

static int dispatch(struct conversation *c, const struct control_message *m, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
        if (messages[i].type != m->header.type || m->header.process != 0)
            continue;
        if (messages[i].length != m->header.length)
            return error_set(err, EPROTO, "message %u has %u bytes", m->header.type, m->header.length);
        return messages[i].handle(c, m, err);
    }
    return error_set(err, ENOSYS, "this agent does not know message %u (process %u)", m->header.type,
                     m->header.process);
}

static int serve_control(struct conversation *c, struct error *err)
{
    struct arena a = {0};
    struct control_message m;
    struct error why = {0};
    int r = control_receive(c->control, &a, MAX_MESSAGE, &m, &why);

    if (r == 0)
        c->over = true;
    if (r < 0 || (r == 1 && dispatch(c, &m, &why) < 0))
        r = tell_error(c, &why, err);
    arena_free(&a);
    return r < 0 ? -1 : 0;
}

/* --- execve, and the end ----------------------------------------------------------------------------------------- */

/* What a failed start had to say is in the log by now. */
static int serve_executed(struct conversation *c, struct error *err)
{
    fd_closep(&c->container.executed);
    if (pass_log(c, err) < 0)
        return -1;
    if (c->phase != PHASE_STARTING) /* it has died, and its status is coming */
        return 0;
    if (c->start_error.message[0])
        return tell_error(c, &c->start_error, err);
    c->phase = PHASE_RUNNING;
    return say(c, AGENT_STARTED, NULL, 0, err);
}

/* #syscalls: wait4 */
static void reap(struct conversation *c)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    while (read(c->signal_fd, &info, sizeof(info)) > 0)
        ;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (pid == c->forgetter)
            c->forgetter = 0;
        if (pid != c->container.pid)
            continue;
        c->ended = true;
        c->status = (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        fd_closep(&c->streams[STDIN_FILENO].from);
        fd_closep(&c->streams[STDIN_FILENO].to);
        c->streams[STDOUT_FILENO].last = c->streams[STDERR_FILENO].last = true;
    }
}

/* #syscalls: sync */
static int finish(struct conversation *c, struct error *err)
{
    struct agent_exited exited = {.status = c->status};

    sync();
    c->over = true;
    return say(c, AGENT_EXITED, &exited, sizeof(exited), err);
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

static bool streams_done(const struct conversation *c)
{
    return relay_done(&c->streams[STDOUT_FILENO]) && relay_done(&c->streams[STDERR_FILENO]);
}

static int step(struct conversation *c, struct error *err)
{
    struct pollfd fds[POLL_STREAMS + 2 * STREAMS] = {
        [POLL_CONTROL] = {.fd = c->control, .events = POLLIN},
        [POLL_SIGNAL] = {.fd = c->signal_fd, .events = POLLIN},
        [POLL_EXECUTED] = {.fd = c->container.executed, .events = POLLIN},
        [POLL_LOG] = {.fd = c->container.log, .events = POLLIN},
    };

    for (int i = 0; i < STREAMS; i++)
        relay_poll(&c->streams[i], &fds[POLL_STREAMS + 2 * i]);
    if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
        return errno == EINTR ? 0 : error_set(err, errno, "poll");
    if (fds[POLL_EXECUTED].revents && serve_executed(c, err) < 0)
        return -1;
    if (fds[POLL_LOG].revents && pass_log(c, err) < 0)
        return -1;
    if (fds[POLL_SIGNAL].revents)
        reap(c);
    if (fds[POLL_CONTROL].revents && !c->over && serve_control(c, err) < 0)
        return -1;
    for (int i = 0; i < STREAMS; i++)
        relay_step(&c->streams[i], &fds[POLL_STREAMS + 2 * i]);
    if (c->over || !c->ended || c->phase == PHASE_STARTING || !streams_done(c))
        return 0;
    return finish(c, err);
}

static void release(struct conversation *c)
{
    struct guest_container *g = &c->container;
    int *fds[] = {&c->signal_fd, &g->pidfd,     &g->master, &g->stdin_fd,
                  &g->stdout_fd, &g->stderr_fd, &g->log,    &g->executed};

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fd_closep(fds[i]);
    for (int i = 0; i < STREAMS; i++) {
        fd_closep(&c->streams[i].from);
        fd_closep(&c->streams[i].to);
    }
}

int agent_serve(const struct agent_place *place, int control, struct error *err)
{
    static struct conversation c; /* its buffers are large */
    struct arena arena = {0};
    int r;

    c = (struct conversation){.place = place, .control = control, .signal_fd = -1};
    c.container = (struct guest_container){.arena = &arena,
                                           .place = place,
                                           .pidfd = -1,
                                           .master = -1,
                                           .stdin_fd = -1,
                                           .stdout_fd = -1,
                                           .stderr_fd = -1,
                                           .executed = -1,
                                           .log = -1};
    for (int i = 0; i < STREAMS; i++)
        c.streams[i].from = c.streams[i].to = -1;
    signal(SIGPIPE, SIG_IGN);
    r = send_hello(&c, err) < 0 ? -1 : serve_create(&c, err);
    while (r == 1 && !c.over)
        r = step(&c, err) < 0 ? -1 : 1;
    release(&c);
    arena_free(&arena);
    return r < 0 ? -1 : 0;
}
