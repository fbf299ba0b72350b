/*
 * hull-images [--store DIR] [--log ...] COMMAND ...: everything that speaks to registries or reads archives, so that hull,
 * which starts often and reads nothing hostile of that size, links none of the libraries for it. Run by hull (cli/images.c),
 * which has parsed its own global options and passes on those that are here; so what a command says, it says as hull.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/environment.h"
#include "cli/images/command.h"
#include "namespaces/subids.h"

struct globals {
    const char *store, *log;
    enum log_format log_format;
    enum log_level log_level;
};

#define ROW(name, summary) &name##_command,
static const struct command *const commands[] = {IMAGE_COMMANDS(ROW) & copy_in_command, &copy_out_command};

static int parse_log_level(const struct option_use *use, void *field, struct error *err)
{
    return log_level_parse(use->text, field, err) < 0 ? error_wrap(err, "%s", use->what) : 0;
}

static const struct option_row global_rows[] = {
    OPTION(struct globals, "store", 0, "DIR", store, option_string, "image store"),
    OPTION(struct globals, "log", 0, "FILE", log, option_string, "append messages to FILE"),
    OPTION(struct globals, "log-format", 0, "text|json", log_format, option_choice, "form of the messages"),
    OPTION(struct globals, "log-level", 0, "LEVEL", log_level, parse_log_level, "how much is said"),
    {0},
};

static int execute(const struct globals *g, struct arena *a, const struct command *command, char *const *argv,
                   struct error *err)
{
    const struct runtime rt = {.arena = a,
                               .rootless = environment_is_rootless(),
                               .store = g->store ? g->store : getenv("HULL_STORE")};
    void *options = arena_alloc(a, command->options_size + 1);
    struct string_list arguments = {0};
    int status = options_parse(a, command->options, command->order, argv, options, &arguments, err);

    if (status == OPTIONS_HELP)
        return command_help(a, command, err);
    if (status < 0) {
        error_wrap(err, "%s", command->name);
        return usage_error(command, err);
    }
    if (command_check_arguments(command, arguments.n, err) < 0 ||
        (geteuid() != 0 && subids_become_root(a, err) < 0))
        return -1;
    return command->run(&rt, options, &arguments, err);
}

static int dispatch(struct globals *g, struct arena *a, char *const *argv, struct error *err)
{
    struct string_list arguments = {0};

    if (options_parse(a, global_rows, OPTIONS_FIRST, argv + 1, g, &arguments, err) != 0 || arguments.n == 0)
        return error_set(err, 0, "hull-images is run by hull: see 'hull --help'");
    if ((g->log || g->log_format != LOG_TEXT || g->log_level != LOG_WARNING) &&
        log_open(g->log, g->log_format, g->log_level, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i]->name, arguments.v[0]) == 0)
            return execute(g, a, commands[i], arguments.v + 1, err);
    return error_set(err, 0, "\"%s\" is no command of hull-images: see 'hull --help'", arguments.v[0]);
}

int main(int argc, char **argv)
{
    struct globals g = {.log_level = LOG_WARNING};
    struct arena arena = {0};
    struct error err = {0};
    int status;

    if (argc < 1)
        return EXIT_FAILURE;
    umask(0); /* an image says all of its files' modes */
    status = dispatch(&g, &arena, argv, &err);
    if (status >= 0)
        return status;
    if (log_is_file() || g.log_format == LOG_JSON)
        log_error("%s", err.message);
    if (log_is_file() || g.log_format == LOG_TEXT)
        dprintf(STDERR_FILENO, "hull: %s\n", err.message);
    return err.exit_code ? err.exit_code : EXIT_FAILURE;
}
