/* What every command has: help, the number of arguments, output, errors of usage. Also hull-images's commands'. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/command.h"

int print_text(const char *text, size_t length, struct error *err)
{
    if (fd_write_all(STDOUT_FILENO, text, length) < 0)
        return error_set(err, errno, "write to standard output");
    return 0;
}

int usage_error(const struct command *command, struct error *err)
{
    struct error cause = *err;

    error_set(err, 0, "%s; see 'hull %s%s--help'", cause.message, command ? command->name : "",
              command ? " " : "");
    err->exit_code = command && command->failure_status == EXIT_LIKE_PODMAN ? EXIT_LIKE_PODMAN : EXIT_FAILURE;
    return -1;
}

int command_help(struct arena *a, const struct command *command, struct error *err)
{
    struct buffer b = {.arena = a};

    buffer_printf(&b, "NAME:\n   hull %s - %s\n\n", command->name, command->summary);
    buffer_printf(&b, "USAGE:\n   hull [GLOBAL OPTION...] %s [OPTION...]%s%s\n\n", command->name,
                  *command->arguments ? " " : "", command->arguments);
    if (command->details)
        buffer_printf(&b, "%s\n", command->details);
    buffer_puts(&b, "OPTIONS:\n");
    options_help(&b, command->options);
    return print_text(b.data, b.length, err);
}

int command_isolation(int said, const char **vm_asker, struct error *err)
{
    if (said == 1 && *vm_asker)
        return error_set(err, 0, "--isolation=container, but %s asks for a virtual machine", *vm_asker);
    if (said == 2)
        *vm_asker = "--isolation=vm";
    return 0;
}

int command_check_arguments(const struct command *command, size_t n, struct error *err)
{
    int min = command->min_arguments, max = command->max_arguments;

    if (n >= (size_t)min && (max == ARGUMENTS_ANY || n <= (size_t)max))
        return 0;
    if (min == max)
        error_set(err, 0, "\"%s\" requires exactly %d argument(s)", command->name, min);
    else if (n < (size_t)min)
        error_set(err, 0, "\"%s\" requires a minimum of %d argument(s)", command->name, min);
    else
        error_set(err, 0, "\"%s\" requires a maximum of %d argument(s)", command->name, max);
    return usage_error(command, err);
}
