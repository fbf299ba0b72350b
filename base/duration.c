/* Pairs of a decimal number and a unit, added up; nothing else, and nothing that wraps around. */
#include "base/duration.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const struct unit {
    const char *name;
    uint64_t ns;
} units[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xc2\xb5s", 1000},
    {"\xce\xbcs", 1000}, /* both of Unicode's micro */
    {"ms", 1000 * 1000},
    {"s", 1000000000ULL},
    {"m", 60 * 1000000000ULL},
    {"h", 3600 * 1000000000ULL},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number that a unit stands behind ends where the next number begins. */
static const struct unit *find_unit(const char **text)
{
    size_t length = strcspn(*text, ".0123456789");

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strlen(units[i].name) != length || strncmp(units[i].name, *text, length) != 0)
            continue;
        *text += length;
        return &units[i];
    }
    return NULL;
}

/* "12", "1.5" or ".5" and a unit. */
static bool parse_pair(const char **text, uint64_t *ns)
{
    uint64_t whole = 0, fraction = 0, scale = 1;
    bool digits = false;
    const struct unit *unit;

    for (; is_digit(**text); ++*text, digits = true)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(**text - '0'), &whole))
            return false;
    if (**text == '.') {
        for (++*text; is_digit(**text); ++*text, digits = true) {
            if (scale >= 1000000) /* finer than that makes no difference */
                continue;
            fraction = fraction * 10 + (uint64_t)(**text - '0');
            scale *= 10;
        }
    }
    unit = digits ? find_unit(text) : NULL;
    if (!unit || __builtin_mul_overflow(whole, unit->ns, &whole))
        return false;
    return !__builtin_add_overflow(*ns, whole, ns) &&
           !__builtin_add_overflow(*ns, fraction * unit->ns / scale, ns);
}

int duration_parse(const char *text, const char *what, uint64_t *ns, struct error *err)
{
    const char *rest = text;

    *ns = 0;
    if (strcmp(text, "0") == 0)
        return 0;
    do {
        if (!parse_pair(&rest, ns) || *ns > INT64_MAX)
            return error_set(err, 0, "%s: \"%.64s\" is no length of time like 5s, 100ms or 1m30s", what,
                             text);
    } while (*rest);
    return 0;
}
