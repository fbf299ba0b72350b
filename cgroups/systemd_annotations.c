/*
 * org.systemd.property.NAME annotations: properties of the scope that the bundle asks for, in GVariant's text form, as runc
 * has them: 'inactive-or-failed', uint64 10000000, ['a.service'], @a(ss) [('x', 'y')].
 *
 * A value is parsed into JSON with a signature. Where the text names a type ("uint64 5", "@as []") or the place asks for
 * one (later elements of an array are of the first one's type) that is it; else a string is a string, a number with "." or
 * an exponent a double, and another an int32.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/buffer.h"
#include "cgroups/systemd_private.h"

#define PREFIX   "org.systemd.property."
#define EXPECTED "expected a string in quotes, a number, true, false, [...] or (...)"

enum { DEPTH_MAX = 8, ITEMS_MAX = 4096 };

struct parser {
    struct arena *arena;
    const char *text, *p; /* where we are */
    unsigned depth;
    const char *what;
    struct error *err;
};

static int parse_value(struct parser *s, const char *wanted, const char **signature, struct json *out);

static int complain(const struct parser *s, const char *message)
{
    return error_set(s->err, 0, "%s: at byte %zu of its value: %s", s->what, (size_t)(s->p - s->text),
                     message);
}

static void skip_space(struct parser *s)
{
    s->p += strspn(s->p, " \t\n\r");
}

static bool take(struct parser *s, char c)
{
    skip_space(s);
    if (*s->p != c)
        return false;
    s->p++;
    return true;
}

/* What the place wants, cut from a longer signature; NULL when it wants nothing. */
static const char *first_of(struct parser *s, const char *wanted)
{
    return wanted ? arena_strndup(s->arena, wanted, signature_first(wanted)) : NULL;
}

/* --- leaves --- */

static int parse_string(struct parser *s, const char *wanted, const char **signature, struct json *out)
{
    static const char escapes[] = "a\ab\bf\fn\nr\rt\tv\v";
    char quote = *s->p++, *text = arena_alloc(s->arena, strlen(s->p) + 1);
    size_t n = 0;

    if (wanted && !strchr("sog", *wanted))
        return complain(s, "a string stands where another type is wanted");
    for (; *s->p != quote; s->p++) {
        const char *escape;

        if (*s->p == '\0')
            return complain(s, "the string has no end");
        if (*s->p != '\\') {
            text[n++] = *s->p;
            continue;
        }
        if (*++s->p == 'u' || *s->p == 'U' || *s->p == '\0')
            return complain(s, "\\u is not supported: write the character itself");
        escape = strchr(escapes, *s->p);
        text[n++] = escape && (escape - escapes) % 2 == 0 ? escape[1] : *s->p;
    }
    s->p++;
    *signature = wanted ? wanted : "s";
    *out = (struct json){.type = JSON_STRING, .text = text, .length = n};
    return 0;
}

static int parse_double(struct parser *s, const char *text, const char **signature, struct json *out)
{
    char *end;
    double value = strtod(text, &end);

    if (*end || !isfinite(value))
        return complain(s, "not a number");
    *signature = "d";
    out->text = arena_printf(s->arena, "%.17g", value);
    out->length = strlen(out->text);
    return 0;
}

/* As strtoll with base 0 has them: 0x1f and 017 too. */
static int parse_number(struct parser *s, const char *wanted, const char **signature, struct json *out)
{
    size_t length = strspn(s->p, "0123456789abcdefABCDEFxX.+-");
    const char *text = arena_strndup(s->arena, s->p, length), *digits = text + strspn(text, "+-");
    bool hex = digits[0] == '0' && (digits[1] | 0x20) == 'x', negative = *text == '-';
    uint64_t value, max;
    int64_t min;
    char *end;

    out->type = JSON_NUMBER;
    s->p += length;
    if (length == 0)
        return complain(s, EXPECTED);
    if (digits - text > 1 || !isdigit((unsigned char)*digits))
        return complain(s, "not a number");
    if (wanted ? *wanted == 'd' : !hex && strpbrk(text, ".eE"))
        return parse_double(s, text, signature, out);
    *signature = wanted ? wanted : "i";
    if (!signature_range(**signature, &min, &max))
        return complain(s, "a number stands where another type is wanted");
    errno = 0;
    value = strtoull(digits, &end, 0);
    if (*end)
        return complain(s, "not a whole number");
    if (errno || (negative ? value > (uint64_t) - (min + 1) + 1 || (min == 0 && value) : value > max))
        return complain(
            s, wanted ? "the number is out of its type's range"
                      : "the number is out of int32's range: put its type before it, as in \"uint64 5\"");
    out->text = arena_printf(s->arena, "%s%" PRIu64, negative && value ? "-" : "", value);
    out->length = strlen(out->text);
    return 0;
}

/* --- what is made of others --- */

static int parse_items(struct parser *s, char closing, const char *wanted, bool array, struct json *out,
                       struct buffer *signature)
{
    struct json *items = NULL;
    size_t count = 0, capacity = 0;

    while (!take(s, closing)) {
        const char *type = NULL;

        if (count == ITEMS_MAX)
            return complain(s, "too many values");
        if (count > 0 && (!take(s, ',') || (skip_space(s), *s->p == closing && array)))
            return complain(s, "expected \",\" and a value, or the closing bracket");
        if (!array && count > 0 && take(s, closing)) /* ('x',) is a struct of one */
            break;
        if (count == capacity) {
            size_t bigger = capacity ? capacity * 2 : 8;
            items = arena_grow(s->arena, items, capacity * sizeof(*items), bigger * sizeof(*items));
            capacity = bigger;
        }
        if (wanted && (*wanted == ')' || *wanted == '\0'))
            return complain(s, "more values than its type has");
        if (parse_value(s, first_of(s, wanted), &type, &items[count++]) < 0)
            return -1;
        if (!array || signature->length == 0)
            buffer_puts(signature, type);
        if (array)
            wanted = type;
        else if (wanted)
            wanted += signature_first(wanted);
    }
    *out = (struct json){.type = JSON_ARRAY, .items = items, .count = count};
    return !array && wanted && *wanted != ')' ? complain(s, "fewer values than its type has") : 0;
}

static int parse_array(struct parser *s, const char *wanted, const char **signature, struct json *out)
{
    struct buffer b = {.arena = s->arena};

    if (wanted && *wanted != 'a')
        return complain(s, "an array stands where another type is wanted");
    s->p++;
    if (parse_items(s, ']', wanted ? wanted + 1 : NULL, true, out, &b) < 0)
        return -1;
    if (!wanted && out->count == 0)
        return complain(s, "an empty array needs its type before it, as in \"@as []\"");
    *signature = wanted ? wanted : arena_printf(s->arena, "a%s", b.data);
    return 0;
}

static int parse_struct(struct parser *s, const char *wanted, const char **signature, struct json *out)
{
    struct buffer b = {.arena = s->arena};

    if (wanted && *wanted != '(')
        return complain(s, "a struct stands where another type is wanted");
    s->p++;
    if (parse_items(s, ')', wanted ? wanted + 1 : NULL, false, out, &b) < 0)
        return -1;
    if (out->count == 0)
        return complain(s, "a struct without values is none of D-Bus's");
    *signature = wanted ? wanted : arena_printf(s->arena, "(%s)", b.data);
    return 0;
}

/* "true", or the name of a type before a value. */
static int parse_word(struct parser *s, const char *wanted, const char **signature, struct json *out)
{
    static const struct {
        const char *name, *signature;
    } types[] = {{"boolean", "b"}, {"byte", "y"},       {"int16", "n"},     {"uint16", "q"},
                 {"int32", "i"},   {"uint32", "u"},     {"int64", "x"},     {"uint64", "t"},
                 {"double", "d"},  {"objectpath", "o"}, {"signature", "g"}, {"string", "s"}};
    size_t n = 0;

    while (isalnum((unsigned char)s->p[n]))
        n++;
    if ((n == 4 && memcmp(s->p, "true", 4) == 0) || (n == 5 && memcmp(s->p, "false", 5) == 0)) {
        if (wanted && *wanted != 'b')
            return complain(s, "a boolean stands where another type is wanted");
        *signature = "b";
        *out = (struct json){.type = JSON_BOOL, .boolean = n == 4};
        s->p += n;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (strlen(types[i].name) != n || memcmp(types[i].name, s->p, n) != 0)
            continue;
        if (wanted && strcmp(wanted, types[i].signature) != 0)
            return complain(s, "another type is wanted here");
        s->p += n;
        return parse_value(s, types[i].signature, signature, out);
    }
    return complain(s, EXPECTED);
}

static int parse_typed(struct parser *s, const char *wanted, const char **signature, struct json *out)
{
    size_t n = signature_first(++s->p);
    const char *type = arena_strndup(s->arena, s->p, n);

    if (n == 0)
        return complain(s, "not a type that a property can have");
    if (wanted && strcmp(wanted, type) != 0)
        return complain(s, "another type is wanted here");
    s->p += n;
    return parse_value(s, type, signature, out);
}

static int parse_value(struct parser *s, const char *wanted, const char **signature, struct json *out)
{
    int r;

    skip_space(s);
    if (++s->depth > DEPTH_MAX)
        return complain(s, "nested too deep");
    if (*s->p == '\'' || *s->p == '"')
        r = parse_string(s, wanted, signature, out);
    else if (*s->p == '[')
        r = parse_array(s, wanted, signature, out);
    else if (*s->p == '(')
        r = parse_struct(s, wanted, signature, out);
    else if (*s->p == '@')
        r = parse_typed(s, wanted, signature, out);
    else if (isalpha((unsigned char)*s->p))
        r = parse_word(s, wanted, signature, out);
    else
        r = parse_number(s, wanted, signature, out);
    s->depth--;
    return r;
}

int gvariant_parse(struct arena *a, const char *text, const char *what, const char **signature,
                   struct json **value, struct error *err)
{
    struct parser s = {.arena = a, .text = text, .p = text, .what = what, .err = err};

    *value = arena_new(a, struct json);
    if (parse_value(&s, NULL, signature, *value) < 0)
        return -1;
    skip_space(&s);
    return *s.p ? complain(&s, "more text after the value") : 0;
}

/* --- annotations --- */

static int check_name(const char *annotation, const char *name, struct error *err)
{
    static const char *const ours[] = {"PIDs", "Slice", "Delegate"};
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (!isalpha((unsigned char)name[i]) || n < 3)
            n = 0;
    if (n < 3)
        return error_set(err, 0,
                         "annotations.%s: a property's name has three or more letters, and nothing else",
                         annotation);
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        if (strcmp(name, ours[i]) == 0)
            return error_set(err, 0, "annotations.%s: this property is set by hull%s", annotation,
                             strcmp(name, "Slice") == 0 ? ", from linux.cgroupsPath" : "");
    return 0;
}

/* Documentation has "TimeoutStopSec", in seconds; D-Bus has "TimeoutStopUSec". */
static int seconds_to_us(struct arena *a, const char *what, const char **name, const char **signature,
                         struct json *value, struct error *err)
{
    size_t n = strlen(*name);
    double seconds;

    if (n < 4 || strcmp(*name + n - 3, "Sec") != 0 || !islower((unsigned char)(*name)[n - 4]))
        return 0;
    if (value->type != JSON_NUMBER)
        return error_set(err, 0, "%s: must be a number of seconds", what);
    seconds = strtod(value->text, NULL);
    if (seconds < 0 || seconds > 1e12)
        return error_set(err, 0, "%s: must be from 0 to 1e12 seconds, got %s", what, value->text);
    *name = arena_printf(a, "%.*sUSec", (int)(n - 3), *name);
    *signature = "t";
    value->text = arena_printf(a, "%" PRIu64, (uint64_t)(seconds * 1e6));
    value->length = strlen(value->text);
    return 0;
}

int systemd_annotation_properties(struct arena *a, const struct spec_annotation *v, size_t n,
                                  struct json_writer *w, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *name, *signature, *what;
        struct json *value;

        if (strncmp(v[i].key, PREFIX, strlen(PREFIX)) != 0)
            continue;
        name = v[i].key + strlen(PREFIX);
        if (check_name(v[i].key, name, err) < 0)
            return -1;
        what = arena_printf(a, "annotations.%s", v[i].key);
        if (gvariant_parse(a, v[i].value, what, &signature, &value, err) < 0 ||
            seconds_to_us(a, what, &name, &signature, value, err) < 0)
            return -1;
        if (!w)
            continue;
        json_array(w);
        json_string(w, name);
        json_string(w, signature);
        json_value(w, value);
        json_array_end(w);
    }
    return 0;
}
