/*
 * hull-monitor: one for each detached container, as long as that lives. It writes what the container prints to `log`, shares
 * it with whoever is attached, passes their input on, reaps the container's process, writes down how it ended, and becomes
 * the command that removes the rest.
 *
 * It is small on purpose (static, no heap, one buffer): there are as many as containers. Nothing here parses what the
 * container says; a client that does not read for CLIENT_TIMEOUT_S is dropped, so that it cannot hold the container up.
 *
 * States: running; then, when the process has ended, draining until its pipes are empty (what a process that was left
 * behind may still write is not waited for).
 */
#include "runtime/monitor/monitor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 8, CLIENT_TIMEOUT_S = 2, DRAIN_MS = 100, SOURCES = 2, PREFIX_MAX = 64 };
enum { POLL_SIGNALS, POLL_LISTENER, POLL_SOURCES, POLL_CLIENTS = POLL_SOURCES + SOURCES };

/* What the container prints: a pipe, or its terminal. */
struct source {
    int fd; /* -1: it has ended */
    const char *name;
    enum monitor_message type;
};

struct monitor {
    pid_t pid;
    int exit, dir, input, terminal, listener, signals;
    int log; /* -1: none is kept */
    int log_files;
    long long log_max, log_size;
    unsigned long long log_next; /* N of the next log.N */
    struct source sources[SOURCES];
    int clients[CLIENTS_MAX];
    bool ended;
    int status;
};

static char buffer[MONITOR_DATA_MAX];

static int write_all(int fd, const void *data, size_t length)
{
    const char *p = data;

    while (length > 0) {
        ssize_t n = write(fd, p, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) { /* input of a container that does not read: wait for it */
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            if (poll(&wait, 1, CLIENT_TIMEOUT_S * 1000) == 1)
                continue;
        }
        if (n <= 0)
            return -1;
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

/* --- clients ------------------------------------------------------------------------------------------------------- */

static void drop(int *client)
{
    close(*client);
    *client = -1;
}

static void tell(struct monitor *m, enum monitor_message type, const void *data, size_t length)
{
    const struct monitor_header header = {.type = (uint8_t)type, .length = (uint16_t)length};

    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (m->clients[i] >= 0 &&
            (send(m->clients[i], &header, sizeof(header), MSG_NOSIGNAL | MSG_MORE) !=
                 (ssize_t)sizeof(header) ||
             (length > 0 && send(m->clients[i], data, length, MSG_NOSIGNAL) != (ssize_t)length)))
            drop(&m->clients[i]);
}

static void welcome(struct monitor *m)
{
    const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    int client = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);

    if (client < 0)
        return;
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (m->clients[i] < 0) {
            m->clients[i] = client;
            return;
        }
    close(client);
}

static void close_input(struct monitor *m)
{
    if (m->terminal < 0 && m->input >= 0)
        drop(&m->input);
}

static int take_message(struct monitor *m, int client)
{
    struct monitor_header header;
    struct winsize size = {0};

    if (recv(client, &header, sizeof(header), MSG_WAITALL) != (ssize_t)sizeof(header) ||
        header.length > sizeof(buffer) ||
        (header.length && recv(client, buffer, header.length, MSG_WAITALL) != header.length))
        return -1;
    if (header.type == MONITOR_INPUT && header.length == 0)
        close_input(m);
    else if (header.type == MONITOR_INPUT && m->input >= 0 && write_all(m->input, buffer, header.length) < 0)
        close_input(m);
    if (header.type == MONITOR_SIZE && header.length == 4 && m->terminal >= 0) {
        memcpy(&size.ws_row, buffer, 2);
        memcpy(&size.ws_col, buffer + 2, 2);
        ioctl(m->terminal, TIOCSWINSZ, &size);
    }
    return 0;
}

/* --- the log ------------------------------------------------------------------------------------------------------- */

static int open_log(struct monitor *m)
{
    struct stat st;

    m->log = openat(m->dir, MONITOR_LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (m->log < 0 || fstat(m->log, &st) < 0)
        return -1;
    m->log_size = st.st_size;
    return 0;
}

/* The number that the last full log got, by whoever looked after the container before. Once, at set-up: opendir allocates. */
static int find_last(struct monitor *m)
{
    DIR *dir = fdopendir(dup(m->dir));
    const struct dirent *e;

    if (!dir)
        return -1;
    m->log_next = 1;
    while ((e = readdir(dir))) {
        unsigned long long n = strncmp(e->d_name, MONITOR_LOG ".", sizeof(MONITOR_LOG)) == 0
                                   ? strtoull(e->d_name + sizeof(MONITOR_LOG), NULL, 10)
                                   : 0;
        if (n >= m->log_next)
            m->log_next = n + 1;
    }
    return closedir(dir);
}

/* On a full disk, or where something is wrong with the directory, the log goes on as it is. #syscalls: renameat unlinkat */
static void rotate(struct monitor *m)
{
    char name[PREFIX_MAX];
    int old = m->log;

    snprintf(name, sizeof(name), MONITOR_LOG ".%llu", m->log_next);
    if (m->log_files > 1 ? renameat(m->dir, MONITOR_LOG, m->dir, name) : unlinkat(m->dir, MONITOR_LOG, 0))
        return;
    m->log_next++;
    if (open_log(m) < 0)
        m->log = old;
    else
        close(old);
    if (m->log_next <= (unsigned long long)m->log_files)
        return;
    snprintf(name, sizeof(name), MONITOR_LOG ".%llu", m->log_next - (unsigned long long)m->log_files);
    unlinkat(m->dir, name, 0);
}

/* A full disk loses lines of the log, not the container. */
static int write_line(struct monitor *m, const char *prefix, size_t n, const char *line, size_t length,
                      bool whole)
{
    long long size = (long long)n + (long long)length + !whole;

    if (m->log_max && m->log_size && m->log_size + size > m->log_max)
        rotate(m);
    m->log_size += size;
    return write_all(m->log, prefix, n) < 0 || write_all(m->log, line, length) < 0 ||
                   (!whole && write_all(m->log, "\n", 1) < 0)
               ? -1
               : 0;
}

static void write_lines(struct monitor *m, const struct source *s, size_t length)
{
    char prefix[PREFIX_MAX], *line = buffer, *end = buffer + length;
    struct timespec now;
    struct tm t;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &t);
    while (line < end) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t n = (size_t)((newline ? newline + 1 : end) - line);
        int p = snprintf(prefix, sizeof(prefix), "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ %s %c ",
                         t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                         now.tv_nsec, s->name, newline ? 'F' : 'P');

        if (write_line(m, prefix, (size_t)p, line, n, newline) < 0)
            return;
        line += n;
    }
}

/* --- output -------------------------------------------------------------------------------------------------------- */

static void take_output(struct monitor *m, struct source *s)
{
    ssize_t n = read(s->fd, buffer, sizeof(buffer));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) { /* a terminal that nobody has open any more says EIO */
        if (s->fd != m->terminal)
            close(s->fd);
        s->fd = -1;
        return;
    }
    if (m->log >= 0)
        write_lines(m, s, (size_t)n);
    tell(m, s->type, buffer, (size_t)n);
}

/* --- the process --------------------------------------------------------------------------------------------------- */

static void reap(struct monitor *m)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void)!read(m->signals, &info, sizeof(info));
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
        if (pid == m->pid) {
            m->ended = true;
            m->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
}

static void write_exit(const struct monitor *m)
{
    struct timespec now;
    char text[PREFIX_MAX];

    clock_gettime(CLOCK_REALTIME, &now);
    int n = snprintf(text, sizeof(text), "%d %lld.%09ld\n", m->status, (long long)now.tv_sec, now.tv_nsec);
    (void)!pwrite(m->exit, text, (size_t)n, 0);
}

/* 0: all is over. */
static int step(struct monitor *m)
{
    struct pollfd fds[POLL_CLIENTS + CLIENTS_MAX];
    bool open = false;

    fds[POLL_SIGNALS] = (struct pollfd){.fd = m->ended ? -1 : m->signals, .events = POLLIN};
    fds[POLL_LISTENER] = (struct pollfd){.fd = m->listener, .events = POLLIN};
    for (size_t i = 0; i < SOURCES; i++) {
        fds[POLL_SOURCES + i] = (struct pollfd){.fd = m->sources[i].fd, .events = POLLIN};
        open |= m->sources[i].fd >= 0;
    }
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        fds[POLL_CLIENTS + i] = (struct pollfd){.fd = m->clients[i], .events = POLLIN};
    if (m->ended && !open)
        return 0;
    int n = poll(fds, POLL_CLIENTS + CLIENTS_MAX, m->ended ? DRAIN_MS : -1);
    if (n < 0)
        return errno == EINTR;
    if (n == 0)
        return 0;
    for (size_t i = 0; i < SOURCES; i++)
        if (fds[POLL_SOURCES + i].revents)
            take_output(m, &m->sources[i]);
    if (fds[POLL_SIGNALS].revents)
        reap(m);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (fds[POLL_CLIENTS + i].revents && m->clients[i] >= 0 && take_message(m, m->clients[i]) < 0)
            drop(&m->clients[i]);
    if (fds[POLL_LISTENER].revents)
        welcome(m);
    return 1;
}

/* --- beginning and end --------------------------------------------------------------------------------------------- */

static int begin(struct monitor *m, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "attach"};
    int *const fds[] = {&m->exit, &m->dir, &m->input, &m->sources[0].fd, &m->sources[1].fd, &m->terminal};
    sigset_t all;

    m->pid = atoi(argv[1]);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        *fds[i] = atoi(argv[2 + i]);
        if (*fds[i] >= 0 && fds[i] != &m->exit && fcntl(*fds[i], F_SETFD, FD_CLOEXEC) < 0)
            return -1;
    }
    m->log_files = atoi(argv[MONITOR_ARGUMENTS - 2]);
    m->log_max = atoll(argv[MONITOR_ARGUMENTS - 1]);
    if (m->terminal >= 0)
        m->input = m->sources[0].fd = m->terminal;
    if (m->input >= 0 && fcntl(m->input, F_SETFL, O_NONBLOCK) < 0)
        return -1;
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        m->clients[i] = -1;
    umask(077);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&all);
    sigaddset(&all, SIGCHLD);
    m->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    m->log = -1;
    if (m->log_files && (find_last(m) < 0 || open_log(m) < 0))
        return -1;
    unlinkat(m->dir, address.sun_path, 0); /* of its life before */
    m->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return m->signals < 0 || m->listener < 0 || fchdir(m->dir) < 0 ||
                   bind(m->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
                   listen(m->listener, CLIENTS_MAX) < 0 || chdir("/") < 0
               ? -1
               : 0;
}

/* #syscalls: waitpid signalfd socket bind listen accept4 execve */
int main(int argc, char **argv)
{
    static struct monitor m = {
        .sources = {{.name = "stdout", .type = MONITOR_OUTPUT}, {.name = "stderr", .type = MONITOR_ERRORS}}};
    sigset_t none;

    if (argc <= MONITOR_ARGUMENTS || begin(&m, argv) < 0)
        return 1;
    /* it may have ended before the signal could be heard */
    reap(&m);
    while (step(&m))
        ;
    write_exit(&m);
    tell(&m, MONITOR_EXIT, &m.status, sizeof(m.status));
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[MONITOR_ARGUMENTS], argv + MONITOR_ARGUMENTS);
    return 1;
}
