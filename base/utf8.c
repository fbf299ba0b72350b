/*
 * UTF-8 validation by the table of RFC 3629 section 4. ASCII, which is nearly all of what Hull reads, is
 * skipped eight bytes at a time.
 */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the valid character at @s, 0 when there is none. */
static size_t character(const unsigned char *s, size_t length)
{
    unsigned char lead = s[0], low = 0x80, high = 0xbf;
    size_t n;

    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        n = 2;
    else if (lead >= 0xe0 && lead <= 0xef)
        n = 3;
    else if (lead >= 0xf0 && lead <= 0xf4)
        n = 4;
    else
        return 0;
    if (n > length)
        return 0;

    /* The second byte is what rules out overlong forms, surrogates and too large code points. */
    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

size_t utf8_valid_prefix(const char *text, size_t length)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;

    while (i < length) {
        uint64_t eight;
        if (length - i >= sizeof(eight)) {
            memcpy(&eight, s + i, sizeof(eight));
            if (!(eight & 0x8080808080808080)) {
                i += sizeof(eight);
                continue;
            }
        }
        size_t n = character(s + i, length - i);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}
