/*
 * A growing string. Capacity doubles, and arena_grow extends in place while the buffer is the arena's newest
 * object, which it usually is. Invariant: data is NULL, or length < capacity and data[length] is NUL.
 */
#include "base/buffer.h"

#include <stdio.h>
#include <string.h>

/* Room for @more bytes and the NUL. The arena ends the process where memory ends, so sums that wrap end there
 * too. */
static void reserve(struct buffer *b, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(b->length, more, &need) || __builtin_add_overflow(need, (size_t)1, &need))
        need = SIZE_MAX;
    if (need <= b->capacity)
        return;

    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity < need && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    if (capacity < need)
        capacity = need;
    b->data = arena_grow(b->arena, b->data, b->capacity, capacity);
    b->capacity = capacity;
}

void buffer_add(struct buffer *b, const void *data, size_t length)
{
    reserve(b, length);
    if (length)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = '\0';
}

void buffer_puts(struct buffer *b, const char *s)
{
    buffer_add(b, s, strlen(s));
}

void buffer_printf(struct buffer *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    reserve(b, 0);
    size_t room = b->capacity - b->length;
    int n = vsnprintf(b->data + b->length, room, fmt, args);
    if (n > 0 && (size_t)n >= room) {
        reserve(b, (size_t)n);
        vsnprintf(b->data + b->length, (size_t)n + 1, fmt, again);
    }
    if (n > 0)
        b->length += (size_t)n;
    va_end(again);
    va_end(args);
}
