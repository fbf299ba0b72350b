/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
#pragma once

#include <stddef.h>

/** How many of the first @length bytes of @text are whole, valid characters. */
size_t utf8_valid_prefix(const char *text, size_t length);
