/* Who an image's process is: "user", "uid", "user:group", "uid:gid" (config.md, "User") by the image's own passwd(5) and
 * group(5), which are hostile: read below its layers, at most 1 MiB, lines that are not like that skipped. */
#pragma once

#include <stdint.h>

#include "images/stack.h"

struct image_user {
    uint32_t uid, gid;
    uint32_t *groups; /* supplementary ones, when no group was said */
    size_t n_groups;
    const char *home; /* of passwd; "/" when it is not there */
};

/** @text NULL or "": root. A name that is not there is an error; a number that is not there is its own group 0. */
int image_user_find(struct arena *a, const struct stack *root, const char *text, struct image_user *out,
                    struct error *err);

/** A group by name or number. */
int image_group_find(struct arena *a, const struct stack *root, const char *text, uint32_t *gid,
                     struct error *err);

/** The highest id of passwd and group, without those at the end of 16 bits that stand for nobody. */
uint32_t image_highest_id(struct arena *a, const struct stack *root);
