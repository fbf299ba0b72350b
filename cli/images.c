/* Handing commands over to hull-images: see images.h. */
#include "cli/images.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/helper.h"
#include "cli/images/names.h"
#include "cli/options.h"

#define ROW(name, summary) {#name, summary},
const struct image_command image_commands[] = {IMAGE_COMMANDS(ROW){0}};

const struct image_command *image_command_find(const char *name)
{
    for (const struct image_command *c = image_commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

/* #syscalls: execve */
int image_command_exec(struct arena *a, const struct string_list *globals, char *const *argv,
                       struct error *err)
{
    const char *helper = helper_path(a, "hull-images");
    struct string_list all = {0};

    string_list_add(a, &all, "hull-images");
    for (size_t i = 0; i < globals->n; i++)
        string_list_add(a, &all, globals->v[i]);
    for (; *argv; argv++)
        string_list_add(a, &all, *argv);
    execv(helper, all.v);
    if (errno == ENOENT)
        return error_set(err, 0, "%s is not installed, which hull needs for images", helper);
    return error_set(err, errno, "execute %s", helper);
}
