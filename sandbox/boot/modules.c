/*
 * modules.dep has a line a module, "FILE: FILE FILE ...": what it depends on, to be loaded from the last to the first; all
 * of it, so that nothing has to be followed further. modules.builtin has a line a module that the kernel itself contains.
 * The names in either are paths; a module's name is the last part without ".ko" and what follows, and '-' in it is '_'.
 */
#include "sandbox/boot/modules.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"

enum { DEP_MAX = 16 << 20, FILES_MAX = 256 };

static const struct {
    const char *name;
    bool required;
} wanted[] = {
    {"virtio_mmio", true}, {"virtiofs", true}, {"vmw_vsock_virtio_transport", true},
    {"virtio_rng", false}, {"overlay", false},
};

struct search {
    struct arena *a;
    char **lines; /* of modules.dep, NULL-terminated */
    char **builtin;
    struct string_list *out;
};

static char **split_lines(struct arena *a, char *text)
{
    size_t n = 1;
    char **lines, *line, *save = NULL;

    for (const char *p = text; *p; p++)
        n += *p == '\n';
    lines = arena_new_n(a, n + 1, char *);
    n = 0;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        lines[n++] = line;
    return lines;
}

/* Is the path at @line, up to white space or a colon, that of module @name? */
static bool is_module(const char *line, const char *name)
{
    size_t length = strcspn(line, ": \t");
    const char *base = memrchr(line, '/', length);

    for (base = base ? base + 1 : line; *name; name++, base++)
        if (*base != *name && !(*base == '-' && *name == '_'))
            return false;
    return strncmp(base, ".ko", 3) == 0;
}

static char *find(char **lines, const char *name)
{
    for (; *lines; lines++)
        if (is_module(*lines, name))
            return *lines;
    return NULL;
}

static int add(struct search *s, const char *file, size_t length, struct error *err)
{
    for (size_t i = 0; i < s->out->n; i++)
        if (strlen(s->out->v[i]) == length && strncmp(s->out->v[i], file, length) == 0)
            return 0;
    if (s->out->n == FILES_MAX)
        return error_set(err, 0, "modules.dep: more than %d modules are needed", FILES_MAX);
    s->out->v[s->out->n++] = arena_strndup(s->a, file, length);
    return 0;
}

/* Dependencies first, from the last. */
static int add_line(struct search *s, const char *line, struct error *err)
{
    size_t file = strcspn(line, ":"), end = strlen(line);

    while (end > file) {
        size_t start = end;

        while (start > file && line[start - 1] != ' ' && line[start - 1] != ':')
            start--;
        if (end > start && start > file && add(s, line + start, end - start, err) < 0)
            return -1;
        end = start > file ? start - 1 : file;
    }
    return add(s, line, file, err);
}

static int read_lines(struct arena *a, const char *directory, const char *name, char ***lines,
                      struct error *err)
{
    char *text;

    if (file_read(AT_FDCWD, arena_printf(a, "%s/%s", directory, name), DEP_MAX, a, &text, NULL, err) < 0)
        return -1;
    *lines = split_lines(a, text);
    return 0;
}

int modules_for_guest(struct arena *a, const char *directory, struct string_list *out, struct error *err)
{
    struct search s = {.a = a, .out = out};

    *out = (struct string_list){.v = arena_new_n(a, FILES_MAX + 1, char *)};
    if (read_lines(a, directory, "modules.dep", &s.lines, err) < 0 ||
        read_lines(a, directory, "modules.builtin", &s.builtin, err) < 0)
        return error_wrap(err, "modules (an unpacked kernel package needs `depmod --basedir DIR RELEASE`)");
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        const char *line = find(s.lines, wanted[i].name);

        if (line && add_line(&s, line, err) < 0)
            return -1;
        if (!line && wanted[i].required && !find(s.builtin, wanted[i].name))
            return error_set(err, 0, "%s has no module %s, and the kernel does not contain it", directory,
                             wanted[i].name);
    }
    return 0;
}
