/* What several commands share: output, usage errors, and the choice of containers by --regex. */
#include "cli/command.h"

#include <errno.h>
#include <regex.h>

#include "base/file.h"
#include "base/log.h"

int print_text(const char *text, size_t length, struct error *err)
{
    if (fd_write_all(STDOUT_FILENO, text, length) < 0)
        return error_set(err, errno, "write to standard output");
    return 0;
}

int usage_error(const struct command *command, struct error *err)
{
    struct error cause = *err;

    error_set(err, 0, "%s; see 'hull %s%s--help'", cause.message, command ? command->name : "",
              command ? " " : "");
    err->exit_code = 1;
    return -1;
}

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
