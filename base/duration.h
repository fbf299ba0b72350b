/*
 * Lengths of time as Go's flags take them, which users of runc type: "5s", "100ms", "1m30s", "1.5h". A number alone is
 * none ("0" is), nor is a negative one.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/** @what names the thing to the user: "--interval". */
int duration_parse(const char *text, const char *what, uint64_t *ns, struct error *err);
