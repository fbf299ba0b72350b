/*
 * The list of complaints about one document. They are gathered while it is decoded and validated, and become
 * one error at the end: on one line when it is one, else a summary and a line each. Both the number that is
 * kept and the length of the message are bounded, so a hostile document cannot ask for a gigabyte of them;
 * the rest is counted.
 */
#include "runtime/spec/decode.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"

enum { COMPLAINTS_KEPT = 64, QUOTED_MAX = 80 };

void complain(struct spec_complaints *c, const char *fmt, ...)
{
    if (c->list.n == COMPLAINTS_KEPT) {
        c->dropped++;
        return;
    }
    if (c->list.n == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 8;
        c->list.v = arena_grow(c->arena, c->list.v, c->capacity * sizeof(char *), capacity * sizeof(char *));
        c->capacity = capacity;
    }
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->list.v[c->list.n++] = arena_strdup(c->arena, text);
}

bool complained_of(const struct spec_complaints *c, const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < c->list.n; i++)
        if (!strncmp(c->list.v[i], path, length) && strchr(":.[ ", c->list.v[i][length]))
            return true;
    return false;
}

const char *quoted(struct arena *a, const char *s)
{
    struct buffer b = {.arena = a};
    buffer_puts(&b, "\"");
    for (; *s && b.length < QUOTED_MAX; s++) {
        unsigned char ch = (unsigned char)*s;
        if (ch == '"' || ch == '\\')
            buffer_printf(&b, "\\%c", ch);
        else if (ch < 0x20 || ch == 0x7f)
            buffer_printf(&b, "\\u%04x", ch);
        else
            buffer_add(&b, s, 1);
    }
    while (((unsigned char)*s & 0xc0) == 0x80) /* do not cut a UTF-8 sequence */
        buffer_add(&b, s++, 1);
    buffer_puts(&b, *s ? "...\"" : "\"");
    return b.data;
}

int complaints_to_error(const struct spec_complaints *c, const char *name, struct error *err)
{
    size_t total = c->list.n + c->dropped, shown = 0;
    if (total == 0)
        return 0;
    if (total == 1)
        return error_set(err, 0, "%s: %s", name, c->list.v[0]);

    struct buffer b = {.arena = c->arena};
    size_t room = err ? sizeof(err->message) - 128 : 0; /* what the callers put in front fits too */
    buffer_printf(&b, "%s: %zu problems:", name, total);
    for (; shown < c->list.n && b.length + strlen(c->list.v[shown]) + 3 < room; shown++)
        buffer_printf(&b, "\n  %s", c->list.v[shown]);
    if (shown < total)
        buffer_printf(&b, "\n  and %zu more", total - shown);
    return error_set(err, 0, "%s", b.data);
}
