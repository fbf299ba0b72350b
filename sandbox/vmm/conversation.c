/*
 * The conversation as two tables: which message may come in which state with which length, and what a state is called.
 * What the guest sends is judged by these before anything looks at it; a message that is too short, too long or not one
 * that may come now ends everything, in words.
 *
 * Signals and window sizes are facts, not a queue: two SIGTERMs before the container exists are one, and only the last
 * size counts. So what is kept is bounded, whatever is sent to us.
 */
#include "sandbox/vmm/conversation.h"

#include <string.h>
#include <time.h>

static const char *const state_names[CONVERSATION_STATES] = {
    [CONVERSATION_BOOTING] = "while the guest boots",
    [CONVERSATION_CREATING] = "while the container is made in the guest",
    [CONVERSATION_CREATED] = "before hull goes on",
    [CONVERSATION_WAITING] = "before the container is started",
    [CONVERSATION_STARTING] = "while the process starts",
    [CONVERSATION_RUNNING] = "while the process runs",
    [CONVERSATION_OVER] = "after its end",
};

const char *conversation_state_name(enum conversation_state state)
{
    return state_names[state];
}

static void reach(struct conversation *c, enum conversation_state state)
{
    c->state = state;
    c->ops->reached(c->context, state);
}

static bool say(struct conversation *c, enum agent_type type, const void *payload, size_t length)
{
    const struct iovec v = {(void *)payload, length};

    return c->ops->send(c->context, type, &v, 1);
}

/* What was kept is said once there is a container, as far as there is room. */
static void say_kept(struct conversation *c)
{
    if (c->state < CONVERSATION_CREATED || c->state == CONVERSATION_OVER)
        return;
    if (c->kept_start && !say(c, AGENT_START, NULL, 0))
        return;
    c->kept_start = false;
    if (c->kept_window && say(c, AGENT_WINDOW_SIZE, &c->window, sizeof(c->window)))
        c->kept_window = false;
    for (uint32_t n = 1; c->kept_signals && n <= 64; n++)
        if (c->kept_signals >> (n - 1) & 1) {
            if (!say(c, AGENT_SIGNAL, &n, sizeof(n)))
                return;
            c->kept_signals &= ~(1ULL << (n - 1));
        }
}

/* --- what the agent says ------------------------------------------------------------------------------------------ */

static int take_hello(struct conversation *c, const void *payload, size_t length, struct error *err)
{
    struct agent_hello hello;
    struct timespec now;

    (void)length;
    memcpy(&hello, payload, sizeof(hello));
    if (hello.version != AGENT_VERSION)
        return error_set(
            err, 0, "the agent in the guest speaks version %u, hull-vmm %d: the initramfs is of another hull",
            hello.version, AGENT_VERSION);
    c->boot_us = hello.boot_us;
    clock_gettime(CLOCK_REALTIME, &now);
    struct agent_create create = {.id_length = (uint32_t)strlen(c->id),
                                  .flags = c->flags,
                                  .realtime_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
                                  .window = c->window};
    const struct iovec v[] = {
        {&create, sizeof(create)}, {(void *)c->id, create.id_length}, {(void *)c->config, c->config_length}};
    c->kept_window = false;
    reach(c, CONVERSATION_CREATING);
    if (!c->ops->send(c->context, AGENT_CREATE, v, ARRAY_SIZE(v)))
        return error_set(err, 0, "config.json is too long for a sandbox");
    return 0;
}

static int take_created(struct conversation *c, const void *payload, size_t length, struct error *err)
{
    (void)payload;
    (void)length;
    (void)err;
    reach(c, CONVERSATION_CREATED);
    say_kept(c);
    return 0;
}

static int take_started(struct conversation *c, const void *payload, size_t length, struct error *err)
{
    (void)payload;
    (void)length;
    (void)err;
    reach(c, CONVERSATION_RUNNING);
    return 0;
}

static int take_exited(struct conversation *c, const void *payload, size_t length, struct error *err)
{
    struct agent_exited exited;

    (void)length;
    memcpy(&exited, payload, sizeof(exited));
    if (exited.status > 255)
        return error_set(err, 0, "the agent in the guest says %u for an exit status", exited.status);
    c->status = exited.status;
    reach(c, CONVERSATION_OVER);
    return 0;
}

/* The words are as those of a container's init on the host: they need no preface. */
static int take_error(struct conversation *c, const void *payload, size_t length, struct error *err)
{
    struct agent_error e;

    (void)c;
    memcpy(&e, payload, sizeof(e));
    length -= sizeof(e);
    error_set(err, 0, "%.*s", (int)length, (const char *)payload + sizeof(e));
    if (err) {
        err->code = e.code > 0 ? e.code : 0;
        err->exit_code = e.exit_code > 0 && e.exit_code < 256 ? e.exit_code : 0;
    }
    return -1;
}

static int take_log(struct conversation *c, const void *payload, size_t length, struct error *err)
{
    char words[AGENT_MAX_WORDS + 1];
    uint32_t level;

    (void)err;
    memcpy(&level, payload, sizeof(level));
    length -= sizeof(level);
    memcpy(words, (const char *)payload + sizeof(level), length);
    words[length] = '\0';
    c->ops->log(c->context, level, words);
    return 0;
}

#define IN(state) (1U << CONVERSATION_##state)
enum {
    ALIVE = IN(CREATED) | IN(WAITING) | IN(STARTING) | IN(RUNNING), /* there is a process that may end */
    ANY = IN(BOOTING) | IN(CREATING) | ALIVE | IN(OVER),
};

static const struct {
    enum agent_type type;
    unsigned states; /* in which it may come */
    uint32_t min, max;
    int (*take)(struct conversation *c, const void *payload, size_t length, struct error *err);
} messages[] = {
    {AGENT_HELLO, IN(BOOTING), sizeof(struct agent_hello), sizeof(struct agent_hello), take_hello},
    {AGENT_CREATED, IN(CREATING), 0, 0, take_created},
    {AGENT_STARTED, IN(STARTING), 0, 0, take_started},
    {AGENT_EXITED, ALIVE, sizeof(struct agent_exited), sizeof(struct agent_exited), take_exited},
    {AGENT_ERROR, ANY, sizeof(struct agent_error), sizeof(struct agent_error) + AGENT_MAX_WORDS, take_error},
    {AGENT_LOG, ANY, sizeof(uint32_t), sizeof(uint32_t) + AGENT_MAX_WORDS, take_log},
};

int conversation_message(struct conversation *c, const struct agent_header *h, const void *payload,
                         struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
        if (messages[i].type != h->type)
            continue;
        if (h->length < messages[i].min || h->length > messages[i].max || h->process != 0)
            break;
        if (!(messages[i].states & 1U << c->state))
            break;
        return messages[i].take(c, payload, h->length, err);
    }
    return error_set(err, 0,
                     "the agent in the guest broke the protocol: message %u of %u bytes for process %u %s",
                     h->type, h->length, h->process, state_names[c->state]);
}

/* --- what hull and others say --------------------------------------------------------------------------------------- */

static void start(struct conversation *c)
{
    reach(c, CONVERSATION_STARTING);
    c->kept_start = true;
    say_kept(c);
}

int conversation_continue(struct conversation *c, struct error *err)
{
    if (c->state != CONVERSATION_CREATED)
        return error_set(err, 0, "hull said continue %s", state_names[c->state]);
    if (c->waits_for_start)
        reach(c, CONVERSATION_WAITING);
    else
        start(c);
    return 0;
}

void conversation_start(struct conversation *c)
{
    if (c->state == CONVERSATION_WAITING)
        start(c);
}

void conversation_signal(struct conversation *c, unsigned number)
{
    if (number < 1 || number > 64)
        return;
    c->kept_signals |= 1ULL << (number - 1);
    say_kept(c);
}

void conversation_window(struct conversation *c, const struct agent_window *window)
{
    c->window = *window;
    c->kept_window = true;
    say_kept(c);
}

void conversation_forget(struct conversation *c, bool more, uint64_t now)
{
    const uint64_t pause = 100000000, patience = 1000000000;

    if (c->state < CONVERSATION_CREATED || c->state == CONVERSATION_OVER)
        return;
    if (!more)
        c->forget_began = now;
    else if (now - c->forget_said < pause)
        return;
    uint32_t caches = more && now - c->forget_began >= patience ? AGENT_CACHES_ALL : AGENT_CACHES_NAMES;
    if (say(c, AGENT_FORGET, &caches, sizeof(caches)))
        c->forget_said = now;
}

void conversation_retry(struct conversation *c)
{
    say_kept(c);
}
