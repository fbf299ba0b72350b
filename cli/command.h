/*
 * A command is a row of data and one function. main.c parses its options by the row's table into a zeroed
 * struct of options_size bytes, checks the number of arguments, and calls run(), which calls the runtime and
 * prints.
 */
#pragma once

#include "cli/options.h"
#include "runtime/container.h"

enum { ARGUMENTS_ANY = -1 };

enum {
    EXIT_LIKE_PODMAN = 125 /* hull's own failure, where another status is the container's: also of usage */
};

enum format { FORMAT_TABLE, FORMAT_JSON }; /* --format table|json */

struct command {
    const char *name;
    const char *arguments; /* for the usage line: "CONTAINER [SIGNAL]" */
    const char *summary;   /* for `hull --help`; the first line of the command's own */
    const char *details;   /* more for the command's own --help; may be NULL */
    const struct option_row *options;
    size_t options_size;
    int min_arguments, max_arguments;
    enum options_order order;
    bool creates;       /* makes a container, or its config.json: isolation is asked for */
    bool of_container;  /* the first argument is one that runs: the first digits of its id will do */
    int failure_status; /* exit status of a failure that does not bring its own; 0: 1 */

    /** Returns the exit status (>= 0), or -1 with @err. */
    int (*run)(const struct runtime *rt, void *options, const struct string_list *arguments,
               struct error *err);
};

extern const struct command attach_command, check_command, cp_command, create_command, create_image_command,
    delete_command, events_command, exec_command, features_command, kill_command, list_command, logs_command,
    pause_command, ps_command, resume_command, rm_command, run_command, run_image_command, spec_command,
    start_command, state_command, stats_command, stop_command, update_command, volume_command, wait_command;

/** Write all of @text to standard output; a failure (a full disk, a closed pipe) is the command's failure. */
int print_text(const char *text, size_t length, struct error *err);

/** An error of the one who typed: adds where help is (@command NULL: the global one), and exits with 1, or as podman does,
 * whatever the command's own status is. */
int usage_error(const struct command *command, struct error *err);

/** What --help prints. */
int command_help(struct arena *a, const struct command *command, struct error *err);

/** An error of usage unless @n is a number of arguments that the command takes. */
int command_check_arguments(const struct command *command, size_t n, struct error *err);

/** --isolation behind the command's name (@said by option_choice_said of "container|vm"): who asks for a virtual machine.
 * Nobody takes back there what another has asked for. */
int command_isolation(int said, const char **vm_asker, struct error *err);

/** For --regex: the ids in the state directory that match the POSIX extended regular expression @pattern. */
int containers_matching(const struct runtime *rt, const char *pattern, struct string_list *ids,
                        struct error *err);

/** Do @action to each id; all are tried. One failure is returned as it is, of more the first, the others are
 * logged. */
int for_each_container(const struct runtime *rt, const struct string_list *ids,
                       int (*action)(const struct runtime *rt, const char *id, const void *data,
                                     struct error *err),
                       const void *data, struct error *err);
