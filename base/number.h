/*
 * Strict numbers: the whole string is the number, in decimal, without sign tricks, white space, wrap-around or
 * trailing garbage (CVE-2026-30892). @what names the thing to the user: "--user", "process.user.uid".
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

int number_parse_u64(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *out,
                     struct error *err);
int number_parse_i64(const char *text, const char *what, int64_t min, int64_t max, int64_t *out,
                     struct error *err);
