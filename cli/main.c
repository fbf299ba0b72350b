/*
 * hull [GLOBAL OPTION...] COMMAND [OPTION...] [ARGUMENT...]
 *
 * Global options come first and are parsed into struct globals; then the command's row (command.h) says how
 * the rest is parsed and which function runs. Every failure ends here, in report(): with --log FILE it goes
 * to the file, where engines look for it, and to standard error, where people do; without, to standard error
 * once.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/path.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/images.h"
#include "cli/keeper.h"

/* In the order of the choices in global_rows; the first is the default. */
enum rootless { ROOTLESS_AUTO, ROOTLESS_TRUE, ROOTLESS_FALSE };
enum isolation { ISOLATION_CONTAINER, ISOLATION_VM };

enum { EXIT_UNKNOWN_COMMAND = 3 }; /* runc's */

struct globals {
    const char *root, *log, *criu, *store;
    enum log_format log_format;
    enum log_level log_level;
    enum rootless rootless;
    enum cgroup_manager cgroup_manager;
    enum isolation isolation;
    bool debug, systemd_cgroup, version;
};

static const struct command *const commands[] = {
    &attach_command, &check_command,    &cp_command,   &create_command, &delete_command, &events_command,
    &exec_command,   &features_command, &kill_command, &list_command,   &logs_command,   &pause_command,
    &ps_command,     &resume_command,   &rm_command,   &run_command,    &spec_command,   &start_command,
    &state_command,  &stats_command,    &stop_command, &update_command, &volume_command, &wait_command,
};

static int parse_log_level(const struct option_use *use, void *field, struct error *err)
{
    return log_level_parse(use->text, field, err) < 0 ? error_wrap(err, "%s", use->what) : 0;
}

#define ROW(name, letter, value, field, parse, help)                                                         \
    {                                                                                                        \
        name, letter, value, offsetof(struct globals, field), parse, help                                    \
    }

static const struct option_row global_rows[] = {
    ROW("root", 0, "DIR", root, option_string,
        "state directory (default: /run/hull, rootless $XDG_RUNTIME_DIR/hull)"),
    ROW("log", 0, "FILE", log, option_string, "append messages to FILE (default: standard error)"),
    ROW("log-format", 0, "text|json", log_format, option_choice, "form of the messages (default: text)"),
    ROW("log-level", 0, "LEVEL", log_level, parse_log_level, "error, warning (default), info or debug"),
    ROW("debug", 0, NULL, debug, option_flag, "the same as --log-level=debug"),
    ROW("cgroup-manager", 0, "disabled|cgroupfs|systemd", cgroup_manager, option_choice,
        "who makes the container's cgroup (default: cgroupfs)"),
    ROW("systemd-cgroup", 0, NULL, systemd_cgroup, option_flag, "the same as --cgroup-manager=systemd"),
    ROW("rootless", 0, "auto|true|false", rootless, option_choice,
        "do without root on the host (default: auto)"),
    ROW("isolation", 0, "container|vm", isolation, option_choice,
        "container (default), or vm: each in a virtual machine of its own"),
    ROW("store", 0, "DIR", store, option_string,
        "image store (default: $HULL_STORE, else /var/lib/hull, rootless $XDG_DATA_HOME/hull)"),
    ROW("criu", 0, "PATH", criu, option_string, "ignored, for runc's sake"),
    ROW("version", 'v', NULL, version, option_flag, "print the version"),
    {0},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

static int print_version(struct arena *a, struct error *err)
{
    const struct scmp_version *v = seccomp_version();
    struct buffer b = {.arena = a};

    buffer_printf(&b, "hull version %s\ncommit: v%s\nspec: %s\nlibseccomp: %u.%u.%u\n", PACKAGE_VERSION,
                  PACKAGE_VERSION, SPEC_VERSION, v->major, v->minor, v->micro);
    return print_text(b.data, b.length, err);
}

static int print_help(struct arena *a, struct error *err)
{
    struct buffer b = {.arena = a};

    buffer_puts(&b, "NAME:\n   hull - run OCI bundles as containers, or each in a virtual machine\n\n"
                    "USAGE:\n   hull [GLOBAL OPTION...] COMMAND [OPTION...] [ARGUMENT...]\n\nCOMMANDS:\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        buffer_printf(&b, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    buffer_puts(&b, "\nCOMMANDS FOR IMAGES:\n");
    for (const struct image_command *c = image_commands; c->name; c++)
        buffer_printf(&b, "  %-10s  %s\n", c->name, c->summary);
    buffer_puts(&b, "\nGLOBAL OPTIONS:\n");
    options_help(&b, global_rows);
    buffer_puts(&b, "\n'hull COMMAND --help' says more of each.\n");
    return print_text(b.data, b.length, err);
}

/* A descriptor that hull opens may not land on 0, 1 or 2, where messages or the container's own output would
 * go to it. */
static int open_standard_fds(struct error *err)
{
    struct pollfd fds[] = {{.fd = 0}, {.fd = 1}, {.fd = 2}};

    if (poll(fds, ARRAY_SIZE(fds), 0) <= 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if ((fds[i].revents & POLLNVAL) && open("/dev/null", O_RDWR) < 0)
            return error_set(err, errno, "open /dev/null in place of closed descriptor %zu", i);
    return 0;
}

static int open_log(const struct globals *g, struct error *err)
{
    const char *path = g->log;

    if (path && (!strncmp(path, "journald:", 9) || !strncmp(path, "syslog:", 7)))
        return error_set(err, 0, "--log must be a file, got \"%s\"", path);
    if (path && !strncmp(path, "file:", 5))
        path += 5;
    if (path &&
        !strcmp(path, "/dev/stderr")) /* runc's default: standard error itself, and no second copy there */
        path = NULL;
    if (!path && g->log_format == LOG_TEXT && g->log_level == LOG_WARNING && !g->debug)
        return 0; /* that is how logging starts out */
    return log_open(path, g->log_format, g->debug ? LOG_DEBUG : g->log_level, err);
}

/* Who asks for a sandbox, or NULL; the bundle may ask for one too (runtime/sandbox.c). */
static int find_vm_asker(const struct globals *g, const char *program, const struct command *command,
                         const char **asker, struct error *err)
{
    const char *slash = strrchr(program, '/'), *environment = getenv("HULL_ISOLATION");

    if (environment && *environment && strcmp(environment, "container") && strcmp(environment, "vm"))
        return error_set(err, 0, "environment variable HULL_ISOLATION must be container or vm, got \"%s\"",
                         environment);
    if (!command->creates)
        return 0;
    if (g->isolation == ISOLATION_VM)
        *asker = "--isolation=vm";
    else if (environment && !strcmp(environment, "vm"))
        *asker = "environment variable HULL_ISOLATION=vm";
    else if (!strcmp(slash ? slash + 1 : program, "hull-vm"))
        *asker = "the program's name hull-vm";
    return 0;
}

static int make_runtime(struct runtime *rt, const struct globals *g, struct error *err)
{
    bool rootless = g->root && g->rootless != ROOTLESS_AUTO ? false : environment_is_rootless();

    rt->root = g->root;
    if (!g->root && environment_root(rt->arena, rootless, &rt->root, err) < 0)
        return -1;
    rt->root = path_absolute(rt->arena, rt->root);
    if (!rt->root)
        return error_set(err, errno, "--root %s: current directory", g->root);
    rt->store = g->store ? g->store : getenv("HULL_STORE");
    rt->cgroup_manager = g->systemd_cgroup ? CGROUP_SYSTEMD : g->cgroup_manager;
    rt->rootless = g->rootless == ROOTLESS_AUTO ? rootless : g->rootless == ROOTLESS_TRUE;
    if (g->criu)
        log_debug("--criu %s is ignored: this build does not checkpoint", g->criu);
    return 0;
}

static int run_command_line(const struct globals *g, struct arena *a, const char *program,
                            const struct command *command, char *const *argv, struct error *err)
{
    struct runtime rt = {.arena = a};
    struct string_list arguments = {0};
    void *options = arena_alloc(a, command->options_size);
    int status = options_parse(a, command->options, command->order, argv, options, &arguments, err);

    if (status == OPTIONS_HELP)
        return command_help(a, command, err);
    if (status < 0) {
        error_wrap(err, "%s", command->name);
        return usage_error(command, err);
    }
    if (command_check_arguments(command, arguments.n, err) < 0 ||
        find_vm_asker(g, program, command, &rt.vm_asker, err) < 0 || make_runtime(&rt, g, err) < 0)
        return -1;
    if (command->of_container && arguments.n)
        arguments.v[0] = (char *)keeper_full_id(&rt, arguments.v[0]);
    status = command->run(&rt, options, &arguments, err);
    if (status < 0 && err->exit_code == 0)
        err->exit_code = command->failure_status;
    return status;
}

/* hull-images parses the command's own options; of the global ones it gets those that concern it. */
static int hand_over(const struct globals *g, struct arena *a, char *const *argv, struct error *err)
{
    static const char *const levels[] = {
        [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};
    struct string_list globals = {0};

    string_list_add(a, &globals,
                    arena_printf(a, "--log-level=%s", levels[g->debug ? LOG_DEBUG : g->log_level]));
    if (g->log_format == LOG_JSON)
        string_list_add(a, &globals, "--log-format=json");
    if (g->log)
        string_list_add(a, &globals, arena_printf(a, "--log=%s", g->log));
    if (g->store)
        string_list_add(a, &globals, arena_printf(a, "--store=%s", g->store));
    return image_command_exec(a, &globals, argv, err);
}

/* `run` and `create` are two commands each: of a bundle, as runc has them, and with --image those of podman. */
static const struct command *choose_command(const struct command *command, char *const *argv)
{
    const struct command *of_image = command == &run_command      ? &run_image_command
                                     : command == &create_command ? &create_image_command
                                                                  : NULL;

    for (; of_image && *argv && strcmp(*argv, "--") != 0; argv++)
        if (strcmp(*argv, "--image") == 0 || strncmp(*argv, "--image=", 8) == 0)
            return of_image;
    return command;
}

static int unknown_command(const char *name, struct error *err)
{
    error_set(err, 0, "No help topic for '%s': there is no such command; see 'hull --help'", name);
    err->exit_code = EXIT_UNKNOWN_COMMAND;
    return -1;
}

/* Without a command or with "help": what there is to know, as runc has it. */
static int help(struct arena *a, const struct string_list *arguments, struct error *err)
{
    const struct command *command = arguments->n > 1 ? find_command(arguments->v[1]) : NULL;

    if (arguments->n < 2)
        return print_help(a, err);
    if (command)
        return command_help(a, command, err);
    if (image_command_find(arguments->v[1]))
        return hand_over(&(struct globals){.log_level = LOG_WARNING}, a,
                         (char *[]){arguments->v[1], "--help", NULL}, err);
    return unknown_command(arguments->v[1], err);
}

static int dispatch(struct globals *g, struct arena *a, char *const *argv, struct error *err)
{
    struct string_list arguments = {0};
    const struct command *command;
    int r;

    if (open_standard_fds(err) < 0)
        return -1;
    r = options_parse(a, global_rows, OPTIONS_FIRST, argv + 1, g, &arguments, err);
    if (r == OPTIONS_HELP)
        return print_help(a, err);
    if (r < 0)
        return usage_error(NULL, err);
    if (g->version)
        return print_version(a, err);
    if (open_log(g, err) < 0)
        return -1;
    if (arguments.n == 0 || !strcmp(arguments.v[0], "help"))
        return help(a, &arguments, err);
    command = find_command(arguments.v[0]);
    if (!command && image_command_find(arguments.v[0]))
        return hand_over(g, a, arguments.v, err);
    if (!command)
        return unknown_command(arguments.v[0], err);
    return run_command_line(g, a, argv[0], choose_command(command, arguments.v + 1), arguments.v + 1, err);
}

static void report(const struct globals *g, const char *message)
{
    if (log_is_file() || g->log_format == LOG_JSON)
        log_error("%s", message);
    if (log_is_file() || g->log_format == LOG_TEXT)
        dprintf(STDERR_FILENO, "hull: %s\n", message);
}

int main(int argc, char **argv)
{
    struct globals g = {.log_level = LOG_WARNING, .cgroup_manager = CGROUP_CGROUPFS};
    struct arena arena = {0};
    struct error err = {0};
    int status;

    if (argc < 1)
        return EXIT_FAILURE;
    status = dispatch(&g, &arena, argv, &err);
    if (status >= 0)
        return status;
    report(&g, err.message);
    return err.exit_code ? err.exit_code : EXIT_FAILURE;
}
