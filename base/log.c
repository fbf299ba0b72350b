/*
 * The log. One line is one write(2), so that the lines of processes that share the file (O_APPEND) never mix;
 * a line that cannot be written is lost, because there is nobody left to tell. Times are UTC: RFC 3339, as
 * logrus writes them, without reading /etc/localtime.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/timestamp.h"

static struct {
    int fd;
    enum log_format format;
    enum log_level level;
} target = {.fd = STDERR_FILENO, .format = LOG_TEXT, .level = LOG_WARNING};

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

int log_open(const char *path, enum log_format format, enum log_level level, struct error *err)
{
    int fd = STDERR_FILENO;
    if (path) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
        if (fd < 0)
            return error_set(err, errno, "open log file %s", path);
    }
    if (log_is_file())
        close(target.fd);
    target.fd = fd;
    target.format = format;
    target.level = level;
    return 0;
}

bool log_shows(enum log_level level)
{
    return level <= target.level;
}

int log_level_parse(const char *name, enum log_level *level, struct error *err)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"debug", LOG_DEBUG}, {"info", LOG_INFO},   {"warn", LOG_WARNING}, {"warning", LOG_WARNING},
                  {"error", LOG_ERROR}, {"fatal", LOG_ERROR}, {"panic", LOG_ERROR}};

    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (strcmp(name, levels[i].name) == 0) {
            *level = levels[i].level;
            return 0;
        }
    return error_set(err, 0, "unknown log level \"%.32s\": want debug, info, warning, error, fatal or panic",
                     name);
}

bool log_is_file(void)
{
    return target.fd != STDERR_FILENO;
}

int log_fd(void)
{
    return target.fd;
}

/* The text inside msg="...": nothing in it can end the quotes, the line, or speak to a terminal. */
static void add_quoted(struct buffer *line, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            buffer_printf(line, "\\%c", c);
        else if (c == '\n')
            buffer_puts(line, "\\n");
        else if (c < 0x20 || c == 0x7f)
            buffer_printf(line, "\\x%02x", c);
        else
            buffer_add(line, text, 1);
    }
}

static void add_json(struct buffer *line, enum log_level level, const char *message, const char *now)
{
    struct json_writer w = json_writer_begin(line->arena, false);
    size_t length;
    json_object(&w);
    json_key(&w, "level");
    json_string(&w, level_names[level]);
    json_key(&w, "msg");
    json_string(&w, message);
    json_key(&w, "time");
    json_string(&w, now);
    json_object_end(&w);
    const char *text = json_writer_end(&w, &length);
    buffer_add(line, text, length);
}

/* A person reads this: line breaks stay, other control characters go. */
static void add_plain(struct buffer *line, enum log_level level, const char *message)
{
    buffer_printf(line, "hull: %s: ", level_names[level]);
    for (; *message; message++) {
        unsigned char c = (unsigned char)*message;
        bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
        buffer_add(line, control ? "?" : message, 1);
    }
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (!log_shows(level))
        return;

    int saved = errno;
    struct arena arena = {0};
    struct buffer line = {.arena = &arena};
    char now[TIMESTAMP_SIZE] = "", message[8192];

    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);

    /* Who debugs wants the times, on stderr too. */
    bool stamped = log_is_file() || target.level == LOG_DEBUG;
    if (target.format == LOG_JSON || stamped) {
        struct timespec clock;
        clock_gettime(CLOCK_REALTIME, &clock);
        timestamp_format(&clock, false, now);
    }
    if (target.format == LOG_JSON) {
        add_json(&line, level, message, now);
    } else if (stamped) {
        buffer_printf(&line, "time=\"%s\" level=%s msg=\"", now, level_names[level]);
        add_quoted(&line, message);
        buffer_puts(&line, "\"");
    } else {
        add_plain(&line, level, message);
    }
    buffer_puts(&line, "\n");
    (void)fd_write_all(target.fd, line.data, line.length);
    arena_free(&arena);
    errno = saved;
}
