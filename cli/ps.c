/*
 * ps: the processes of a container, as runc prints them: ps(1) is run with the caller's options (-ef without
 * any), and of its lines those are kept whose PID column names one of the container's processes. JSON is the
 * list of pids alone and needs no ps(1).
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/number.h"
#include "cli/command.h"

enum { PS_OUTPUT_MAX = 64 << 20 };

static const char BLANKS[] = " \t";

struct ps_options {
    enum format format;
};

static const struct option_row rows[] = {
    {"format", 'f', "table|json", offsetof(struct ps_options, format), option_choice,
     "how to print (default: table)"},
    {0},
};

struct pid_set {
    pid_t *v;
    size_t n;
};

static bool has_pid(const struct pid_set *set, uint64_t pid)
{
    for (size_t i = 0; i < set->n; i++)
        if ((uint64_t)set->v[i] == pid)
            return true;
    return false;
}

/* The text of column @index of @line, in the arena; NULL when the line has fewer. */
static const char *column(struct arena *a, const char *line, size_t index)
{
    for (;;) {
        size_t length;

        line += strspn(line, BLANKS);
        length = strcspn(line, BLANKS);
        if (length == 0)
            return NULL;
        if (index-- == 0)
            return arena_strndup(a, line, length);
        line += length;
    }
}

static int pid_column(struct arena *a, const char *header, size_t *index, struct error *err)
{
    const char *name;

    for (*index = 0; (name = column(a, header, *index)); ++*index)
        if (!strcmp(name, "PID"))
            return 0;
    return error_set(err, 0, "the output of ps has no PID column (add pid to its -o option): \"%s\"", header);
}

static int filter(struct arena *a, char *text, const struct pid_set *set, struct buffer *out,
                  struct error *err)
{
    char *line = strsep(&text, "\n");
    size_t index;

    if (pid_column(a, line, &index, err) < 0)
        return -1;
    buffer_printf(out, "%s\n", line);
    while ((line = strsep(&text, "\n"))) {
        const char *field = column(a, line, index);
        uint64_t pid;

        if (!*line)
            continue;
        if (!field || number_parse_u64(field, "pid", 0, INT32_MAX, &pid, NULL) < 0)
            return error_set(err, 0, "the output of ps has no process id in column %zu: \"%s\"", index + 1,
                             line);
        if (has_pid(set, pid))
            buffer_printf(out, "%s\n", line);
    }
    return 0;
}

static int spawn_ps(char *const *argv, int output, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);

    if (r)
        return r;
    r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    if (r == 0)
        r = posix_spawnp(pid, "ps", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

static int run_ps(struct arena *a, char *const *argv, char **text, struct error *err)
{
    _cleanup_(fd_closep) int reader = -1;
    _cleanup_(fd_closep) int writer = -1;
    int pipe_fds[2], status, r, read_errno;
    pid_t pid;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe for ps");
    reader = pipe_fds[0];
    writer = pipe_fds[1];
    r = spawn_ps(argv, writer, &pid);
    if (r == ENOENT)
        return error_set(err, 0,
                         "ps: executable file not found in $PATH; install procps, or use --format json");
    if (r)
        return error_set(err, r, "run ps");
    fd_closep(&writer);
    writer = -1;
    r = fd_read_all(reader, PS_OUTPUT_MAX, a, text, NULL);
    read_errno = errno;
    fd_closep(&reader); /* a ps that still writes ends now */
    reader = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return error_set(err, read_errno, "read the output of ps");
    if (status)
        return error_set(err, 0, "ps failed (%s %d): %s", WIFSIGNALED(status) ? "signal" : "exit status",
                         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), *text);
    return 0;
}

static void print_json(struct buffer *b, const struct pid_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        buffer_printf(b, "%s%d", i ? "," : "[", set->v[i]);
    buffer_puts(b, set->n ? "]\n" : "null\n");
}

static int ps(const struct runtime *rt, void *options, const struct string_list *arguments, struct error *err)
{
    const struct ps_options *o = options;
    struct buffer b = {.arena = rt->arena};
    struct string_list argv = {0};
    struct pid_set set;
    char *text;

    if (container_processes(rt, arguments->v[0], &set.v, &set.n, err) < 0)
        return -1;
    if (o->format == FORMAT_JSON) {
        print_json(&b, &set);
        return print_text(b.data, b.length, err);
    }
    string_list_add(rt->arena, &argv, "ps");
    for (size_t i = 1; i < arguments->n; i++)
        string_list_add(rt->arena, &argv, arguments->v[i]);
    if (argv.n == 1)
        string_list_add(rt->arena, &argv, "-ef");
    if (run_ps(rt->arena, argv.v, &text, err) < 0 || filter(rt->arena, text, &set, &b, err) < 0)
        return -1;
    return print_text(b.data, b.length, err);
}

const struct command ps_command = {
    .name = "ps",
    .arguments = "CONTAINER [PS OPTION...]",
    .summary = "show the processes in a container",
    .details = "What follows CONTAINER goes to ps(1) (default: -ef); its output must have a PID column.\n",
    .options = rows,
    .options_size = sizeof(struct ps_options),
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .order = OPTIONS_FIRST,
    .of_container = true,
    .run = ps,
};
