/*
 * base/log.h for hull-vmm, which has no log file, no JSON and only one form: a line on standard error, as hull writes it
 * there. One line is one write(2).
 *
 * #syscalls(main io fs): write
 */
#include "base/log.h"

#include <stdarg.h>
#include <string.h>

static enum log_level shown = LOG_WARNING;

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

int log_open(const char *path, enum log_format format, enum log_level level, struct error *err)
{
    if (path || format != LOG_TEXT)
        return error_set(err, 0, "hull-vmm logs to standard error");
    shown = level;
    return 0;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    if (level > shown)
        return;
    int n = snprintf(line, sizeof(line), "hull: %s: ", level_names[level]);
    va_start(args, fmt);
    vsnprintf(line + n, sizeof(line) - (size_t)n - 2, fmt, args);
    va_end(args);
    size_t length = strlen(line);
    for (char *p = line; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
            *p = '?';
    memcpy(line + length, "\r\n", 3); /* the terminal may be a raw one */
    if (write(STDERR_FILENO, line, length + 2) < 0)
        return;
}
