/* Images' roots, read-only, where people can look at them. */
#pragma once

#include "images/find.h"

/** Mount the image, if it is not yet. The caller holds the store's lock (shared). */
int image_mount(struct store *s, const struct found_image *image, const char **path, struct error *err);

/** 1: done; 0: it was not mounted. @config: digest of the image's configuration. */
int image_unmount(struct store *s, const char *config, struct error *err);

/** The digits of the configurations of what is mounted. */
int image_mounts(const struct store *s, struct string_list *hex, struct error *err);

/** Where it is or would be mounted. */
const char *image_mount_path(const struct store *s, const char *config_hex);
