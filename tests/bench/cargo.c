/*
 * cargo: what tests/bench/sandbox has done in a virtual machine, and timed. The same static program everywhere, so that two
 * machines differ in nothing but themselves:
 *
 *   cargo hello           say a line
 *   cargo read FILE       read a file to its end, by the MiB           -> "read MS"
 *   cargo write FILE MIB  write a file of so many MiB, and fsync       -> "write MS"
 *   cargo walk DIRECTORY  list and stat everything below, twice        -> "walk MS", "again MS"
 *   cargo touch MIB       dirty so much memory, say "touched", sleep
 *   cargo pour MIB        that much to standard output
 *   cargo first COMMAND   (on the host) run it                         -> "first MS": when its first byte of output came
 *   cargo through COMMAND (on the host) run it                         -> "through MS": from its first to its last byte
 *   cargo memory PID...   (on the host) -> "memory KIB GUEST": resident, without and of the guest's memory
 *
 * Started as /init (by QEMU; hull has an agent) it mounts the virtio-fs "hull", makes that its root, and then does what stands
 * in CARGO, which is a word of the kernel's command line: what comes there after "--" would mix with QEMU's own additions.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static char block[MIB];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "cargo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int say_time(const char *what, double since)
{
    return printf("%s %.3f\n", what, now_ms() - since) < 0;
}

static int hello(char **argv)
{
    (void)argv;
    return puts("hello") < 0;
}

static int read_file(char **argv)
{
    double began = now_ms();
    int fd = open(argv[0], O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        fail(argv[0]);
    while ((n = read(fd, block, sizeof(block))) > 0)
        ;
    if (n < 0)
        fail(argv[0]);
    return say_time("read", began);
}

static int write_file(char **argv)
{
    double began = now_ms();
    int fd = open(argv[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    for (long i = atol(argv[1]); i > 0; i--)
        if (fd < 0 || write(fd, block, sizeof(block)) != sizeof(block))
            fail(argv[0]);
    if (fsync(fd) < 0)
        fail(argv[0]);
    return say_time("write", began);
}

/* Closes @fd. */
static void walk_below(int fd)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    struct stat st;

    if (!dir)
        fail("fdopendir");
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            fail(entry->d_name);
        if (S_ISDIR(st.st_mode))
            walk_below(openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    closedir(dir);
}

static int walk(char **argv)
{
    static const char *const names[] = {"walk", "again"};

    for (int i = 0; i < 2; i++) {
        double began = now_ms();
        walk_below(open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        say_time(names[i], began);
    }
    return 0;
}

static int touch(char **argv)
{
    size_t size = (size_t)atol(argv[0]) * MIB + 1;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        fail("mmap");
    memset(memory, 1, size);
    puts("touched");
    fflush(stdout);
    sleep(600);
    return 0;
}

static int pour(char **argv)
{
    for (long i = atol(argv[0]) * (MIB / 65536); i > 0; i--)
        for (size_t done = 0; done < 65536;) {
            ssize_t n = write(STDOUT_FILENO, block + done, 65536 - done);
            if (n < 0)
                fail("write");
            done += (size_t)n;
        }
    return 0;
}

/* When @argv's output began and ended, on now_ms()'s clock. */
static int run(char **argv, double *began, double *ended)
{
    int out[2], status;

    if (pipe(out) < 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        execvp(argv[0], argv);
        fail(argv[0]);
    }
    close(out[1]);
    *began = *ended = 0;
    while (read(out[0], block, sizeof(block)) > 0) {
        *ended = now_ms();
        if (*began == 0)
            *began = *ended;
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || *began == 0)
        fail("no output");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int first(char **argv)
{
    double start = now_ms(), began, ended;
    int status = run(argv, &began, &ended);

    printf("first %.3f\n", began - start);
    return status;
}

static int through(char **argv)
{
    double began, ended;
    int status = run(argv, &began, &ended);

    printf("through %.3f\n", ended - began);
    return status;
}

/* A mapping is the guest's if a child of the VMM's would not inherit it (dc, MADV_DONTFORK), or if it is a memfd. */
static int memory(char **argv)
{
    long own = 0, guest = 0, rss;
    char path[64], line[4096];
    int memfd = 0;

    for (; *argv; argv++) {
        snprintf(path, sizeof(path), "/proc/%s/smaps", *argv);
        FILE *f = fopen(path, "re");
        if (!f)
            fail(path);
        while (fgets(line, sizeof(line), f)) {
            if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
                memfd = strstr(line, "/memfd:") != NULL;
            else if (sscanf(line, "Rss: %ld", &rss) == 1)
                continue;
            else if (strncmp(line, "VmFlags:", 8) == 0)
                *(memfd || strstr(line, " dc") ? &guest : &own) += rss;
        }
        fclose(f);
    }
    return printf("memory %ld %ld\n", own, guest) < 0;
}

static const struct {
    const char *name;
    int (*run)(char **argv);
    int arguments; /* at least */
} commands[] = {
    {"hello", hello, 0}, {"read", read_file, 1},  {"write", write_file, 2},
    {"walk", walk, 1},   {"touch", touch, 1},     {"pour", pour, 1},
    {"first", first, 1}, {"through", through, 1}, {"memory", memory, 1},
};

static int dispatch(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(commands[i].name, argv[1]) == 0 && argc - 2 >= commands[i].arguments)
            return commands[i].run(argv + 2);
    fprintf(stderr, "cargo: see the beginning of cargo.c\n");
    return 2;
}

static _Noreturn void be_init(void)
{
    char *argv[8] = {"cargo"}, *words = getenv("CARGO");
    int argc = 1;

    for (char *word = words ? strtok(words, " ") : NULL; word && argc < 7; word = strtok(NULL, " "))
        argv[argc++] = word;
    if (mkdir("/shared", 0755) < 0 || mount("hull", "/shared", "virtiofs", 0, NULL) < 0 ||
        chroot("/shared") < 0 || chdir("/") < 0)
        fail("mount the virtio-fs");
    dispatch(argc, argv);
    fflush(stdout);
    sync();
    reboot(RB_AUTOBOOT);
    pause();
    exit(1);
}

int main(int argc, char **argv)
{
    if (strcmp(argv[0], "/init") == 0)
        be_init();
    return dispatch(argc, argv);
}
