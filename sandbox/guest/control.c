/*
 * Messages on a byte stream. Sending blocks: they are few and short, and a VMM that does not take them has lost its
 * guest anyway. Receiving blocks within a message only, which the VMM writes in one piece.
 */
#include "sandbox/guest/control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* 1: all @length bytes; 0: the end came before the first; -1 with errno. */
static int read_exactly(int fd, void *data, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = read(fd, (char *)data + done, length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 && done == 0)
            return 0;
        if (n == 0)
            errno = EPROTO;
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 1;
}

int control_receive(int fd, struct arena *a, uint32_t max, struct control_message *m, struct error *err)
{
    int r = read_exactly(fd, &m->header, sizeof(m->header));

    if (r == 0)
        return 0;
    if (r < 0)
        return error_set(err, errno, "read a message from the VMM");
    if (m->header.length > max)
        return error_set(err, EPROTO, "message %u of the VMM has %u bytes, at most %u are allowed",
                         m->header.type, m->header.length, max);
    m->payload = arena_alloc(a, (size_t)m->header.length + 1);
    if (m->header.length && read_exactly(fd, m->payload, m->header.length) != 1)
        return error_set(err, errno ? errno : EPROTO, "read message %u from the VMM", m->header.type);
    return 1;
}

static int send_parts(int fd, enum agent_type type, const void *first, size_t n_first, const void *second,
                      size_t n_second, struct error *err)
{
    struct agent_header header = {.length = (uint32_t)(n_first + n_second), .type = (uint16_t)type};
    char whole[sizeof(header) + sizeof(struct agent_error) + AGENT_MAX_WORDS];

    memcpy(whole, &header, sizeof(header));
    if (n_first)
        memcpy(whole + sizeof(header), first, n_first);
    if (n_second)
        memcpy(whole + sizeof(header) + n_first, second, n_second);
    if (fd_write_all(fd, whole, sizeof(header) + n_first + n_second) < 0)
        return error_set(err, errno, "send message %d to the VMM", type);
    return 0;
}

int control_send(int fd, enum agent_type type, const void *payload, uint32_t length, struct error *err)
{
    return send_parts(fd, type, payload, length, NULL, 0, err);
}

static size_t bounded(const char *words)
{
    return strnlen(words, AGENT_MAX_WORDS);
}

int control_send_error(int fd, const struct error *why, struct error *err)
{
    struct agent_error e = {.code = why->code, .exit_code = why->exit_code};

    return send_parts(fd, AGENT_ERROR, &e, sizeof(e), why->message, bounded(why->message), err);
}

int control_send_log(int fd, uint32_t level, const char *words, struct error *err)
{
    return send_parts(fd, AGENT_LOG, &level, sizeof(level), words, bounded(words), err);
}
