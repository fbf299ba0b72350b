/* pause, resume: all processes of a container stop, and go on. */
#include "cli/command.h"

static int pause_container(const struct runtime *rt, void *options, const struct string_list *arguments,
                           struct error *err)
{
    (void)options;
    return container_pause(rt, arguments->v[0], err);
}

static int resume_container(const struct runtime *rt, void *options, const struct string_list *arguments,
                            struct error *err)
{
    (void)options;
    return container_resume(rt, arguments->v[0], err);
}

const struct command pause_command = {
    .name = "pause",
    .arguments = "CONTAINER",
    .summary = "stop all processes of a container, until it is resumed",
    .min_arguments = 1,
    .max_arguments = 1,
    .of_container = true,
    .run = pause_container,
};

const struct command resume_command = {
    .name = "resume",
    .arguments = "CONTAINER",
    .summary = "let the processes of a paused container go on",
    .min_arguments = 1,
    .max_arguments = 1,
    .of_container = true,
    .run = resume_container,
};
