/*
 * The display: one thread that wakes ten times a second, reads the bars' counters and draws; see progress.h. It never holds
 * a worker up: counters are atomic, and a slow terminal only slows the display's thread.
 *
 * On a terminal the block of lines is drawn, and the next time the cursor goes up over it. More layers than the terminal
 * has lines are folded: those that are done are not drawn any more, but counted in the last line.
 */
#include "images/progress.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"

enum { INTERVAL_MS = 100, BAR_WIDTH = 30 };

struct progress {
    enum progress_form form;
    bool terminal;
    const char *what;
    struct bar *const *bars;
    size_t n, drawn; /* lines on the terminal */
    bool *told;      /* of each bar: its end was printed */
    uint64_t last_ns, last_bytes;
    double rate; /* bytes a second, smoothed */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t end;
    bool ends;
};

static const char *const state_names[] = {[BAR_WAITS] = "waiting",
                                          [BAR_WORKS] = "unpacking",
                                          [BAR_PRESENT] = "present",
                                          [BAR_DONE] = "done",
                                          [BAR_FAILED] = "failed"};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* "12.3 MB" */
static const char *amount(struct arena *a, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;

    while (bytes >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
        bytes /= 1000;
        unit++;
    }
    return arena_printf(a, unit && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void measure(struct progress *p, uint64_t *done, uint64_t *total, size_t *finished)
{
    uint64_t now = now_ns();

    *done = *total = 0;
    *finished = 0;
    for (size_t i = 0; i < p->n; i++) {
        int state = atomic_load(&p->bars[i]->state);

        *finished += state >= BAR_PRESENT;
        if (state != BAR_PRESENT) {
            *done += atomic_load(&p->bars[i]->done);
            *total += p->bars[i]->total;
        }
    }
    if (now > p->last_ns) {
        uint64_t more = *done > p->last_bytes ? *done - p->last_bytes : 0; /* less: something began anew */
        double fresh = (double)more * 1e9 / (double)(now - p->last_ns);
        p->rate = p->last_bytes ? 0.8 * p->rate + 0.2 * fresh : fresh;
    }
    p->last_ns = now;
    p->last_bytes = *done;
}

/* --- a terminal ---------------------------------------------------------------------------------------------------- */

static void draw_bar(struct buffer *b, const struct bar *bar)
{
    uint64_t done = atomic_load(&bar->done);
    int state = atomic_load(&bar->state);
    size_t full = bar->total ? (size_t)((double)done / (double)bar->total * BAR_WIDTH) : 0;

    if (full > BAR_WIDTH || state == BAR_DONE || state == BAR_PRESENT)
        full = BAR_WIDTH;
    buffer_printf(b, "%-12s [%-*.*s] %9s", bar->name, BAR_WIDTH, (int)full, "##############################",
                  amount(b->arena, (double)(state == BAR_PRESENT ? bar->total : done)));
    if (bar->total && state == BAR_WORKS)
        buffer_printf(b, " of %s", amount(b->arena, (double)bar->total));
    else if (state != BAR_WORKS)
        buffer_printf(b, " %s", state_names[state]);
    buffer_puts(b, "\033[K\n");
}

/* How many lines there are for bars: one stays for the sum, one for the cursor. */
static size_t room(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 4 ? size.ws_row - 2U : 20;
}

static void draw(struct progress *p)
{
    struct arena a = {0};
    struct buffer b = {.arena = &a};
    uint64_t done, total;
    size_t finished, lines = 0, space = room();
    bool fold = p->n > space;

    measure(p, &done, &total, &finished);
    if (p->drawn)
        buffer_printf(&b, "\033[%zuA", p->drawn);
    for (size_t i = 0; i < p->n && lines < space; i++)
        if (!fold || atomic_load(&p->bars[i]->state) < BAR_PRESENT) {
            draw_bar(&b, p->bars[i]);
            lines++;
        }
    buffer_printf(&b, "%zu of %zu layers, %s of %s, %s/s\033[K\n\033[J", finished, p->n,
                  amount(&a, (double)done), amount(&a, (double)total), amount(&a, p->rate));
    p->drawn = lines + 1;
    (void)fd_write_all(STDERR_FILENO, b.data, b.length); /* who does not read it does not miss it */
    arena_free(&a);
}

/* --- lines --------------------------------------------------------------------------------------------------------- */

static void tell_json(struct buffer *b, const struct bar *bar, int state)
{
    struct json_writer w = json_writer_begin(b->arena, false);
    size_t length;

    json_object(&w);
    json_key(&w, "layer");
    json_string(&w, bar->name);
    json_key(&w, "status");
    json_string(&w, state_names[state]);
    json_key(&w, "bytes");
    json_uint(&w, atomic_load(&bar->done));
    json_key(&w, "size");
    json_uint(&w, bar->total);
    json_object_end(&w);
    const char *text = json_writer_end(&w, &length);
    buffer_add(b, text, length);
    buffer_puts(b, "\n");
}

static void tell(struct progress *p)
{
    struct arena a = {0};
    struct buffer b = {.arena = &a};

    for (size_t i = 0; i < p->n; i++) {
        int state = atomic_load(&p->bars[i]->state);

        if (p->told[i] || state < BAR_PRESENT)
            continue;
        p->told[i] = true;
        if (p->form == PROGRESS_JSON)
            tell_json(&b, p->bars[i], state);
        else
            buffer_printf(
                &b, "layer %s: %s, %s\n", p->bars[i]->name, state == BAR_DONE ? p->what : state_names[state],
                amount(&a, (double)(p->bars[i]->total ? p->bars[i]->total : atomic_load(&p->bars[i]->done))));
    }
    if (b.length)
        (void)fd_write_all(STDERR_FILENO, b.data, b.length);
    arena_free(&a);
}

static void show(struct progress *p)
{
    if (p->terminal)
        draw(p);
    else
        tell(p);
}

/* #syscalls: clock_gettime futex ioctl write */
static void *run(void *argument)
{
    struct progress *p = argument;

    pthread_mutex_lock(&p->mutex);
    while (!p->ends) {
        struct timespec until;

        show(p);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += INTERVAL_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&p->end, &p->mutex, &until);
    }
    pthread_mutex_unlock(&p->mutex);
    show(p);
    return NULL;
}

struct progress *progress_begin(enum progress_form form, const char *what, struct bar *const *bars, size_t n)
{
    struct progress *p = form == PROGRESS_QUIET || n == 0 ? NULL : calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    *p = (struct progress){.form = form,
                           .what = what,
                           .bars = bars,
                           .n = n,
                           .told = calloc(n, sizeof(bool)),
                           .terminal = form == PROGRESS_TABLE && isatty(STDERR_FILENO),
                           .last_ns = now_ns(),
                           .mutex = PTHREAD_MUTEX_INITIALIZER,
                           .end = PTHREAD_COND_INITIALIZER};
    if (p->told && pthread_create(&p->thread, NULL, run, p) == 0)
        return p;
    free(p->told);
    free(p);
    return NULL;
}

void progress_end(struct progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->ends = true;
    pthread_cond_signal(&p->end);
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->thread, NULL);
    free(p->told);
    free(p);
}
