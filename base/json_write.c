/*
 * The JSON writer, on yajl_gen. Calls in the wrong order (a value where a key belongs) are bugs of the
 * caller's, not states of the world, and assert. Output is always valid: bytes that are no UTF-8, which file
 * names may hold, become U+FFFD one by one. yajl's pretty form opens a line in empty containers; that is
 * folded away to {} and [].
 */
#include "base/json.h"

#include <assert.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "base/buffer.h"
#include "base/utf8.h"

static void must(yajl_gen_status status)
{
    assert(status == yajl_gen_status_ok);
    (void)status;
}

struct json_writer json_writer_begin(struct arena *a, bool pretty)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    assert(gen);
    if (pretty) {
        yajl_gen_config(gen, yajl_gen_beautify, 1);
        yajl_gen_config(gen, yajl_gen_indent_string, "  ");
    }
    return (struct json_writer){.gen = gen, .arena = a};
}

/* Strings hold no raw newline, so a bracket with two after it is an empty container in pretty form. */
static size_t fold_empty(char *text, size_t length)
{
    size_t to = 0;
    for (size_t from = 0; from < length;) {
        char c = text[to++] = text[from++];
        if ((c == '{' || c == '[') && length - from > 2 && text[from] == '\n' && text[from + 1] == '\n')
            from += strspn(text + from, "\n ");
    }
    return to;
}

char *json_writer_end(struct json_writer *w, size_t *length)
{
    const unsigned char *text;
    size_t n;
    must(yajl_gen_get_buf(w->gen, &text, &n));

    char *copy = arena_copy(w->arena, text, n);
    yajl_gen_free(w->gen);
    w->gen = NULL;
    n = fold_empty(copy, n);
    while (n && copy[n - 1] == '\n')
        n--;
    copy[n] = '\0';
    if (length)
        *length = n;
    return copy;
}

void json_object(struct json_writer *w)
{
    must(yajl_gen_map_open(w->gen));
}

void json_object_end(struct json_writer *w)
{
    must(yajl_gen_map_close(w->gen));
}

void json_array(struct json_writer *w)
{
    must(yajl_gen_array_open(w->gen));
}

void json_array_end(struct json_writer *w)
{
    must(yajl_gen_array_close(w->gen));
}

static void put_string(struct json_writer *w, const char *text, size_t length)
{
    size_t valid = utf8_valid_prefix(text, length);
    if (valid == length) {
        must(yajl_gen_string(w->gen, (const unsigned char *)text, length));
        return;
    }
    struct buffer repaired = {.arena = w->arena};
    for (;;) {
        buffer_add(&repaired, text, valid);
        if (valid == length)
            break;
        buffer_puts(&repaired, "\xef\xbf\xbd");
        text += valid + 1;
        length -= valid + 1;
        valid = utf8_valid_prefix(text, length);
    }
    must(yajl_gen_string(w->gen, (const unsigned char *)repaired.data, repaired.length));
}

void json_key(struct json_writer *w, const char *key)
{
    put_string(w, key, strlen(key));
}

void json_string(struct json_writer *w, const char *value)
{
    if (value)
        put_string(w, value, strlen(value));
    else
        must(yajl_gen_null(w->gen));
}

static void put_number(struct json_writer *w, const char *text)
{
    must(yajl_gen_number(w->gen, text, strlen(text)));
}

void json_int(struct json_writer *w, int64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    put_number(w, text);
}

void json_uint(struct json_writer *w, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    put_number(w, text);
}

void json_bool(struct json_writer *w, bool value)
{
    must(yajl_gen_bool(w->gen, value));
}

/* Recursion is bounded: the reader takes JSON_MAX_DEPTH levels, half of what yajl_gen takes. */
void json_value(struct json_writer *w, const struct json *value)
{
    switch (value->type) {
    case JSON_NULL:
        json_string(w, NULL);
        break;
    case JSON_BOOL:
        json_bool(w, value->boolean);
        break;
    case JSON_NUMBER:
        put_number(w, value->text);
        break;
    case JSON_STRING:
        put_string(w, value->text, value->length);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        if (value->type == JSON_OBJECT)
            json_object(w);
        else
            json_array(w);
        for (size_t i = 0; i < value->count; i++) {
            if (value->type == JSON_OBJECT)
                json_key(w, value->keys[i]);
            json_value(w, &value->items[i]);
        }
        if (value->type == JSON_OBJECT)
            json_object_end(w);
        else
            json_array_end(w);
        break;
    }
}
