/* Times as JSON and logs write them, RFC 3339 in UTC, without libc's time zones (gmtime reads
 * /etc/localtime). */
#pragma once

#include <stdbool.h>
#include <time.h>

enum { TIMESTAMP_SIZE = sizeof("2038-01-19T03:14:07.123456789Z") + 8 };

/** Write @t as "2026-11-21T09:58:19Z", or with nanoseconds. Returns @out. */
char *timestamp_format(const struct timespec *t, bool nanoseconds, char out[TIMESTAMP_SIZE]);
