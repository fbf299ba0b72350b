/* delete: forget stopped containers and what belongs to them; with --force, running ones too. */
#include "cli/command.h"

struct delete_options {
    bool force, regex;
};

#define ROW(name, letter, field, help)                                                                       \
    {                                                                                                        \
        name, letter, NULL, offsetof(struct delete_options, field), option_flag, help                        \
    }

static const struct option_row rows[] = {
    ROW("force", 'f', force, "kill a running container first; one that does not exist is no error"),
    ROW("regex", 'r', regex, "each CONTAINER is a regular expression: delete all that match"),
    {0},
};

static int delete_one(const struct runtime *rt, const char *id, const void *data, struct error *err)
{
    const struct delete_options *o = data;

    return container_delete(rt, id, o->force, err);
}

/* A container that two patterns match is taken with the first, because it is gone when the second is looked
 * up. */
static int delete_matching(const struct runtime *rt, const char *pattern, const void *data, struct error *err)
{
    struct string_list ids = {0};

    if (containers_matching(rt, pattern, &ids, err) < 0)
        return -1;
    return for_each_container(rt, &ids, delete_one, data, err);
}

static int delete_containers(const struct runtime *rt, void *options, const struct string_list *arguments,
                             struct error *err)
{
    const struct delete_options *o = options;

    return for_each_container(rt, arguments, o->regex ? delete_matching : delete_one, o, err);
}

const struct command delete_command = {
    .name = "delete",
    .arguments = "CONTAINER...",
    .summary = "delete stopped containers",
    .options = rows,
    .options_size = sizeof(struct delete_options),
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = delete_containers,
};
