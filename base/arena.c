/*
 * The arena: chunks from mmap, handed out from the bottom up.
 *
 * Most commands fit into one chunk of 256 KiB, which costs one system call and only those pages that are
 * touched. An object that would waste a chunk gets one of its own, and the chunk in use stays in use. Fresh
 * pages of mmap are zero and memory is never reused, so "zeroed" needs no memset. Invariant: [next, end) is
 * zero.
 */
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 16, CHUNK = 256 << 10, BIG = CHUNK / 4, PAGE = 4096 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size; /* of the whole mapping */
} __attribute__((aligned(ALIGNMENT)));

static _Noreturn void out_of_memory(void)
{
    static const char text[] = "hull: out of memory\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(1);
}

static char *chunk_new(struct arena *a, size_t size)
{
    if (size > PTRDIFF_MAX - sizeof(struct arena_chunk) - PAGE)
        out_of_memory();
    size = (size + sizeof(struct arena_chunk) + PAGE - 1) & ~(size_t)(PAGE - 1);

    struct arena_chunk *chunk = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED)
        out_of_memory();
    chunk->older = a->chunks;
    chunk->size = size;
    a->chunks = chunk;
    return (char *)(chunk + 1);
}

/* Strings need no alignment: packed, a config.json's thousand small strings take half the pages. */
static char *take(struct arena *a, size_t size, size_t alignment)
{
    size_t padding = -(uintptr_t)a->next & (alignment - 1);
    size_t room = (size_t)(a->end - a->next);

    if (size <= room && padding <= room - size) {
        char *p = a->next + padding;
        a->next = p + size;
        return p;
    }
    if (size > BIG)
        return chunk_new(a, size);

    char *p = chunk_new(a, CHUNK - sizeof(struct arena_chunk));
    a->end = (char *)a->chunks + a->chunks->size;
    a->next = p + size;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    return take(a, size, ALIGNMENT);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        out_of_memory();
    return arena_alloc(a, bytes);
}

void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size)
{
    if (new_size <= old_size)
        return old;
    if (old && (char *)old + old_size == a->next && new_size - old_size <= (size_t)(a->end - a->next)) {
        a->next += new_size - old_size;
        return old;
    }
    void *p = arena_alloc(a, new_size);
    if (old)
        memcpy(p, old, old_size);
    return p;
}

char *arena_copy(struct arena *a, const void *data, size_t n)
{
    char *copy = take(a, n + 1, 1);
    return memcpy(copy, data, n);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    return arena_copy(a, s, strnlen(s, n));
}

char *arena_strdup(struct arena *a, const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(take(a, size, 1), s, size);
}

static char *format(struct arena *a, const char *fmt, va_list args)
{
    char small[256];
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), fmt, args);
    if (n < 0)
        out_of_memory(); /* glibc: ENOMEM for an absurd width */
    char *text = take(a, (size_t)n + 1, 1);
    if ((size_t)n < sizeof(small))
        memcpy(text, small, (size_t)n + 1);
    else
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(a, fmt, args);
    va_end(args);
    return text;
}

void arena_free(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *chunk = a->chunks;
        a->chunks = chunk->older;
        munmap(chunk, chunk->size);
    }
    *a = (struct arena){0};
}
