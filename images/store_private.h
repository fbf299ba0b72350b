/* What the store's files share. */
#pragma once

#include "images/store.h"

#define STORE_BLOBS      "blobs/sha256"
#define STORE_LAYERS     "layers"
#define STORE_STACKS     "stacks"
#define STORE_NAMES      "names"
#define STORE_CONTAINERS "containers"
#define STORE_MOUNTS     "mounts"
#define STORE_VOLUMES    "volumes"
#define STORE_TMP        "tmp"
#define STORE_LOCK       "lock"

/** Sort, compare, look up: the names of a directory's entries but . and .., in the arena. */
int store_list(const struct store *s, const char *directory, struct string_list *names, struct error *err);

/** The file @file of names/ does not say what it should; @err: why. */
bool store_name_is_damaged(const struct store *s, const char *file, struct error *err);

/** Make @name below @dir with this content, on the disk when it returns. 0, or -1 with errno. */
int store_write_synced(int dir, const char *name, const void *data, size_t length);
