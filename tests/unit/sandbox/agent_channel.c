/* The channel to the agent: messages out of a stream that comes in any pieces, and back pressure. */
#include "sandbox/vmm/agent.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct agent_channel ch;
static struct error err;

static int make(size_t max_out)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(agent_channel_init(&ch, pair[0], max_out, &err), 0);
    return pair[1];
}

Test(agent_channel, messages_come_whole)
{
    char payload[AGENT_CHANNEL_MAX_IN], bytes[64] = {0};
    struct agent_header h = {.length = 5, .type = AGENT_LOG}, got;
    int guest = make(0);

    memcpy(bytes, &h, sizeof(h));
    memcpy(bytes + sizeof(h), "hello", 5);
    for (size_t i = 0; i < sizeof(h) + 5; i++) {
        cr_expect_eq(agent_channel_next(&ch, &got, payload, &err), 0);
        cr_assert_eq(write(guest, bytes + i, 1), 1);
        cr_expect_eq(agent_channel_read(&ch, &err), 1);
    }
    cr_assert_eq(agent_channel_next(&ch, &got, payload, &err), 1);
    cr_expect_eq(got.type, AGENT_LOG);
    cr_expect_arr_eq(payload, "hello", 5);
    cr_expect_eq(agent_channel_next(&ch, &got, payload, &err), 0);

    for (int i = 0; i < 3; i++)
        cr_assert_eq(write(guest, bytes, sizeof(h) + 5), (ssize_t)sizeof(h) + 5);
    cr_expect_eq(agent_channel_read(&ch, &err), 1);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(agent_channel_next(&ch, &got, payload, &err), 1);
    cr_expect_eq(agent_channel_next(&ch, &got, payload, &err), 0);
    cr_expect_eq(agent_channel_read(&ch, &err), 1, "nothing is there: no error");
    close(guest);
    cr_expect_eq(agent_channel_read(&ch, &err), 0);
    agent_channel_destroy(&ch);
}

Test(agent_channel, the_longest_message_fits)
{
    static char payload[AGENT_CHANNEL_MAX_IN], bytes[AGENT_CHANNEL_MAX_IN];
    struct agent_header h = {.length = AGENT_CHANNEL_MAX_IN, .type = AGENT_ERROR}, got;
    int guest = make(0);

    memset(bytes, 'x', sizeof(bytes));
    cr_assert_eq(write(guest, &h, sizeof(h)), (ssize_t)sizeof(h));
    cr_assert_eq(write(guest, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    agent_channel_read(&ch, &err);
    agent_channel_read(&ch, &err);
    cr_assert_eq(agent_channel_next(&ch, &got, payload, &err), 1);
    cr_expect_arr_eq(payload, bytes, sizeof(bytes));

    h.length++;
    cr_assert_eq(write(guest, &h, sizeof(h)), (ssize_t)sizeof(h));
    agent_channel_read(&ch, &err);
    cr_expect_eq(agent_channel_next(&ch, &got, payload, &err), -1);
    agent_channel_destroy(&ch);
    close(guest);
}

Test(agent_channel, half_a_message_and_the_end)
{
    int guest = make(0);

    cr_assert_eq(write(guest, "abc", 3), 3);
    close(guest);
    cr_expect_eq(agent_channel_read(&ch, &err), 1);
    cr_expect_eq(agent_channel_read(&ch, &err), -1);
    cr_expect_not_null(strstr(err.message, "middle"));
    agent_channel_destroy(&ch);
}

Test(agent_channel, what_is_not_taken_waits)
{
    enum { SIZE = 2 << 20 };
    static char config[SIZE], back[SIZE + sizeof(struct agent_header)];
    size_t got = 0;
    int guest = make(SIZE), small = 0;
    const struct iovec v = {config, SIZE};

    memset(config, 'c', SIZE);
    cr_assert(agent_channel_send(&ch, AGENT_CREATE, &v, 1));
    cr_expect_not(agent_channel_send(&ch, AGENT_CREATE, &v, 1));
    while (agent_channel_send(&ch, AGENT_START, NULL, 0))
        small++;
    cr_expect_gt(small, 64, "START and every signal there is find room behind it");
    while (agent_channel_has_output(&ch)) {
        cr_assert_eq(agent_channel_flush(&ch, &err), 0);
        ssize_t n = read(guest, back + got, got < sizeof(back) ? sizeof(back) - got : 1);
        cr_assert_gt(n, 0);
        got += got < sizeof(back) ? (size_t)n : 0;
    }
    cr_expect_eq(got, sizeof(back));
    cr_expect_arr_eq(back + sizeof(struct agent_header), config, SIZE);
    cr_expect(agent_channel_send(&ch, AGENT_CREATE, &v, 1), "there is room again");
    close(guest);
    cr_expect_eq(agent_channel_flush(&ch, &err), -1);
    agent_channel_destroy(&ch);
}
