/*
 * Digests; see digest.h. A digest that has been checked can be part of a path: it holds nothing but letters and digits.
 */
#include "images/digest.h"

#include <string.h>

#define PREFIX "sha256:"

bool digest_valid(const char *text)
{
    size_t prefix = strlen(PREFIX);

    return strncmp(text, PREFIX, prefix) == 0 && strlen(text) == prefix + DIGEST_HEX &&
           strspn(text + prefix, "0123456789abcdef") == DIGEST_HEX;
}

int digest_check(const char *text, const char *what, struct error *err)
{
    if (digest_valid(text))
        return 0;
    if (strncmp(text, "sha512:", 7) == 0)
        return error_set(err, 0, "%s: \"%.160s\": sha512 is not supported, sha256 is", what, text);
    return error_set(err, 0, "%s: \"%.160s\" is not a digest: sha256:, then 64 digits of 0-9 and a-f", what,
                     text);
}

const char *digest_hex(const char *digest)
{
    return digest + strlen(PREFIX);
}

void digest_format(const unsigned char bytes[32], char text[DIGEST_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *p = stpcpy(text, PREFIX);

    for (int i = 0; i < 32; i++) {
        *p++ = digits[bytes[i] >> 4];
        *p++ = digits[bytes[i] & 15];
    }
    *p = '\0';
}
