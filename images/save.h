/* Images into archives and directories that others can load. */
#pragma once

#include "images/export.h"

enum save_format { SAVE_DOCKER_ARCHIVE, SAVE_OCI_ARCHIVE, SAVE_OCI_DIR };

/** Write the images to @path: a file that is made anew ("-": standard output), or a directory that is empty or not there. */
int save_images(struct store *s, const struct image_info *infos, size_t n, enum save_format format,
                const char *path, struct error *err);
