/*
 * hull-vmm: one sandbox is one process. The container's init becomes it by execve, where on the host it would become the
 * user's program (options.h), and towards hull it goes on as init would (base/sync.h): READY, ERROR, CONTINUE, start's
 * byte in the fifo; its exit status is the workload's.
 *
 * This file is the main thread: set-up, then one poll(2) loop over what happens outside of the machine, in which each event
 * goes to the conversation with the agent (conversation.h), then the end. It touches no guest memory; the machine lives
 * in other threads (sandbox.h) and is heard of by descriptors.
 *
 * Signals are all blocked in all threads and read from a signalfd, so that none ends us: they are the workload's. (Not
 * SIGKILL, which ends the sandbox; and what an own mistake raises, the kernel delivers all the same.) SIGPIPE, too, is only
 * something that came.
 *
 * The end: the workload's, once the streams have been written out; or an error in words: to hull while it listens, on
 * standard error afterwards. An error's exit status is the agent's (126, 127 ...) or 125.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"
#include "sandbox/vmm/agent.h"
#include "sandbox/vmm/conversation.h"
#include "sandbox/vmm/jail.h"
#include "sandbox/vmm/patience.h"
#include "sandbox/vmm/sandbox.h"

enum {
    LAST_WORDS_MS = 200, /* what the agent said just before the machine ended is on its way */
    LAST_READ_MS = 1000,
    EXIT_FAILED = 125,
};

enum milestone { BEGUN, KERNEL, HELLO, CREATED, STARTED, MILESTONES };

static struct vmm {
    struct vmm_options options;
    struct sandbox sandbox;
    struct conversation conversation;
    struct agent_channel channel;
    int signals;
    int terminal;                 /* or -1 */
    uint64_t reached[MILESTONES]; /* CLOCK_MONOTONIC, ns */
    uint64_t ended;               /* when the machine was seen to have ended, or 0 */
    struct patience boot;
} vmm;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Of all threads: the guest's work is by far the most of it. */
static uint64_t processor_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- the conversation's way out ------------------------------------------------------------------------------------ */

static bool send_to_agent(void *context, enum agent_type type, const struct iovec *payload, size_t n)
{
    struct vmm *v = context;

    return agent_channel_send(&v->channel, type, payload, n);
}

static void log_from_agent(void *context, unsigned level, const char *words)
{
    (void)context;
    log_write(level < LOG_DEBUG ? (enum log_level)level : LOG_DEBUG, "%s", words);
}

static void say_timing(const struct vmm *v)
{
    static const char *const names[MILESTONES] = {"vmm", "kernel", "init", "created", "workload"};
    char line[256] = "hull: timing:";
    uint64_t exits = 0;

    for (int i = 0; i < MILESTONES; i++) {
        size_t n = strlen(line);
        uint64_t us = (v->reached[i] - v->options.timing) / 1000;
        snprintf(line + n, sizeof(line) - n, " %s %llu.%03llu", names[i], (unsigned long long)us / 1000,
                 (unsigned long long)us % 1000);
    }
    for (unsigned i = 0; i < v->options.cpus; i++)
        exits += v->sandbox.vcpus[i].exits;
    size_t n = strlen(line);
    n += (size_t)snprintf(line + n, sizeof(line) - n, " (ms since hull began), %llu exits\r\n",
                          (unsigned long long)exits);
    if (write(STDERR_FILENO, line, n) < 0)
        return;
}

static void close_sync(struct vmm *v)
{
    fd_closep(&v->options.sync);
}

static void note_state(void *context, enum conversation_state state)
{
    struct vmm *v = context;
    struct error err;

    log_debug("hull-vmm: %s", conversation_state_name(state));
    switch (state) {
    case CONVERSATION_CREATING:
        v->reached[HELLO] = now_ns();
        break;
    case CONVERSATION_CREATED:
        v->reached[CREATED] = now_ns();
        sync_send(v->options.sync, SYNC_READY, 0, &err); /* a hull that is gone is seen as the socket's end */
        break;
    case CONVERSATION_WAITING:
        close_sync(v); /* who has created may go */
        break;
    case CONVERSATION_RUNNING:
        v->reached[STARTED] = now_ns();
        close_sync(v); /* as execve would */
        if (v->options.timing)
            say_timing(v);
        break;
    default:
        break;
    }
}

static const struct conversation_ops conversation_ops = {send_to_agent, note_state, log_from_agent};

/* --- set-up -------------------------------------------------------------------------------------------------------- */

static void get_window(const struct vmm *v, struct agent_window *w)
{
    struct winsize size = {0};

    if (v->terminal >= 0 && ioctl(v->terminal, TIOCGWINSZ, &size) == 0)
        *w = (struct agent_window){
            .rows = size.ws_row, .columns = size.ws_col, .x = size.ws_xpixel, .y = size.ws_ypixel};
}

static int take_signals(struct vmm *v, struct error *err)
{
    uint64_t mask = jail_signals();

    if (jail_block_signals(err) < 0)
        return -1;
    v->signals = (int)syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC | SFD_NONBLOCK);
    return v->signals < 0 ? error_set(err, errno, "signalfd") : 0;
}

/* What a terminal does with characters is the guest's terminal's to do. */
static int prepare_terminal(struct vmm *v, struct error *err)
{
    struct termios t;

    v->terminal = -1;
    if (!v->options.terminal)
        return 0;
    if (tcgetattr(STDIN_FILENO, &t) < 0)
        return error_set(err, errno, "the sandbox's terminal");
    cfmakeraw(&t);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &t) < 0)
        return error_set(err, errno, "make the sandbox's terminal a raw one");
    v->terminal = dup(STDIN_FILENO);
    return v->terminal < 0 ? error_set(err, errno, "dup") : 0;
}

/* The streams get standard input and output for themselves, so that the other ends see them closed when the workload has
 * closed its own. What takes the number's place can be neither read nor written. */
static int give_away(struct vmm *v, int fd)
{
    int given = dup(fd);

    return given < 0 || dup2(v->options.root, fd) < 0 ? -1 : given;
}

static int announce_ports(struct vsock *s, void *context, struct error *err)
{
    struct vmm *v = context;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, errno, "socketpair");
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
        return error_set(err, errno, "fcntl");
    if (agent_channel_init(
            &v->channel, pair[0],
            sizeof(struct agent_create) + strlen(v->options.id) + v->conversation.config_length, err) < 0)
        return -1;
    int again = dup(pair[1]), in = give_away(v, STDIN_FILENO), out = give_away(v, STDOUT_FILENO);
    int error = v->options.terminal ? -1 : dup(STDERR_FILENO);
    if (again < 0 || in < 0 || out < 0 || (error < 0 && !v->options.terminal))
        return error_set(err, errno, "duplicate the workload's descriptors");
    if (vsock_forward(s, AGENT_PORT_CONTROL, pair[1], again, err) < 0 ||
        vsock_forward(s, AGENT_PORT_STDIN, in, -1, err) < 0 ||
        vsock_forward(s, AGENT_PORT_STDOUT, -1, out, err) < 0)
        return -1;
    return v->options.terminal ? 0 : vsock_forward(s, AGENT_PORT_STDERR, -1, error, err);
}

static int map_config(struct vmm *v, struct error *err)
{
    struct conversation *c = &v->conversation;
    struct stat st;

    if (fstat(v->options.config, &st) < 0)
        return error_set(err, errno, "config.json");
    if (st.st_size < 1 || st.st_size > AGENT_MAX_CONFIG)
        return error_set(err, 0, "config.json has %lld bytes: a sandbox takes 1 to %d", (long long)st.st_size,
                         AGENT_MAX_CONFIG);
    c->config_length = (size_t)st.st_size;
    c->config = mmap(NULL, c->config_length, PROT_READ, MAP_PRIVATE, v->options.config, 0);
    return c->config == MAP_FAILED ? error_set(err, errno, "map config.json") : 0;
}

/* The file server holds a descriptor for each file that the guest knows. init has raised the limit as far as it could. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int set_up(struct vmm *v, struct error *err)
{
    const struct vmm_options *o = &v->options;
    const int keep[] = {o->kvm, o->kernel, o->initrd, o->config, o->root, o->proc, o->sync, o->fifo};

    /* hull's end is seen by its socket's from here on; later it may go. */
    if (prctl(PR_SET_PDEATHSIG, 0) < 0)
        return error_set(err, errno, "PR_SET_PDEATHSIG");
    if (jail_descriptors(keep, ARRAY_SIZE(keep), err) < 0 || jail_process(o->debug, err) < 0)
        return -1;
    raise_descriptor_limit();
    log_open(NULL, LOG_TEXT, o->debug ? LOG_DEBUG : LOG_WARNING, err);
    v->conversation = (struct conversation){
        .ops = &conversation_ops,
        .context = v,
        .id = o->id,
        .flags = (o->no_new_keyring ? AGENT_NO_NEW_KEYRING : 0) | (o->debug ? AGENT_DEBUG : 0),
        .waits_for_start = o->fifo >= 0,
    };
    if (take_signals(v, err) < 0 || map_config(v, err) < 0 || prepare_terminal(v, err) < 0)
        return -1;
    get_window(v, &v->conversation.window);
    if (sandbox_create(&v->sandbox, o, announce_ports, v, err) < 0)
        return -1;
    v->reached[KERNEL] = v->boot.window = now_ns();
    if (sandbox_start(&v->sandbox, err) < 0)
        return -1;
    return jail_thread(JAIL_MAIN, err);
}

/* --- events -------------------------------------------------------------------------------------------------------- */

static int on_agent(struct vmm *v, struct error *err)
{
    char payload[AGENT_CHANNEL_MAX_IN];
    struct agent_header h;
    int more = agent_channel_read(&v->channel, err);

    if (more < 0)
        return -1;
    for (;;) {
        int got = agent_channel_next(&v->channel, &h, payload, err);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        if (conversation_message(&v->conversation, &h, payload, err) < 0)
            return -1;
    }
    if (more == 0 && v->conversation.state != CONVERSATION_OVER)
        return error_set(err, 0, "the agent in the guest hung up %s",
                         conversation_state_name(v->conversation.state));
    return 0;
}

static int on_sync(struct vmm *v, struct error *err)
{
    return sync_wait_continue(v->options.sync, err) < 0 ? -1 : conversation_continue(&v->conversation, err);
}

static int on_fifo(struct vmm *v, struct error *err)
{
    char go;

    if (read(v->options.fifo, &go, 1) != 1)
        return error_set(err, errno, "wait for start");
    conversation_start(&v->conversation);
    return 0;
}

static int on_signal(struct vmm *v, struct error *err)
{
    struct signalfd_siginfo info;

    (void)err;
    while (read(v->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        bool resized = info.ssi_signo == SIGWINCH && v->terminal >= 0;
        if (resized) {
            struct agent_window w = v->conversation.window;
            get_window(v, &w);
            conversation_window(&v->conversation, &w);
        }
        /* The terminal's own SIGWINCH comes anew from the guest's; a user's is the workload's. */
        if (!resized || info.ssi_code <= 0)
            conversation_signal(&v->conversation, info.ssi_signo);
    }
    return 0;
}

/* The machine's end is the sandbox's, unless the agent has said something before that is still on its way. */
static int on_end(struct vmm *v, struct error *err)
{
    (void)err;
    v->ended = now_ns();
    return 0;
}

static int on_crowd(struct vmm *v, struct error *err)
{
    eventfd_t told;

    (void)err;
    if (eventfd_read(v->sandbox.crowd, &told) == 0)
        conversation_forget(&v->conversation, told >= FUSE_SERVER_MANY_MORE, now_ns());
    return 0;
}

enum source { SOURCE_AGENT, SOURCE_SYNC, SOURCE_FIFO, SOURCE_SIGNALS, SOURCE_END, SOURCE_CROWD, SOURCES };

static int (*const handlers[SOURCES])(struct vmm *v, struct error *err) = {
    [SOURCE_AGENT] = on_agent,    [SOURCE_SYNC] = on_sync, [SOURCE_FIFO] = on_fifo,
    [SOURCE_SIGNALS] = on_signal, [SOURCE_END] = on_end,   [SOURCE_CROWD] = on_crowd,
};

/* How long nothing may happen: -1 is for ever. */
static int patience(const struct vmm *v)
{
    uint64_t left, now = now_ns();

    if (v->ended)
        left = now < v->ended + LAST_WORDS_MS * 1000000ULL ? v->ended + LAST_WORDS_MS * 1000000ULL - now : 0;
    else if (v->conversation.state == CONVERSATION_BOOTING)
        left = patience_left(&v->boot, now);
    else
        return -1;
    return left ? (int)(left / 1000000 + 1) : 0;
}

/* An agent that has said its last word would have been heard. */
static int machine_is_gone(const struct vmm *v, struct error *err)
{
    const char *when = conversation_state_name(v->conversation.state);
    bool reset = atomic_load(&v->sandbox.machine.end) == MACHINE_RESET;
    bool boots = v->conversation.state == CONVERSATION_BOOTING && !v->options.console;

    return error_set(err, 0, "the sandbox's machine ended %s: %s%s%s", when, v->sandbox.machine.end_words,
                     reset ? " (a kernel panic?)" : "",
                     boots ? "; hull run --kernel-messages shows what the kernel says" : "");
}

static int boots_too_long(struct vmm *v, struct error *err)
{
    uint64_t cpu = processor_ns(), now = now_ns();

    if (patience_renew(&v->boot, now, cpu))
        return 0;
    return error_set(
        err, 0,
        "the agent in the guest has not been heard of for %llu s (%llu ms of processor time): hull run "
        "--kernel-messages shows what the kernel says",
        (unsigned long long)(now - v->reached[KERNEL]) / 1000000000, (unsigned long long)cpu / 1000000);
}

/* #syscalls(main): poll ppoll read write close ioctl=TIOCGWINSZ */
static int wait_for_events(struct vmm *v, struct error *err)
{
    bool hull_talks = v->conversation.state <= CONVERSATION_CREATED;
    struct pollfd fds[SOURCES] = {
        [SOURCE_AGENT] = {.fd = v->channel.fd,
                          .events = (short)(POLLIN | (agent_channel_has_output(&v->channel) ? POLLOUT : 0))},
        [SOURCE_SYNC] = {.fd = hull_talks ? v->options.sync : -1, .events = POLLIN},
        [SOURCE_FIFO] = {.fd = v->conversation.state == CONVERSATION_WAITING ? v->options.fifo : -1,
                         .events = POLLIN},
        [SOURCE_SIGNALS] = {.fd = v->signals, .events = POLLIN},
        [SOURCE_CROWD] = {.fd = v->sandbox.crowd, .events = POLLIN},
        [SOURCE_END] = {.fd = v->ended ? -1 : v->sandbox.machine.ended, .events = POLLIN},
    };
    int n = poll(fds, SOURCES, patience(v));

    if (n < 0 && errno != EINTR)
        return error_set(err, errno, "poll");
    if (n == 0)
        return v->ended ? machine_is_gone(v, err) : boots_too_long(v, err);
    for (int i = 0; i < SOURCES && n > 0; i++)
        if (fds[i].revents && handlers[i](v, err) < 0)
            return -1;
    conversation_retry(&v->conversation);
    return agent_channel_flush(&v->channel, err);
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

/* Somebody wants the end, who does not wait for a reader that has stopped reading. */
static bool end_is_wanted(const struct vmm *v)
{
    const uint64_t ends =
        1ULL << (SIGHUP - 1) | 1ULL << (SIGINT - 1) | 1ULL << (SIGQUIT - 1) | 1ULL << (SIGTERM - 1);
    struct signalfd_siginfo info;

    while (read(v->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (ends >> (info.ssi_signo - 1) & 1)
            return true;
    return false;
}

/* What the workload has written before its end is its readers', who take it when they like; and who reads no more gets
 * LAST_READ_MS once the end is wanted. */
static void drain(const struct vmm *v)
{
    static const uint32_t ports[] = {AGENT_PORT_STDOUT, AGENT_PORT_STDERR};
    struct pollfd fds[] = {{.fd = v->sandbox.vsock.idle, .events = POLLIN},
                           {.fd = v->signals, .events = POLLIN}};
    int patience_ms = -1;
    eventfd_t told;

    for (size_t i = 0; i < ARRAY_SIZE(ports);) {
        if (vsock_drained(&v->sandbox.vsock, ports[i])) {
            i++;
            continue;
        }
        if (poll(fds, ARRAY_SIZE(fds), patience_ms) == 0)
            return;
        if (fds[0].revents && eventfd_read(fds[0].fd, &told) < 0)
            continue;
        if (end_is_wanted(v))
            patience_ms = LAST_READ_MS;
    }
}

static int fail(const struct vmm *v, const struct error *err)
{
    if (v->options.sync <= 0 || sync_send_error(v->options.sync, err) < 0)
        log_error("%s", err->message);
    return err->exit_code ? err->exit_code : EXIT_FAILED;
}

int main(int argc, char *argv[])
{
    struct vmm *v = &vmm;
    struct error err;

    v->reached[BEGUN] = now_ns();
    if (vmm_options_parse(argc, argv, &v->options, &err) < 0 || set_up(v, &err) < 0)
        _exit(fail(v, &err));
    while (v->conversation.state != CONVERSATION_OVER)
        if (wait_for_events(v, &err) < 0)
            _exit(fail(v, &err));
    drain(v);
    _exit((int)v->conversation.status);
}
