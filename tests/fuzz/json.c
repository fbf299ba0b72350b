/*
 * libFuzzer target for the JSON reader and writer. Beyond "does not crash": what was read can be written, the
 * writing can be read again, and written again it is the same text; raw ranges stand on brackets.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_ranges(const struct json *value, const char *text, size_t size)
{
    if (value->type != JSON_ARRAY && value->type != JSON_OBJECT)
        return;
    check(value->raw_start < value->raw_end && value->raw_end <= size);
    check(text[value->raw_start] == (value->type == JSON_ARRAY ? '[' : '{'));
    check(text[value->raw_end - 1] == (value->type == JSON_ARRAY ? ']' : '}'));
    for (size_t i = 0; i < value->count; i++)
        check_ranges(&value->items[i], text, size);
}

static char *write_tree(struct arena *a, const struct json *value, bool pretty, size_t *length)
{
    struct json_writer w = json_writer_begin(a, pretty);
    json_value(&w, value);
    return json_writer_end(&w, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    static struct error err;
    struct json *first, *second;

    if (json_parse(&arena, (const char *)data, size, "fuzz", &first, &err) == 0) {
        size_t length, again_length;
        check_ranges(first, (const char *)data, size);
        const char *text = write_tree(&arena, first, false, &length);
        const char *pretty = write_tree(&arena, first, true, &again_length);
        check(json_parse(&arena, pretty, again_length, "again", &second, &err) == 0);
        const char *again = write_tree(&arena, second, false, &again_length);
        check(length == again_length && memcmp(text, again, length) == 0);
    } else {
        check(err.message[0] != '\0');
    }
    arena_free(&arena);
    return 0;
}
