/* Arena, buffer and errors: the ground everything stands on. */
#include "base/arena.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/utf8.h"

Test(arena, overflowing_counts_end_the_process, .exit_code = 1, .init = cr_redirect_stderr)
{
    struct arena a = {0};
    arena_array(&a, SIZE_MAX / 2, 3);
}

Test(arena, absurd_sizes_end_the_process, .exit_code = 1, .init = cr_redirect_stderr)
{
    struct arena a = {0};
    arena_alloc(&a, SIZE_MAX - 8);
}

Test(arena, memory_is_aligned_zero_and_separate)
{
    struct arena a = {0};
    char *last = NULL;
    for (size_t size = 0; size < 300000; size = size * 2 + 1) {
        arena_strdup(&a, "x"); /* puts the next free byte out of line */
        char *p = arena_alloc(&a, size);
        cr_assert_eq((uintptr_t)p % 16, 0);
        cr_assert_neq(p, last);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(p[i], 0);
        memset(p, 0xff, size);
        last = p;
    }
    arena_free(&a);
    cr_assert_null(a.chunks);
}

Test(arena, growing_keeps_what_was_there)
{
    struct arena a = {0};
    char *p = arena_alloc(&a, 8), *q;
    memcpy(p, "1234567", 8);
    q = arena_grow(&a, p, 8, 64);
    cr_expect_eq(p, q, "the newest object grows in place");
    arena_alloc(&a, 1);
    q = arena_grow(&a, p, 64, 128);
    cr_expect_neq(p, q);
    cr_expect_str_eq(q, "1234567");
    cr_expect_eq(q[127], 0);
    q = arena_grow(&a, q, 128, 1 << 20);
    cr_expect_str_eq(q, "1234567");
    cr_expect_not_null(arena_grow(&a, NULL, 0, 8));
}

Test(arena, strings)
{
    struct arena a = {0};
    cr_expect_str_eq(arena_strdup(&a, "abc"), "abc");
    cr_expect_str_eq(arena_strndup(&a, "abc", 2), "ab");
    cr_expect_str_eq(arena_strndup(&a, "abc", 9), "abc");
    cr_expect_str_eq(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    const char *wide = arena_printf(&a, "%5000s", "x");
    cr_expect_eq(strlen(wide), 5000);
    cr_expect_eq(wide[4999], 'x');
}

Test(buffer, grows_and_stays_terminated)
{
    struct arena a = {0};
    struct buffer b = {.arena = &a};
    buffer_puts(&b, "");
    cr_expect_str_eq(b.data, "");
    for (int i = 0; i < 20000; i++)
        buffer_printf(&b, "%d,", i % 10);
    cr_expect_eq(b.length, 40000);
    cr_expect_eq(strlen(b.data), 40000);
    buffer_add(&b, "a\0b", 3);
    cr_expect_eq(b.length, 40003);
    buffer_printf(&b, "%3000s", "z");
    cr_expect_eq(b.data[b.length - 1], 'z');
    cr_expect_eq(b.data[b.length], '\0');
}

Test(error, chain_reads_from_the_outside_in)
{
    struct error err = {0};
    cr_expect_eq(error_set(&err, ENOENT, "open %s", "/srv/data"), -1);
    cr_expect_eq(err.code, ENOENT);
    cr_expect_eq(error_wrap(&err, "mount %s", "/data"), -1);
    error_wrap(&err, "container web");
    cr_expect_str_eq(err.message, "container web: mount /data: open /srv/data: No such file or directory");
    error_set(&err, 0, "again: %s", err.message); /* its own message as an argument */
    cr_expect(strncmp(err.message, "again: container web: ", 22) == 0);
    error_clear(&err);
    cr_expect_str_eq(err.message, "");
    cr_expect_eq(error_set(NULL, 1, "nobody listens"), -1);
    cr_expect_eq(error_wrap(NULL, "nobody listens"), -1);
}

Test(error, hostile_names_neither_overflow_nor_speak_to_terminals)
{
    struct arena a = {0};
    struct error err = {0};
    error_set(&err, ENOENT, "%s", arena_printf(&a, "%9000s", "x"));
    cr_expect_eq(strlen(err.message), sizeof(err.message) - 1);
    error_wrap(&err, "outer");
    cr_expect(strncmp(err.message, "outer: ", 7) == 0);
    cr_expect_eq(strlen(err.message), sizeof(err.message) - 1);
    error_set(&err, 0, "open %s", "\033]0;owned\007\r\x7f");
    cr_expect_str_eq(err.message, "open ?]0;owned???");
}

Test(utf8, valid_prefix)
{
    const char *text = "12345678\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xee\x80\x80 12345678";
    cr_expect_eq(utf8_valid_prefix(text, strlen(text)), strlen(text));
    cr_expect_eq(utf8_valid_prefix("", 0), 0);
    cr_expect_eq(utf8_valid_prefix("1234567\xc3", 8), 7);
    cr_expect_eq(utf8_valid_prefix("\xed\xa0\x80", 3), 0);
}
