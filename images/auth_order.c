/*
 * registries.conf's credential-helpers: who is asked for credentials, and told of new ones, one after the other. A helper that
 * fails (it may not be installed, or locked) does not keep the next from being asked; its error is told when nobody else
 * knows better. See containers-registries.conf(5).
 */
#include <string.h>

#include "base/log.h"
#include "images/auth_private.h"

#define FILES "containers-auth.json" /* among the helpers: auth.json and docker's config.json */

static const struct string_list *order(const struct string_list *helpers)
{
    static char *files[] = {FILES};
    static const struct string_list only_files = {.v = files, .n = 1};

    return helpers && helpers->n ? helpers : &only_files;
}

/* After each: -1 is told to the user if another follows, as only the last one's error is returned. */
static void tell_before_next(const struct string_list *list, size_t i, int rc, struct error *err)
{
    if (rc < 0 && i + 1 < list->n) {
        log_warning("%s; the next of credential-helpers is asked", err->message);
        error_clear(err);
    }
}

int auth_find_in_order(struct arena *a, const struct string_list *helpers, const char *authfile,
                       const char *host, const char *repository, struct credentials *out, struct error *err)
{
    const struct string_list *list = order(helpers);
    int rc = 0;

    *out = (struct credentials){0};
    for (size_t i = 0; i < list->n; i++) {
        rc = strcmp(list->v[i], FILES) == 0 ? auth_find(a, authfile, host, repository, out, err)
                                            : auth_helper_ask(a, list->v[i], host, out, err);
        if (rc > 0)
            return rc;
        tell_before_next(list, i, rc, err);
    }
    return rc;
}

int auth_store_in_order(struct arena *a, const struct string_list *helpers, const char *authfile,
                        const char *key, const struct credentials *c, struct error *err)
{
    const struct string_list *list = order(helpers);
    int rc = -1;

    for (size_t i = 0; i < list->n && rc < 0; i++) {
        rc = strcmp(list->v[i], FILES) == 0 ? auth_store(a, authfile, key, c, err)
                                            : auth_helper_tell(a, list->v[i], key, c, err);
        tell_before_next(list, i, rc, err);
    }
    return rc;
}

/* Everywhere: what is forgotten must not be found again. */
int auth_erase_in_order(struct arena *a, const struct string_list *helpers, const char *authfile,
                        const char *key, struct error *err)
{
    const struct string_list *list = order(helpers);
    bool found = false, failed = false;

    for (size_t i = 0; i < list->n; i++) {
        struct error e = {0};
        int rc = strcmp(list->v[i], FILES) == 0 ? auth_erase(a, authfile, key, &e)
                                                : auth_helper_tell(a, list->v[i], key, NULL, &e);
        if (rc < 0 && !failed)
            *err = e;
        failed |= rc < 0;
        found |= rc > 0;
    }
    return failed ? -1 : found;
}
