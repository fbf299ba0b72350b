/*
 * logs: what a detached container printed, from the log that its monitor keeps (runtime/monitor/monitor.h has its form), each line
 * to the stream that it was printed to. With --follow until the container has ended. A line that is only half there is read
 * again when more has come.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/timestamp.h"
#include "cli/keeper.h"
#include "cli/log_files.h"

enum { POLL_MS = 50, STAMP = sizeof("2026-11-21T17:30:00.123456789Z") - 1 };

struct logs_options {
    const char *tail, *since, *until;
    bool follow, timestamps;
};

static const struct option_row rows[] = {
    {"follow", 'f', NULL, offsetof(struct logs_options, follow), option_flag,
     "go on as more is printed, until the container ends"},
    {"tail", 'n', "N|all", offsetof(struct logs_options, tail), option_string,
     "only the last N lines (default: all)"},
    {"since", 0, "TIME", offsetof(struct logs_options, since), option_string,
     "only what is younger: 10m, or a time like 2026-11-21T17:30:00 (UTC)"},
    {"until", 0, "TIME", offsetof(struct logs_options, until), option_string, "only what is older"},
    {"timestamps", 't', NULL, offsetof(struct logs_options, timestamps), option_flag,
     "show when each line was printed"},
    {0},
};

struct logs {
    const struct logs_options *o;
    const struct snapshot *container;
    const char *since, *until; /* as the log writes times: they sort as text; NULL: without end */
    struct log_files files;
    char *line;
    size_t room;
};

static int parse_time(const struct runtime *rt, const char *option, const char *text, const char **since,
                      struct error *err)
{
    struct timespec now;
    uint64_t ns;

    if (strlen(text) >= 10 && text[4] == '-' && text[7] == '-') {
        if (strspn(text, "0123456789-T:.Z") != strlen(text))
            return error_set(err, 0, "%s must be a time in UTC, like 2026-11-21T17:30:00Z, got \"%s\"",
                             option, text);
        *since = arena_strndup(rt->arena, text, strcspn(text, "Z"));
        return 0;
    }
    if (duration_parse(text, option, &ns, err) < 0)
        return -1;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t then = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - (int64_t)ns;
    now = (struct timespec){.tv_sec = then / 1000000000, .tv_nsec = then % 1000000000};
    *since = timestamp_format(&now, true, arena_alloc(rt->arena, TIMESTAMP_SIZE));
    return 0;
}

static int open_files(struct logs *l, struct error *err)
{
    const char *tail = l->o->tail;
    uint64_t n;

    if (!tail || strcmp(tail, "all") == 0)
        return log_files_begin(&l->files, err);
    return number_parse_u64(tail, "--tail", 0, UINT32_MAX, &n, err) < 0 ? -1
                                                                        : log_files_tail(&l->files, n, err);
}

/* "STAMP STREAM TAG TEXT\n" */
static void print_line(const struct logs *l, char *line, size_t length)
{
    char *end = line + length, *stream = memchr(line, ' ', length);
    char *tag = stream ? memchr(stream + 1, ' ', (size_t)(end - stream - 1)) : NULL;

    if (!tag || end - tag < 4 || stream - line != STAMP)
        return; /* not ours */
    if ((l->since && strncmp(line, l->since, strlen(l->since)) < 0) ||
        (l->until && strncmp(line, l->until, strlen(l->until)) > 0))
        return;
    FILE *out = strncmp(stream + 1, "stderr", 6) == 0 ? stderr : stdout;
    bool goes_on = tag[1] == 'P';
    if (l->o->timestamps)
        fwrite(line, 1, STAMP + 1, out);
    fwrite(tag + 3, 1, (size_t)(end - tag - 3) - goes_on, out);
}

/* All that the open file has in whole lines. */
static int print_file(struct logs *l, struct error *err)
{
    FILE *file = l->files.file;

    for (;;) {
        off_t start = ftello(file);
        ssize_t n = getline(&l->line, &l->room, file);

        if (n > 0 && l->line[n - 1] == '\n') {
            print_line(l, l->line, (size_t)n);
            continue;
        }
        if (ferror(file) || fseeko(file, start, SEEK_SET) < 0)
            return error_set(err, errno, "read the log");
        clearerr(file);
        return fflush(stdout) != 0 || fflush(stderr) != 0 ? error_set(err, errno, "write the log's lines")
                                                          : 0;
    }
}

/* All that is there. What was added to a file before it was full is read when it is known to be. */
static int print_lines(struct logs *l, struct error *err)
{
    if (print_file(l, err) < 0)
        return -1;
    while (log_files_is_full(&l->files))
        if (print_file(l, err) < 0 || log_files_next(&l->files, err) < 0 || print_file(l, err) < 0)
            return -1;
    return 0;
}

static int follow(struct logs *l, struct error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
    struct snapshot_exit e;
    bool over;

    do {
        if (snapshot_exit_read(l->container, &e, err) < 0)
            return -1;
        over = e.known || !e.alive;
        if (!over)
            nanosleep(&pause, NULL);
        if (print_lines(l, err) < 0)
            return -1;
    } while (!over);
    return 0;
}

/* One that was only created has printed nothing, and no file is open. */
static int open_log(struct logs *l, const struct keeper_record *r, struct error *err)
{
    struct snapshot_exit e;

    if (r->log.off)
        return error_set(err, 0, "container %s keeps no log: --log-driver none", l->container->id);
    if (open_files(l, err) == 0)
        return 0;
    if (err->code != ENOENT)
        return -1;
    error_clear(err);
    if (snapshot_exit_read(l->container, &e, err) < 0)
        return -1;
    return e.created
               ? 0
               : error_set(err, 0, "container %s keeps no log: only detached ones do", l->container->id);
}

static int logs(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    struct logs l = {.o = options};
    struct keeper_record record;
    struct store s;
    struct snapshot c;

    if ((l.o->since && parse_time(rt, "--since", l.o->since, &l.since, err) < 0) ||
        (l.o->until && parse_time(rt, "--until", l.o->until, &l.until, err) < 0) ||
        keeper_open(rt, arguments->v[0], &s, &c, err) < 0 ||
        keeper_record_read(rt->arena, &c, &record, err) < 0)
        return -1;
    l.container = &c;
    l.files = (struct log_files){.arena = rt->arena, .dir = c.dir};
    if (open_log(&l, &record, err) < 0)
        return -1;
    int rc = l.files.file ? print_lines(&l, err) : 0;
    if (rc == 0 && l.files.file && l.o->follow)
        rc = follow(&l, err);
    free(l.line);
    log_files_close(&l.files);
    return rc;
}

const struct command logs_command = {
    .name = "logs",
    .arguments = "CONTAINER",
    .summary = "show what a detached container printed",
    .options = rows,
    .options_size = sizeof(struct logs_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .failure_status = EXIT_LIKE_PODMAN,
    .run = logs,
};
