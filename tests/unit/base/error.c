/* The chain of an error's words, and what becomes of it when it is too long. */
#include "base/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(error, a_chain_of_words)
{
    struct error err = {0};

    cr_assert_eq(error_set(&err, ENOENT, "open %s", "a"), -1);
    cr_assert_eq(error_wrap(&err, "read the state of %s", "b"), -1);
    cr_assert_str_eq(err.message, "read the state of b: open a: No such file or directory");
    cr_assert_eq(err.code, ENOENT);
}

Test(error, what_controls_a_terminal_is_not_passed_on)
{
    struct error err = {0};

    error_set(&err, 0, "no command \"%s\"", "\x1b[2J\x7f");
    cr_assert_str_eq(err.message, "no command \"?[2J?\"");
}

Test(error, the_end_of_a_chain_that_is_too_long_is_dots)
{
    struct error err = {0};
    char name[sizeof(err.message) + 100];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    error_set(&err, ENOENT, "open %s", name);
    cr_assert_eq(strlen(err.message), sizeof(err.message) - 1);
    error_wrap(&err, "state");
    cr_assert_eq(strlen(err.message), sizeof(err.message) - 1);
    cr_assert_str_eq(err.message + sizeof(err.message) - 6, "nn...");
    cr_assert_eq(strncmp(err.message, "state: open nnn", 15), 0);
}
