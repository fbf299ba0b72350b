/*
 * cp: files into and out of containers, as docker has it. Two processes with a pipe between them, each of them hull-images
 * (cli/images/copy.c): one packs what is copied as a tar stream, the other unpacks it; "-" is such a stream of the caller's.
 * Here is decided what each of them sees: the host's files as the caller does, or the root of a container (container_root.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/helper.h"
#include "base/path.h"
#include "cli/container_root.h"

enum { QUIET_STATUS = 3 /* of hull-images: the other one failed, and says why */ };

struct cp_options {
    bool archive, follow, overwrite, quiet;
};

static const struct option_row rows[] = {
    {"archive", 'a', NULL, offsetof(struct cp_options, archive), option_flag,
     "keep owners (default: the container's root, or on the host the caller)"},
    {"follow-link", 'L', NULL, offsetof(struct cp_options, follow), option_flag,
     "copy what the link SOURCE leads to"},
    {"overwrite", 0, NULL, offsetof(struct cp_options, overwrite), option_flag,
     "replace directories by files, and files by directories"},
    {"quiet", 'q', NULL, offsetof(struct cp_options, quiet), option_flag, "ignored, for docker's sake"},
    {0},
};

/* One end of the copy. */
struct end {
    const char *container; /* NULL: the host, or a stream */
    const char *path;
    const char *text; /* as it was written */
    bool stream;      /* "-" */
};

/* What has no ":" behind a name is the host's, as is what begins like a path. */
static int parse_end(struct arena *a, const char *text, struct end *e, struct error *err)
{
    const char *colon = strchr(text, ':'), *slash = strchr(text, '/');

    *e = (struct end){.path = text, .text = text, .stream = strcmp(text, "-") == 0};
    if (!*text)
        return error_set(err, 0, "an empty path");
    if (text[0] == '.' || !colon || colon == text || (slash && slash < colon))
        return 0;
    e->container = arena_strndup(a, text, (size_t)(colon - text));
    e->path = colon + 1;
    if (!*e->path)
        return error_set(err, 0, "%s: the path in the container is missing", text);
    return container_id_validate(e->container, err);
}

/* The name under which what is copied goes into a directory; "": its content goes there. */
static const char *base_name(struct arena *a, const struct end *e)
{
    char *path = arena_strdup(a, e->path), *slash;
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (strcmp(name, ".") == 0 || e->stream)
        return "";
    if (strcmp(name, "..") != 0)
        return name;
    char *real = e->container ? NULL : realpath(e->path, NULL);
    name = real ? arena_strdup(a, strrchr(real, '/') + 1) : "";
    free(real);
    return name;
}

/* --- the helpers --------------------------------------------------------------------------------------------------- */

static const char *maps_text(struct arena *a, const struct id_maps *maps)
{
    struct buffer b = {.arena = a};

    for (size_t i = 0; i < maps->n; i++)
        buffer_printf(&b, "%s%u:%u:%u", i ? "," : "", maps->v[i].container_id, maps->v[i].host_id,
                      maps->v[i].size);
    return b.data;
}

static void add_root(struct arena *a, const struct container_root *root, struct string_list *argv)
{
    fcntl(root->fd, F_SETFD, 0);
    if (root->lock >= 0)
        fcntl(root->lock, F_SETFD, 0);
    string_list_add(a, argv, arena_printf(a, "--root=%d", root->fd));
    if (root->maps.uids.n)
        string_list_add(a, argv, arena_printf(a, "--uids=%s", maps_text(a, &root->maps.uids)));
    if (root->maps.gids.n)
        string_list_add(a, argv, arena_printf(a, "--gids=%s", maps_text(a, &root->maps.gids)));
}

/* What is copied from where to where. */
struct copy {
    const struct cp_options *o;
    struct end from, to;
    const char *name;
    const struct container_root *root; /* of both, opened already; or NULL */
};

static int become_helper(const struct runtime *rt, const char *command, const struct copy *c,
                         const struct end *e, bool stream, struct error *err)
{
    const struct cp_options *o = c->o;
    struct arena *a = rt->arena;
    const char *helper = helper_path(a, "hull-images"), *words[] = {"hull-images", command};
    struct container_root root = {.path = e->path};
    struct string_list argv = {0};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        string_list_add(a, &argv, words[i]);
    if (e->container && c->root)
        add_root(a, c->root, &argv);
    else if (e->container) {
        if (container_root_open(rt, e->container, e->path, &root, err) < 0)
            return -1;
        add_root(a, &root, &argv);
    }
    string_list_add(a, &argv, arena_printf(a, "--name=%s", c->name));
    if (o->archive)
        string_list_add(a, &argv, "--archive");
    if (o->follow)
        string_list_add(a, &argv, "--follow-link");
    if (o->overwrite)
        string_list_add(a, &argv, "--overwrite");
    if (stream)
        string_list_add(a, &argv, "--stream");
    string_list_add(a, &argv, "--");
    string_list_add(a, &argv, root.path);
    string_list_add(a, &argv, e->text);
    execv(helper, argv.v);
    return errno == ENOENT ? error_set(err, 0, "%s is not installed, which hull needs to copy files", helper)
                           : error_set(err, errno, "execute %s", helper);
}

/* #syscalls: fork dup2 execve */
static pid_t begin(const struct runtime *rt, const char *command, const struct copy *c, const struct end *e,
                   int from, int to)
{
    struct error err = {0};
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if ((from >= 0 && dup2(from, STDIN_FILENO) < 0) || (to >= 0 && dup2(to, STDOUT_FILENO) < 0))
        error_set(&err, errno, "dup2");
    else
        become_helper(rt, command, c, e, from < 0 && to < 0, &err);
    dprintf(STDERR_FILENO, "hull: %s\n", err.message);
    _exit(EXIT_FAILURE);
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_FAILURE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : QUIET_STATUS;
}

static int copy(const struct runtime *rt, const struct copy *c, struct error *err)
{
    int pipe[2] = {-1, -1}, packed = 0, unpacked = 0;

    if (!c->from.stream && !c->to.stream && pipe2(pipe, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    pid_t packer = c->from.stream ? 0 : begin(rt, "copy-out", c, &c->from, -1, pipe[1]);
    pid_t unpacker = c->to.stream || packer < 0 ? 0 : begin(rt, "copy-in", c, &c->to, pipe[0], -1);
    if (pipe[0] >= 0) {
        close(pipe[0]);
        close(pipe[1]);
    }
    if (packer > 0)
        packed = wait_for(packer);
    if (unpacker > 0)
        unpacked = wait_for(unpacker);
    if (packer < 0 || unpacker < 0)
        return error_set(err, errno, "fork");
    if ((packed == QUIET_STATUS || packed == 0) && unpacked == QUIET_STATUS)
        return error_set(err, 0, "the copy was broken off");
    return packed || unpacked ? EXIT_FAILURE : 0;
}

/* One that does not run, and so is locked and mounted, once for both ends. */
static bool is_within_one(const struct runtime *rt, const struct copy *c)
{
    struct container live;
    struct error no = {0};

    return c->from.container && c->to.container && strcmp(c->from.container, c->to.container) == 0 &&
           (container_load(rt, c->from.container, &live, &no) < 0 || !live.pid);
}

static int copy_within_one(const struct runtime *rt, const struct copy *c, struct error *err)
{
    struct error failure = {0};
    struct container_root root;
    struct copy within = *c;
    pid_t pid = fork();
    int status = -1;

    if (pid < 0)
        return error_set(err, errno, "fork");
    if (pid > 0)
        return wait_for(pid);
    if (container_root_open(rt, c->from.container, c->from.path, &root, &failure) == 0) {
        within.root = &root;
        status = copy(rt, &within, &failure);
    }
    if (status < 0)
        dprintf(STDERR_FILENO, "hull: %s\n", failure.message);
    _exit(status ? EXIT_FAILURE : 0);
}

static int cp(const struct runtime *rt, void *options, const struct string_list *arguments, struct error *err)
{
    struct copy c = {.o = options};

    if (parse_end(rt->arena, arguments->v[0], &c.from, err) < 0 ||
        parse_end(rt->arena, arguments->v[1], &c.to, err) < 0)
        return -1;
    if (!c.from.container && !c.to.container)
        return error_set(err, 0, "one of \"%s\" and \"%s\" must be CONTAINER:PATH", c.from.path, c.to.path);
    if (c.to.stream && isatty(STDOUT_FILENO))
        return error_set(err, 0, "an archive goes to standard output, which is a terminal");
    c.name = base_name(rt->arena, &c.from);
    return is_within_one(rt, &c) ? copy_within_one(rt, &c, err) : copy(rt, &c, err);
}

const struct command cp_command = {
    .name = "cp",
    .arguments = "[CONTAINER:]SOURCE|- [CONTAINER:]DESTINATION|-",
    .summary = "copy files into and out of a container",
    .details =
        "A file goes into a directory that is there, or becomes DESTINATION. So does a directory; SOURCE/. "
        "means its\n"
        "content. \"-\" is a tar archive on standard input or output. Relative paths in a container begin "
        "at its\n"
        "root.\n",
    .options = rows,
    .options_size = sizeof(struct cp_options),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = cp,
};
