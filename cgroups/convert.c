/*
 * Conversions from the specification's numbers, which are cgroup v1's, to those of v2. Pure functions.
 *
 * The logarithm and the power are made here, and not by libm, whose functions choose their variant by the CPU when
 * the program starts: every start of hull would pay for a number that few containers ask for.
 */
#include "cgroups/convert.h"

#include <inttypes.h>

static double log2_of(uint64_t n)
{
    int whole = 63 - __builtin_clzll(n);
    double result = whole, bit = 1, x = (double)n / (double)(UINT64_C(1) << whole);

    for (int i = 0; i < 48;
         i++) { /* squared, the number doubles its logarithm: out comes the next binary digit */
        bit /= 2;
        x *= x;
        if (x >= 2) {
            result += bit;
            x /= 2;
        }
    }
    return result;
}

static double power_of_ten(double exponent)
{
    const double ln10 = 2.302585092994045684;
    int whole = (int)exponent;
    double result, term = 1;

    for (int i = 0; i < whole; i++)
        term *= 10;
    result = term;
    for (int i = 1; i < 40; i++) { /* e^x, x < 2.31 */
        term *= (exponent - whole) * ln10 / i;
        result += term;
    }
    return result;
}

uint64_t convert_shares(uint64_t shares)
{
    const double rounding = 1e-6; /* 1024 is 100, though the sum may come out above it */
    double l, weight;

    if (shares <= 2)
        return 1;
    if (shares >= 262144)
        return 10000;
    l = log2_of(shares);
    weight = power_of_ten((l * l + 125 * l) / 612 - 7.0 / 34);
    return (uint64_t)(weight - rounding) + 1;
}

uint64_t convert_io_weight(uint64_t weight)
{
    return weight < 10 ? 1 : weight > 1000 ? 10000 : 1 + (weight - 10) * 9999 / 990;
}

int convert_swap(int64_t swap, int64_t limit, int64_t *out, struct error *err)
{
    if (swap < 0) {
        *out = -1;
        return 0;
    }
    if (limit < 0)
        return error_set(err, 0,
                         "linux.resources.memory.swap: unable to set swap limit without memory limit: give "
                         "memory.limit too (swap is memory and swap together)");
    if (swap < limit)
        return error_set(err, 0,
                         "linux.resources.memory.swap: memory+swap limit should be >= memory limit (%" PRId64
                         " < %" PRId64 ")",
                         swap, limit);
    *out = swap - limit;
    return 0;
}

const char *text_plain(struct arena *a, int64_t value)
{
    return arena_printf(a, "%" PRId64, value);
}

const char *text_or_max(struct arena *a, int64_t value)
{
    return value < 0 ? "max" : text_plain(a, value);
}

const char *text_of_pids(struct arena *a, int64_t value)
{
    enum { PIDS_MOST = 4 * 1024 * 1024 }; /* PID_MAX_LIMIT: a larger number is EINVAL */
    return value <= 0 || value > PIDS_MOST ? "max" : text_plain(a, value);
}

const char *text_of_shares(struct arena *a, int64_t value)
{
    return text_plain(a, (int64_t)convert_shares((uint64_t)value));
}

const char *text_of_weight(struct arena *a, int64_t value)
{
    return text_plain(a, (int64_t)convert_io_weight((uint64_t)value));
}

const char *text_inverted(struct arena *a, int64_t value)
{
    (void)a;
    return value ? "0" : "1";
}
