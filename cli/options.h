/*
 * Options as data: a command describes its options in one table of rows, and parsing and --help both come
 * from it (the bash completion reads --help). The values land in a plain struct of the command's own, at the
 * row's offset.
 *
 * Grammar, the union of what runc (Go's flag package) and crun (argp) take, so that engines can call either
 * way:
 *     --name VALUE   --name=VALUE   -name VALUE   -name=VALUE   -n VALUE   -nVALUE   -n=VALUE
 *     --flag   --flag=true|false   -flag   -f   -f=false   -fg (two letters)   -- (the rest are arguments)
 * A single dash means a long option only where the whole word is one's name, so "-td" stays two letters.
 * Names are not abbreviated: a script that works today must not become ambiguous with tomorrow's option. The
 * last of a repeated option wins, except for lists. getopt_long() is not used because it can have neither
 * "-td" and "-t=false" nor
 * "-bundle" and "-b" side by side, and keeps its state in globals.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "runtime/spec/spec.h"

struct option_row;

/* One use of an option on the command line. */
struct option_use {
    struct arena *arena;
    const struct option_row *row;
    const char *what; /* as it was written: "--user", "-u" */
    const char *text; /* the value */
};

/** Store the value at @field. 0, or -1 with an error that starts with use->what. */
typedef int option_parser(const struct option_use *use, void *field, struct error *err);

struct option_row {
    const char *name;  /* long name; NULL ends the table */
    char letter;       /* short name, 0 for none */
    const char *value; /* what --help calls the value; NULL: a boolean, "true" when written without a value */
    size_t offset;     /* of the field in the target struct */
    option_parser *parse;
    const char *help;
};

enum options_order {
    OPTIONS_ANYWHERE, /* options may follow arguments: kill ID --all */
    OPTIONS_FIRST,    /* the first argument ends the options: exec ID ls -l */
};

enum { OPTIONS_HELP = 1 };

/**
 * Parse @argv (NULL-terminated, without the command's name) by @rows into @target; what is no option goes to
 * @arguments. Returns 0, OPTIONS_HELP as soon as -h or --help is met, or -1 with @err.
 */
int options_parse(struct arena *a, const struct option_row *rows, enum options_order order, char *const *argv,
                  void *target, struct string_list *arguments, struct error *err);

/** Append one aligned line per row, and one for --help. @rows may be NULL. */
void options_help(struct buffer *b, const struct option_row *rows);

/* Parsers for the usual kinds of field. */
option_parser option_flag;         /* bool */
option_parser option_string;       /* const char *; "" means not given, as in Go's flags */
option_parser option_list;         /* struct string_list; each use appends */
option_parser option_environment;  /* struct string_list of NAME=VALUE */
option_parser option_preserve_fds; /* unsigned */
option_parser option_now;          /* uint64_t: a flag; CLOCK_MONOTONIC in ns when it is set, else 0 */
option_parser option_interval;     /* uint64_t, nanoseconds, more than 0: "5s", "100ms" */
option_parser option_choice;       /* int or enum: which of the row's value, "table|json", counted from 0 */
option_parser option_choice_said;  /* int: the same, counted from 1; 0 is for an option that was not given */

void string_list_add(struct arena *a, struct string_list *list, const char *text);
