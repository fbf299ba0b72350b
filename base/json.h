/*
 * JSON, read whole into an arena and written by a small generator; both on yajl. The reader is one wrapper around yajl's
 * traps: nesting beyond 64, duplicate keys, comments, NUL in strings, invalid UTF-8, text after the value and files beyond
 * 64 MiB or 4 million values are errors; numbers keep their text, so that nothing is rounded. A message says where: line and column.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum { JSON_MAX_DEPTH = 64, JSON_MAX_SIZE = 64 << 20, JSON_MAX_VALUES = 4 << 20 };

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    uint32_t raw_start, raw_end; /* objects and arrays: where their text stands in the input, [start, end) */
    union {
        bool boolean;
        struct { /* JSON_STRING: unescaped, NUL-terminated. JSON_NUMBER: its text */
            const char *text;
            size_t length;
        };
        struct {                /* JSON_ARRAY, JSON_OBJECT */
            struct json *items; /* count of them */
            const char **keys;  /* JSON_OBJECT: keys[i] belongs to items[i] */
            size_t count;
        };
    };
};

/** Parse @length bytes. @what names the source in messages ("config.json"). The text must outlive nothing: all is copied. */
int json_parse(struct arena *a, const char *text, size_t length, const char *what, struct json **out,
               struct error *err);

/** Member @key of an object, NULL when missing (or when @object is no object). */
const struct json *json_get(const struct json *object, const char *key);
/** For documents of Hull's own: member @key, or NULL / 0 / false when it is missing or of another type. */
const char *json_get_string(const struct json *object, const char *key);
uint64_t json_get_u64(const struct json *object, const char *key);
bool json_get_bool(const struct json *object, const char *key);
const char *json_type_name(enum json_type type); /* "an object", "a string" ... for messages */

/* Writer: struct json_writer w = json_writer_begin(arena, pretty); ... text = json_writer_end(&w, &length); */
struct json_writer {
    void *gen;
    struct arena *arena;
};

struct json_writer json_writer_begin(struct arena *a, bool pretty); /* pretty: two-space indent, as runc's */
char *json_writer_end(struct json_writer *w, size_t *length);       /* adds no newline */
void json_object(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_string(struct json_writer *w, const char *value); /* NULL writes null */
void json_int(struct json_writer *w, int64_t value);
void json_uint(struct json_writer *w, uint64_t value);
void json_bool(struct json_writer *w, bool value);
void json_value(struct json_writer *w, const struct json *value); /* a tree that was read */
