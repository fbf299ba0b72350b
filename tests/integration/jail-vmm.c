/*
 * In hull-vmm's place, for sandbox-jail.bats: says what init gave it, speaks base/sync.h as hull-vmm does, and ends as the
 * shared root tells it (the file `status`; `wait`: print signals until SIGTERM; `hold`: never be ready; `error`: a failure in these words).
 * Linked statically: nothing that it needs is in its jail.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sync.h"
#include "sandbox/vmm/options.h"

enum { TEXT_MAX = 1 << 20 };

static struct arena arena;
static struct vmm_options vmm;

static _Noreturn void fail(const struct error *err)
{
    dprintf(2, "jail-vmm: %s\n", err->message);
    if (vmm.sync >= 0)
        sync_send_error(vmm.sync, err);
    _exit(99);
}

static char *read_text(int dir, const char *path)
{
    struct error err = {0};
    char *text;

    return file_read(dir, path, TEXT_MAX, &arena, &text, NULL, &err) < 0 ? NULL : text;
}

/* Lines of self/status: capabilities, groups and their like. */
static void show_status(void)
{
    static const char *const names[] = {"Uid", "Gid", "Groups", "NoNewPrivs", "Cap", "Umask"};
    char *save, *text = read_text(vmm.proc, "self/status");

    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (!strncmp(line, names[i], strlen(names[i])))
                printf("status %s\n", line);
}

static void show_links(const char *what, const char *directory)
{
    int fd = openat(vmm.proc, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *d;
    char target[4096];

    while (dir && (d = readdir(dir))) {
        ssize_t n = readlinkat(fd, d->d_name, target, sizeof(target) - 1);

        if (n < 0 || (!strcmp(what, "fd") && atoi(d->d_name) == fd))
            continue;
        target[n] = '\0';
        printf("%s %s %s\n", what, d->d_name, target);
    }
    if (dir)
        closedir(dir);
}

static void show_mounts(void)
{
    char *save, *text = read_text(vmm.proc, "self/mountinfo");

    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
        char point[4096], options[256];

        if (sscanf(line, "%*s %*s %*s %*s %4095s %255s", point, options) == 2)
            printf("mount %s %s\n", point, options);
    }
}

static void show_directory(const char *path)
{
    int fd = openat(vmm.root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *d;

    while (dir && (d = readdir(dir)))
        if (d->d_name[0] != '.')
            printf("entry %s %s\n", path, d->d_name);
    if (dir)
        closedir(dir);
}

static void try_to_write(const char *path)
{
    int fd = openat(vmm.root, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

    printf("write %s %s\n", path, fd < 0 ? strerrorname_np(errno) : "ok");
    if (fd >= 0)
        close(fd);
}

static void show(int argc, char **argv)
{
    struct winsize size = {0};
    struct utsname names;

    for (int i = 1; i < argc; i++)
        printf("argument %s\n", argv[i]);
    for (char **e = environ; *e; e++)
        printf("environment %s\n", *e);
    uname(&names);
    ioctl(0, TIOCGWINSZ, &size);
    printf("pid %d\nhost %s\nterminal %d %d %d size %d %d\nseals %d\nbytes %lld\n", getpid(), names.nodename,
           isatty(0), isatty(1), isatty(2), size.ws_row, size.ws_col, fcntl(vmm.config, F_GET_SEALS),
           (long long)lseek(vmm.config, 0, SEEK_END));
    show_status();
    show_links("fd", "self/fd");
    show_links("ns", "self/ns");
    show_mounts();
    show_directory(".");
    show_directory("rootfs");
    show_directory("volumes");
    try_to_write("rootfs/written");
    try_to_write("volumes/0/written");
    try_to_write("volumes/1/written");
    fflush(stdout);
}

static void take_signals(void)
{
    struct signalfd_siginfo info;
    sigset_t all;
    int fd;

    sigfillset(&all);
    fd = signalfd(-1, &all, SFD_CLOEXEC);
    printf("waiting\n");
    fflush(stdout);
    while (read(fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGTERM) {
        printf("signal %u\n", info.ssi_signo);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct error err = {0};
    const char *text;
    sigset_t all;
    char go;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    vmm.sync = -1;
    if (vmm_options_parse(argc, argv, &vmm, &err) < 0)
        fail(&err);
    text = read_text(vmm.root, "rootfs/error");
    if (text) {
        error_set(&err, 0, "%s", text);
        err.exit_code = 127;
        sync_send_error(vmm.sync, &err);
        return 1;
    }
    show(argc, argv);
    if (faccessat(vmm.root, "rootfs/hold", F_OK, 0) == 0) {
        printf("holding\n");
        fflush(stdout);
        pause();
    }
    prctl(PR_SET_PDEATHSIG, 0);
    if (sync_send(vmm.sync, SYNC_READY, 0, &err) < 0 || sync_wait_continue(vmm.sync, &err) < 0)
        fail(&err);
    close(vmm.sync);
    vmm.sync = -1;
    if (vmm.fifo >= 0 && read(vmm.fifo, &go, 1) != 1)
        return 98;
    if (faccessat(vmm.root, "rootfs/wait", F_OK, 0) == 0)
        take_signals();
    text = read_text(vmm.root, "rootfs/status");
    return text ? atoi(text) : 0;
}
