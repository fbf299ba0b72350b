/*
 * The commands that hull hands over to hull-images, which links what hull, started thousands of times an hour, may not pay
 * for.
 */
#pragma once

#include "runtime/spec/spec.h"

struct image_command {
    const char *name, *summary;
};

/** The command @name, or NULL; all, until one without a name. */
const struct image_command *image_command_find(const char *name);
extern const struct image_command image_commands[];

/** Become hull-images, with these global options (NULL-terminated) and then @argv, which begins with the command. Returns
 * only on failure: -1. */
int image_command_exec(struct arena *a, const struct string_list *globals, char *const *argv,
                       struct error *err);
