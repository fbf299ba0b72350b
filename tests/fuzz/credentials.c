/*
 * libFuzzer target for what leads to credentials: auth.json (the input up to its first NUL) and WWW-Authenticate (what follows).
 * No error shows what an entry holds: an "auth" that the input repeats in no other place must not be in a message. Helpers are
 * not run.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "images/auth_private.h"
#include "images/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void look_up(struct arena *a, const char *text, size_t length)
{
    static struct error err;
    struct credentials c;
    struct auth_file f;

    if (auth_decode(a, text, length, "fuzz", &f, &err) < 0) {
        check(*err.message != '\0');
        return;
    }
    f.n_helpers = 0;
    f.store = NULL;
    for (size_t i = 0; i < f.n_entries; i++) {
        const struct auth_entry *e = &f.entries[i];
        int found = auth_lookup(a, &f, "fuzz", "quay.io", "o/n", &c, &err);
        check(found != 1 || c.identity_token || (c.user && c.password));
        check(found != -1 || !e->auth || strlen(e->auth) < 24 || strstr(e->key, e->auth) ||
              !strstr(err.message, e->auth));
        auth_lookup(a, &f, "fuzz", "docker.io", "library/a", &c, &err);
    }
}

static void challenge(struct arena *a, const char *text)
{
    const struct challenge ch = challenge_parse(a, text);
    const char *const fields[] = {ch.realm, ch.service, ch.scope, ch.error};

    check(ch.scheme != CHALLENGE_BEARER || ch.realm);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        for (const unsigned char *p = (const unsigned char *)fields[i]; p && *p; p++)
            check(*p >= ' ' && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    const char *text = arena_copy(&arena, data, size);
    size_t first = strlen(text);

    look_up(&arena, text, first);
    if (first < size)
        challenge(&arena, text + first + 1);
    challenge(&arena, text);
    arena_free(&arena);
    return 0;
}
