/*
 * Messages over a byte stream. Both buffers have their size from the beginning: in, one message of the longest kind that
 * an agent sends; out, the longest one that we send (CREATE, with config.json) and some small ones behind it.
 *
 * A header is believed once it is whole and its length one that fits; what stands in it besides is judged by
 * conversation.c. The other end is a process of ours (the vsock device), but its bytes are the guest's.
 */
/* #syscalls(main): read sendto */
#include "sandbox/vmm/agent.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { SMALL_MESSAGES = 4096 };

int agent_channel_init(struct agent_channel *ch, int fd, size_t max_out, struct error *err)
{
    *ch =
        (struct agent_channel){.fd = fd, .out_size = sizeof(struct agent_header) + max_out + SMALL_MESSAGES};
    ch->out = mmap(NULL, ch->out_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ch->out == MAP_FAILED) {
        ch->out = NULL;
        return error_set(err, errno, "reserve memory for the agent's messages");
    }
    return 0;
}

void agent_channel_destroy(struct agent_channel *ch)
{
    if (ch->out)
        munmap(ch->out, ch->out_size);
    ch->out = NULL;
    fd_closep(&ch->fd);
}

int agent_channel_read(struct agent_channel *ch, struct error *err)
{
    ssize_t n;

    if (ch->in_length == sizeof(ch->in))
        return 1;
    do
        n = read(ch->fd, ch->in + ch->in_length, sizeof(ch->in) - ch->in_length);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? 1 : error_set(err, errno, "hear from the agent in the guest");
    ch->in_length += (size_t)n;
    if (n == 0 && ch->in_length)
        return error_set(err, 0, "the agent in the guest broke off in the middle of a message");
    return n > 0;
}

int agent_channel_next(struct agent_channel *ch, struct agent_header *h, void *payload, struct error *err)
{
    if (ch->in_length < sizeof(*h))
        return 0;
    memcpy(h, ch->in, sizeof(*h));
    if (h->length > AGENT_CHANNEL_MAX_IN)
        return error_set(err, 0, "the agent in the guest sent message %u with %u bytes", h->type, h->length);

    size_t whole = sizeof(*h) + h->length;
    if (ch->in_length < whole)
        return 0;
    memcpy(payload, ch->in + sizeof(*h), h->length);
    ch->in_length -= whole;
    memmove(ch->in, ch->in + whole, ch->in_length);
    return 1;
}

static void append(struct agent_channel *ch, const void *data, size_t length)
{
    if (length)
        memcpy(ch->out + ch->out_end, data, length);
    ch->out_end += length;
}

bool agent_channel_send(struct agent_channel *ch, enum agent_type type, const struct iovec *payload, size_t n)
{
    size_t length = 0;

    for (size_t i = 0; i < n; i++)
        length += payload[i].iov_len;
    if (ch->out_start == ch->out_end)
        ch->out_start = ch->out_end = 0;
    if (length > UINT32_MAX || sizeof(struct agent_header) + length > ch->out_size - ch->out_end)
        return false;

    const struct agent_header h = {.length = (uint32_t)length, .type = (uint16_t)type};
    append(ch, &h, sizeof(h));
    for (size_t i = 0; i < n; i++)
        append(ch, payload[i].iov_base, payload[i].iov_len);
    return true;
}

int agent_channel_flush(struct agent_channel *ch, struct error *err)
{
    while (agent_channel_has_output(ch)) {
        ssize_t n = send(ch->fd, ch->out + ch->out_start, ch->out_end - ch->out_start, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : error_set(err, errno, "speak to the agent in the guest");
        ch->out_start += (size_t)n;
    }
    return 0;
}
