/* Amounts of memory: units are powers of 1024; what is not wholly understood is refused. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/size.h"

Test(size, good)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } samples[] = {{"0", 0},
                   {"1", 1},
                   {"4096b", 4096},
                   {"1k", 1024},
                   {"1K", 1024},
                   {"32kB", 32768},
                   {"32KiB", 32768},
                   {"512m", 512 << 20},
                   {"1g", 1 << 30},
                   {"1.5g", 3 << 29},
                   {"0.5K", 512},
                   {"1.0000000009k", 1024},
                   {"2t", INT64_C(2) << 40},
                   {"1p", INT64_C(1) << 50},
                   {"9223372036854775807", INT64_MAX},
                   {"8191p", INT64_C(8191) << 50}};
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        struct error err = {0};
        int64_t bytes = -7;
        cr_expect_eq(size_parse(samples[i].text, "--memory", &bytes, &err), 0, "%s", err.message);
        cr_expect_eq(bytes, samples[i].bytes, "%s: %ld", samples[i].text, (long)bytes);
    }
}

Test(size, bad)
{
    static const char *const samples[] = {"",
                                          "-1",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "1 k",
                                          "k",
                                          ".5g",
                                          "1.g",
                                          "1.5",
                                          "1.5b",
                                          "1e3",
                                          "0x10",
                                          "1kk",
                                          "1bk",
                                          "1kib2",
                                          "1x",
                                          "1,5g",
                                          "9223372036854775808",
                                          "18446744073709551616",
                                          "8192p",
                                          "99999999999999999999g"};
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        struct error err = {0};
        int64_t bytes = 7;
        cr_expect_eq(size_parse(samples[i], "--memory", &bytes, &err), -1, "%s", samples[i]);
        cr_expect(!strncmp(err.message, "--memory must be a number of bytes", 34), "%s", err.message);
        cr_expect_eq(bytes, 7);
    }
}
