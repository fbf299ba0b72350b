/* TOML becomes the same tree as JSON; what is not understood is refused, with its line. */
#include <criterion/criterion.h>
#include <string.h>

#include "images/toml.h"

static struct arena a;
static struct error err;

static const char *as_json(const char *text)
{
    struct json *json;
    struct json_writer w;
    size_t length;

    if (toml_parse(&a, text, strlen(text), "t", &json, &err) < 0)
        return NULL;
    w = json_writer_begin(&a, false);
    json_value(&w, json);
    return json_writer_end(&w, &length);
}

Test(toml, values)
{
    static const struct {
        const char *toml, *json;
    } samples[] = {
        {"", "{}"},
        {"\n \t# a comment\r\n", "{}"},
        {"\xef\xbb\xbf"
         "a = 1",
         "{\"a\":1}"},
        {"a = 1 # one\nb=2", "{\"a\":1,\"b\":2}"},
        {"a = +1_000\nb = -0\nc = -9223372036854775808\nd = 0xfF\ne = 0o17\nf = 0b101",
         "{\"a\":1000,\"b\":0,\"c\":-9223372036854775808,\"d\":255,\"e\":15,\"f\":5}"},
        {"a = true\nb = false", "{\"a\":true,\"b\":false}"},
        {"a = \"x\\ty\\\"\\u00e9\\U0001F600\"", "{\"a\":\"x\\ty\\\"\xc3\xa9\xf0\x9f\x98\x80\"}"},
        {"a = 'C:\\x'", "{\"a\":\"C:\\\\x\"}"},
        {"a = \"\"\nb = ''", "{\"a\":\"\",\"b\":\"\"}"},
        {"a = \"\"\"\none\r\ntwo\\\n   three\"\"\"", "{\"a\":\"one\\ntwothree\"}"},
        {"a = '''\n\\n ''\n'''", "{\"a\":\"\\\\n ''\\n\"}"},
        {"a = \"\"\"\"x\"\"\"\"\"", "{\"a\":\"\\\"x\\\"\\\"\"}"},
        {"a = [1, 'b',\n # no\n [true], ]", "{\"a\":[1,\"b\",[true]]}"},
        {"a = []\nb = {}", "{\"a\":[],\"b\":{}}"},
        {"a = {b = 1, c.d = 'e'}", "{\"a\":{\"b\":1,\"c\":{\"d\":\"e\"}}}"},
        {"a.b . \"c d\" = 1\na.e = 2", "{\"a\":{\"b\":{\"c d\":1},\"e\":2}}"},
        {"\"\" = 1\n3 = 2\n'x' = 3", "{\"\":1,\"3\":2,\"x\":3}"},
        {"[a]\nb = 1\n[ a . c ]\nd = 2\n[e]", "{\"a\":{\"b\":1,\"c\":{\"d\":2}},\"e\":{}}"},
        {"[a.b]\n[a]\nc = 1", "{\"a\":{\"b\":{},\"c\":1}}"},
        {"[[a]]\nb = 1\n[[a.c]]\nd = 1\n[[a.c]]\nd = 2\n[[a]]\n[a.e]\nf = 1",
         "{\"a\":[{\"b\":1,\"c\":[{\"d\":1},{\"d\":2}]},{\"e\":{\"f\":1}}]}"},
        {"[a]\nb.c = 1\n[a.b.d]\ne = 1", "{\"a\":{\"b\":{\"c\":1,\"d\":{\"e\":1}}}}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const char *json = as_json(samples[i].toml);
        cr_expect(json, "%s: %s", samples[i].toml, err.message);
        if (json)
            cr_expect_str_eq(json, samples[i].json, "%s: %s", samples[i].toml, json);
    }
}

Test(toml, refused)
{
    static const struct {
        const char *toml, *says;
    } samples[] = {
        {"a", "t:1: = is expected"},
        {"a = ", "a value is expected"},
        {"\n\na = 1 b = 2", "t:3: something after the value"},
        {"= 1", "a key is expected"},
        {"a = 1\na = 2", "t:2: \"a\" is there already"},
        {"[a]\n[a]", "t:2: [a]: \"a\" is there already"},
        {"a = 1\n[a]", "is there already"},
        {"[a]\nb = 1\n[a.b]", "is there already"},
        {"a = 1\n[a.b]", "nothing can be added"},
        {"a.b = 1\n[a]", "is there already"},
        {"[a.b]\n[a]\nb.c = 1", "nothing can be added"},
        {"a = {b = 1}\n[a.c]", "nothing can be added"},
        {"a = {b = 1}\na.c = 2", "nothing can be added"},
        {"a = [{}]\n[[a]]", "no array of tables"},
        {"a = [{}]\n[a.b]", "nothing can be added"},
        {"[a]\n[[a]]", "no array of tables"},
        {"[[a]]\n[a]", "is there already"},
        {"a = {b = 1,}", "on the same line"},
        {"a = {b = 1\n}", "on the same line"},
        {"a = {b = 1 c = 2}", "on the same line"},
        {"a = {,}", "a key is expected"},
        {"a = [1 2]", ", or ] is expected"},
        {"a = [1, 2", ", or ] is expected"},
        {"a = [,]", "a value is expected"},
        {"a = 1.5", "1.5: a value is expected"},
        {"a = 1e5", "1e5: a value"},
        {"a = inf", "a value is expected"},
        {"a = 2020-01-01", "2020-01-01: a value"},
        {"a = 07:32:00", "a value is expected"},
        {"a = 01", "a value is expected"},
        {"a = 0x", "a value is expected"},
        {"a = -0x1", "a value is expected"},
        {"a = 0b2", "a value is expected"},
        {"a = 1__0", "digits"},
        {"a = 1_", "digits"},
        {"a = _1", "digits"},
        {"a = 9223372036854775808", "64 bits"},
        {"a = -9223372036854775809", "64 bits"},
        {"a = 99999999999999999999999999", "64 bits"},
        {"a = truex", "something after"},
        {"a = True", "a value is expected"},
        {"a = \"x", "without its closing quote"},
        {"a = \"x\ny\"", "without its closing quote"},
        {"a = '''x", "without its closing quote"},
        {"a = \"\x01\"", "control character (0x01)"},
        {"a = \"\\x41\"", "\\ in a string"},
        {"a = \"\\uD800\"", "no character"},
        {"a = \"\\U00110000\"", "no character"},
        {"a = \"\\u12\"", "4 hexadecimal digits"},
        {"a = \"\\u0000\"", "no character"},
        {"a = \"\\ \n\"", "\\ in a string"},
        {"\"\"\"a\"\"\" = 1", "many lines"},
        {"[a", "] is expected"},
        {"[[a]", "]] is expected"},
        {"[]", "a key is expected"},
        {"[a] b = 1", "something after"},
        {"a = \"\xff\"", "t:1: not UTF-8"},
        {"[x]\n\na = '\xc0\x80'", "t:3: not UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        err = (struct error){0};
        cr_expect_null(as_json(samples[i].toml), "%s", samples[i].toml);
        cr_expect(strstr(err.message, samples[i].says), "%s: \"%s\"", samples[i].toml, err.message);
    }
}

/* A prefix, many times something, a suffix. */
static char *repeat(const char *before, const char *what, size_t times, const char *after)
{
    char *text = arena_alloc(&a, strlen(before) + times * strlen(what) + strlen(after) + 1),
         *p = stpcpy(text, before);

    while (times--)
        p = stpcpy(p, what);
    strcpy(p, after);
    return text;
}

Test(toml, limits)
{
    cr_expect(as_json(repeat("a = ", "[", TOML_MAX_DEPTH, repeat("", "]", TOML_MAX_DEPTH, ""))), "%s",
              err.message);
    cr_expect_null(as_json(repeat("a = ", "[", 1000000, "")));
    cr_expect(strstr(err.message, "nested deeper"), "%s", err.message);
    cr_expect_null(as_json(repeat("a = ", "{a=", 100000, "")));
    cr_expect(strstr(err.message, "nested deeper"), "%s", err.message);
    cr_expect_null(as_json(repeat("", "a.", 100000, "a = 1")));
    cr_expect(strstr(err.message, "parts"), "%s", err.message);
    cr_expect_null(as_json(repeat("a = [", "1,", 100000, "]")));
    cr_expect(strstr(err.message, "more than"), "%s", err.message);
    cr_expect_null(as_json(repeat("", "[[a]]\n", 100000, "")));
    cr_expect(strstr(err.message, "more than"), "%s", err.message);
    cr_expect_null(as_json(repeat("# ", "x", TOML_MAX_SIZE, "")));
    cr_expect(strstr(err.message, "larger than"), "%s", err.message);

    struct json *json;
    cr_expect_eq(toml_parse(&a, "a = 1\0b", 7, "t", &json, &err), -1);
    cr_expect(strstr(err.message, "NUL"), "%s", err.message);
}
