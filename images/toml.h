/*
 * TOML (1.0) as the configuration files of container tools use it, read whole into the same tree as JSON is (base/json.h), so
 * that one decoder (runtime/spec/decode.h) serves both: tables and arrays of tables, dotted keys, the four kinds of strings,
 * integers, booleans, arrays, inline tables. Dates and floating-point numbers, which none of those files holds, are refused
 * by name; so are duplicate keys, invalid UTF-8, control characters, and more than the limits below.
 */
#pragma once

#include <stddef.h>

#include "base/json.h"

enum { TOML_MAX_SIZE = 1 << 20, TOML_MAX_KEYS = 10000, TOML_MAX_DEPTH = 32 };

/** @what names the source in messages: "WHAT:LINE: ...". raw_start and raw_end of the tree's values are 0. */
int toml_parse(struct arena *a, const char *text, size_t length, const char *what, struct json **out,
               struct error *err);
