/* The JSON writer: valid output whatever the strings hold, runc's layout, and round trips. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"

static struct arena arena;

static char *write_string(const char *value)
{
    struct json_writer w = json_writer_begin(&arena, false);
    json_string(&w, value);
    return json_writer_end(&w, NULL);
}

Test(json_write, invalid_utf8_becomes_replacement_characters)
{
    cr_expect_str_eq(write_string("a\xff"
                                  "b"),
                     "\"a\xef\xbf\xbd"
                     "b\"");
    cr_expect_str_eq(write_string("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    cr_expect_str_eq(write_string("\xc3\xa4\xc3"), "\"\xc3\xa4\xef\xbf\xbd\"");
    cr_expect_str_eq(write_string("\xff"), "\"\xef\xbf\xbd\"");
}

Test(json_write, strings_are_escaped)
{
    cr_expect_str_eq(write_string("\"\\/\n\t\x01"), "\"\\\"\\\\/\\n\\t\\u0001\"");
    cr_expect_str_eq(write_string(""), "\"\"");
    cr_expect_str_eq(write_string(NULL), "null");
}

static void write_all_kinds(struct json_writer *w)
{
    json_object(w);
    json_key(w, "max");
    json_uint(w, UINT64_MAX);
    json_key(w, "min");
    json_int(w, INT64_MIN);
    json_key(w, "yes");
    json_bool(w, true);
    json_key(w, "empty");
    json_object(w);
    json_object_end(w);
    json_key(w, "list");
    json_array(w);
    json_array(w);
    json_array_end(w);
    json_string(w, "[\n\n]{}");
    json_array_end(w);
    json_object_end(w);
}

Test(json_write, compact_and_pretty)
{
    struct json_writer w = json_writer_begin(&arena, false);
    size_t length;
    write_all_kinds(&w);
    const char *text = json_writer_end(&w, &length);
    cr_expect_str_eq(text,
                     "{\"max\":18446744073709551615,\"min\":-9223372036854775808,\"yes\":true,\"empty\":{},"
                     "\"list\":[[],\"[\\n\\n]{}\"]}");
    cr_expect_eq(length, strlen(text));

    w = json_writer_begin(&arena, true);
    write_all_kinds(&w);
    text = json_writer_end(&w, &length);
    cr_expect_str_eq(
        text, "{\n  \"max\": 18446744073709551615,\n  \"min\": -9223372036854775808,\n"
              "  \"yes\": true,\n  \"empty\": {},\n  \"list\": [\n    [],\n    \"[\\n\\n]{}\"\n  ]\n}");
    cr_expect_eq(length, strlen(text));
}

Test(json_write, a_tree_survives_the_round_trip)
{
    const char *text = "{\"a\":[1,-0,1e400,18446744073709551616,null,true,false,{},[],\"\\u0001\xc3\xa4\"],"
                       "\"b\":{\"c\":{\"d\":[]}}}";
    struct json *root;
    cr_assert_eq(json_parse(&arena, text, strlen(text), "t", &root, NULL), 0);
    struct json_writer w = json_writer_begin(&arena, false);
    json_value(&w, root);
    cr_expect_str_eq(json_writer_end(&w, NULL), text);
}

Test(json_write, the_deepest_tree_can_be_written)
{
    char text[2 * JSON_MAX_DEPTH + 1];
    memset(text, '[', JSON_MAX_DEPTH);
    memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
    text[2 * JSON_MAX_DEPTH] = '\0';
    struct json *root;
    cr_assert_eq(json_parse(&arena, text, strlen(text), "t", &root, NULL), 0);
    struct json_writer w = json_writer_begin(&arena, false);
    json_value(&w, root);
    cr_expect_str_eq(json_writer_end(&w, NULL), text);
}
