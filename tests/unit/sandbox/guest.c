/*
 * The agent in the guest, without a machine: in new pid and mount namespaces, with socket pairs for vsock, and a root with one
 * busybox. The test is the VMM. `struct talk` says what it does and what it must hear.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "runtime/guest_spec.h"
#include "sandbox/guest/agent.h"
#include "tests/unit/namespaces/container.h"

enum { PORTS = 4, TIMEOUT_MS = 20000 };

struct talk {
    const char *args, *process_more; /* JSON; NULL: nothing more */
    const char *linux_more;
    bool terminal;
    const char *input; /* then the end of it; NULL: stdin stays open */
    struct agent_window window;
    const char *signal_at; /* send `signal` when stdout has this; "": before START */
    uint32_t signal;
    uint32_t forget;             /* send this FORGET before START; 0: none */
    struct agent_header strange; /* send this instead of START */
    /* filled in by talk() */
    char out[2 << 20], err[4096], words[AGENT_MAX_WORDS + 1], log[4096];
    size_t n_out, n_err;
    bool created, started;
    unsigned end; /* AGENT_EXITED or AGENT_ERROR; 0: the agent has hung up */
    uint32_t status;
};

static int ports[PORTS][2]; /* [0]: the VMM's end */

static int connect_port(enum agent_port port, struct error *err)
{
    int fd = dup(ports[port - AGENT_PORT_CONTROL][1]);

    close(ports[port - AGENT_PORT_CONTROL][1]);
    return fd < 0 ? error_set(err, 1, "dup") : fd;
}

/* PID 1 of the namespace. */
static void agent_child(void)
{
    static const struct agent_place place = {
        .connect = connect_port, .shared = "/tmp/hull", .run = "/tmp/run", .caches = "/tmp/caches"};
    struct error err = {0};
    int control;

    for (int i = 0; i < PORTS; i++)
        close(ports[i][0]);
    if (mount("proc", "/proc", "proc", 0, NULL) < 0 || mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL) < 0)
        _exit(98);
    control = connect_port(AGENT_PORT_CONTROL, &err);
    if (agent_serve(&place, control, &err) < 0) {
        fprintf(stderr, "agent_serve: %s\n", err.message);
        _exit(97);
    }
    _exit(0);
}

static void make_root(void)
{
    container_needs_root();
    if (access("/bin/busybox", X_OK) < 0)
        cr_skip_test("no /bin/busybox (apt install busybox-static)");
    cr_assert_eq(
        system("mkdir -p /tmp/hull/rootfs/bin /tmp/hull/rootfs/proc /tmp/hull/rootfs/dev /tmp/hull/volumes/0 "
               "/tmp/run && touch /tmp/caches && "
               "cp /bin/busybox /tmp/hull/rootfs/bin/ && ln -s busybox /tmp/hull/rootfs/bin/sh && "
               "echo nonsense >/tmp/hull/rootfs/bin/nonsense && chmod 755 /tmp/hull/rootfs/bin/nonsense && "
               "echo shared >/tmp/hull/volumes/0/file"),
        0);
}

static pid_t start_agent(void)
{
    pid_t pid;

    for (int i = 0; i < PORTS; i++)
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ports[i]), 0);
    cr_assert_eq(unshare(CLONE_NEWPID), 0);
    pid = fork();
    if (pid == 0)
        agent_child();
    cr_assert_gt(pid, 0);
    for (int i = 0; i < PORTS; i++)
        close(ports[i][1]);
    return pid;
}

static void send_message(uint16_t type, const void *payload, uint32_t length)
{
    struct agent_header h = {.type = type, .length = length};

    cr_assert_eq(write(ports[0][0], &h, sizeof(h)), (ssize_t)sizeof(h));
    if (length)
        cr_assert_eq(fd_write_all(ports[0][0], payload, length), 0);
}

static void send_create(const struct talk *t)
{
    static const char id[] = "web";
    struct arena a = {0};
    struct agent_create c = {.id_length = sizeof(id) - 1, .window = t->window};
    char *text = arena_printf(
        &a,
        "%s{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"terminal\":%s,\"user\":"
        "{\"uid\":0,\"gid\":0},\"cwd\":\"/\",\"env\":[\"PATH=/bin\"],\"args\":%s%s},\"mounts\":["
        "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
        "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
        "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\"},"
        "{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/nowhere/on/the/"
        "host\",\"options\":[\"rbind\"]}],"
        "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"network\",\"path\":"
        "\"/var/run/netns/host\"}]%s}}",
        id, t->terminal ? "true" : "false", t->args, t->process_more ? t->process_more : "",
        t->linux_more ? t->linux_more : "");
    size_t length = strlen(text);
    char *whole = arena_alloc(&a, sizeof(c) + length);

    memcpy(whole, &c, sizeof(c));
    memcpy(whole + sizeof(c), text, length);
    send_message(AGENT_CREATE, whole, (uint32_t)(sizeof(c) + length));
    arena_free(&a);
}

static void on_created(struct talk *t)
{
    t->created = true;
    if (t->forget)
        send_message(AGENT_FORGET, &t->forget, sizeof(t->forget));
    if (t->signal_at && !*t->signal_at)
        send_message(AGENT_SIGNAL, &t->signal, sizeof(t->signal));
    else if (t->strange.type)
        cr_assert_eq(write(ports[0][0], &t->strange, sizeof(t->strange)), (ssize_t)sizeof(t->strange));
    else
        send_message(AGENT_START, NULL, 0);
}

static void hear(struct talk *t, const struct agent_header *h, const char *payload)
{
    cr_expect_eq(h->process, 0);
    switch (h->type) {
    case AGENT_HELLO:
        cr_expect_eq(((const struct agent_hello *)payload)->version, AGENT_VERSION);
        send_create(t);
        break;
    case AGENT_CREATED:
        on_created(t);
        break;
    case AGENT_STARTED:
        t->started = true;
        break;
    case AGENT_EXITED:
        t->end = h->type;
        t->status = ((const struct agent_exited *)payload)->status;
        break;
    case AGENT_ERROR:
        t->end = h->type;
        memcpy(t->words, payload + sizeof(struct agent_error), h->length - sizeof(struct agent_error));
        break;
    case AGENT_LOG:
        snprintf(t->log, sizeof(t->log), "%.*s", (int)(h->length - 4), payload + 4);
        break;
    default:
        cr_assert_fail("message %u", h->type);
    }
}

static bool read_control(struct talk *t)
{
    struct agent_header h;
    char payload[8192];
    ssize_t n = recv(ports[0][0], &h, sizeof(h), MSG_WAITALL);

    if (n <= 0)
        return false;
    cr_assert_eq(n, (ssize_t)sizeof(h));
    cr_assert_leq(h.length, sizeof(payload));
    if (h.length)
        cr_assert_eq(recv(ports[0][0], payload, h.length, MSG_WAITALL), (ssize_t)h.length);
    hear(t, &h, payload);
    return true;
}

/* False at the end of the stream. */
static bool collect(int fd, char *data, size_t *n, size_t size)
{
    ssize_t got = read(fd, data + *n, size - 1 - *n);

    if (got > 0)
        *n += (size_t)got;
    return got > 0;
}

static void talk(struct talk *t)
{
    pid_t agent;
    bool control = true, out = true, err = true;
    int status;

    make_root();
    agent = start_agent();
    if (t->input) {
        cr_assert_eq(fd_write_all(ports[1][0], t->input, strlen(t->input)), 0);
        shutdown(ports[1][0], SHUT_WR);
    }
    while (control || out || err) {
        struct pollfd fds[] = {{.fd = control ? ports[0][0] : -1, .events = POLLIN},
                               {.fd = out ? ports[2][0] : -1, .events = POLLIN},
                               {.fd = err ? ports[3][0] : -1, .events = POLLIN}};

        cr_assert_gt(poll(fds, 3, TIMEOUT_MS), 0, "the agent says nothing");
        if (fds[0].revents) {
            control = read_control(t);
            if (t->end == AGENT_EXITED) { /* all output has come before it */
                cr_expect(!out || recv(ports[2][0], &status, 1, MSG_DONTWAIT | MSG_PEEK) >= 0);
            }
        }
        if (fds[1].revents)
            out = collect(ports[2][0], t->out, &t->n_out, sizeof(t->out));
        if (fds[2].revents)
            err = collect(ports[3][0], t->err, &t->n_err, sizeof(t->err));
        if (t->signal_at && *t->signal_at && strstr(t->out, t->signal_at)) {
            send_message(AGENT_SIGNAL, &t->signal, sizeof(t->signal));
            t->signal_at = NULL;
        }
    }
    cr_assert_eq(waitpid(agent, &status, 0), agent);
    cr_expect_eq(status, 0);
}

#define SH(script) "[\"/bin/sh\",\"-c\",\"" script "\"]"

static struct talk t; /* of one test, each of which is a process */

Test(sandbox_guest, streams_and_status)
{
    t = (struct talk){.args = SH("echo out; echo err >&2; busybox cat - /data/file; exit 7"),
                      .input = "in\n"};
    talk(&t);
    cr_expect_str_eq(t.out, "out\nin\nshared\n");
    cr_expect_str_eq(t.err, "err\n");
    cr_expect(t.created && t.started);
    cr_expect_eq(t.end, AGENT_EXITED, "%s", t.words);
    cr_expect_eq(t.status, 7);
}

Test(sandbox_guest, much_output_comes_whole)
{
    t = (struct talk){.args = SH("busybox head -c 1500000 /dev/zero; echo end")};
    talk(&t);
    cr_expect_eq(t.n_out, 1500004);
    cr_expect_str_eq(t.out + 1500000, "end\n");
    cr_expect_eq(t.status, 0);
}

Test(sandbox_guest, a_signal_is_the_workloads)
{
    t = (struct talk){.args = SH("trap 'exit 9' TERM; echo ready; while :; do busybox sleep 0.1; done"),
                      .signal_at = "ready",
                      .signal = SIGTERM};
    talk(&t);
    cr_expect_eq(t.end, AGENT_EXITED, "%s", t.words);
    cr_expect_eq(t.status, 9);
}

Test(sandbox_guest, killed)
{
    t = (struct talk){.args = SH("echo ready; busybox sleep 100"), .signal_at = "ready", .signal = SIGKILL};
    talk(&t);
    cr_expect_eq(t.status, 128 + SIGKILL);
}

Test(sandbox_guest, ended_before_its_start)
{
    t = (struct talk){.args = SH("echo never"), .signal_at = "", .signal = SIGTERM};
    talk(&t);
    cr_expect(!t.started);
    cr_expect_eq(t.end, AGENT_EXITED, "%s", t.words);
    cr_expect_eq(t.status, 128 + SIGTERM);
    cr_expect_eq(t.n_out, 0);
}

/* While it does that, it serves on. */
Test(sandbox_guest, forgets_files_when_it_is_asked)
{
    char *text;
    struct arena a = {0};

    t = (struct talk){.args = SH("busybox sleep 0.5; exit 4"), .forget = AGENT_CACHES_NAMES};
    talk(&t);
    cr_expect_eq(t.status, 4, "%s", t.words);
    cr_assert_eq(file_read(AT_FDCWD, "/tmp/caches", 16, &a, &text, NULL, NULL), 0);
    cr_expect_str_eq(text, "2"); /* and not 6: each number for itself, and to the beginning */
    arena_free(&a);
}

Test(sandbox_guest, caches_that_there_are_not)
{
    t = (struct talk){.args = SH("busybox sleep 0.5; exit 4"), .forget = 1};
    talk(&t);
    cr_expect_eq(t.end, AGENT_ERROR);
    cr_expect(strstr(t.words, "no caches 1"), "%s", t.words);
}

Test(sandbox_guest, a_program_that_is_not_there)
{
    t = (struct talk){.args = "[\"nothing\"]"};
    talk(&t);
    cr_expect(!t.created);
    cr_expect_eq(t.end, AGENT_ERROR);
    cr_expect(strstr(t.words, "\"nothing\": executable file not found in $PATH"), "%s", t.words);
}

Test(sandbox_guest, a_program_that_cannot_be_executed)
{
    t = (struct talk){.args = "[\"/bin/nonsense\"]"};
    talk(&t);
    cr_expect(t.created && !t.started);
    cr_expect_eq(t.end, AGENT_ERROR);
    cr_expect(strstr(t.words, "exec format error"), "%s", t.words);
}

Test(sandbox_guest, a_configuration_that_is_wrong)
{
    t = (struct talk){.args = "[]"};
    talk(&t);
    cr_expect_eq(t.end, AGENT_ERROR);
    cr_expect(strstr(t.words, "process.args"), "%s", t.words);
}

Test(sandbox_guest, a_terminal_with_a_size)
{
    t = (struct talk){.args = SH("busybox stty size; busybox cat; busybox tty; exit 3"),
                      .terminal = true,
                      .input = "typed\n",
                      .window = {.rows = 33, .columns = 77}};
    talk(&t);
    cr_expect_eq(t.end, AGENT_EXITED, "%s", t.words);
    cr_expect_eq(t.status, 3);
    cr_expect(strstr(t.out, "33 77"), "%s", t.out);
    const char *typed = strstr(t.out, "typed\n");
    cr_expect(typed && strstr(typed + 1, "typed\n"), "once echoed, once by cat: %s", t.out);
    cr_expect(strstr(t.out, "/dev/pts/0"), "%s", t.out);
}

static const struct agent_header strange_headers[] = {
    {.type = 33},
    {.type = AGENT_HELLO},
    {.type = AGENT_START, .process = 1},
    {.type = AGENT_SIGNAL},
    {.type = AGENT_SIGNAL, .length = UINT32_MAX},
};

/* No message may be what the protocol does not know; each test is a process, so each takes one. */
static void say_strange(size_t i)
{
    t = (struct talk){.args = SH("echo never"), .strange = strange_headers[i]};
    talk(&t);
    cr_expect_eq(t.n_out, 0);
    cr_expect(!t.started);
    cr_expect_eq(t.end, AGENT_ERROR);
}

Test(sandbox_guest, strange_type)
{
    say_strange(0);
}
Test(sandbox_guest, strange_direction)
{
    say_strange(1);
}
Test(sandbox_guest, strange_process)
{
    say_strange(2);
}
Test(sandbox_guest, strange_length)
{
    say_strange(3);
}
Test(sandbox_guest, strange_size)
{
    say_strange(4);
}
