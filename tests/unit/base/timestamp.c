/* timestamp_format against libc's own calendar, over leap days, centuries and the end of 32 bits. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/timestamp.h"

Test(timestamp, agrees_with_libc)
{
    for (time_t t = 0; t < 8000000000LL; t += 86400 * 3 + 4321) {
        char ours[TIMESTAMP_SIZE], libc[64];
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(libc, sizeof(libc), "%Y-%m-%dT%H:%M:%SZ", &tm);
        cr_assert_str_eq(timestamp_format(&(struct timespec){.tv_sec = t}, false, ours), libc);
    }
}

Test(timestamp, writes_nanoseconds)
{
    char text[TIMESTAMP_SIZE];

    cr_assert_str_eq(timestamp_format(&(struct timespec){951782400, 42}, true, text),
                     "2000-02-29T00:00:00.000000042Z");
}
