/* state: one container's state document (runtime-spec, "State", with runc's rootfs, created and owner). */
#include "cli/command.h"

static int state(const struct runtime *rt, void *options, const struct string_list *arguments,
                 struct error *err)
{
    struct container c;
    struct buffer b = {.arena = rt->arena};
    size_t length;
    const char *text;

    (void)options;
    if (container_load(rt, arguments->v[0], &c, err) < 0)
        return -1;
    text = container_state_json(rt->arena, &c, true, &length);
    buffer_add(&b, text, length);
    buffer_puts(&b, "\n");
    return print_text(b.data, b.length, err);
}

const struct command state_command = {
    .name = "state",
    .arguments = "CONTAINER",
    .summary = "print the state of a container (JSON)",
    .min_arguments = 1,
    .max_arguments = 1,
    .of_container = true,
    .run = state,
};
