/* spec: write an example config.json to start a bundle from. What is there already is never overwritten. */
#include <errno.h>
#include <fcntl.h>

#include "base/file.h"
#include "cli/command.h"

struct spec_options {
    const char *bundle, *file;
    bool rootless;
};

static const struct option_row rows[] = {
    {"bundle", 'b', "DIR", offsetof(struct spec_options, bundle), option_string,
     "the bundle's directory (default: the current one)"},
    {"file", 'f', "FILE", offsetof(struct spec_options, file), option_string,
     "write FILE in the bundle (default: config.json)"},
    {"rootless", 0, NULL, offsetof(struct spec_options, rootless), option_flag,
     "for a container without root on the host: a user namespace with the caller's ids"},
    {0},
};

static int write_spec(const struct runtime *rt, void *options, const struct string_list *arguments,
                      struct error *err)
{
    const struct spec_options *o = options;
    const char *bundle = o->bundle ? o->bundle : ".", *file = o->file ? o->file : "config.json";
    struct buffer b = {.arena = rt->arena};
    size_t length;
    const char *text;
    _cleanup_(fd_closep) int directory = -1;
    _cleanup_(fd_closep) int fd = -1;

    (void)arguments;
    directory = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, errno, "bundle %s", bundle);
    text = spec_example(rt->arena, o->rootless, rt->vm_asker, &length);
    buffer_add(&b, text, length);
    if (length == 0 || text[length - 1] != '\n')
        buffer_puts(&b, "\n");
    fd = openat(directory, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, 0, "File %s exists. Remove it first", file);
    if (fd < 0)
        return error_set(err, errno, "create %s in bundle %s", file, bundle);
    if (fd_write_all(fd, b.data, b.length) < 0) {
        error_set(err, errno, "write %s in bundle %s", file, bundle);
        unlinkat(directory, file, 0);
        return -1;
    }
    return 0;
}

const struct command spec_command = {
    .name = "spec",
    .arguments = "",
    .summary = "write an example config.json",
    .options = rows,
    .options_size = sizeof(struct spec_options),
    .creates = true,
    .run = write_spec,
};
