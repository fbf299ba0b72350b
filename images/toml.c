/*
 * TOML by recursive descent over the text, line by line: a header moves `current` to its table, a "key = value" line adds to it.
 * While it is read, the tree is of nodes with linked children, as a table can be added to from several places; at the end it is
 * copied into struct json's arrays.
 *
 * Who may be added to by what (toml.io/en/v1.0.0, "Table"): `defined` by a header of its own, or by a dotted key's way through
 * it (`dotted`), cannot be defined again; an inline table or array is `closed` for good; [a] beside [[a]] is an error.
 */
#include "images/toml.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/number.h"
#include "base/utf8.h"

struct node {
    enum json_type type;
    const char *key;  /* within a table */
    const char *text; /* a string, or a number's digits */
    size_t length;
    bool boolean;
    bool defined, dotted, closed;
    struct node *first, *last, *next;
    size_t count;
};

struct toml {
    struct arena *arena;
    const char *p, *end;
    const char *what;
    unsigned line;
    size_t nodes;
    unsigned depth;
    struct node *root;
    struct error *err;
};

#define fail(t, ...) ((void)error_set((t)->err, 0, __VA_ARGS__), at_line(t))

static int at_line(struct toml *t)
{
    return error_wrap(t->err, "%s:%u", t->what, t->line);
}

/* --- the tree ------------------------------------------------------------------------------------------------------ */

static struct node *node_new(struct toml *t, enum json_type type)
{
    struct node *n;

    if (t->nodes >= TOML_MAX_KEYS) {
        fail(t, "more than %d keys and values", TOML_MAX_KEYS);
        return NULL;
    }
    t->nodes++;
    n = arena_new(t->arena, struct node);
    n->type = type;
    return n;
}

static void append(struct node *parent, struct node *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

static struct node *find(const struct node *table, const char *key)
{
    for (struct node *n = table->first; n; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

static struct node *add_key(struct toml *t, struct node *table, const char *key, enum json_type type)
{
    struct node *n = node_new(t, type);

    if (n) {
        n->key = key;
        append(table, n);
    }
    return n;
}

static void freeze(struct arena *a, const struct node *n, struct json *out)
{
    size_t i = 0;

    *out = (struct json){.type = n->type};
    if (n->type == JSON_BOOL) {
        out->boolean = n->boolean;
    } else if (n->type == JSON_STRING || n->type == JSON_NUMBER) {
        out->text = n->text;
        out->length = n->length;
    } else {
        out->items = arena_new_n(a, n->count + 1, struct json);
        out->keys = arena_new_n(a, n->count + 1, const char *);
        out->count = n->count;
        for (const struct node *c = n->first; c; c = c->next, i++) {
            out->keys[i] = c->key;
            freeze(a, c, &out->items[i]);
        }
    }
}

/* --- white space --------------------------------------------------------------------------------------------------- */

static int peek(const struct toml *t)
{
    return t->p < t->end ? (unsigned char)*t->p : -1;
}

static bool take(struct toml *t, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n) != 0)
        return false;
    t->p += n;
    return true;
}

static void skip_blanks(struct toml *t)
{
    while (peek(t) == ' ' || peek(t) == '\t')
        t->p++;
}

static bool take_newline(struct toml *t)
{
    if (!take(t, "\n") && !take(t, "\r\n"))
        return false;
    t->line++;
    return true;
}

static void skip_comment(struct toml *t)
{
    if (peek(t) == '#')
        while (peek(t) >= 0 && peek(t) != '\n' && !(peek(t) == '\r' && t->p + 1 < t->end && t->p[1] == '\n'))
            t->p++;
}

/* Between the elements of an array a line may end anywhere. */
static void skip_lines(struct toml *t)
{
    do {
        skip_blanks(t);
        skip_comment(t);
    } while (take_newline(t));
}

static int end_of_line(struct toml *t)
{
    skip_blanks(t);
    skip_comment(t);
    if (peek(t) < 0 || take_newline(t))
        return 0;
    return fail(t, "something after the value: a line holds one key = value");
}

/* --- strings ------------------------------------------------------------------------------------------------------- */

static int unicode_escape(struct toml *t, int digits, struct buffer *b)
{
    uint32_t c = 0;
    unsigned char out[4];
    size_t n;

    for (int i = 0; i < digits; i++, t->p++) {
        int d = peek(t);
        int value = d >= '0' && d <= '9'   ? d - '0'
                    : d >= 'a' && d <= 'f' ? d - 'a' + 10
                    : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                           : -1;
        if (value < 0)
            return fail(t, "\\%c wants %d hexadecimal digits", digits == 4 ? 'u' : 'U', digits);
        c = c << 4 | (uint32_t)value;
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return fail(t, "\\%c: %x is no character", digits == 4 ? 'u' : 'U', c);
    n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
    buffer_add(b, out, n);
    return 0;
}

static int escape(struct toml *t, bool multiline, struct buffer *b)
{
    static const char letters[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
    int c = peek(t);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;

    if (letter) {
        t->p++;
        buffer_add(b, &values[letter - letters], 1);
        return 0;
    }
    if (c == 'u' || c == 'U') {
        t->p++;
        return unicode_escape(t, c == 'u' ? 4 : 8, b);
    }
    if (multiline &&
        (c == ' ' || c == '\t' || c == '\n' || c == '\r')) { /* the line goes on after white space */
        skip_blanks(t);
        if (!take_newline(t))
            return fail(t, "white space after \\ is for the end of a line");
        do
            skip_blanks(t);
        while (take_newline(t));
        return 0;
    }
    return fail(t, "\\ in a string: one of \\b \\t \\n \\f \\r \\\" \\\\ \\uXXXX \\UXXXXXXXX, or a "
                   "'literal' string");
}

/* One character of a string's inside that is no delimiter and no escape. */
static int plain(struct toml *t, bool multiline, struct buffer *b)
{
    int c = peek(t);

    if (c < 0 || (!multiline && c == '\n'))
        return fail(t, "a string without its closing quote");
    if (multiline && take_newline(t)) {
        buffer_puts(b, "\n");
        return 0;
    }
    if ((c < ' ' && c != '\t') || c == 0x7f)
        return fail(t, "a control character (0x%02x) in a string", (unsigned)c);
    buffer_add(b, t->p++, 1);
    return 0;
}

static int parse_string(struct toml *t, bool may_span, const char **text, size_t *length)
{
    struct buffer b = {.arena = t->arena};
    char quote = *t->p;
    const char triple[4] = {quote, quote, quote, '\0'}, one[2] = {quote, '\0'};
    bool multiline = take(t, triple);

    if (multiline && !may_span)
        return fail(t, "a key cannot be a string of many lines");
    if (multiline)
        take_newline(t); /* right after the quotes it does not count */
    else
        t->p++;
    buffer_add(&b, "", 0);
    for (;;) {
        if (multiline && take(t, triple)) {
            /* Up to two quotes more belong to the text. */
            for (int i = 0; i < 2 && peek(t) == quote; i++)
                buffer_add(&b, t->p++, 1);
            break;
        }
        if (!multiline && take(t, one))
            break;
        if (quote == '"' && take(t, "\\") ? escape(t, multiline, &b) < 0 : plain(t, multiline, &b) < 0)
            return -1;
    }
    *text = b.data ? b.data : "";
    *length = b.length;
    return 0;
}

/* --- keys ---------------------------------------------------------------------------------------------------------- */

#define BARE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

static int parse_key(struct toml *t, const char **key)
{
    const char *start;
    size_t length;

    skip_blanks(t);
    if (peek(t) == '"' || peek(t) == '\'')
        return parse_string(t, false, key, &length);
    for (start = t->p; peek(t) > 0 && strchr(BARE, peek(t));)
        t->p++;
    if (t->p == start)
        return fail(t, "a key is expected: letters, digits, _ and -, or \"quoted\"");
    *key = arena_strndup(t->arena, start, (size_t)(t->p - start));
    return 0;
}

/* The table that "a.b." leads to from @table, and the last part of the key. @header: of "[a.b.c]", otherwise of "a.b.c = ". */
static int walk_key(struct toml *t, struct node *table, bool header, struct node **parent, const char **last)
{
    for (int depth = 0;; depth++) {
        struct node *next;

        if (parse_key(t, last) < 0)
            return -1;
        skip_blanks(t);
        *parent = table;
        if (!take(t, "."))
            return 0;
        if (depth == TOML_MAX_DEPTH)
            return fail(t, "a key of more than %d parts", TOML_MAX_DEPTH);
        next = find(table, *last);
        if (!next && !(next = add_key(t, table, *last, JSON_OBJECT)))
            return -1;
        if (header && next->type == JSON_ARRAY && !next->closed)
            next = next->last; /* [[a]]: its newest element */
        if (next->type != JSON_OBJECT || next->closed || (!header && next->defined))
            return fail(t, "\"%.100s\" is there already, and nothing can be added to it here", *last);
        next->dotted |= !header;
        table = next;
    }
}

/* --- values -------------------------------------------------------------------------------------------------------- */

static int parse_value(struct toml *t, struct node *out);

static int parse_array(struct toml *t, struct node *out)
{
    out->type = JSON_ARRAY;
    out->closed = true;
    for (;;) {
        struct node *element;

        skip_lines(t);
        if (take(t, "]"))
            return 0;
        if (!(element = node_new(t, JSON_NULL)) || parse_value(t, element) < 0)
            return -1;
        append(out, element);
        skip_lines(t);
        if (!take(t, ",") && peek(t) != ']')
            return fail(t, "an array: , or ] is expected");
    }
}

static int parse_pair(struct toml *t, struct node *table)
{
    struct node *parent, *value;
    const char *key;

    if (walk_key(t, table, false, &parent, &key) < 0)
        return -1;
    if (!take(t, "="))
        return fail(t, "= is expected after the key \"%.100s\"", key);
    if (find(parent, key))
        return fail(t, "\"%.100s\" is there already", key);
    skip_blanks(t);
    value = add_key(t, parent, key, JSON_NULL);
    return value ? parse_value(t, value) : -1;
}

static void close_tables(struct node *n)
{
    n->closed = true;
    for (struct node *c = n->first; c; c = c->next)
        close_tables(c);
}

static int parse_inline_table(struct toml *t, struct node *out)
{
    out->type = JSON_OBJECT;
    skip_blanks(t);
    while (!take(t, "}")) {
        if (parse_pair(t, out) < 0)
            return -1;
        skip_blanks(t);
        if (!(take(t, ",") ? (skip_blanks(t), peek(t) != '}') : peek(t) == '}'))
            return fail(t, "an inline table: , or } is expected, on the same line");
    }
    close_tables(out);
    return 0;
}

/* Decimal, or 0x 0o 0b; "_" between digits. What comes out is decimal, as JSON's numbers are. */
static int parse_integer(struct toml *t, struct node *out)
{
    char digits[80], *end;
    size_t n = 0;
    const char *start = t->p;
    bool negative = peek(t) == '-';
    int base = 10;

    if (peek(t) == '+' || peek(t) == '-')
        t->p++;
    else if (peek(t) == '0' && t->p + 1 < t->end)
        base = t->p[1] == 'x' ? 16 : t->p[1] == 'o' ? 8 : t->p[1] == 'b' ? 2 : 10;
    if (base != 10)
        t->p += 2;
    for (bool digit = false; peek(t) > 0 && strchr("0123456789abcdefABCDEF_", peek(t)); t->p++) {
        if (peek(t) == '_' ? !digit || t->p + 1 == t->end || t->p[1] == '_' : n + 1 == sizeof(digits))
            return fail(t, "a number too long, or with _ elsewhere than between digits");
        digit = peek(t) != '_';
        if (digit)
            digits[n++] = *t->p;
    }
    digits[n] = '\0';
    uint64_t value = strtoull(digits, &end, base);
    uint64_t limit = (uint64_t)INT64_MAX + negative;
    bool zeros = base == 10 && n > 1 && digits[0] == '0';
    if (n == 0 || *end || t->p[-1] == '_' || zeros || n > 64 || value > limit ||
        (peek(t) > 0 && strchr(".:-+TZ" BARE, peek(t)))) {
        while (peek(t) > ' ' && peek(t) != ',' && peek(t) != ']' && peek(t) != '}')
            t->p++;
        return fail(
            t,
            "%.*s: a value is expected: \"text\", a whole number of 64 bits, true, false, [array] or {table}",
            (int)(t->p - start > 60 ? 60 : t->p - start), start);
    }
    out->type = JSON_NUMBER;
    out->text = arena_printf(t->arena, "%s%llu", negative && value ? "-" : "", (unsigned long long)value);
    out->length = strlen(out->text);
    return 0;
}

static int parse_value(struct toml *t, struct node *out)
{
    int c = peek(t), result;

    if (c == '"' || c == '\'') {
        out->type = JSON_STRING;
        return parse_string(t, true, &out->text, &out->length);
    }
    if (take(t, "true") || take(t, "false")) {
        out->type = JSON_BOOL;
        out->boolean = c == 't';
        return 0;
    }
    if (c != '[' && c != '{')
        return parse_integer(t, out);
    if (t->depth == TOML_MAX_DEPTH)
        return fail(t, "nested deeper than %d", TOML_MAX_DEPTH);
    t->depth++;
    t->p++;
    result = c == '[' ? parse_array(t, out) : parse_inline_table(t, out);
    t->depth--;
    return result;
}

/* --- headers ------------------------------------------------------------------------------------------------------- */

static struct node *open_element(struct toml *t, struct node *parent, const char *key)
{
    struct node *array = find(parent, key), *element;

    if (array && (array->type != JSON_ARRAY || array->closed)) {
        fail(t, "[[%.100s]]: \"%.100s\" is there already, and no array of tables", key, key);
        return NULL;
    }
    if ((!array && !(array = add_key(t, parent, key, JSON_ARRAY))) || !(element = node_new(t, JSON_OBJECT)))
        return NULL;
    append(array, element);
    return element;
}

static struct node *open_table(struct toml *t, struct node *parent, const char *key)
{
    struct node *table = find(parent, key);

    if (table && (table->type != JSON_OBJECT || table->defined || table->dotted || table->closed)) {
        fail(t, "[%.100s]: \"%.100s\" is there already", key, key);
        return NULL;
    }
    return table ? table : add_key(t, parent, key, JSON_OBJECT);
}

static int parse_header(struct toml *t, struct node **current)
{
    struct node *parent;
    const char *key;
    bool array = take(t, "[[");

    if (!array)
        t->p++;
    if (walk_key(t, t->root, true, &parent, &key) < 0)
        return -1;
    if (!take(t, array ? "]]" : "]"))
        return fail(t, "%s is expected after the name of a table", array ? "]]" : "]");
    *current = array ? open_element(t, parent, key) : open_table(t, parent, key);
    if (!*current)
        return -1;
    (*current)->defined = true;
    return end_of_line(t);
}

static int parse_lines(struct toml *t)
{
    struct node *current = t->root;

    for (skip_lines(t); peek(t) >= 0; skip_lines(t)) {
        if (peek(t) == '[') {
            if (parse_header(t, &current) < 0)
                return -1;
        } else if (parse_pair(t, current) < 0 || end_of_line(t) < 0) {
            return -1;
        }
    }
    return 0;
}

/* NUL and what is not UTF-8 are nowhere allowed; a NUL would also cut strings short. */
static int check_text(struct toml *t)
{
    size_t length = (size_t)(t->end - t->p), good = utf8_valid_prefix(t->p, length);
    const char *nul = memchr(t->p, '\0', length),
               *bad = nul && (size_t)(nul - t->p) < good ? nul : t->p + good;

    if (bad == t->end)
        return 0;
    for (const char *p = t->p; p < bad; p++)
        t->line += *p == '\n';
    return fail(t, bad == nul ? "a NUL byte" : "not UTF-8");
}

int toml_parse(struct arena *a, const char *text, size_t length, const char *what, struct json **out,
               struct error *err)
{
    struct node root = {.type = JSON_OBJECT, .defined = true};
    struct toml t = {
        .arena = a, .p = text, .end = text + length, .what = what, .line = 1, .root = &root, .err = err};

    if (length > TOML_MAX_SIZE)
        return error_set(err, 0, "%s: larger than %d bytes", what, TOML_MAX_SIZE);
    take(&t, "\xef\xbb\xbf"); /* a byte order mark */
    if (check_text(&t) < 0 || parse_lines(&t) < 0)
        return -1;
    *out = arena_new(a, struct json);
    freeze(a, &root, *out);
    return 0;
}
