/* stop, wait and rm: the ends of containers from images; and `list --all`. What a container is: images/snapshot.h. */
#include "cli/containers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/number.h"
#include "base/signals.h"
#include "base/timestamp.h"
#include "cli/keeper.h"
#include "cli/table.h"

enum {
    STOP_SECONDS = 10,
    STOP_SECONDS_MAX = 86400,
    KILL_WAIT_MS = 10000,
    COMMAND_WIDTH = 30,
    EXIT_IS_RUNNING = 2,
    ID_WIDTH = 12
};

/* As podman does when it is done. */
static int print_name(const struct runtime *rt, const char *id, struct error *err)
{
    const char *line = arena_printf(rt->arena, "%s\n", id);

    return print_text(line, strlen(line), err);
}

/* Containers are named, or all are meant. */
static int check_ids(const struct runtime *rt, const struct command *command, bool all,
                     struct string_list *ids, struct error *err)
{
    struct store s;

    if (all == (ids->n > 0)) {
        error_set(err, 0, "%s: give containers, or --all", command->name);
        return usage_error(command, err);
    }
    return all && (store_open(rt->arena, rt->store, rt->rootless, &s, err) < 0 ||
                   snapshot_ids(&s, ids, err) < 0)
               ? -1
               : 0;
}

/* --- stop ---------------------------------------------------------------------------------------------------------- */

struct stop_options {
    const char *time, *signal;
    bool all, ignore;
};

static const struct option_row stop_rows[] = {
    {"time", 't', "SECONDS", offsetof(struct stop_options, time), option_string,
     "kill it when it has not ended by then (default: 10)"},
    {"signal", 's', "SIGNAL", offsetof(struct stop_options, signal), option_string,
     "ask it by this signal (default: the image's, or TERM)"},
    {"all", 'a', NULL, offsetof(struct stop_options, all), option_flag, "all that run"},
    {"ignore", 'i', NULL, offsetof(struct stop_options, ignore), option_flag,
     "one that does not exist is no error"},
    {0},
};

struct stop {
    bool ignore;
    uint64_t seconds;
    int signal; /* 0: the image's */
};

static int image_signal(const struct runtime *rt, const struct snapshot *c, int *number, struct error *err)
{
    struct keeper_record r;

    *number = SIGTERM;
    if (keeper_record_read(rt->arena, c, &r, err) < 0)
        return -1;
    if (r.stop_signal && signal_parse(r.stop_signal, number, err) < 0)
        return error_wrap(err, "the image's stop signal (--signal says another)");
    return 0;
}

static int signal_and_wait(const struct runtime *rt, const struct snapshot *c, int number, uint64_t ms,
                           struct error *err)
{
    struct snapshot_exit e;

    if (container_kill(rt, c->id, number, number == SIGKILL, err) < 0) {
        if (keeper_wait(c, 0, &e, NULL) == 0)
            return -1;
        error_clear(err); /* it ended meanwhile */
        return 1;
    }
    return keeper_wait(c, (int64_t)ms, &e, err);
}

static int stop_one(const struct runtime *rt, const char *id, const void *data, struct error *err)
{
    const struct stop *o = data;
    struct store s;
    struct snapshot c;
    struct snapshot_exit e;
    int number = o->signal;

    if (keeper_open(rt, id, &s, &c, err) < 0)
        return o->ignore && err->code == ENOENT ? 0 : -1;
    if (snapshot_exit_read(&c, &e, err) < 0)
        return -1;
    if (e.known || e.created)
        return print_name(rt, id, err);
    if (!e.alive) /* its keeper was killed: nobody would tell when it ends */
        return container_kill(rt, c.id, SIGKILL, true, err) < 0 ? -1 : print_name(rt, id, err);
    if (!number && image_signal(rt, &c, &number, err) < 0)
        return -1;
    int over = signal_and_wait(rt, &c, number, o->seconds * 1000, err);
    if (over == 0)
        over = signal_and_wait(rt, &c, SIGKILL, KILL_WAIT_MS, err);
    if (over == 0)
        return error_set(err, 0, "container %s is still there after SIGKILL", c.id);
    return over < 0 ? -1 : print_name(rt, id, err);
}

static int stop(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    const struct stop_options *words = options;
    struct stop o = {.seconds = STOP_SECONDS, .ignore = words->ignore};
    struct string_list ids = *arguments;

    if (check_ids(rt, &stop_command, words->all, &ids, err) < 0)
        return -1;
    if ((words->time && number_parse_u64(words->time, "--time", 0, STOP_SECONDS_MAX, &o.seconds, err) < 0) ||
        (words->signal && signal_parse(words->signal, &o.signal, err) < 0))
        return -1;
    return for_each_container(rt, &ids, stop_one, &o, err);
}

const struct command stop_command = {
    .name = "stop",
    .arguments = "CONTAINER...",
    .summary = "end containers that were run from an image",
    .details = "Asks by the image's stop signal, and kills what has not ended in time.\n",
    .options = stop_rows,
    .options_size = sizeof(struct stop_options),
    .max_arguments = ARGUMENTS_ANY,
    .failure_status = EXIT_LIKE_PODMAN,
    .run = stop,
};

/* --- wait ---------------------------------------------------------------------------------------------------------- */

struct wait_options {
    const char *interval;
    bool ignore;
    int condition;
};

static const struct option_row wait_rows[] = {
    {"ignore", 0, NULL, offsetof(struct wait_options, ignore), option_flag,
     "one that does not exist has the status -1"},
    {"interval", 'i', "TIME", offsetof(struct wait_options, interval), option_string,
     "ignored, for podman's sake: it is not asked again and again"},
    {"condition", 0, "stopped|exited", offsetof(struct wait_options, condition), option_choice,
     "what is waited for: the same"},
    {0},
};

static int wait_one(const struct runtime *rt, const char *id, const void *data, struct error *err)
{
    struct store s;
    struct snapshot c;
    struct snapshot_exit e;
    const char *text;

    const struct wait_options *o = data;
    if (keeper_open(rt, id, &s, &c, err) < 0)
        return o->ignore && err->code == ENOENT ? print_text("-1\n", 3, err) : -1;
    if (keeper_wait(&c, -1, &e, err) < 0)
        return -1;
    if (!e.known && !e.created)
        return error_set(err, 0, "how container %s ended is unknown: who looked after it was killed", c.id);
    text = arena_printf(rt->arena, "%d\n", e.status);
    return print_text(text, strlen(text), err);
}

static int wait_for(const struct runtime *rt, void *options, const struct string_list *arguments,
                    struct error *err)
{
    return for_each_container(rt, arguments, wait_one, options, err);
}

const struct command wait_command = {
    .name = "wait",
    .arguments = "CONTAINER...",
    .summary = "wait until containers that were run from an image have ended, print their exit status",
    .options = wait_rows,
    .options_size = sizeof(struct wait_options),
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .failure_status = EXIT_LIKE_PODMAN,
    .run = wait_for,
};

/* --- rm ------------------------------------------------------------------------------------------------------------ */

struct rm_options {
    bool force, all, volumes, ignore;
    const char *time;
};

static const struct option_row rm_rows[] = {
    {"force", 'f', NULL, offsetof(struct rm_options, force), option_flag,
     "kill a running one first; one that does not exist is no error"},
    {"all", 'a', NULL, offsetof(struct rm_options, all), option_flag,
     "all that have ended (with --force: all)"},
    {"volumes", 'v', NULL, offsetof(struct rm_options, volumes), option_flag,
     "and their anonymous volumes, as --rm does"},
    {"ignore", 'i', NULL, offsetof(struct rm_options, ignore), option_flag,
     "one that does not exist is no error"},
    {"time", 't', "SECONDS", offsetof(struct rm_options, time), option_string,
     "ignored, for podman's sake: --force does not ask"},
    {0},
};

/* One that ran with --rm, whose monitor calls. */
static bool was_to_go(const struct runtime *rt, const struct snapshot *c)
{
    struct keeper_record r;

    return keeper_record_read(rt->arena, c, &r, NULL) == 0 && r.rm;
}

static int rm_one(const struct runtime *rt, const char *id, const void *data, struct error *err)
{
    const struct rm_options *o = data;
    struct store s;
    struct snapshot c;
    struct snapshot_exit e;

    if (keeper_open(rt, id, &s, &c, err) < 0) {
        err->exit_code = EXIT_FAILURE;
        return (o->force || o->ignore) && err->code == ENOENT ? 0 : -1;
    }
    int rc = snapshot_exit_read(&c, &e, err);
    bool runs = e.alive && !e.known && !e.created;
    if (rc == 0 && runs && o->all && !o->force)
        return 0;
    if (rc == 0 && runs && !o->force) {
        rc = error_set(err, 0, "container %s is running: stop it first, or use --force", c.id);
        err->exit_code = EXIT_IS_RUNNING;
    }
    if (rc == 0)
        rc = keeper_remove(rt, &s, &c, o->volumes || was_to_go(rt, &c), err);
    snapshot_close(&c);
    store_close(&s);
    return rc < 0 ? -1 : print_name(rt, id, err);
}

static int rm(const struct runtime *rt, void *options, const struct string_list *arguments, struct error *err)
{
    const struct rm_options *o = options;
    struct string_list ids = *arguments;

    return check_ids(rt, &rm_command, o->all, &ids, err) < 0 ? -1
                                                             : for_each_container(rt, &ids, rm_one, o, err);
}

const struct command rm_command = {
    .name = "rm",
    .arguments = "CONTAINER...",
    .summary = "remove containers that were run from an image, and what they wrote",
    .options = rm_rows,
    .options_size = sizeof(struct rm_options),
    .max_arguments = ARGUMENTS_ANY,
    .failure_status = EXIT_LIKE_PODMAN,
    .run = rm,
};

/* --- list --all ---------------------------------------------------------------------------------------------------- */

struct line {
    const char *id, *status, *finished;
    struct keeper_record record;
    struct snapshot_exit exit;
    pid_t pid;
};

/* The runtime knows what lives; how the others ended is written down. */
static int look_at(const struct runtime *rt, struct store *s, const char *id, struct line *out,
                   struct error *err)
{
    struct snapshot c;
    struct container live;
    struct error ignored = {0};
    struct timespec finished = {0};

    *out = (struct line){.id = id, .status = "dead"};
    if (snapshot_open(s, id, &c, err) < 0)
        return -1;
    int rc = snapshot_exit_read(&c, &out->exit, err);
    if (keeper_record_read(rt->arena, &c, &out->record, &ignored) < 0)
        out->record = (struct keeper_record){0}; /* half made */
    snapshot_close(&c);
    if (rc < 0)
        return -1;
    if (out->exit.known) {
        out->status = arena_printf(rt->arena, "exited (%d)", out->exit.status);
        finished.tv_sec = out->exit.finished;
        out->finished = timestamp_format(&finished, false, arena_alloc(rt->arena, TIMESTAMP_SIZE));
    } else if (out->exit.created) {
        out->status = "created";
    } else if (container_load(rt, id, &live, &ignored) == 0) {
        out->status = container_status_name(live.status);
        out->pid = live.pid;
    } else if (out->exit.alive) {
        out->status = "creating";
    }
    return 0;
}

static const char *or_none(const char *text)
{
    return text ? text : "";
}

static void print_line_json(struct json_writer *w, const struct line *l)
{
    const struct {
        const char *key, *value;
    } strings[] = {{"id", l->id},
                   {"image", l->record.image},
                   {"imageID", l->record.image_id},
                   {"command", l->record.command},
                   {"created", l->record.created},
                   {"finished", l->finished},
                   {"status", l->status}};

    json_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        if (strings[i].value) {
            json_key(w, strings[i].key);
            json_string(w, strings[i].value);
        }
    if (l->exit.known) {
        json_key(w, "exitCode");
        json_int(w, l->exit.status);
    }
    if (l->pid) {
        json_key(w, "pid");
        json_int(w, l->pid);
    }
    json_object_end(w);
}

static void print_lines(struct buffer *b, const struct line *lines, size_t n, enum format format)
{
    struct text_table t = {.arena = b->arena, .columns = 5, .gap = 3};

    if (format == FORMAT_JSON) {
        struct json_writer w = json_writer_begin(b->arena, false);
        json_array(&w);
        for (size_t i = 0; i < n; i++)
            print_line_json(&w, &lines[i]);
        json_array_end(&w);
        buffer_printf(b, "%s\n", json_writer_end(&w, NULL));
        return;
    }
    text_table_add(&t, (const char *[]){"ID", "IMAGE", "COMMAND", "CREATED", "STATUS"});
    for (size_t i = 0; i < n; i++) {
        const struct line *l = &lines[i];
        bool random = keeper_id_is_random(l->id);

        text_table_add(&t,
                       (const char *[]){random ? arena_strndup(b->arena, l->id, ID_WIDTH) : l->id,
                                        or_none(l->record.image),
                                        arena_strndup(b->arena, or_none(l->record.command), COMMAND_WIDTH),
                                        arena_strndup(b->arena, or_none(l->record.created), 19), l->status});
    }
    text_table_print(&t, b);
}

int list_all(const struct runtime *rt, enum format format, bool quiet, struct error *err)
{
    struct buffer b = {.arena = rt->arena};
    struct string_list ids;
    struct store s;
    size_t n = 0;

    if (store_open(rt->arena, rt->store, rt->rootless, &s, err) < 0 || snapshot_ids(&s, &ids, err) < 0)
        return -1;
    struct line *lines = arena_new_n(rt->arena, ids.n + 1, struct line);
    for (size_t i = 0; i < ids.n; i++) {
        struct error failure = {0};

        if (look_at(rt, &s, ids.v[i], &lines[n], &failure) == 0)
            n++;
        else if (failure.code != ENOENT)
            log_warning("list: %s", failure.message);
    }
    for (size_t i = 0; quiet && i < n; i++)
        buffer_printf(&b, "%s\n", lines[i].id);
    if (!quiet)
        print_lines(&b, lines, n, format);
    return print_text(b.data ? b.data : "", b.length, err);
}
