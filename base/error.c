/*
 * The error chain: one flat message that grows to the left as it travels up.
 *
 * Names inside it come from bundles and images, and the message ends on terminals: control characters other
 * than newline and tab are replaced, so that no file name can send an escape sequence. Text is formatted into
 * a buffer of its own first, because callers may pass the message itself as an argument.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { MESSAGE_SIZE = sizeof(((struct error *)NULL)->message) };

static size_t clean_format(char text[MESSAGE_SIZE], const char *fmt, va_list args)
{
    int n = vsnprintf(text, MESSAGE_SIZE, fmt, args);
    size_t length = n < 0 ? 0 : n < MESSAGE_SIZE ? (size_t)n : MESSAGE_SIZE - 1;
    text[length] = '\0';

    for (char *p = text; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
            *p = '?';
    return length;
}

int(error_set)(struct error *err, int code, const char *fmt, ...)
{
    if (!err)
        return -1;

    char text[MESSAGE_SIZE];
    va_list args;
    va_start(args, fmt);
    size_t length = clean_format(text, fmt, args);
    va_end(args);

    if (code) {
        errno = code;
        snprintf(text + length, MESSAGE_SIZE - length, ": %m");
    }
    strcpy(err->message, text);
    err->code = code;
    err->exit_code = 0;
    return -1;
}

int(error_wrap)(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -1;

    char text[MESSAGE_SIZE];
    va_list args;
    va_start(args, fmt);
    size_t length = clean_format(text, fmt, args);
    va_end(args);

    size_t room = MESSAGE_SIZE - length;
    if ((size_t)snprintf(text + length, room, ": %s", err->message) >= room)
        strcpy(text + MESSAGE_SIZE - sizeof("..."), "...");
    strcpy(err->message, text);
    return -1;
}

void error_clear(struct error *err)
{
    if (!err)
        return;
    err->code = 0;
    err->exit_code = 0;
    err->message[0] = '\0';
}
