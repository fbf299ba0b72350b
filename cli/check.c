/* check: what this host can do, and what to do about the rest. The probes are runtime/check.c's; this prints them. */
#include <string.h>

#include "cli/command.h"
#include "runtime/check.h"

enum check_isolation { CHECK_CONTAINER, CHECK_VM }; /* in the order of the row's choices */

struct check_options {
    enum format format;
    enum check_isolation isolation;
};

static const struct option_row rows[] = {
    {"format", 'f', "table|json", offsetof(struct check_options, format), option_choice,
     "how to print (default: table)"},
    {"isolation", 0, "container|vm", offsetof(struct check_options, isolation), option_choice,
     "what the exit status speaks of: containers (default) or sandboxes"},
    {0},
};

static const char *colour(enum check_status status, bool on)
{
    static const char *const sequences[] = {
        [CHECK_OK] = "\033[32m", [CHECK_WARN] = "\033[33m", [CHECK_NO] = "\033[31m"};

    return on ? sequences[status] : "";
}

static void print_line(struct buffer *b, int width, const struct check_result *r, bool coloured)
{
    buffer_printf(b, "  %-*s  %s%-4s%s  %s\n", width, r->name, colour(r->status, coloured),
                  check_status_name(r->status), coloured ? "\033[0m" : "", r->detail);
    if (r->remedy)
        buffer_printf(b, "  %-*s        %s\n", width, "", r->remedy);
}

static void print_verdict(struct buffer *b, const char *what, bool can, bool coloured)
{
    enum check_status status = can ? CHECK_OK : CHECK_NO;

    buffer_printf(b, "%s: %s%s%s\n", what, colour(status, coloured), can ? "yes" : "no",
                  coloured ? "\033[0m" : "");
}

static void print_table(struct buffer *b, const struct check_report *report, bool coloured)
{
    int width = 0;

    for (size_t i = 0; i < report->n; i++)
        if ((int)strlen(report->results[i].name) > width)
            width = (int)strlen(report->results[i].name);
    for (size_t i = 0; i < report->n; i++) {
        const struct check_result *r = &report->results[i];

        if (i == 0 || strcmp(r->group, r[-1].group))
            buffer_printf(b, "%s%s\n", i ? "\n" : "", r->group);
        print_line(b, width, r, coloured);
    }
    buffer_puts(b, "\n");
    print_verdict(b, "containers can run", report->containers, coloured);
    print_verdict(b, "sandboxes can run", report->sandboxes, coloured);
}

static void print_json(struct buffer *b, const struct check_report *report)
{
    struct json_writer w = json_writer_begin(b->arena, true);
    size_t length;
    char *text;

    json_object(&w);
    json_key(&w, "containers");
    json_bool(&w, report->containers);
    json_key(&w, "sandboxes");
    json_bool(&w, report->sandboxes);
    json_key(&w, "checks");
    json_array(&w);
    for (size_t i = 0; i < report->n; i++) {
        const struct check_result *r = &report->results[i];
        const char *const members[][2] = {{"name", r->name},
                                          {"group", r->group},
                                          {"status", check_status_name(r->status)},
                                          {"detail", r->detail},
                                          {"remedy", r->remedy}};

        json_object(&w);
        for (size_t m = 0; m < ARRAY_SIZE(members); m++) {
            json_key(&w, members[m][0]);
            json_string(&w, members[m][1]);
        }
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    text = json_writer_end(&w, &length);
    buffer_add(b, text, length);
    buffer_puts(b, "\n");
}

static int check(const struct runtime *rt, void *options, const struct string_list *arguments,
                 struct error *err)
{
    const struct check_options *o = options;
    struct buffer b = {.arena = rt->arena};
    struct check_report report;

    (void)arguments;
    host_check(rt->arena, rt->root, &report);
    if (o->format == FORMAT_JSON)
        print_json(&b, &report);
    else
        print_table(&b, &report, isatty(STDOUT_FILENO));
    if (print_text(b.data, b.length, err) < 0)
        return -1;
    return (o->isolation == CHECK_VM ? report.sandboxes : report.containers) ? 0 : 1;
}

const struct command check_command = {
    .name = "check",
    .arguments = "",
    .summary = "say what this host can do, and what to do about the rest",
    .details =
        "Exits with 0 when containers (with --isolation=vm: sandboxes) can run here, with 1 when not.\n",
    .options = rows,
    .options_size = sizeof(struct check_options),
    .run = check,
};
