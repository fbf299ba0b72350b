/*
 * exec: one more process in a running container (runc's command of the same name). User and group ids are
 * numbers, as names would have to be looked up in the container's own files; they are parsed strictly
 * (CVE-2026-30892).
 */
#include "cli/command.h"

#include <string.h>

#include "base/number.h"
#include "cli/environment.h"

/* The kernel's (uid_t)-1 means "unchanged", it is nobody's id. */
static const uint64_t ID_MAX = UINT32_MAX - 1;

static int parse_id(const char *what, const char *text, uint32_t *id, struct error *err)
{
    uint64_t value;

    if (number_parse_u64(text, what, 0, ID_MAX, &value, err) < 0)
        return -1;
    *id = (uint32_t)value;
    return 0;
}

static int parse_user(const struct option_use *use, void *field, struct error *err)
{
    struct exec_options *o = field;
    const char *colon = strchr(use->text, ':');
    const char *uid = colon ? arena_strndup(use->arena, use->text, (size_t)(colon - use->text)) : use->text;

    if (parse_id("user id", uid, &o->uid, err) < 0 ||
        (colon && parse_id("group id", colon + 1, &o->gid, err) < 0))
        return error_wrap(err, "%s must be UID or UID:GID", use->what);
    o->has_user = true;
    o->has_gid = colon != NULL;
    return 0;
}

static int parse_gids(const struct option_use *use, void *field, struct error *err)
{
    struct exec_options *o = field;

    for (const char *text = use->text;;) {
        size_t length = strcspn(text, ","), n = o->n_additional_gids;

        o->additional_gids =
            arena_grow(use->arena, o->additional_gids, n * sizeof(gid_t), (n + 1) * sizeof(gid_t));
        if (parse_id(use->what, arena_strndup(use->arena, text, length), &o->additional_gids[n], err) < 0)
            return -1;
        o->n_additional_gids++;
        if (!text[length])
            return 0;
        text += length + 1;
    }
}

/* Begins with the runtime's, which parsers get. */
struct exec_words {
    struct exec_options options;
    bool interactive;
};

#define ROW(name, letter, value, field, parse, help)                                                         \
    {                                                                                                        \
        name, letter, value, offsetof(struct exec_options, field), parse, help                               \
    }

static const struct option_row rows[] = {
    ROW("process", 'p', "FILE", process, option_string, "take the whole process from FILE (JSON)"),
    ROW("cwd", 0, "DIR", cwd, option_string, "working directory in the container"),
    ROW("workdir", 'w', "DIR", cwd, option_string, "the same"),
    {"interactive", 'i', NULL, offsetof(struct exec_words, interactive), option_flag,
     "pass standard input on, as without"},
    ROW("env", 'e', "NAME=VALUE", env, option_environment, "add an environment variable (repeatable)"),
    ROW("tty", 't', NULL, tty, option_flag, "give the process a terminal"),
    {"user", 'u', "UID[:GID]", 0, parse_user, "run as this user (and group)"},
    {"additional-gids", 'g', "GID[,GID...]", 0, parse_gids, "more groups of the process (repeatable)"},
    ROW("cap", 'c', "CAP", capabilities, option_list, "give the process one more capability (repeatable)"),
    ROW("apparmor", 0, "PROFILE", apparmor, option_string, "AppArmor profile of the process"),
    ROW("process-label", 0, "LABEL", process_label, option_string, "SELinux label of the process"),
    ROW("no-new-privs", 0, NULL, no_new_privileges, option_flag, "set-user-id programs gain nothing"),
    ROW("detach", 'd', NULL, detach, option_flag, "return when the process runs, do not wait for it"),
    ROW("pid-file", 0, "FILE", pid_file, option_string, "write the process id to FILE"),
    ROW("console-socket", 0, "SOCKET", console_socket, option_string,
        "Unix socket that receives the terminal's master end"),
    ROW("pidfd-socket", 0, "SOCKET", pidfd_socket, option_string,
        "Unix socket that receives the process's pidfd"),
    ROW("preserve-fds", 0, "N", preserve_fds, option_preserve_fds, "keep N more descriptors open, from 3 on"),
    ROW("ignore-paused", 0, NULL, ignore_paused, option_flag, "do not refuse a paused container"),
    ROW("cgroup", 0, "[CONTROLLER:]PATH", cgroups, option_list,
        "run in this cgroup below the container's (v1: repeatable)"),
    ROW("sub-cgroup", 0, "[CONTROLLER:]PATH", cgroups, option_list, "the same as --cgroup"),
    ROW("no-subreaper", 0, NULL, no_subreaper, option_flag, "do not adopt orphaned processes"),
    {0},
};

static int exec(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    struct exec_options *o = options;
    int status = 0;

    if (!o->process && arguments->n < 2) {
        error_set(err, 0, "\"exec\" requires a command to run in container %s, or --process FILE",
                  arguments->v[0]);
        return usage_error(&exec_command, err);
    }
    o->id = arguments->v[0];
    o->args = (struct string_list){.v = arguments->v + 1, .n = arguments->n - 1};
    if (listen_fds(&o->listen_fds, err) < 0)
        return -1;
    o->preserve_fds += o->listen_fds;
    if (container_exec(rt, o, &status, err) < 0)
        return -1;
    return status;
}

const struct command exec_command = {
    .name = "exec",
    .arguments = "CONTAINER COMMAND [ARGUMENT...]",
    .summary = "run one more process in a running container",
    .details = "The process is the container's own (config.json) with COMMAND and the options on top, or "
               "wholly that of\n"
               "--process FILE. Without --detach the exit status is the process's own (128 + N where signal "
               "N killed\n"
               "it), 255 where it could not be run.\n",
    .options = rows,
    .options_size = sizeof(struct exec_words),
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .order = OPTIONS_FIRST,
    .failure_status = 255,
    .of_container = true,
    .run = exec,
};
