/* References: what is taken is shown in a form that means the same again. */
#include <stdlib.h>
#include <string.h>

#include "images/digest.h"
#include "images/reference.h"

static void check(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena a;
    static struct error err;
    struct reference r, again;

    error_clear(&err);
    if (reference_parse(&a, arena_strndup(&a, (const char *)data, size), &r, &err) == 0) {
        const char *text = reference_format(&a, &r);
        check(r.path && *r.path && strlen(reference_name(&a, &r)) <= REFERENCE_MAX);
        check(!strstr(text, "//") && !strstr(reference_name(&a, &r), "..") && strspn(text, "./") == 0);
        check(!r.digest || digest_valid(r.digest));
        check(reference_parse(&a, text, &again, &err) == 0);
        check(strcmp(text, reference_format(&a, &again)) == 0);
    } else {
        check(err.message[0]);
    }
    arena_free(&a);
    return 0;
}
