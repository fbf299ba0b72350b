/*
 * The option parser (grammar: see options.h). One pass over argv; each word is an argument, a long option, or
 * a bundle of letters. Booleans never take the next word, all others always have a value: from "=", from the
 * rest of a bundle, or the next word, whatever it looks like ("-u -1" is the value "-1", which the strict
 * number parser then refuses).
 */
#include "cli/options.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/duration.h"
#include "base/number.h"

enum { PRESERVE_FDS_MAX = 1 << 20 }; /* fs.nr_open's default: no process has more */

struct parse {
    struct arena *arena;
    const struct option_row *rows;
    char *const *next; /* the word after the current one */
    void *target;
    struct error *err;
};

static const struct option_row *find_name(const struct option_row *rows, const char *name, size_t length)
{
    for (; rows && rows->name; rows++)
        if (!strncmp(rows->name, name, length) && !rows->name[length])
            return rows;
    return NULL;
}

static const struct option_row *find_letter(const struct option_row *rows, char letter)
{
    for (; rows && rows->name; rows++)
        if (rows->letter == letter)
            return rows;
    return NULL;
}

/* @value NULL: none was attached to the option. */
static int store(struct parse *p, const struct option_row *row, const char *what, const char *value)
{
    if (!value)
        value = row->value ? *p->next : "true";
    if (!value)
        return error_set(p->err, 0, "%s needs a value: %s %s", what, what, row->value);
    if (row->value && value == *p->next)
        p->next++;
    struct option_use use = {.arena = p->arena, .row = row, .what = what, .text = value};
    return row->parse(&use, (char *)p->target + row->offset, p->err);
}

static int parse_long(struct parse *p, const char *word, const char *name)
{
    size_t length = strcspn(name, "=");
    const char *what = arena_strndup(p->arena, word, (size_t)(name - word) + length);
    const struct option_row *row = find_name(p->rows, name, length);

    if (!row && length == 4 && !strncmp(name, "help", 4))
        return OPTIONS_HELP;
    if (!row)
        return error_set(p->err, 0, "unknown option %s", what);
    return store(p, row, what, name[length] ? name + length + 1 : NULL);
}

static int parse_letters(struct parse *p, const char *word)
{
    for (const char *c = word + 1; *c; c++) {
        char what[] = {'-', *c, '\0'};
        const struct option_row *row = find_letter(p->rows, *c);
        const char *value = NULL;

        if (!row && *c == 'h')
            return OPTIONS_HELP;
        if (!row)
            return error_set(p->err, 0,
                             c == word + 1 && !c[1] ? "unknown option %s" : "unknown option %s in %s", what,
                             word);
        if (c[1] == '=')
            value = c + 2;
        else if (row->value && c[1])
            value = c + 1;
        if (store(p, row, what, value) < 0)
            return -1;
        if (value)
            return 0;
    }
    return 0;
}

static int parse_option(struct parse *p, const char *word)
{
    size_t length = strcspn(word + 1, "=");

    if (word[1] == '-')
        return parse_long(p, word, word + 2);
    if (length > 1 && (find_name(p->rows, word + 1, length) || !strcmp(word, "-help")))
        return parse_long(p, word, word + 1);
    return parse_letters(p, word);
}

int options_parse(struct arena *a, const struct option_row *rows, enum options_order order, char *const *argv,
                  void *target, struct string_list *arguments, struct error *err)
{
    struct parse p = {.arena = a, .rows = rows, .next = argv, .target = target, .err = err};

    while (*p.next) {
        const char *word = *p.next++;

        if (!strcmp(word, "--"))
            break;
        if (word[0] == '-' && word[1]) {
            int r = parse_option(&p, word);
            if (r)
                return r;
            continue;
        }
        string_list_add(a, arguments, word);
        if (order == OPTIONS_FIRST)
            break;
    }
    while (*p.next)
        string_list_add(a, arguments, *p.next++);
    return 0;
}

static size_t left_column(char *out, size_t size, const struct option_row *row)
{
    char letter[] = {'-', row->letter, ',', ' ', '\0'};

    return (size_t)snprintf(out, size, "  %s--%s%s%s", row->letter ? letter : "    ", row->name,
                            row->value ? " " : "", row->value ? row->value : "");
}

void options_help(struct buffer *b, const struct option_row *rows)
{
    static const struct option_row help = {.name = "help", .letter = 'h', .help = "show this help"};
    char left[128];
    size_t width = left_column(left, sizeof(left), &help);

    for (const struct option_row *row = rows; row && row->name; row++) {
        size_t length = left_column(left, sizeof(left), row);
        if (length > width)
            width = length;
    }
    for (const struct option_row *row = rows; row && row->name; row++) {
        left_column(left, sizeof(left), row);
        buffer_printf(b, "%-*s  %s\n", (int)width, left, row->help);
    }
    left_column(left, sizeof(left), &help);
    buffer_printf(b, "%-*s  %s\n", (int)width, left, help.help);
}

void string_list_add(struct arena *a, struct string_list *list, const char *text)
{
    list->v = arena_grow(a, list->v, list->n ? (list->n + 1) * sizeof(*list->v) : 0,
                         (list->n + 2) * sizeof(*list->v));
    list->v[list->n++] = arena_strdup(a, text);
    list->v[list->n] = NULL;
}

int option_choice(const struct option_use *use, void *field, struct error *err)
{
    const char *name = use->row->value;
    size_t length = strlen(use->text);

    for (int i = 0;; i++) {
        size_t n = strcspn(name, "|");

        if (n == length && !strncmp(name, use->text, n)) {
            *(int *)field = i;
            return 0;
        }
        if (!name[n])
            return error_set(err, 0, "%s must be one of %s, got \"%s\"", use->what, use->row->value,
                             use->text);
        name += n + 1;
    }
}

int option_choice_said(const struct option_use *use, void *field, struct error *err)
{
    if (option_choice(use, field, err) < 0)
        return -1;
    ++*(int *)field;
    return 0;
}

int option_flag(const struct option_use *use, void *field, struct error *err)
{
    static const char *const words[][2] = {{"true", "false"}, {"1", "0"}, {"t", "f"}, {"yes", "no"}};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        for (int no = 0; no < 2; no++)
            if (!strcasecmp(use->text, words[i][no])) {
                *(bool *)field = !no;
                return 0;
            }
    return error_set(err, 0, "%s must be true or false, got \"%s\"", use->what, use->text);
}

int option_now(const struct option_use *use, void *field, struct error *err)
{
    struct timespec now;
    bool set;

    if (option_flag(use, &set, err) < 0)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *(uint64_t *)field = set ? (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec : 0;
    return 0;
}

int option_string(const struct option_use *use, void *field, struct error *err)
{
    (void)err;
    *(const char **)field = *use->text ? use->text : NULL;
    return 0;
}

int option_list(const struct option_use *use, void *field, struct error *err)
{
    (void)err;
    string_list_add(use->arena, field, use->text);
    return 0;
}

int option_environment(const struct option_use *use, void *field, struct error *err)
{
    if (*use->text == '=' || !strchr(use->text, '='))
        return error_set(err, 0, "%s must be NAME=VALUE, got \"%s\"", use->what, use->text);
    string_list_add(use->arena, field, use->text);
    return 0;
}

int option_preserve_fds(const struct option_use *use, void *field, struct error *err)
{
    uint64_t n;

    if (number_parse_u64(use->text, use->what, 0, PRESERVE_FDS_MAX, &n, err) < 0)
        return -1;
    *(unsigned *)field = (unsigned)n;
    return 0;
}

int option_interval(const struct option_use *use, void *field, struct error *err)
{
    if (duration_parse(use->text, use->what, field, err) < 0)
        return -1;
    if (*(uint64_t *)field == 0)
        return error_set(err, 0, "%s: duration interval must be greater than 0", use->what);
    return 0;
}
