/*
 * attach: the terminal or the streams of a detached container, by the socket of its monitor (runtime/monitor/monitor.h). Ends with the
 * container, whose exit status is attach's; or by the detach keys, typed at a terminal, which leave it running.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/socket.h"
#include "cli/keeper.h"
#include "runtime/monitor/monitor.h"

enum { KEYS_MAX = 8, CTRL = 0x1f };

struct attach_options {
    const char *keys;
    bool no_stdin;
};

static const struct option_row rows[] = {
    {"detach-keys", 0, "KEYS", offsetof(struct attach_options, keys), option_string,
     "what ends it and leaves the container running (default: ctrl-p,ctrl-q)"},
    {"no-stdin", 0, NULL, offsetof(struct attach_options, no_stdin), option_flag,
     "do not pass standard input on"},
    {0},
};

struct attach {
    int socket;
    bool input;       /* is passed on */
    bool is_terminal; /* here and there */
    struct termios saved;
    char keys[KEYS_MAX];
    size_t n_keys, typed; /* how many of the keys were typed so far */
    int status;           /* of the container; -1: not known */
};

/* "ctrl-p,ctrl-q", "ctrl-@", "a,b" */
static int parse_keys(struct attach *at, const char *text, struct error *err)
{
    const char *word = text;

    for (size_t n; *word; word += n + (word[n] == ',')) {
        n = strcspn(word, ",");
        bool control = n == 6 && strncmp(word, "ctrl-", 5) == 0;

        if ((!control && n != 1) || at->n_keys == KEYS_MAX)
            return error_set(err, 0,
                             "--detach-keys must be up to %d of ctrl-X or X, apart by commas, got \"%s\"",
                             KEYS_MAX, text);
        at->keys[at->n_keys++] = (char)(control ? word[5] & CTRL : word[0]);
    }
    return 0;
}

static int send_message(const struct attach *at, enum monitor_message type, const void *data, size_t length)
{
    char message[sizeof(struct monitor_header) + MONITOR_DATA_MAX];
    const struct monitor_header header = {.type = (uint8_t)type, .length = (uint16_t)length};

    memcpy(message, &header, sizeof(header));
    if (length > 0)
        memcpy(message + sizeof(header), data, length);
    return send(at->socket, message, sizeof(header) + length, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static void send_size(const struct attach *at)
{
    struct winsize size;
    uint16_t message[2];

    if (!at->is_terminal || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row)
        return;
    message[0] = size.ws_row;
    message[1] = size.ws_col;
    send_message(at, MONITOR_SIZE, message, sizeof(message));
}

/* 1: the detach keys were typed. They are held back while they may become all of them. */
static int pass_typed(struct attach *at, const char *data, size_t n)
{
    char out[MONITOR_DATA_MAX + KEYS_MAX];
    size_t length = 0;

    for (size_t i = 0; i < n; i++) {
        if (at->n_keys && data[i] == at->keys[at->typed]) {
            if (++at->typed == at->n_keys)
                return 1;
            continue;
        }
        memcpy(out + length, at->keys, at->typed);
        length += at->typed;
        at->typed = at->n_keys && data[i] == at->keys[0];
        if (!at->typed)
            out[length++] = data[i];
    }
    return length > 0 ? send_message(at, MONITOR_INPUT, out, length) : 0;
}

static int take_input(struct attach *at)
{
    char data[MONITOR_DATA_MAX / 2];
    ssize_t n = read(STDIN_FILENO, data, sizeof(data));

    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0) {
        at->input = false;
        send_message(at, MONITOR_INPUT, NULL, 0);
        return 0;
    }
    if (at->is_terminal)
        return pass_typed(at, data, (size_t)n);
    return send_message(at, MONITOR_INPUT, data, (size_t)n);
}

/* 1: it is over. */
static int take_message(struct attach *at, struct error *err)
{
    char data[MONITOR_DATA_MAX];
    struct monitor_header header;

    if (recv(at->socket, &header, sizeof(header), MSG_WAITALL) != (ssize_t)sizeof(header) ||
        header.length > sizeof(data) ||
        (header.length && recv(at->socket, data, header.length, MSG_WAITALL) != header.length))
        return 1;
    if (header.type == MONITOR_EXIT && header.length == sizeof(at->status)) {
        memcpy(&at->status, data, sizeof(at->status));
        return 1;
    }
    int out = header.type == MONITOR_ERRORS ? STDERR_FILENO : STDOUT_FILENO;
    return fd_write_all(out, data, header.length) < 0 ? error_set(err, errno, "write what it prints") : 0;
}

static volatile sig_atomic_t resized;

static void note_resize(int number)
{
    (void)number;
    resized = 1;
}

static int relay(struct attach *at, struct error *err)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = at->socket, .events = POLLIN},
                               {.fd = at->input ? STDIN_FILENO : -1, .events = POLLIN}};
        int n = poll(fds, ARRAY_SIZE(fds), -1);

        if (resized) {
            resized = 0;
            send_size(at);
        }
        if (n < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (n < 0)
            continue;
        if (fds[0].revents) {
            int r = take_message(at, err);
            if (r != 0)
                return r < 0 ? -1 : at->status;
        }
        if (fds[1].revents && take_input(at) == 1)
            return 0; /* detached */
    }
}

static int begin_terminal(struct attach *at, bool terminal, struct error *err)
{
    const struct sigaction on_resize = {.sa_handler = note_resize};
    struct termios raw;

    at->is_terminal = terminal && at->input && tcgetattr(STDIN_FILENO, &at->saved) == 0;
    if (!at->is_terminal)
        return 0;
    raw = at->saved;
    cfmakeraw(&raw);
    sigaction(SIGWINCH, &on_resize, NULL);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
        return error_set(err, errno, "make the terminal raw");
    send_size(at);
    return 0;
}

static int attach(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    const struct attach_options *o = options;
    struct attach at = {.socket = -1, .input = !o->no_stdin, .status = -1};
    struct keeper_record record;
    struct store s;
    struct snapshot c;

    if (parse_keys(&at, o->keys ? o->keys : "ctrl-p,ctrl-q", err) < 0 ||
        keeper_open(rt, arguments->v[0], &s, &c, err) < 0 ||
        keeper_record_read(rt->arena, &c, &record, err) < 0)
        return -1;
    if (socket_connect(arena_printf(rt->arena, "%s/attach", c.path), &at.socket, err) < 0)
        return error_set(err, 0, "container %s is not running detached", c.id);
    if (begin_terminal(&at, record.terminal, err) < 0)
        return -1;
    int status = relay(&at, err);
    if (at.is_terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &at.saved);
    close(at.socket);
    return status;
}

const struct command attach_command = {
    .name = "attach",
    .arguments = "CONTAINER",
    .summary = "connect to the terminal or the streams of a detached container",
    .details = "Its exit status is the container's.\n",
    .options = rows,
    .options_size = sizeof(struct attach_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .failure_status = EXIT_LIKE_PODMAN,
    .run = attach,
};
