/* kill: a signal to the container's init, or to all of its processes. The default is TERM, as kill(1)'s. */
#include <signal.h>

#include "base/signals.h"
#include "cli/command.h"

struct kill_options {
    bool all, regex;
    int signal;
};

#define ROW(name, letter, field, help)                                                                       \
    {                                                                                                        \
        name, letter, NULL, offsetof(struct kill_options, field), option_flag, help                          \
    }

static const struct option_row rows[] = {
    ROW("all", 'a', all, "signal all processes of the container"),
    ROW("regex", 'r', regex, "CONTAINER is a regular expression: signal all that match"),
    {0},
};

static int kill_one(const struct runtime *rt, const char *id, const void *data, struct error *err)
{
    const struct kill_options *o = data;

    return container_kill(rt, id, o->signal, o->all, err);
}

static int kill_containers(const struct runtime *rt, void *options, const struct string_list *arguments,
                           struct error *err)
{
    struct kill_options *o = options;
    struct string_list ids = {.v = arguments->v, .n = 1};

    o->signal = SIGTERM;
    if (arguments->n > 1 && signal_parse(arguments->v[1], &o->signal, err) < 0)
        return -1;
    if (o->regex) {
        ids = (struct string_list){0};
        if (containers_matching(rt, arguments->v[0], &ids, err) < 0)
            return -1;
    }
    return for_each_container(rt, &ids, kill_one, o, err);
}

const struct command kill_command = {
    .name = "kill",
    .arguments = "CONTAINER [SIGNAL]",
    .summary = "send a signal to a container's init process",
    .details = "SIGNAL is a name (KILL, SIGKILL, RTMIN+3) or a number; TERM without one.\n",
    .options = rows,
    .options_size = sizeof(struct kill_options),
    .min_arguments = 1,
    .max_arguments = 2,
    .of_container = true,
    .run = kill_containers,
};
