/* features: what this build on this kernel can do (runtime-spec, "Features Structure"). */
#include "cli/command.h"

static int features(const struct runtime *rt, void *options, const struct string_list *arguments,
                    struct error *err)
{
    struct buffer b = {.arena = rt->arena};
    size_t length;
    char *text;

    (void)options, (void)arguments;
    if (features_document(rt->arena, &text, &length, err) < 0)
        return -1;
    buffer_add(&b, text, length);
    buffer_puts(&b, "\n");
    return print_text(b.data, b.length, err);
}

const struct command features_command = {
    .name = "features",
    .arguments = "",
    .summary = "print what this build and kernel can do (JSON)",
    .run = features,
};
