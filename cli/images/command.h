/* What the commands of hull-images share. */
#pragma once

#include "cli/command.h"
#include "cli/images/names.h"
#include "images/find.h"
#include "images/info.h"
#include "images/layers.h"

#define DECLARE(name, summary) extern const struct command name##_command;
IMAGE_COMMANDS(DECLARE)
#undef DECLARE
extern const struct command copy_in_command, copy_out_command; /* `hull cp` runs them */

/** A row for a member of @type. */
#define OPTION(type, name, letter, value, field, parse, help)                                                \
    {                                                                                                        \
        name, letter, value, offsetof(type, field), parse, help                                              \
    }

/** The store that the command line, the environment or the user's rights mean. */
int command_open_store(const struct runtime *rt, struct store *s, struct error *err);

/** The image that @text (a name, a digest, an id) means. */
int command_find_image(struct store *s, const char *text, struct store_image *image, struct error *err);

/** The same, and keep all of it from being swept until the session, which is begun, ends. */
int command_use_image(struct store *s, const char *text, struct session *session, struct found_image *image,
                      struct error *err);

/** @text as the name that it gets in the store: without a registry it is localhost's, without a tag "latest". */
int command_new_name(struct arena *a, const char *text, const char **name, struct error *err);

/** "3 days ago", "12.3 MB". */
const char *command_ago(struct arena *a, uint64_t seconds_since_1970);
const char *command_size(struct arena *a, uint64_t bytes);

/** The first 12 digits of a digest. */
const char *command_short_id(struct arena *a, const char *digest);
