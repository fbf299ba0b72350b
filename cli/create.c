/* create, run and start: a bundle becomes a container (runtime-spec, "Lifecycle"). run is create and start in
 * one. */
#include <errno.h>
#include <string.h>

#include "cli/environment.h"
#include "cli/image_start.h"

struct create_command_options {
    struct create_options create;
    int isolation; /* 0: not said; else 1 + index of "container|vm" */
};

#define ROW(name, letter, value, field, parse, help)                                                         \
    {                                                                                                        \
        name, letter, value, offsetof(struct create_options, field), parse, help                             \
    }

#define CREATE_ROWS                                                                                          \
    ROW("bundle", 'b', "DIR", bundle, option_string, "the bundle's directory (default: the current one)"),   \
        ROW("config", 'f', "FILE", config, option_string,                                                    \
            "configuration in the bundle (default: config.json)"),                                           \
        ROW("console-socket", 0, "SOCKET", console_socket, option_string,                                    \
            "Unix socket that receives the terminal's master end"),                                          \
        ROW("pid-file", 0, "FILE", pid_file, option_string, "write the container's process id to FILE"),     \
        ROW("pidfd-socket", 0, "SOCKET", pidfd_socket, option_string,                                        \
            "Unix socket that receives the process's pidfd"),                                                \
        ROW("no-pivot", 0, NULL, no_pivot, option_flag,                                                      \
            "move the root mount instead of pivot_root (for ramdisks)"),                                     \
        ROW("no-new-keyring", 0, NULL, no_new_keyring, option_flag, "stay in the caller's session keyring"), \
        ROW("no-subreaper", 0, NULL, no_subreaper, option_flag, "do not adopt orphaned processes"),          \
        {"isolation",        0,                                                                              \
         "container|vm",     offsetof(struct create_command_options, isolation),                             \
         option_choice_said, "as the global option"},                                                        \
        ROW("kernel", 0, "FILE", kernel, option_string,                                                      \
            "a sandbox's kernel: vmlinux or bzImage (default: the installed one, or the newest in /boot)"),  \
        ROW("kernel-messages", 0, NULL, kernel_messages, option_flag,                                        \
            "show the messages of a sandbox's kernel on standard error"),                                    \
        ROW("timing", 0, NULL, timing, option_now, "say on standard error where a sandbox's start went"),    \
        ROW("preserve-fds", 0, "N", preserve_fds, option_preserve_fds,                                       \
            "keep N more descriptors open, from 3 on")

static const struct option_row create_rows[] = {CREATE_ROWS, {0}};

static const struct option_row run_rows[] = {
    CREATE_ROWS,
    ROW("detach", 'd', NULL, detach, option_flag, "return when the process runs, do not wait for it"),
    ROW("keep", 0, NULL, keep, option_flag, "do not delete the container when it exits"),
    {0},
};

/* What the command line has left open; *rt is @base with what the command itself says. */
static int complete(const struct runtime *base, struct create_command_options *o,
                    const struct string_list *arguments, struct runtime *rt, struct error *err)
{
    struct create_options *c = &o->create;

    *rt = *base;
    c->id = arguments->v[0];
    if (!c->bundle)
        c->bundle = ".";
    if (!c->config)
        c->config = "config.json";
    if (command_isolation(o->isolation, &rt->vm_asker, err) < 0 || listen_fds(&c->listen_fds, err) < 0)
        return -1;
    c->preserve_fds += c->listen_fds;
    return 0;
}

static int create(const struct runtime *base, void *options, const struct string_list *arguments,
                  struct error *err)
{
    struct create_command_options *o = options;
    struct runtime rt;

    if (complete(base, o, arguments, &rt, err) < 0)
        return -1;
    return container_create(&rt, &o->create, err);
}

static int run(const struct runtime *base, void *options, const struct string_list *arguments,
               struct error *err)
{
    struct create_command_options *o = options;
    struct runtime rt;
    int status = 0;

    if (complete(base, o, arguments, &rt, err) < 0 || container_run(&rt, &o->create, &status, err) < 0)
        return -1;
    return status;
}

/* --- start --------------------------------------------------------------------------------------------------------- */

struct start_options {
    bool attach, interactive;
};

static const struct option_row start_rows[] = {
    {"attach", 'a', NULL, offsetof(struct start_options, attach), option_flag,
     "of an image's: run it in the foreground, exit as it does"},
    {"interactive", 'i', NULL, offsetof(struct start_options, interactive), option_flag,
     "of an image's: pass standard input on, with --attach"},
    {0},
};

/* One that was created from a bundle is in the state directory, and waits; else it is one of the store's. */
static int start_one(const struct runtime *rt, const char *id, const struct start_options *o, int *status,
                     struct error *err)
{
    struct error failure = {0};
    struct container c;
    const char *name;

    if (container_load(rt, id, &c, &failure) == 0 && c.status == CONTAINER_CREATED)
        return container_start(rt, id, err);
    if (image_start_again(rt, id, o->attach, o->interactive, status, err) < 0) {
        if (err->code != ENOENT)
            return -1;
        error_clear(err);
        return container_start(rt, id, err); /* which says why not */
    }
    name = arena_printf(rt->arena, "%s\n", id);
    return o->attach ? 0 : print_text(name, strlen(name), err);
}

static int start(const struct runtime *rt, void *options, const struct string_list *arguments,
                 struct error *err)
{
    const struct start_options *o = options;
    int status = 0;

    if (o->attach && arguments->n > 1)
        return error_set(err, 0, "start --attach takes one container");
    for (size_t i = 0; i < arguments->n; i++)
        if (start_one(rt, arguments->v[i], o, &status, err) < 0)
            return -1;
    return status;
}

const struct command create_command = {
    .name = "create",
    .arguments = "CONTAINER",
    .summary = "create a container from a bundle",
    .details =
        "All of the container is set up, its process waits for `start`. CONTAINER is the name it gets;\n"
        "the bundle is a directory with config.json and a root file system (see `hull spec`).\n",
    .options = create_rows,
    .options_size = sizeof(struct create_command_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .creates = true,
    .run = create,
};

const struct command run_command = {
    .name = "run",
    .arguments = "CONTAINER",
    .summary = "create and start a container",
    .details = "In the foreground (without --detach) signals are passed on, the container is deleted when "
               "its process\n"
               "ends, and the exit status is the process's own (128 + N where signal N killed it).\n"
               "A container from an image of the store: `hull run --image REF --help`.\n",
    .options = run_rows,
    .options_size = sizeof(struct create_command_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .creates = true,
    .run = run,
};

const struct command start_command = {
    .name = "start",
    .arguments = "CONTAINER...",
    .summary = "run the process of a created container, or an image's container again",
    .details =
        "A container from an image (`create --image`, or one of `run --image` that has ended) runs in the\n"
        "background with what it wrote before, its name is printed.\n",
    .options = start_rows,
    .options_size = sizeof(struct start_options),
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = start,
};
