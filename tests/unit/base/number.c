/* Strict numbers: CVE-2026-30892 and its kin. */
#include "base/number.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const never[] = {
    "",
    "+1",
    " 1",
    "1 ",
    "0x10",
    "1e3",
    "018446744073709551616",
    "1.0",
    "-",
    "--1",
    "-0",
    "00",
    "01",
    "-01",
    "1\n",
    "\t1",
    "1,000",
    "1_0",
    "0b1",
    "0o7",
    "NaN",
    "inf",
    "\xd9\xa1",
    "18446744073709551616",
    "18446744073709551617",
    "36893488147419103233",
    "99999999999999999999999999",
    "1-1",
    "-9223372036854775809",
    "1\x01",
};

Test(number, what_is_no_number_is_refused)
{
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        uint64_t u = 42;
        int64_t s = 42;
        struct error err = {0};
        cr_expect_eq(number_parse_u64(never[i], "--user", 0, UINT64_MAX, &u, &err), -1, "u64 took \"%s\"",
                     never[i]);
        cr_expect(strncmp(err.message, "--user: \"", 9) == 0, "%s", err.message);
        cr_expect_eq(number_parse_i64(never[i], "--user", INT64_MIN, INT64_MAX, &s, &err), -1,
                     "i64 took \"%s\"", never[i]);
        cr_expect(u == 42 && s == 42, "the result was touched");
    }
    uint64_t u;
    cr_expect_eq(number_parse_u64("-1", "u", 0, UINT64_MAX, &u, NULL), -1);
}

Test(number, ranges_are_inclusive)
{
    uint64_t u;
    cr_expect(number_parse_u64("0", "u", 0, UINT32_MAX, &u, NULL) == 0 && u == 0);
    cr_expect(number_parse_u64("4294967295", "u", 0, UINT32_MAX, &u, NULL) == 0 && u == UINT32_MAX);
    cr_expect_eq(number_parse_u64("4294967296", "u", 0, UINT32_MAX, &u, NULL), -1);
    cr_expect(number_parse_u64("18446744073709551615", "u", 0, UINT64_MAX, &u, NULL) == 0 && u == UINT64_MAX);
    cr_expect_eq(number_parse_u64("4", "u", 5, 6, &u, NULL), -1);
    cr_expect_eq(number_parse_u64("7", "u", 5, 6, &u, NULL), -1);

    int64_t s;
    cr_expect(number_parse_i64("-9223372036854775808", "s", INT64_MIN, INT64_MAX, &s, NULL) == 0 &&
              s == INT64_MIN);
    cr_expect(number_parse_i64("9223372036854775807", "s", INT64_MIN, INT64_MAX, &s, NULL) == 0 &&
              s == INT64_MAX);
    cr_expect_eq(number_parse_i64("9223372036854775808", "s", INT64_MIN, INT64_MAX, &s, NULL), -1);
    cr_expect(number_parse_i64("-1000", "s", -1000, 1000, &s, NULL) == 0 && s == -1000);
    cr_expect_eq(number_parse_i64("-1001", "s", -1000, 1000, &s, NULL), -1);
    cr_expect_eq(number_parse_i64("1001", "s", -1000, 1000, &s, NULL), -1);
}

Test(number, messages_say_what_would_be_right)
{
    struct error err;
    uint64_t u;
    number_parse_u64("-1", "process.user.uid", 0, UINT32_MAX, &u, &err);
    cr_expect_str_eq(err.message, "process.user.uid: \"-1\" is not a whole number from 0 to 4294967295");
}
