/* The VMM's conversation with the agent: what each side may say when, and what it leads to. */
#include "sandbox/vmm/conversation.h"
#include "sandbox/vmm/patience.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char said[1024]; /* what came out, in order */
static bool no_room;

static bool note_send(void *context, enum agent_type type, const struct iovec *v, size_t n)
{
    char payload[256] = "";
    size_t length = 0;

    (void)context;
    if (no_room)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (v[i].iov_len > 0) /* memcpy() wants an address even for nothing */
            memcpy(payload + length, v[i].iov_base, v[i].iov_len);
        length += v[i].iov_len;
    }
    size_t at = strlen(said);
    char *out = said + at;
    size_t room = sizeof(said) - at;
    const struct agent_create *create = (const void *)payload;
    const struct agent_window *window = (const void *)payload;
    switch (type) {
    case AGENT_CREATE:
        cr_expect_gt(create->realtime_ns, 1600000000ULL * 1000000000);
        snprintf(out, room, "create(%u,%u,%ux%u,%.*s) ", create->id_length, create->flags,
                 create->window.columns, create->window.rows, (int)(length - sizeof(*create)),
                 payload + sizeof(*create));
        break;
    case AGENT_START:
        cr_expect_eq(length, 0);
        snprintf(out, room, "start ");
        break;
    case AGENT_SIGNAL:
        cr_expect_eq(length, sizeof(uint32_t));
        snprintf(out, room, "signal(%u) ", *(const uint32_t *)(const void *)payload);
        break;
    case AGENT_FORGET:
        cr_expect_eq(length, sizeof(uint32_t));
        snprintf(out, room, "forget(%u) ", *(const uint32_t *)(const void *)payload);
        break;
    case AGENT_WINDOW_SIZE:
        cr_expect_eq(length, sizeof(*window));
        snprintf(out, room, "window(%ux%u) ", window->columns, window->rows);
        break;
    default:
        snprintf(out, room, "?%d ", type);
    }
    return true;
}

static void note_reached(void *context, enum conversation_state state)
{
    static const char *const names[] = {"BOOTING",  "CREATING", "CREATED", "WAITING",
                                        "STARTING", "RUNNING",  "OVER"};
    size_t at = strlen(said);

    (void)context;
    snprintf(said + at, sizeof(said) - at, "%s ", names[state]);
}

static void note_log(void *context, unsigned level, const char *words)
{
    size_t at = strlen(said);

    (void)context;
    snprintf(said + at, sizeof(said) - at, "log(%u,%s) ", level, words);
}

static const struct conversation_ops ops = {note_send, note_reached, note_log};

static struct conversation begin(bool waits)
{
    said[0] = '\0';
    no_room = false;
    return (struct conversation){
        .ops = &ops, .id = "web", .config = "{}", .config_length = 2, .flags = 2, .waits_for_start = waits};
}

static struct error err;

static int message(struct conversation *c, enum agent_type type, const void *payload, size_t length)
{
    const struct agent_header h = {.length = (uint32_t)length, .type = (uint16_t)type};

    error_clear(&err);
    return conversation_message(c, &h, payload, &err);
}

static const struct agent_hello hello = {.version = AGENT_VERSION, .boot_us = 77};

static int exited(struct conversation *c, uint32_t status)
{
    const struct agent_exited e = {status};

    return message(c, AGENT_EXITED, &e, sizeof(e));
}

Test(conversation, run)
{
    struct conversation c = begin(false);

    cr_assert_eq(message(&c, AGENT_HELLO, &hello, sizeof(hello)), 0);
    cr_expect_eq(c.boot_us, 77);
    cr_assert_eq(message(&c, AGENT_CREATED, NULL, 0), 0);
    cr_assert_eq(conversation_continue(&c, &err), 0);
    cr_assert_eq(message(&c, AGENT_STARTED, NULL, 0), 0);
    cr_assert_eq(exited(&c, 3), 0);
    cr_expect_eq(c.status, 3);
    cr_expect_str_eq(said, "CREATING create(3,2,0x0,web{}) CREATED STARTING start RUNNING OVER ");
}

Test(conversation, create_waits_for_start)
{
    struct conversation c = begin(true);

    conversation_start(&c);
    message(&c, AGENT_HELLO, &hello, sizeof(hello));
    cr_expect_eq(conversation_continue(&c, &err), -1, "nobody said ready");
    message(&c, AGENT_CREATED, NULL, 0);
    conversation_start(&c);
    cr_expect_eq(conversation_continue(&c, &err), 0);
    cr_expect_eq(conversation_continue(&c, &err), -1, "once");
    cr_expect_eq(c.state, CONVERSATION_WAITING);
    conversation_start(&c);
    conversation_start(&c);
    cr_expect_str_eq(said, "CREATING create(3,2,0x0,web{}) CREATED WAITING STARTING start ");
}

Test(conversation, signals_wait_for_the_container)
{
    struct conversation c = begin(true);

    conversation_signal(&c, 15);
    conversation_signal(&c, 15);
    conversation_signal(&c, 64);
    conversation_signal(&c, 0);
    conversation_signal(&c, 65);
    message(&c, AGENT_HELLO, &hello, sizeof(hello));
    conversation_signal(&c, 1);
    cr_expect_str_eq(said, "CREATING create(3,2,0x0,web{}) ");
    message(&c, AGENT_CREATED, NULL, 0);
    cr_expect_str_eq(said, "CREATING create(3,2,0x0,web{}) CREATED signal(1) signal(15) signal(64) ");
    said[0] = '\0';
    conversation_signal(&c, 15);
    cr_expect_str_eq(said, "signal(15) ");
    said[0] = '\0';
    exited(&c, 143);
    conversation_signal(&c, 15);
    cr_expect_str_eq(said, "OVER ", "it may end before its start");
}

Test(conversation, window_size)
{
    struct conversation c = begin(false);

    conversation_window(&c, &(struct agent_window){.rows = 24, .columns = 80});
    message(&c, AGENT_HELLO, &hello, sizeof(hello));
    message(&c, AGENT_CREATED, NULL, 0);
    cr_expect_str_eq(said, "CREATING create(3,2,80x24,web{}) CREATED ", "CREATE said it");
    said[0] = '\0';
    conversation_window(&c, &(struct agent_window){.rows = 50, .columns = 132});
    cr_expect_str_eq(said, "window(132x50) ");
}

Test(conversation, what_finds_no_room_is_kept)
{
    struct conversation c = begin(false);

    message(&c, AGENT_HELLO, &hello, sizeof(hello));
    message(&c, AGENT_CREATED, NULL, 0);
    said[0] = '\0';
    no_room = true;
    conversation_signal(&c, 10);
    conversation_continue(&c, &err);
    conversation_window(&c, &(struct agent_window){.rows = 1, .columns = 2});
    conversation_window(&c, &(struct agent_window){.rows = 3, .columns = 4});
    conversation_signal(&c, 12);
    conversation_retry(&c);
    cr_expect_str_eq(said, "STARTING ");
    no_room = false;
    conversation_retry(&c);
    conversation_retry(&c);
    cr_expect_str_eq(said, "STARTING start window(4x3) signal(10) signal(12) ");
}

Test(conversation, config_without_room_is_an_error)
{
    struct conversation c = begin(false);

    no_room = true;
    cr_expect_eq(message(&c, AGENT_HELLO, &hello, sizeof(hello)), -1);
    cr_expect_not_null(strstr(err.message, "config.json"));
}

Test(conversation, errors_are_in_the_agents_words)
{
    struct conversation c = begin(false);
    struct {
        struct agent_error head;
        char words[32];
    } e = {{.code = 2, .exit_code = 127}, "exec: \"x\": no\x1b such file"};

    cr_expect_eq(message(&c, AGENT_ERROR, &e, sizeof(e.head) + strlen(e.words)), -1);
    cr_expect_str_eq(err.message, "exec: \"x\": no? such file");
    cr_expect_eq(err.code, 2);
    cr_expect_eq(err.exit_code, 127);
    e.head = (struct agent_error){.code = -1, .exit_code = 256};
    cr_expect_eq(message(&c, AGENT_ERROR, &e, sizeof(e.head)), -1);
    cr_expect_eq(err.code, 0);
    cr_expect_eq(err.exit_code, 0);
    cr_expect_eq(message(&c, AGENT_ERROR, &e, sizeof(e.head) - 1), -1);
    cr_expect_not_null(strstr(err.message, "protocol"));
}

Test(conversation, log)
{
    struct conversation c = begin(false);
    struct {
        uint32_t level;
        char words[8];
    } l = {3, "modules"};

    cr_expect_eq(message(&c, AGENT_LOG, &l, sizeof(l.level) + 7), 0);
    cr_expect_str_eq(said, "log(3,modules) ");
}

/* Every message in every state with every length that is wrong: only what the protocol has is taken. */
Test(conversation, what_may_not_come_ends_it)
{
    static const struct {
        enum agent_type type;
        const char *states; /* of the seven, in which it may come */
        uint32_t length;
    } allowed[] = {
        {AGENT_HELLO, "1000000", sizeof(struct agent_hello)},
        {AGENT_CREATED, "0100000", 0},
        {AGENT_STARTED, "0000100", 0},
        {AGENT_EXITED, "0011110", sizeof(struct agent_exited)},
        {AGENT_CREATE, "0000000", sizeof(struct agent_create)},
        {AGENT_START, "0000000", 0},
        {AGENT_SIGNAL, "0000000", 4},
        {AGENT_WINDOW_SIZE, "0000000", 8},
        {AGENT_FORGET, "0000000", 4},
    };
    char payload[64] = {0};
    memcpy(payload, &hello, sizeof(hello));

    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        for (int state = 0; state < CONVERSATION_STATES; state++) {
            bool may = allowed[i].states[state] == '1';
            struct conversation c = begin(false);
            c.state = (enum conversation_state)state;
            cr_expect_eq(message(&c, allowed[i].type, payload, allowed[i].length), may ? 0 : -1, "%d in %d",
                         allowed[i].type, state);
            for (uint32_t length = 0; length < sizeof(payload); length++) {
                c.state = (enum conversation_state)state;
                if (length != allowed[i].length)
                    cr_expect_eq(message(&c, allowed[i].type, payload, length), -1);
            }
            const struct agent_header other = {allowed[i].length, (uint16_t)allowed[i].type, 1};
            c.state = (enum conversation_state)state;
            cr_expect_eq(conversation_message(&c, &other, payload, &err), -1, "no other process yet");
        }
    struct conversation c = begin(false);
    cr_expect_eq(message(&c, (enum agent_type)999, payload, 0), -1);
    c.state = CONVERSATION_RUNNING;
    cr_expect_eq(exited(&c, 256), -1);
    const struct agent_hello old = {.version = AGENT_VERSION + 1};
    c = begin(false);
    cr_expect_eq(message(&c, AGENT_HELLO, &old, sizeof(old)), -1);
    cr_expect_not_null(strstr(err.message, "version"));
}

Test(sandbox_conversation, a_guest_is_asked_to_forget_files)
{
    const uint64_t ms = 1000000;
    struct conversation c = begin(false);

    conversation_forget(&c, false, 5000 * ms); /* there is no container yet */
    c.state = CONVERSATION_RUNNING;
    conversation_forget(&c, false, 6000 * ms);
    conversation_forget(&c, true, 6050 * ms); /* it has hardly begun */
    conversation_forget(&c, true, 6900 * ms);
    conversation_forget(&c, true, 7000 * ms);
    conversation_forget(&c, true, 7050 * ms);
    conversation_forget(&c, false, 7060 * ms); /* they had become fewer */
    cr_expect_str_eq(said, "forget(2) forget(2) forget(3) forget(2) ");
}

/* 20 guests that boot on two processors at once all get there; one that hangs does not, idle or busy. */
Test(sandbox_conversation, a_guest_may_boot_as_long_as_it_goes_on)
{
    struct patience slow = {0}, idle = {0}, busy = {0};
    uint64_t window = PATIENCE_WINDOW_NS;

    cr_expect_eq(patience_left(&slow, 0), window);
    cr_expect_eq(patience_left(&slow, window - 1), 1);
    cr_expect_eq(patience_left(&slow, window + 1), 0);
    for (uint64_t i = 1; i <= 10; i++)
        cr_expect(patience_renew(&slow, i * window, i * 6000000000));
    cr_expect_eq(patience_left(&slow, 10 * window), window);
    cr_expect_not(patience_renew(&idle, window, 2900000000));
    cr_expect(patience_renew(&busy, window, 59000000000));
    cr_expect(patience_renew(&busy, 2 * window, 119000000000));
    cr_expect_not(patience_renew(&busy, 3 * window, 179000000000));
}
