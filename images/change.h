/* How an image's containers are run, as people say it in a Dockerfile's words: `hull import --change`. */
#pragma once

#include "base/json.h"
#include "images/manifest.h"

/** One instruction ("CMD ls -l", "ENV=A=b") into the configuration @c. */
int change_apply(struct arena *a, const char *text, struct image_config *c, struct error *err);

/** The object "config" of the image's configuration, as far as instructions can say it. */
void change_write(struct json_writer *w, const struct image_config *c);
