/* Lengths of time as Go's flags take them. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/duration.h"

#define S 1000000000ULL

Test(duration, what_go_takes)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } rows[] = {
        {"5s", 5 * S},
        {"100ms", S / 10},
        {"1m30s", 90 * S},
        {"2h", 7200 * S},
        {"1h1m1s1ms1us1ns", 3661001001001},
        {"1.5h", 5400 * S},
        {".5s", S / 2},
        {"1.s", S},
        {"0.123456789s", 123456000}, /* a millionth of the unit is fine enough */
        {"010s", 10 * S},
        {"3\xc2\xb5s", 3000},
        {"3\xce\xbcs", 3000},
        {"0", 0},
        {"0s", 0},
        {"9223372036854775807ns", 9223372036854775807ULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        uint64_t ns = 1;

        cr_expect_eq(duration_parse(rows[i].text, "--interval", &ns, &err), 0, "%s", err.message);
        cr_expect_eq(ns, rows[i].ns, "%s is %llu", rows[i].text, (unsigned long long)ns);
    }
}

Test(duration, what_is_none)
{
    static const char *const rows[] = {
        "",
        "5",
        "s",
        "-5s",
        "+5s",
        "5 s",
        " 5s",
        "5s ",
        "5x",
        "5S",
        "1m30",
        ".s",
        "1..5s",
        "1,5s",
        "1e3s",
        "5ss",
        "5sm",
        "00",
        "9223372036854775808ns",
        "99999999999999999999s",
        "2562047789h",
        "0x5s",
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        uint64_t ns;

        cr_expect_eq(duration_parse(rows[i], "--interval", &ns, &err), -1, "\"%s\" is taken", rows[i]);
        cr_expect(strstr(err.message, "--interval: \""), "%s", err.message);
    }
}
