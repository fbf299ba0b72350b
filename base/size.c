/*
 * "1.5g": digits, a fraction, a unit. Integers only: the fraction is scaled by its power of ten, of which nine digits
 * count, and what is below one byte is cut off.
 */
#include "base/size.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* The shift of the unit at @s, -1 when it is none. */
static int unit_shift(const char *s)
{
    static const char letters[] = "kmgtp";
    char lower = (char)(*s | 0x20);
    const char *letter = *s ? strchr(letters, lower) : NULL;

    if (!*s || strcasecmp(s, "b") == 0)
        return 0;
    if (!letter || (s[1] && strcasecmp(s + 1, "b") != 0 && strcasecmp(s + 1, "ib") != 0))
        return -1;
    return 10 * ((int)(letter - letters) + 1);
}

int size_parse(const char *text, const char *what, int64_t *bytes, struct error *err)
{
    size_t digits = strspn(text, "0123456789");
    const char *fraction = text[digits] == '.' ? text + digits + 1 : text + digits;
    size_t fraction_digits = fraction > text + digits ? strspn(fraction, "0123456789") : 0;
    int shift = unit_shift(fraction + fraction_digits);
    uint64_t whole = 0, part = 0, scale = 1;
    bool good = digits > 0 && shift >= 0 && (fraction == text + digits || (fraction_digits > 0 && shift > 0));

    for (size_t i = 0; i < digits && good; i++)
        good = !__builtin_mul_overflow(whole, 10, &whole) &&
               !__builtin_add_overflow(whole, (uint64_t)(text[i] - '0'), &whole);
    for (size_t i = 0; i < fraction_digits && i < 9; i++) {
        part = part * 10 + (uint64_t)(fraction[i] - '0');
        scale *= 10;
    }
    if (!good || whole > (uint64_t)INT64_MAX >> shift)
        return error_set(err, 0,
                         "%s must be a number of bytes, or one with the unit k, m, g, t or p; got \"%s\"",
                         what, text);
    unsigned __int128 sum = ((unsigned __int128)whole << shift) + ((unsigned __int128)part << shift) / scale;
    *bytes = sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
    return 0;
}
