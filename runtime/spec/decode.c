/*
 * The table-driven decoder: from a JSON tree into C structures, one row of a table a field (decode.h).
 *
 * Invariants: a value is either decoded whole or complained of, with its path; memory that a complaint leaves
 * behind is zero, so validation sees it as missing. Numbers are read from their text: no rounding, no
 * wrap-around, and 1.0 or 1e3 are no integers (Go's decoder refuses them too). Strings point into the JSON
 * tree, which lives in the same arena.
 */
#include "runtime/spec/decode.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/number.h"

static void place_write(struct buffer *b, const struct place *at)
{
    if (!at)
        return;
    place_write(b, at->up);
    if (!at->key)
        buffer_printf(b, "[%zu]", at->index);
    else if (at->map_key)
        buffer_printf(b, "[%s]", quoted(b->arena, at->key));
    else
        buffer_printf(b, "%s%s", b->length ? "." : "", at->key);
}

void complain_at(struct decoder *d, const struct place *at, const char *fmt, ...)
{
    struct buffer path = {.arena = d->arena};
    char text[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    place_write(&path, at);
    if (path.length)
        complain(d->complaints, "%s: %s", path.data, text);
    else
        complain(d->complaints, "%s", text); /* the document itself */
}

/* "must be a string, got a number": the text of what is short, the type of the rest. */
static void complain_of_type(struct decoder *d, const struct place *at, const char *wanted,
                             const struct json *json)
{
    if (json->type == JSON_NUMBER)
        complain_at(d, at, "must be %s, got %.40s", wanted, json->text);
    else if (json->type == JSON_BOOL)
        complain_at(d, at, "must be %s, got %s", wanted, json->boolean ? "true" : "false");
    else
        complain_at(d, at, "must be %s, got %s", wanted, json_type_name(json->type));
}

static bool expect(struct decoder *d, const struct place *at, const struct json *json, enum json_type type)
{
    if (json->type == type)
        return true;
    complain_of_type(d, at, json_type_name(type), json);
    return false;
}

static const char *join_names(struct arena *a, const char *const *names)
{
    struct buffer b = {.arena = a};
    for (size_t i = 0; names[i]; i++)
        buffer_printf(&b, "%s%s", i ? ", " : "", names[i]);
    return b.data;
}

/* The demands a row makes of a string, or of each in a list. */
static bool string_fits(struct decoder *d, const struct place *at, const struct field *f, const char *s)
{
    if ((f->flags & ABSOLUTE) && s[0] != '/') {
        complain_at(d, at, "must be an absolute path, got %s", quoted(d->arena, s));
        return false;
    }
    if (!(f->flags & NAMES))
        return true;
    for (size_t i = 0; f->names[i]; i++)
        if (!strcmp(f->names[i], s))
            return true;
    complain_at(d, at, "must be one of %s; got %s", join_names(d->arena, f->names), quoted(d->arena, s));
    return false;
}

static bool decode_string(struct decoder *d, const struct place *at, const struct json *json,
                          const struct field *f, char **out)
{
    if (!expect(d, at, json, JSON_STRING))
        return false;
    if (json->length == 0 && !(f->flags & MAY_BE_EMPTY)) {
        if (f->flags & REQUIRED)
            complain_at(d, at, "must not be empty");
        return false;
    }
    if (!string_fits(d, at, f, json->text))
        return false;
    *out = (char *)json->text;
    return true;
}

static void decode_strings(struct decoder *d, const struct place *at, const struct json *json,
                           const struct field *f, struct string_list *out)
{
    if (!expect(d, at, json, JSON_ARRAY))
        return;
    if (json->count == 0)
        return;
    out->v = arena_new_n(d->arena, json->count + 1, char *);
    for (size_t i = 0; i < json->count; i++) {
        const struct json *item = &json->items[i];
        struct place here = {.up = at, .index = i};
        bool good = expect(d, &here, item, JSON_STRING) && string_fits(d, &here, f, item->text);
        out->v[out->n++] = good ? (char *)item->text : (char *)""; /* indices stay the document's */
    }
}

static bool decode_number(struct decoder *d, const struct place *at, const struct json *json,
                          const struct field *f, void *out)
{
    static const struct {
        int64_t min;
        uint64_t max;
    } limits[] = {
        [FIELD_U32] = {0, UINT32_MAX},
        [FIELD_I32] = {INT32_MIN, INT32_MAX},
        [FIELD_U64] = {0, UINT64_MAX},
        [FIELD_I64] = {INT64_MIN, INT64_MAX},
    };
    bool ranged = f->min || f->max;
    int64_t min = ranged ? f->min : limits[f->kind].min, i64 = 0;
    uint64_t max = ranged ? f->max : limits[f->kind].max, u64 = 0;
    bool fits = json->type == JSON_NUMBER;

    if (f->kind == FIELD_U32 || f->kind == FIELD_U64)
        fits = fits && number_parse_u64(json->text, f->name, (uint64_t)min, max, &u64, NULL) == 0;
    else
        fits = fits && number_parse_i64(json->text, f->name, min, (int64_t)max, &i64, NULL) == 0;
    if (!fits) {
        char wanted[80];
        snprintf(wanted, sizeof(wanted), "an integer from %" PRId64 " to %" PRIu64, min, max);
        complain_of_type(d, at, wanted, json);
        return false;
    }
    switch (f->kind) {
    case FIELD_U32:
        *(uint32_t *)out = (uint32_t)u64;
        break;
    case FIELD_I32:
        *(int32_t *)out = (int32_t)i64;
        break;
    case FIELD_U64:
        *(uint64_t *)out = u64;
        break;
    default:
        *(int64_t *)out = i64;
    }
    return true;
}

static void decode_u32s(struct decoder *d, const struct place *at, const struct json *json,
                        const struct field *f, uint32_t **out, size_t *n)
{
    const struct field element = {.name = f->name, .kind = FIELD_U32, .min = f->min, .max = f->max};
    if (!expect(d, at, json, JSON_ARRAY))
        return;
    *out = arena_new_n(d->arena, json->count, uint32_t);
    for (size_t i = 0; i < json->count; i++) {
        struct place here = {.up = at, .index = i};
        /* Every list has a count. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        if (decode_number(d, &here, &json->items[i], &element, *out + *n))
            ++*n;
    }
}

/* A list keeps every element, broken ones too (as zeros): indices in later complaints stay the document's. */
static void decode_list(struct decoder *d, const struct place *at, const struct json *json,
                        const struct field *f, void **out, size_t *n)
{
    const struct table *t = f->table;
    bool map = f->kind == FIELD_MAP;
    if (!expect(d, at, json, map ? JSON_OBJECT : JSON_ARRAY))
        return;
    size_t max = f->max ? f->max : LIST_MAX;
    if (json->count > max) {
        complain_at(d, at, "must have at most %zu entries, got %zu", max, json->count);
        return;
    }
    *out = arena_array(d->arena, json->count, t->size);
    for (size_t i = 0; i < json->count; i++) {
        const struct json *item = &json->items[i];
        struct place here = {.up = at, .index = i, .key = map ? json->keys[i] : NULL, .map_key = map};
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        char *element = (char *)*out + *n * t->size;
        if (map && item->type == JSON_NULL)
            continue;
        if (map)
            *(char **)(element + t->key_offset) = (char *)json->keys[i];
        if (map && json->keys[i][0] == '\0')
            complain_at(d, at, "must not have an empty key");
        if (t->value_is_field) {
            decode_field(d, &here, item, &t->fields[0], element);
            if (t->done)
                t->done(d, &here, item, element);
        } else {
            decode_object(d, &here, item, t, element);
        }
        ++*n;
    }
}

void decode_field(struct decoder *d, const struct place *at, const struct json *json, const struct field *f,
                  void *object)
{
    char *target = (char *)object + f->offset;
    char *aux = f->aux ? (char *)object + f->aux - 1 : NULL;
    bool done = true;

    switch ((enum field_kind)f->kind) {
    case FIELD_STRING:
        done = decode_string(d, at, json, f, (char **)target);
        break;
    case FIELD_BOOL:
        done = expect(d, at, json, JSON_BOOL);
        *(bool *)target = done && json->boolean;
        break;
    case FIELD_U32:
    case FIELD_I32:
    case FIELD_U64:
    case FIELD_I64:
        done = decode_number(d, at, json, f, target);
        break;
    case FIELD_STRINGS:
        decode_strings(d, at, json, f, (struct string_list *)target);
        break;
    case FIELD_U32S:
        decode_u32s(d, at, json, f, (uint32_t **)target, (size_t *)aux);
        break;
    case FIELD_OBJECT:
        decode_object(d, at, json, f->table, target);
        break;
    case FIELD_LIST:
    case FIELD_MAP:
        decode_list(d, at, json, f, (void **)target, (size_t *)aux);
        break;
    case FIELD_JSON:
        if (expect(d, at, json, JSON_OBJECT))
            *(const struct json **)target = json;
        break;
    case FIELD_CUSTOM:
        f->custom(d, at, json, target);
        break;
    }
    if (aux && done && f->kind != FIELD_U32S && f->kind != FIELD_LIST && f->kind != FIELD_MAP)
        *(bool *)aux = true;
    if ((f->flags & NOT_EMPTY) && json->type == JSON_ARRAY && json->count == 0)
        complain_at(d, at, "must not be empty");
}

void decode_object(struct decoder *d, const struct place *at, const struct json *json, const struct table *t,
                   void *object)
{
    uint64_t seen = 0;
    if (!expect(d, at, json, JSON_OBJECT))
        return;
    for (size_t i = 0; i < json->count; i++) {
        struct place here = {.up = at, .key = json->keys[i]};
        size_t row = 0;
        if (json->items[i].type == JSON_NULL)
            continue;
        while (row < t->n && strcmp(t->fields[row].name, json->keys[i]))
            row++;
        if (row < t->n) {
            seen |= UINT64_C(1) << row;
            decode_field(d, &here, &json->items[i], &t->fields[row], object);
        } else if (t->closed) {
            here.map_key = true;
            complain_at(d, &here, "is not known here");
        }
    }
    for (size_t row = 0; row < t->n; row++) {
        struct place here = {.up = at, .key = t->fields[row].name};
        if ((t->fields[row].flags & REQUIRED) && !(seen & UINT64_C(1) << row))
            complain_at(d, &here, "is required");
    }
    if (t->done)
        t->done(d, at, json, object);
}

int decode_document(struct arena *a, const struct json *json, const char *text, const struct table *table,
                    const char *name, void *out, struct error *err)
{
    struct spec_complaints complaints = {.arena = a};
    struct decoder decoder = {.arena = a, .text = text, .complaints = &complaints};

    decode_object(&decoder, NULL, json, table, out);
    return complaints_to_error(&complaints, name, err);
}
