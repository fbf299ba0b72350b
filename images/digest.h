/*
 * Digests as the OCI image specification writes them (descriptor.md, "Digests"): "sha256:" and 64 lower-case hexadecimal
 * digits. Hull knows this one algorithm; the specification's other one, sha512, is refused by name.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum { DIGEST_HEX = 64, DIGEST_SIZE = 7 + DIGEST_HEX + 1 /* with its NUL */ };

/** Nothing but a whole digest. */
bool digest_valid(const char *text);

/** The same; the error says what is wrong with @text, after @what ("layers[2].digest"). */
int digest_check(const char *text, const char *what, struct error *err);

/** The digits of a valid digest: a file name, safe to use. */
const char *digest_hex(const char *digest);

/** Write the digest that these 32 bytes are. */
void digest_format(const unsigned char bytes[32], char text[DIGEST_SIZE]);
