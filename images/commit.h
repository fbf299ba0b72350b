/* What a container wrote over its image: as a list of changes, and as one more layer of a new image. */
#pragma once

#include "base/buffer.h"
#include "images/pull.h"
#include "images/snapshot.h"

/** A line a change, as podman's: "A /new", "C /changed", "D /gone". */
int commit_list(struct store *s, const struct snapshot *c, struct buffer *out, struct error *err);

/** An image of the container's image and what it wrote, called @name. The container should not write meanwhile. */
int commit_image(struct store *s, const struct snapshot *c, const char *name, const char *message,
                 const struct layers_options *o, struct pulled *out, struct error *err);
