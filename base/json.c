/*
 * The JSON reader: yajl's events, gathered into a tree.
 *
 * Values that belong to open containers lie on one scratch stack; when a container ends, its members are
 * copied into the arena as one array and the stack falls back. So nothing is allocated a value, and nothing
 * recurses. The slot of an open container is the stack entry just below its first member; entry 0 is the
 * document itself.
 *
 * What yajl 2.1 lets through is caught here: its UTF-8 check takes overlong forms and surrogates, and an
 * escaped lone surrogate becomes "?" or invalid UTF-8. The text is checked for both before yajl sees it. RFC
 * 8259.
 */
#include "base/json.h"

#include <errno.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/utf8.h"

struct member {
    const char *key; /* NULL in arrays */
    uint32_t offset; /* where the key stands, for messages */
    struct json value;
};

struct frame {
    uint32_t first; /* index on the stack of the container's first member */
    bool is_object;
};

struct reader {
    struct arena *arena;
    const char *text, *what;
    size_t length;
    struct error *err;
    yajl_handle yajl;
    struct member *stack;
    uint32_t count, capacity, total;
    struct frame frames[JSON_MAX_DEPTH];
    uint32_t depth;
};

enum { GO_ON = 1, STOP = 0 }; /* what yajl's callbacks return */

/* ".linux.seccomp.syscalls[3].names": the container or member being read. Cut where it is longer than the
 * buffer. */
static const char *current_path(const struct reader *r, char *buffer, size_t size)
{
    size_t n = 0;
    buffer[0] = '\0';
    for (uint32_t d = 0; d < r->depth && n < size; d++) {
        uint32_t next = d + 1 < r->depth ? r->frames[d + 1].first : r->count;
        if (next == r->frames[d].first)
            break;
        const struct member *m = &r->stack[next - 1];
        int more = r->frames[d].is_object
                       ? snprintf(buffer + n, size - n, n ? ".%s" : "%s", m->key)
                       : snprintf(buffer + n, size - n, "[%u]", next - 1 - r->frames[d].first);
        n += more > 0 ? (size_t)more : 0;
    }
    return buffer;
}

static int complain(const struct reader *r, size_t offset, const char *message)
{
    char path[512];
    size_t line = 1, start = 0;

    for (const char *p; start < offset && (p = memchr(r->text + start, '\n', offset - start)); line++)
        start = (size_t)(p - r->text) + 1;
    current_path(r, path, sizeof(path));
    return error_set(r->err, 0, "%s:%zu:%zu: %s%s%s", r->what, line, offset - start + 1, path,
                     *path ? ": " : "", message);
}

/* A complaint about the token that yajl has just delivered. */
static int refuse(const struct reader *r, const char *message)
{
    size_t consumed = yajl_get_bytes_consumed(r->yajl);
    complain(r, consumed ? consumed - 1 : 0, message);
    return STOP;
}

static struct member *push(struct reader *r)
{
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity ? r->capacity * 2 : 256;
        void *stack = realloc(r->stack, capacity * sizeof(*r->stack));
        if (!stack) {
            error_set(r->err, ENOMEM, "%s", r->what);
            return NULL;
        }
        r->stack = stack;
        r->capacity = capacity;
    }
    struct member *m = &r->stack[r->count++];
    *m = (struct member){0};
    return m;
}

/* Where the next value goes: beside its key, which is on the stack already, or on a new entry. */
static struct json *slot(struct reader *r)
{
    if (++r->total > JSON_MAX_VALUES) {
        refuse(r, "too many values for one document");
        return NULL;
    }
    if (r->depth && r->frames[r->depth - 1].is_object)
        return &r->stack[r->count - 1].value;
    struct member *m = push(r);
    return m ? &m->value : NULL;
}

static int on_null(void *ctx)
{
    return slot(ctx) ? GO_ON : STOP; /* JSON_NULL is zero, and so is the slot */
}

static int on_boolean(void *ctx, int boolean)
{
    struct json *value = slot(ctx);
    if (!value)
        return STOP;
    value->type = JSON_BOOL;
    value->boolean = boolean;
    return GO_ON;
}

static int text_value(struct reader *r, enum json_type type, const char *text, size_t length)
{
    struct json *value = slot(r);
    if (!value)
        return STOP;
    value->type = type;
    value->text = arena_copy(r->arena, text, length);
    value->length = length;
    return GO_ON;
}

static int on_number(void *ctx, const char *text, size_t length)
{
    return text_value(ctx, JSON_NUMBER, text, length);
}

static int on_string(void *ctx, const unsigned char *text, size_t length)
{
    return text_value(ctx, JSON_STRING, (const char *)text, length);
}

static int on_key(void *ctx, const unsigned char *text, size_t length)
{
    struct reader *r = ctx;
    struct member *m = push(r);
    if (!m)
        return STOP;
    m->key = arena_copy(r->arena, text, length);
    m->offset = (uint32_t)yajl_get_bytes_consumed(r->yajl) - 1;
    return GO_ON;
}

static int start(struct reader *r, bool is_object)
{
    struct json *value = slot(r);
    if (!value)
        return STOP;
    if (r->depth == JSON_MAX_DEPTH)
        return refuse(r, "nested deeper than 64 levels");
    value->type = is_object ? JSON_OBJECT : JSON_ARRAY;
    value->raw_start = (uint32_t)yajl_get_bytes_consumed(r->yajl) - 1;
    r->frames[r->depth++] = (struct frame){.first = r->count, .is_object = is_object};
    return GO_ON;
}

/* The container's items move from the stack into the arena; its slot is then on top. */
static struct member *end(struct reader *r, size_t *count)
{
    uint32_t first = r->frames[r->depth - 1].first;
    struct member *members = r->stack + first;
    struct json *value = &members[-1].value;

    *count = r->count - first;
    value->count = *count;
    value->raw_end = (uint32_t)yajl_get_bytes_consumed(r->yajl);
    if (*count) {
        value->items = arena_new_n(r->arena, *count, struct json);
        for (size_t i = 0; i < *count; i++)
            value->items[i] = members[i].value;
    }
    r->count = first;
    r->depth--;
    return members;
}

static int by_key(const void *a, const void *b)
{
    const struct member *left = *(const struct member *const *)a, *right = *(const struct member *const *)b;
    int order = strcmp(left->key, right->key);
    return order ? order : left->offset < right->offset ? -1 : 1;
}

/* The first member whose key an earlier one has too. Small objects, which are nearly all, are compared pair
 * by pair. */
static const struct member *find_duplicate(struct arena *a, const struct member *members, size_t count)
{
    enum { FEW = 12 };
    if (count <= FEW) {
        for (size_t i = 1; i < count; i++)
            for (size_t j = 0; j < i; j++)
                if (strcmp(members[i].key, members[j].key) == 0)
                    return &members[i];
        return NULL;
    }
    const struct member **sorted = arena_new_n(a, count, const struct member *);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &members[i];
    qsort(sorted, count, sizeof(*sorted), by_key);

    const struct member *found = NULL;
    for (size_t i = 1; i < count; i++)
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0 && (!found || sorted[i]->offset < found->offset))
            found = sorted[i];
    return found;
}

static int on_map_start(void *ctx)
{
    return start(ctx, true);
}

static int on_map_end(void *ctx)
{
    struct reader *r = ctx;
    const struct frame *f = &r->frames[r->depth - 1];
    const struct member *twice = find_duplicate(r->arena, r->stack + f->first, r->count - f->first);
    if (twice) {
        r->count = (uint32_t)(twice - r->stack) + 1; /* so that the path in the message names it */
        complain(r, twice->offset, "this key stands twice in its object");
        return STOP;
    }

    size_t count;
    const struct member *members = end(r, &count);
    struct json *value = &r->stack[r->count - 1].value;
    if (count) {
        value->keys = arena_new_n(r->arena, count, const char *);
        for (size_t i = 0; i < count; i++)
            value->keys[i] = members[i].key;
    }
    return GO_ON;
}

static int on_array_start(void *ctx)
{
    return start(ctx, false);
}

static int on_array_end(void *ctx)
{
    size_t count;
    end(ctx, &count);
    return GO_ON;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map_start,
    .yajl_map_key = on_key,
    .yajl_end_map = on_map_end,
    .yajl_start_array = on_array_start,
    .yajl_end_array = on_array_end,
};

/* The value of the \uXXXX at @p, or -1 if none is there. */
static int escaped_unit(const char *p, const char *limit)
{
    int value = 0;
    if (limit - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* In valid JSON a backslash stands in strings only; elsewhere, and before what is no escape, yajl complains.
 */
static int check_escapes(const struct reader *r)
{
    const char *limit = r->text + r->length, *p = r->text;

    while (p < limit && (p = memchr(p, '\\', (size_t)(limit - p)))) {
        int unit = escaped_unit(p, limit);
        bool pair = unit >= 0xd800 && unit <= 0xdbff;
        if (pair) {
            int low = escaped_unit(p + 6, limit);
            pair = low >= 0xdc00 && low <= 0xdfff;
        }
        if (unit == 0)
            return complain(r, (size_t)(p - r->text), "\\u0000 is not allowed: text ends at NUL");
        if (!pair && unit >= 0xd800 && unit <= 0xdfff)
            return complain(r, (size_t)(p - r->text), "half of a surrogate pair: not a character");
        p += pair ? 12 : unit >= 0 ? 6 : 2;
    }
    return 0;
}

static int check_text(const struct reader *r)
{
    if (r->length > JSON_MAX_SIZE)
        return error_set(r->err, 0, "%s: larger than %d MiB", r->what, JSON_MAX_SIZE >> 20);
    size_t valid = utf8_valid_prefix(r->text, r->length);
    if (valid < r->length)
        return complain(r, valid, "not valid UTF-8");
    return check_escapes(r);
}

/* yajl's own words, without its prefix-less newline: "parse error: premature EOF". */
static int syntax_error(const struct reader *r, size_t offset)
{
    unsigned char *words = yajl_get_error(r->yajl, 0, NULL, 0);
    if (!words)
        return error_set(r->err, ENOMEM, "%s", r->what);
    words[strcspn((char *)words, "\n")] = '\0';
    complain(r, offset, (char *)words);
    yajl_free_error(r->yajl, words);
    return -1;
}

static int run(struct reader *r)
{
    yajl_status status = yajl_parse(r->yajl, (const unsigned char *)r->text, r->length);
    size_t offset = yajl_get_bytes_consumed(r->yajl);
    if (status == yajl_status_ok) {
        status = yajl_complete_parse(r->yajl);
        offset = r->length;
    } else if (offset) {
        offset--; /* yajl has read the byte that it dislikes */
    }
    if (status == yajl_status_error)
        return syntax_error(r, offset);
    return status == yajl_status_ok ? 0 : -1;
}

int json_parse(struct arena *a, const char *text, size_t length, const char *what, struct json **out,
               struct error *err)
{
    struct reader r = {.arena = a, .text = text, .length = length, .what = what, .err = err};
    if (check_text(&r))
        return -1;

    r.yajl = yajl_alloc(&callbacks, NULL, &r);
    if (!r.yajl)
        return error_set(err, ENOMEM, "%s", what);
    yajl_config(r.yajl, yajl_dont_validate_strings, 1); /* check_text() did, and better */

    int result = run(&r);
    if (result == 0) {
        *out = arena_new(a, struct json);
        **out = r.stack[0].value;
    }
    yajl_free(r.yajl);
    free(r.stack);
    return result;
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (size_t i = 0; i < object->count; i++)
        if (strcmp(object->keys[i], key) == 0)
            return &object->items[i];
    return NULL;
}

const char *json_get_string(const struct json *object, const char *key)
{
    const struct json *v = json_get(object, key);

    return v && v->type == JSON_STRING ? v->text : NULL;
}

uint64_t json_get_u64(const struct json *object, const char *key)
{
    const struct json *v = json_get(object, key);

    return v && v->type == JSON_NUMBER ? strtoull(v->text, NULL, 10) : 0;
}

bool json_get_bool(const struct json *object, const char *key)
{
    const struct json *v = json_get(object, key);

    return v && v->type == JSON_BOOL && v->boolean;
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",       [JSON_BOOL] = "true or false", [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",     [JSON_OBJECT] = "an object",
    };
    return (size_t)type < ARRAY_SIZE(names) ? names[type] : "unknown";
}
