/* The JSON reader: what it must refuse first, then what it must keep exactly. */
#include "base/json.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/buffer.h"

static struct arena arena;
static struct error err;

static struct json *parse_n(const char *text, size_t length)
{
    struct json *root = NULL;
    error_clear(&err);
    return json_parse(&arena, text, length, "test", &root, &err) ? NULL : root;
}

static struct json *parse(const char *text)
{
    return parse_n(text, strlen(text));
}

static struct json *parse_nested(size_t depth, const char *open, const char *inner, const char *close)
{
    struct buffer b = {.arena = &arena};
    for (size_t i = 0; i < depth; i++)
        buffer_puts(&b, open);
    buffer_puts(&b, inner);
    for (size_t i = 0; i < depth; i++)
        buffer_puts(&b, close);
    return parse(b.data);
}

Test(json, depth_64_is_the_last_that_is_read)
{
    cr_assert(parse_nested(64, "[", "", "]"));
    cr_assert(parse_nested(64, "{\"a\":", "1", "}"));
    cr_assert_not(parse_nested(65, "[", "", "]"));
    cr_assert(strstr(err.message, "64"), "%s", err.message);
    cr_assert_not(parse_nested(65, "{\"a\":", "1", "}"));
    cr_assert_not(parse_nested(1000000, "[", "", ""));
}

Test(json, duplicate_keys_are_refused_with_their_place)
{
    cr_assert_not(parse("{\"a\": {\"b\": 1,\n  \"c\": 2,\n  \"b\": 3}}"));
    cr_assert_str_eq(err.message, "test:3:5: a.b: this key stands twice in its object");
    cr_assert_not(parse("{\"a\":1,\"\\u0061\":2}"), "the same key, escaped");
    cr_assert_not(parse("{\"\":1,\"\":2}"));
    cr_assert(parse("{\"a\":1,\"A\":2,\"aa\":3}"));
}

Test(json, duplicate_keys_of_large_objects)
{
    for (int twice = 0; twice < 2; twice++) {
        struct buffer b = {.arena = &arena};
        buffer_puts(&b, "{");
        for (int i = 0; i < 100000; i++)
            buffer_printf(&b, "\"key%d\":%d,", i, i);
        buffer_printf(&b, "\"%s\":0}", twice ? "key77777" : "other");
        struct json *root = parse(b.data);
        cr_assert_eq(root != NULL, !twice);
        if (root)
            cr_assert_str_eq(json_get(root, "key99999")->text, "99999");
        else
            cr_assert(strstr(err.message, ": key77777: "), "%s", err.message);
    }
}

Test(json, malformed_texts_are_refused)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[",
        "[1",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "\"a",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "[1 2]",
        "]",
        "}",
        "[}",
        "{]",
        "tru",
        "True",
        "nul",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "-01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x10",
        "1 2",
        "{} {}",
        "{}x",
        "null null",
        "[] ]",
        "// c\n1",
        "1 // c",
        "/* c */ 1",
        "[1, /* c */ 2]",
        "#",
        "'a'",
        "\"\\x41\"",
        "\"\\u12\"",
        "\"\\u12G4\"",
        "\"\\",
        "\"\n\"",
        "\"\t\"",
        "\"\x01\"",
        "\"\x1f\"",
        "\xef\xbb\xbf{}",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "{\"a\\u0000\":1}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_expect_not(parse(bad[i]), "accepted: %s", bad[i]);
        cr_expect(strncmp(err.message, "test:", 5) == 0, "%s -> %s", bad[i], err.message);
    }
    cr_expect_not(parse_n("\"a\0b\"", 5));
    cr_expect_not(parse_n("1\0", 2));
    cr_expect_not(parse_n("[]\0", 3));
}

Test(json, invalid_utf8_is_refused)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xf0\x9f\x98",
        "\xc3(",
        "\xe2(\xa1",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        for (int shift = 0; shift < 9; shift++) {
            cr_expect_not(parse(arena_printf(&arena, "\"%.*s%s\"", shift, "aaaaaaaaa", bad[i])), "case %zu",
                          i);
            cr_expect(strstr(err.message, "UTF-8"), "%s", err.message);
            cr_expect_not(parse(arena_printf(&arena, "{\"%s\":1}", bad[i])), "key, case %zu", i);
        }
    cr_expect_not(parse("\xc3\xa4"), "valid UTF-8, but outside of a string");
}

Test(json, lone_surrogates_are_refused)
{
    static const char *const bad[] = {"\\ud800",     "\\udc00",         "\\ud83d\\ud83d", "\\ud83dx",
                                      "\\ud83d\\n",  "\\uDFFF\\ud83d",  "\\ude00\\ud83d", "\\ud83d\\u0041",
                                      "\\\\\\ud800", "\\ud83d\\\\ude00"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_expect_not(parse(arena_printf(&arena, "[\"%s\"]", bad[i])), "accepted: %s", bad[i]);

    struct json *root =
        parse("[\"\\ud83d\\ude00\", \"\\\\ud800\", \"\\u00e4\\u20ac\\/\\b\\f\\n\\r\\t\\\"\\\\\"]");
    cr_assert(root, "%s", err.message);
    cr_expect_str_eq(root->items[0].text, "\xf0\x9f\x98\x80");
    cr_expect_eq(root->items[0].length, 4);
    cr_expect_str_eq(root->items[1].text, "\\ud800");
    cr_expect_str_eq(root->items[2].text, "\xc3\xa4\xe2\x82\xac/\b\f\n\r\t\"\\");
}

Test(json, numbers_keep_their_text)
{
    static const char *const numbers[] = {"0",
                                          "-0",
                                          "1e400",
                                          "-1E-400",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "-9223372036854775808",
                                          "4294967296",
                                          "1.0",
                                          "0.1",
                                          "123456789012345678901234567890"};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct json *top = parse(numbers[i]), *in = parse(arena_printf(&arena, "[%s]", numbers[i]));
        cr_assert(top && in, "%s: %s", numbers[i], err.message);
        cr_expect_eq(top->type, JSON_NUMBER);
        cr_expect_str_eq(top->text, numbers[i]);
        cr_expect_str_eq(in->items[0].text, numbers[i]);
        cr_expect_eq(in->items[0].length, strlen(numbers[i]));
    }
}

Test(json, raw_ranges_are_exact)
{
    const char *text = " {\"a\" : [ 1, [] ] ,\n\"b\":{ \"c\":{}} } ";
    struct json *root = parse(text);
    cr_assert(root, "%s", err.message);
    const struct json *a = json_get(root, "a"), *b = json_get(root, "b"), *c = json_get(b, "c");
    const struct {
        const struct json *value;
        const char *raw;
    } cases[] = {{root, "{\"a\" : [ 1, [] ] ,\n\"b\":{ \"c\":{}} }"},
                 {a, "[ 1, [] ]"},
                 {&a->items[1], "[]"},
                 {b, "{ \"c\":{}}"},
                 {c, "{}"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct json *v = cases[i].value;
        cr_expect_eq(v->raw_end - v->raw_start, strlen(cases[i].raw));
        cr_expect_eq(strncmp(text + v->raw_start, cases[i].raw, strlen(cases[i].raw)), 0, "%s", cases[i].raw);
    }
}

Test(json, members_and_types)
{
    struct json *root =
        parse("{\"n\":null,\"t\":true,\"f\":false,\"s\":\"x\",\"a\":[1,\"2\",[3]],\"o\":{\"k\":{}}}");
    cr_assert(root, "%s", err.message);
    cr_expect_eq(root->count, 6);
    cr_expect_eq(json_get(root, "n")->type, JSON_NULL);
    cr_expect(json_get(root, "t")->boolean);
    cr_expect_not(json_get(root, "f")->boolean);
    cr_expect_str_eq(json_get(root, "s")->text, "x");
    cr_expect_eq(json_get(root, "a")->count, 3);
    cr_expect_str_eq(json_get(root, "a")->items[2].items[0].text, "3");
    cr_expect_eq(json_get(json_get(root, "o"), "k")->type, JSON_OBJECT);
    cr_expect_not(json_get(root, "missing"));
    cr_expect_not(json_get(json_get(root, "a"), "k"), "an array has no members");
    cr_expect_not(json_get(NULL, "k"));
    cr_expect_str_eq(json_type_name(JSON_OBJECT), "an object");
    cr_expect_str_eq(json_type_name(JSON_STRING), "a string");
    cr_expect_str_eq(root->keys[5], "o");
}

Test(json, messages_name_line_column_and_path)
{
    cr_assert_not(parse("{\n  \"process\": {\n    \"args\": [\"a\", \"\\u0000\"]\n  }\n}"));
    cr_expect(strncmp(err.message, "test:3:20: ", 11) == 0, "%s", err.message);
    cr_assert_not(parse("{\n  \"a\": 1\n  \"b\": 2\n}"));
    cr_expect(strncmp(err.message, "test:3:", 7) == 0, "%s", err.message);
    cr_assert_not(parse("{\"process\": {\"args\": [\"a\", {\"k\": 1, \"k\": 2}]}}"));
    cr_expect(strstr(err.message, ": process.args[1].k: this key"), "%s", err.message);
    cr_assert_not(parse("{\"a\":\n\n"));
    cr_expect(strncmp(err.message, "test:3:1: ", 10) == 0 && strstr(err.message, "premature EOF"), "%s",
              err.message);
    cr_assert_not(parse("{\"\\u001b[31m\":1,\"\\u001b[31m\":2}"));
    cr_expect_not(strchr(err.message, 0x1b), "an escape sequence reached the message");
}

Test(json, size_and_value_limits)
{
    size_t size = JSON_MAX_SIZE + 1;
    char *big = arena_alloc(&arena, size + 1);
    memset(big, ' ', size);
    big[0] = '1';
    cr_expect(parse_n(big, JSON_MAX_SIZE));
    cr_expect_not(parse_n(big, size));
    cr_expect(strstr(err.message, "64 MiB"), "%s", err.message);

    size_t n = 2 * ((size_t)JSON_MAX_VALUES + 2);
    for (size_t i = 0; i < n; i += 2)
        memcpy(big + i, "1,", 2);
    big[0] = '[';
    big[1] = ' ';
    big[n - 1] = ']';
    cr_expect_not(parse_n(big, n));
    cr_expect(strstr(err.message, "too many values"), "%s", err.message);
}

Test(json, the_text_may_go_away)
{
    char text[] = "{\"key\":[\"value\",12]}";
    struct json *root = parse(text);
    memset(text, 'X', sizeof(text));
    cr_expect_str_eq(root->keys[0], "key");
    cr_expect_str_eq(root->items[0].items[0].text, "value");
    cr_expect_str_eq(root->items[0].items[1].text, "12");
}
