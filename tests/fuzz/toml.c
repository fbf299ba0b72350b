/*
 * libFuzzer target for TOML. Beyond "does not crash": what was read is a tree that the JSON writer can write and the JSON
 * reader can read, to the same text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "images/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *write_tree(struct arena *a, const struct json *value, size_t *length)
{
    struct json_writer w = json_writer_begin(a, false);

    json_value(&w, value);
    return json_writer_end(&w, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    static struct error err;
    struct json *first, *second;

    if (toml_parse(&arena, (const char *)data, size, "fuzz", &first, &err) == 0) {
        size_t length, again_length;
        const char *text = write_tree(&arena, first, &length);
        if (json_parse(&arena, text, length, "again", &second, &err) < 0)
            abort();
        const char *again = write_tree(&arena, second, &again_length);
        if (length != again_length || memcmp(text, again, length) != 0)
            abort();
    } else if (!strstr(err.message, "fuzz")) {
        abort();
    }
    arena_free(&arena);
    return 0;
}
