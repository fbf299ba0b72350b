/* Signal names in and out. */
#include "base/signals.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(signals, unknown_ones_are_refused)
{
    static const char *const bad[] = {
        "",       "SIG",        "0x9",     "-9",       "+9",         "65",      "TERM ",
        " TERM",  "SIGSIGTERM", "FOO",     "RTMIN+31", "RTMAX-31",   "RTMIN-1", "RTMAX+1",
        "RTMIN+", "RTMIN+-1",   "RTMIN+x", "RTMIN3",   "4294967305", "9 ",      "9x"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int sig = 42;
        struct error err;
        cr_expect_eq(signal_parse(bad[i], &sig, &err), -1, "took \"%s\" as %d", bad[i], sig);
    }
}

Test(signals, names_and_numbers)
{
    const struct {
        const char *text;
        int sig;
    } good[] = {{"TERM", SIGTERM},
                {"SIGTERM", SIGTERM},
                {"term", SIGTERM},
                {"sigterm", SIGTERM},
                {"15", SIGTERM},
                {"KILL", SIGKILL},
                {"0", 0},
                {"64", 64},
                {"CLD", SIGCHLD},
                {"SIGPOLL", SIGIO},
                {"WINCH", SIGWINCH},
                {"RTMIN", SIGRTMIN},
                {"RTMIN+3", SIGRTMIN + 3},
                {"SIGRTMAX-1", SIGRTMAX - 1},
                {"rtmax", SIGRTMAX},
                {"SIGRTMIN+30", 64}};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        int sig = -1;
        cr_expect_eq(signal_parse(good[i].text, &sig, NULL), 0, "%s", good[i].text);
        cr_expect_eq(sig, good[i].sig, "%s gave %d", good[i].text, sig);
    }
}

Test(signals, every_name_reads_back)
{
    for (int sig = 1; sig <= 64; sig++) {
        const char *name = signal_name(sig);
        int back = -1;
        if (sig == 32 || sig == 33) {
            cr_expect_null(name, "%d is the C library's own", sig);
            continue;
        }
        cr_assert(name, "%d", sig);
        cr_expect_eq(signal_parse(name, &back, NULL), 0, "%s", name);
        cr_expect_eq(back, sig, "%s", name);
    }
    cr_expect_str_eq(signal_name(SIGCHLD), "SIGCHLD");
    cr_expect_str_eq(signal_name(SIGRTMIN + 3), "SIGRTMIN+3");
    cr_expect_null(signal_name(0));
    cr_expect_null(signal_name(65));
    cr_expect_null(signal_name(-1));
}
