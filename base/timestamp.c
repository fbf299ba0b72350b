/* Days to a civil date by eras of 400 years (146097 days) that begin on 1 March, so that the leap day is a
 * year's last. */
#include "base/timestamp.h"

#include <stdio.h>

enum { DAY = 86400, ERA_DAYS = 146097, EPOCH_SHIFT = 719468 /* 0000-03-01 to 1970-01-01 */ };

char *timestamp_format(const struct timespec *t, bool nanoseconds, char out[TIMESTAMP_SIZE])
{
    long long days = t->tv_sec / DAY + EPOCH_SHIFT;
    int second = (int)(t->tv_sec % DAY);
    long long era = days / ERA_DAYS;
    int day_of_era = (int)(days % ERA_DAYS);
    int year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day = day_of_era - (365 * year + year / 4 - year / 100);
    int month = (5 * day + 2) / 153; /* from March */
    int n = snprintf(out, TIMESTAMP_SIZE, "%04lld-%02d-%02dT%02d:%02d:%02d", year + era * 400 + (month >= 10),
                     month < 10 ? month + 3 : month - 9, day - (153 * month + 2) / 5 + 1, second / 3600,
                     second / 60 % 60, second % 60);

    if (nanoseconds)
        n += snprintf(out + n, (size_t)(TIMESTAMP_SIZE - n), ".%09ld", t->tv_nsec);
    snprintf(out + n, (size_t)(TIMESTAMP_SIZE - n), "Z");
    return out;
}
