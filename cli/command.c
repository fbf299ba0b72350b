/* What several commands share: the choice of containers by --regex, and one action for many. */
#include "cli/command.h"

#include <regex.h>

#include "base/log.h"

int containers_matching(const struct runtime *rt, const char *pattern, struct string_list *ids,
                        struct error *err)
{
    struct string_list all = {0};
    regex_t regex;
    int r = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);

    if (r) {
        char reason[128];
        regerror(r, &regex, reason, sizeof(reason));
        return error_set(err, 0, "--regex: \"%s\": %s", pattern, reason);
    }
    r = container_ids(rt, &all, err);
    for (size_t i = 0; r == 0 && i < all.n; i++)
        if (!regexec(&regex, all.v[i], 0, NULL, 0))
            string_list_add(rt->arena, ids, all.v[i]);
    regfree(&regex);
    return r;
}

int for_each_container(const struct runtime *rt, const struct string_list *ids,
                       int (*action)(const struct runtime *rt, const char *id, const void *data,
                                     struct error *err),
                       const void *data, struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < ids->n; i++) {
        struct error failure = {0};

        if (action(rt, ids->v[i], data, &failure) == 0)
            continue;
        if (ids->n > 1)
            error_wrap(&failure, "container %s", ids->v[i]);
        if (result == 0)
            *err = failure;
        else
            log_error("%s", failure.message);
        result = -1;
    }
    return result;
}
