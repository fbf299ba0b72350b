/* Amounts of memory as people write them: "512m", "1.5GiB", "1048576". */
#pragma once

#include <stdint.h>

#include "base/error.h"

/**
 * Bytes, or with a unit k, m, g, t, p (either case; "b" or "ib" may follow), which are powers of 1024 as in Docker's
 * and runc's options; a fraction is allowed with a unit. Nothing else: no sign, no white space. @what names the
 * option in messages.
 */
int size_parse(const char *text, const char *what, int64_t *bytes, struct error *err);
