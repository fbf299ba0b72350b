/*
 * A header's value is a list of challenges, and a challenge holds a list of parameters, both with commas:
 *
 *     Basic realm="a", Bearer realm="https://b/token",service="c"
 *
 * A word followed by "=" is a parameter of the challenge before, any other begins a challenge. What does not follow the grammar ends
 * the reading: what was understood before it counts.
 */
#include "images/challenge.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define TOKEN "!#$%&'*+-.^_`|~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static void skip(const char **p, const char *what)
{
    *p += strspn(*p, what);
}

/* Of a parameter: a token, or a string in quotes. NULL: neither, or one that does not end. */
static const char *value(struct arena *a, const char **p)
{
    char *out, *o;

    if (**p != '"') {
        size_t n = strspn(*p, TOKEN "/:");
        *p += n;
        return n ? arena_strndup(a, *p - n, n) : NULL;
    }
    out = o = arena_alloc(a, strlen(*p));
    for ((*p)++; **p != '"'; (*p)++) {
        if (**p == '\\')
            (*p)++;
        if ((unsigned char)**p < ' ' || **p == 0x7f)
            return NULL;
        *o++ = **p;
    }
    (*p)++;
    return out;
}

static void set_parameter(struct challenge *c, const char *name, size_t n, const char *text)
{
    const struct {
        const char *name, **field;
    } parameters[] = {
        {"realm", &c->realm}, {"service", &c->service}, {"scope", &c->scope}, {"error", &c->error}};

    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
        if (strlen(parameters[i].name) == n && strncasecmp(name, parameters[i].name, n) == 0)
            *parameters[i].field = text;
}

static enum challenge_scheme scheme(const char *name, size_t n)
{
    return n == 5 && strncasecmp(name, "Basic", n) == 0    ? CHALLENGE_BASIC
           : n == 6 && strncasecmp(name, "Bearer", n) == 0 ? CHALLENGE_BEARER
                                                           : CHALLENGE_NONE;
}

static void keep_better(struct challenge *best, const struct challenge *c)
{
    if (c->scheme > best->scheme && (c->scheme != CHALLENGE_BEARER || c->realm))
        *best = *c;
}

struct challenge challenge_parse(struct arena *a, const char *text)
{
    struct challenge best = {0}, current = {0};
    const char *p = text;

    if (strlen(text) > CHALLENGE_MAX)
        return best;
    for (;;) {
        skip(&p, ", \t");
        const char *name = p;
        size_t n = strspn(p, TOKEN);
        if (n == 0)
            break;
        p += n;
        const char *blanks = p;
        skip(&p, " \t");
        if (*p == '=') {
            p++;
            skip(&p, " \t");
            const char *v = value(a, &p);
            if (!v)
                break;
            set_parameter(&current, name, n, v);
        } else if (p == blanks && *p && *p != ',') {
            break;
        } else {
            keep_better(&best, &current);
            current = (struct challenge){.scheme = scheme(name, n)};
        }
    }
    keep_better(&best, &current);
    return best;
}
