/*
 * Strict numbers. Only the canonical decimal form is one: an optional minus where negatives are allowed, then
 * digits without a leading zero. "010" is refused (octal to some), as is "-0".
 */
#include "base/number.h"

#include <inttypes.h>
#include <stdbool.h>

static bool parse_digits(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

int number_parse_u64(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *out,
                     struct error *err)
{
    uint64_t value;
    if (!parse_digits(text, &value) || value < min || value > max)
        return error_set(err, 0, "%s: \"%.64s\" is not a whole number from %" PRIu64 " to %" PRIu64, what,
                         text, min, max);
    *out = value;
    return 0;
}

int number_parse_i64(const char *text, const char *what, int64_t min, int64_t max, int64_t *out,
                     struct error *err)
{
    bool negative = *text == '-';
    uint64_t magnitude;
    int64_t value;

    bool ok = parse_digits(text + negative, &magnitude) && !(negative && magnitude == 0) &&
              !(negative ? __builtin_sub_overflow(0, magnitude, &value)
                         : __builtin_add_overflow(0, magnitude, &value));
    if (!ok || value < min || value > max)
        return error_set(err, 0, "%s: \"%.64s\" is not a whole number from %" PRId64 " to %" PRId64, what,
                         text, min, max);
    *out = value;
    return 0;
}
