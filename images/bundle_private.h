/* Shared by the files that write a bundle's config.json. */
#pragma once

#include "base/json.h"
#include "images/bundle.h"

void bundle_string(struct json_writer *w, const char *key, const char *value);
void bundle_uint(struct json_writer *w, const char *key, uint64_t value);
void bundle_bool(struct json_writer *w, const char *key, bool value);
/** @values: NULL-terminated, or NULL itself. */
void bundle_strings(struct json_writer *w, const char *key, const char *const *values);

/** seccomp_default.c: the value of linux.seccomp for a container with these capabilities. */
void bundle_seccomp_default(struct json_writer *w, uint64_t capabilities);

/** bundle_linux.c: "mounts" and "linux". */
void bundle_write_mounts(struct json_writer *w, const struct bundle *b);
void bundle_write_linux(struct json_writer *w, const struct bundle *b);
