/*
 * The option grammar as a table: a command line, and what comes of it - the values and the arguments in one
 * line of text, or the complaint.
 */
#include "cli/options.h"

#include <criterion/criterion.h>
#include <string.h>

struct target {
    bool all, tty, detach;
    const char *bundle, *user;
    struct string_list env;
    unsigned preserve_fds;
    enum { TABLE, JSON, YAML } format;
};

#define ROW(name, letter, value, field, parse)                                                               \
    {                                                                                                        \
        name, letter, value, offsetof(struct target, field), parse, "help of " name                          \
    }

static const struct option_row rows[] = {
    ROW("all", 'a', NULL, all, option_flag),
    ROW("tty", 't', NULL, tty, option_flag),
    ROW("detach", 'd', NULL, detach, option_flag),
    ROW("bundle", 'b', "DIR", bundle, option_string),
    ROW("user", 'u', "UID", user, option_string),
    ROW("env", 'e', "NAME=VALUE", env, option_environment),
    ROW("preserve-fds", 0, "N", preserve_fds, option_preserve_fds),
    ROW("format", 'f', "table|json|yaml", format, option_choice),
    {0},
};

static const char *join(struct arena *a, const char *text, const char *before, const struct string_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        text = arena_printf(a, "%s%s%s", text, before, list->v[i]);
    return text;
}

/* "all tty bundle=/x env=A=1 [arg] [arg]"; only what differs from zero. */
static const char *outcome(struct arena *a, const char *line, enum options_order order)
{
    static struct error err;
    struct target t = {0};
    struct string_list words = {0}, arguments = {0};
    const char *text = "";
    char *rest = arena_strdup(a, line);
    int r;

    for (char *word; (word = strsep(&rest, " "));)
        string_list_add(a, &words, strcmp(word, "''") ? word : "");
    r = options_parse(a, rows, order, words.v, &t, &arguments, &err);
    if (r)
        return r == OPTIONS_HELP ? "HELP" : arena_printf(a, "! %s", err.message);
    text = arena_printf(a, "%s%s%s", t.all ? " all" : "", t.tty ? " tty" : "", t.detach ? " detach" : "");
    if (t.bundle)
        text = arena_printf(a, "%s bundle=%s", text, t.bundle);
    if (t.user)
        text = arena_printf(a, "%s user=%s", text, t.user);
    text = join(a, text, " env:", &t.env);
    if (t.preserve_fds)
        text = arena_printf(a, "%s fds=%u", text, t.preserve_fds);
    if (t.format)
        text = arena_printf(a, "%s format=%d", text, t.format);
    text = join(a, text, " ", &arguments);
    return *text ? text + 1 : text;
}

static const struct {
    const char *line, *anywhere, *first; /* first NULL: the same */
} cases[] = {
    /* long and short, every way to write a value */
    {"--bundle /x id", "bundle=/x id", NULL},
    {"--bundle=/x id", "bundle=/x id", NULL},
    {"-bundle /x id", "bundle=/x id", NULL},
    {"-bundle=/x id", "bundle=/x id", NULL},
    {"-b /x id", "bundle=/x id", NULL},
    {"-b/x id", "bundle=/x id", NULL},
    {"-b=/x id", "bundle=/x id", NULL},
    {"--bundle=/a=b", "bundle=/a=b", NULL},
    {"--bundle= id", "id", NULL},
    {"--bundle '' id", "id", NULL},
    {"-b /x -b /y", "bundle=/y", NULL},
    {"--bundle -b", "bundle=-b", NULL},
    {"-u -1", "user=-1", NULL},
    {"-user", "! -user needs a value: -user UID", NULL},
    {"-b", "! -b needs a value: -b DIR", NULL},
    {"--bundle", "! --bundle needs a value: --bundle DIR", NULL},
    /* flags never take the next word */
    {"--tty id", "tty id", NULL},
    {"-tty id", "tty id", NULL},
    {"-t false", "tty false", NULL},
    {"--tty=false", "", NULL},
    {"--tty=False --all=1 --detach=yes", "all detach", NULL},
    {"--tty --tty=f", "", NULL},
    {"-t=0", "", NULL},
    {"-t=true", "tty", NULL},
    {"--tty=", "! --tty must be true or false, got \"\"", NULL},
    {"--tty=2", "! --tty must be true or false, got \"2\"", NULL},
    {"--tty=truest", "! --tty must be true or false, got \"truest\"", NULL},
    /* bundles of letters; a word that is a long option's name is that option */
    {"-td", "tty detach", NULL},
    {"-tdb /x", "tty detach bundle=/x", NULL},
    {"-tdb/x", "tty detach bundle=/x", NULL},
    {"-td=false", "tty", NULL},
    {"-de A=1", "detach env:A=1", NULL},
    {"-all", "all", NULL},
    {"-tz", "! unknown option -z in -tz", NULL},
    {"-z", "! unknown option -z", NULL},
    {"-9", "! unknown option -9", NULL},
    /* no abbreviations, no strangers */
    {"--det", "! unknown option --det", NULL},
    {"--detached", "! unknown option --detached", NULL},
    {"--nothing=1", "! unknown option --nothing", NULL},
    {"--=x", "! unknown option --", NULL},
    {"---all", "! unknown option ---all", NULL},
    /* where options end */
    {"id 9 --all", "all id 9", "id 9 --all"},
    {"id -h", "HELP", "id -h"},
    {"-a id -t", "all tty id", "all id -t"},
    {"-- --all", "--all", NULL},
    {"-a -- -t id", "all -t id", NULL},
    {"id -- -t", "id -t", "id -- -t"},
    {"- -a", "all -", "- -a"},
    {"'' -a", "all ", " -a"},
    /* help from anywhere, before the rest is looked at */
    {"--help", "HELP", NULL},
    {"-help", "HELP", NULL},
    {"-h", "HELP", NULL},
    {"-th --nothing", "HELP", NULL},
    {"--helpless", "! unknown option --helpless", NULL},
    /* kinds of value */
    {"-e A=1 -e B=2=3 -e C=", "env:A=1 env:B=2=3 env:C=", NULL},
    {"-e A", "! -e must be NAME=VALUE, got \"A\"", NULL},
    {"--env==1", "! --env must be NAME=VALUE, got \"=1\"", NULL},
    {"--preserve-fds 3", "fds=3", NULL},
    {"--preserve-fds -1", "! --preserve-fds: \"-1\" is not a whole number from 0 to 1048576", NULL},
    {"--preserve-fds 0x3", "! --preserve-fds: \"0x3\" is not a whole number from 0 to 1048576", NULL},
    {"--preserve-fds=4294967297", "! --preserve-fds: \"4294967297\" is not a whole number from 0 to 1048576",
     NULL},
    {"--preserve-fds=", "! --preserve-fds: \"\" is not a whole number from 0 to 1048576", NULL},
    {"-f json", "format=1", NULL},
    {"--format=yaml", "format=2", NULL},
    {"--format=table", "", NULL},
    {"--format=tab", "! --format must be one of table|json|yaml, got \"tab\"", NULL},
    {"--format=jsonl", "! --format must be one of table|json|yaml, got \"jsonl\"", NULL},
    {"--format=", "! --format must be one of table|json|yaml, got \"\"", NULL},
    {"--format=table|json", "! --format must be one of table|json|yaml, got \"table|json\"", NULL},
};

Test(cli_options, grammar)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena arena = {0};

        cr_expect_str_eq(outcome(&arena, cases[i].line, OPTIONS_ANYWHERE), cases[i].anywhere, "anywhere: %s",
                         cases[i].line);
        cr_expect_str_eq(outcome(&arena, cases[i].line, OPTIONS_FIRST),
                         cases[i].first ? cases[i].first : cases[i].anywhere, "first: %s", cases[i].line);
        arena_free(&arena);
    }
}

Test(cli_options, no_table_takes_only_help)
{
    struct arena arena = {0};
    struct error err = {0};
    struct string_list arguments = {0};
    char *help[] = {"id", "--help", NULL}, *unknown[] = {"--all", NULL};

    cr_expect_eq(options_parse(&arena, NULL, OPTIONS_ANYWHERE, help, NULL, &arguments, &err), OPTIONS_HELP);
    cr_expect_eq(options_parse(&arena, NULL, OPTIONS_ANYWHERE, unknown, NULL, &arguments, &err), -1);
    cr_expect_str_eq(err.message, "unknown option --all");
    arena_free(&arena);
}

Test(cli_options, help_names_every_option_once_and_aligned)
{
    struct arena arena = {0};
    struct buffer b = {.arena = &arena};

    options_help(&b, rows);
    for (const struct option_row *row = rows; row->name; row++) {
        const char *name = arena_printf(&arena, "--%s", row->name);
        const char *at = strstr(b.data, name), *line = at;
        const char *help = strstr(b.data, row->help);

        cr_assert(at && help, "%s", row->name);
        cr_expect_null(strstr(at + 1, name), "%s twice", row->name);
        while (line > b.data && line[-1] != '\n')
            line--;
        cr_expect_eq(help - line, (ptrdiff_t)strlen("  -f, --format table|json|yaml  "), "%s", row->name);
    }
    cr_expect(strstr(b.data, "  -h, --help "));
    arena_free(&arena);
}
