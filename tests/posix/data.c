/* A file's bytes: reading, writing, holes, sizes, mappings. */
#include "posix.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { BLOCK = 1 << 20, MODEL = 256 << 10, STEPS = 3000 };

static int make(const char *name)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0644);
    MUST(fd >= 0);
    return fd;
}

static off_t size_of(int fd)
{
    struct stat st;
    MUST(fstat(fd, &st) == 0);
    return st.st_size;
}

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void big_blocks_come_back(void)
{
    static unsigned char a[8 * BLOCK], b[8 * BLOCK];
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = pattern(i);
    int fd = make("f");
    MUST(write(fd, a, sizeof(a)) == sizeof(a) && pread(fd, b, sizeof(b), 0) == sizeof(b));
    MUST(memcmp(a, b, sizeof(a)) == 0 && close(fd) == 0);
    memset(b, 0, sizeof(b));
    fd = open("f", O_RDONLY);
    MUST(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && read(fd, b, sizeof(b)) == sizeof(b));
    MUST(memcmp(a, b, sizeof(a)) == 0 && read(fd, b, 1) == 0);
}

static void odd_pieces(void)
{
    unsigned char byte;
    int fd = make("f");
    for (size_t at = 0, step = 1; at < 100000; at += step, step = step * 3 % 4999 + 1) {
        unsigned char piece[5000];
        for (size_t i = 0; i < step; i++)
            piece[i] = pattern(at + i);
        MUST(pwrite(fd, piece, step, (off_t)at) == (ssize_t)step);
    }
    for (size_t i = 0; i < 100000; i += 997)
        MUST(pread(fd, &byte, 1, (off_t)i) == 1 && byte == pattern(i));
}

static void vectors(void)
{
    char a[3] = "", b[5] = "";
    struct iovec out[2] = {{(void *)"abc", 3}, {(void *)"defgh", 5}}, in[2] = {{a, 3}, {b, 5}};
    int fd = make("f");
    MUST(writev(fd, out, 2) == 8 && lseek(fd, 0, SEEK_SET) == 0 && readv(fd, in, 2) == 8);
    MUST(memcmp(a, "abc", 3) == 0 && memcmp(b, "defgh", 5) == 0);
    MUST(pwritev(fd, out, 2, 100) == 8 && size_of(fd) == 108);
}

static void the_wrong_way(void)
{
    put("f", "x");
    int r = open("f", O_RDONLY), w = open("f", O_WRONLY);
    FAILS(write(r, "x", 1), EBADF);
    FAILS(read(w, (char[1]){0}, 1), EBADF);
    FAILS(ftruncate(r, 0), EINVAL);
    FAILS(pread(r, (char[1]){0}, 1, -1), EINVAL);
    FAILS(truncate("f", -1), EINVAL);
    MUST(mkdir("d", 0755) == 0);
    FAILS(truncate("d", 0), EISDIR);
    FAILS(read(open("d", O_RDONLY), (char[1]){0}, 1), EISDIR);
}

static void appending(void)
{
    put("f", "0123");
    int a = open("f", O_WRONLY | O_APPEND), b = open("f", O_RDWR);
    MUST(write(a, "ab", 2) == 2 && pwrite(b, "XY", 2, 0) == 2 && write(a, "cd", 2) == 2);
    MUST(holds("f", "XY23abcd") && ftruncate(b, 2) == 0 && write(a, "e", 1) == 1 && holds("f", "XYe"));
}

static void appending_switched_on_and_off(void)
{
    put("f", "0123");
    int fd = open("f", O_WRONLY);
    MUST(fcntl(fd, F_SETFL, O_APPEND) == 0 && write(fd, "4", 1) == 1 && holds("f", "01234"));
    MUST(fcntl(fd, F_SETFL, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0 && write(fd, "x", 1) == 1);
    MUST(holds("f", "x1234"));
}

static void append_lines(void)
{
    int fd = open("f", O_WRONLY | O_APPEND);
    for (int i = 0; i < 500; i++)
        MUST(write(fd, "0123456789abcde\n", 16) == 16);
}

static void two_processes_append(void)
{
    char line[16];
    put("f", "");
    pid_t pid = fork();
    if (pid == 0) {
        append_lines();
        _exit(0);
    }
    in_child(append_lines);
    waitpid(pid, NULL, 0);
    int fd = open("f", O_RDONLY);
    MUST(size_of(fd) == 16000);
    while (read(fd, line, 16) == 16)
        MUST(memcmp(line, "0123456789abcde\n", 16) == 0);
}

static void sizes(void)
{
    char text[10];
    int fd = make("f");
    MUST(write(fd, "0123456789", 10) == 10 && ftruncate(fd, 5) == 0 && ftruncate(fd, 10) == 0);
    MUST(pread(fd, text, 10, 0) == 10 && memcmp(text, "01234\0\0\0\0\0", 10) == 0);
    MUST(truncate("f", 3) == 0 && size_of(fd) == 3 && truncate("f", 70000) == 0 && size_of(fd) == 70000);
    MUST(pread(fd, text, 10, 69995) == 5 && memcmp(text, "\0\0\0\0\0", 5) == 0 &&
         pread(fd, text, 10, 70000) == 0);
}

static void holes_read_as_zeroes(void)
{
    char text[4];
    int fd = make("f");
    MUST(pwrite(fd, "end", 3, 10 * BLOCK) == 3 && size_of(fd) == 10 * BLOCK + 3);
    MUST(pread(fd, text, 4, 5 * BLOCK) == 4 && memcmp(text, "\0\0\0\0", 4) == 0);
    MUST(look("f").st_blocks * 512 < BLOCK);
}

static void offsets_beyond_4_gib(void)
{
    char text[3];
    off_t far = (5LL << 30) + 12345;
    int fd = make("f");
    MUST(pwrite(fd, "far", 3, far) == 3 && size_of(fd) == far + 3);
    MUST(pread(fd, text, 3, far) == 3 && memcmp(text, "far", 3) == 0 && ftruncate(fd, 0) == 0);
}

static void data_and_holes_are_told(void)
{
    int fd = make("f");
    MUST(ftruncate(fd, 4 * BLOCK) == 0 && pwrite(fd, "x", 1, 2 * BLOCK) == 1 && fsync(fd) == 0);
    off_t data = lseek(fd, 0, SEEK_DATA), hole = lseek(fd, 2 * BLOCK, SEEK_HOLE);
    MUST(data <= 2 * BLOCK && hole > 2 * BLOCK && hole <= 4 * BLOCK);
    MUST(data == 2 * BLOCK || data == 0); /* 0: a file system without holes */
    FAILS(lseek(fd, 5 * BLOCK, SEEK_DATA), ENXIO);
    MUST(lseek(fd, -1, SEEK_END) == 4 * BLOCK - 1);
}

static void allocation(void)
{
    char byte = 1;
    int fd = make("f");
    if (fallocate(fd, 0, 0, BLOCK) < 0 && errno == EOPNOTSUPP)
        skipped("no fallocate here");
    MUST(size_of(fd) == BLOCK && look("f").st_blocks * 512 >= BLOCK);
    MUST(fallocate(fd, FALLOC_FL_KEEP_SIZE, BLOCK, BLOCK) == 0 && size_of(fd) == BLOCK);
    MUST(pwrite(fd, "x", 1, 8192) == 1);
    MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192) == 0);
    MUST(pread(fd, &byte, 1, 8192) == 1 && byte == 0 && size_of(fd) == BLOCK);
    FAILS(fallocate(fd, 0, -1, 5), EINVAL);
    FAILS(fallocate(fd, 0, 0, 0), EINVAL);
}

static void copying_in_the_kernel(void)
{
    put("a", "0123456789");
    int a = open("a", O_RDONLY), b = make("b");
    off_t from = 2, to = 1;
    MUST(write(b, "xxxxxxxx", 8) == 8);
    ssize_t n = copy_file_range(a, &from, b, &to, 5, 0);
    MUST(n == 5 && holds("b", "x23456xx") && from == 7 && to == 6);
    int c = make("c");
    from = 0;
    MUST(sendfile(c, a, &from, 10) == 10 && holds("c", "0123456789"));
}

static void shared_mappings_are_the_file(void)
{
    int fd = make("f");
    MUST(ftruncate(fd, 3 * 4096) == 0);
    char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), text[6] = "";
    MUST(p != MAP_FAILED);
    memcpy(p + 4094, "across", 6);
    MUST(pread(fd, text, 6, 4094) == 6 && memcmp(text, "across", 6) == 0);
    MUST(pwrite(fd, "written", 7, 100) == 7 && memcmp(p + 100, "written", 7) == 0);
    MUST(msync(p, 3 * 4096, MS_SYNC) == 0 && munmap(p, 3 * 4096) == 0 && close(fd) == 0);
    fd = open("f", O_RDONLY);
    MUST(pread(fd, text, 6, 4094) == 6 && memcmp(text, "across", 6) == 0);
}

static void private_mappings_are_not(void)
{
    put("f", "original");
    int fd = open("f", O_RDONLY);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    MUST(p != MAP_FAILED && memcmp(p, "original", 8) == 0 && p[8] == '\0' && p[4095] == '\0');
    memcpy(p, "changed!", 8);
    MUST(holds("f", "original") && close(fd) == 0 && unlink("f") == 0 && memcmp(p, "changed!", 8) == 0);
}

static void touch_beyond_the_end(void)
{
    int fd = open("f", O_RDWR);
    volatile char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(ftruncate(fd, 0) == 0);
    p[4096] = 1;
}

static void a_mapping_beyond_the_end_is_a_bus_error(void)
{
    int status, fd = make("f");
    MUST(ftruncate(fd, 8192) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGBUS, SIG_DFL);
        touch_beyond_the_end();
        _exit(0);
    }
    MUST(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void syncing(void)
{
    int fd = make("f");
    MUST(write(fd, "x", 1) == 1 && fdatasync(fd) == 0 && fsync(fd) == 0 && syncfs(fd) == 0);
    int d = open(".", O_RDONLY | O_DIRECTORY);
    MUST(fsync(d) == 0);
    MUST(open("s", O_CREAT | O_WRONLY | O_SYNC, 0600) >= 0);
}

static void programs_run_from_here(void)
{
    put("script", "#!/bin/sh\nexit 7\n");
    MUST(chmod("script", 0755) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl("./script", "./script", (char *)NULL);
        _exit(127);
    }
    int status;
    MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    MUST(chmod("script", 0644) == 0);
    FAILS(execl("./script", "./script", (char *)NULL), EACCES);
}

static void the_limit_of_file_size(void)
{
    signal(SIGXFSZ, SIG_IGN);
    int fd = make("f");
    MUST(setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096}) == 0);
    FAILS(pwrite(fd, "x", 1, 4096), EFBIG);
    FAILS(ftruncate(fd, 4097), EFBIG);
    MUST(pwrite(fd, "xx", 2, 4095) == 1);
}

static void descriptors_share_their_offset(void)
{
    put("f", "0123456789");
    char c;
    int a = open("f", O_RDONLY), b = dup(a), other = open("f", O_RDONLY);
    MUST(read(a, &c, 1) == 1 && read(b, &c, 1) == 1 && c == '1' && read(other, &c, 1) == 1 && c == '0');
}

static void direct_io(void)
{
    int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0600);
    if (fd < 0 && errno == EINVAL)
        skipped("no O_DIRECT here");
    char *page;
    MUST(fd >= 0 && posix_memalign((void **)&page, 4096, 8192) == 0);
    memset(page, 'd', 8192);
    MUST(pwrite(fd, page, 8192, 0) == 8192);
    memset(page, 0, 8192);
    MUST(pread(fd, page, 8192, 0) == 8192 && page[0] == 'd' && page[8191] == 'd');
}

/* A file and its model in memory, changed in the same random ways (what fsx made famous). */
static struct {
    unsigned char bytes[MODEL];
    size_t size;
} model;

static void random_write(int fd, size_t at, size_t length)
{
    static unsigned char data[MODEL];
    for (size_t i = 0; i < length; i++)
        data[i] = (unsigned char)random();
    MUST(pwrite(fd, data, length, (off_t)at) == (ssize_t)length);
    memcpy(model.bytes + at, data, length);
    if (at + length > model.size)
        model.size = at + length;
}

static void random_read(int fd, size_t at, size_t length)
{
    static unsigned char data[MODEL];
    size_t expected = at >= model.size ? 0 : model.size - at < length ? model.size - at : length;
    MUST(pread(fd, data, length, (off_t)at) == (ssize_t)expected &&
         memcmp(data, model.bytes + at, expected) == 0);
}

static void random_truncate(int fd, size_t size)
{
    MUST(ftruncate(fd, (off_t)size) == 0);
    if (size < model.size)
        memset(model.bytes + size, 0, model.size - size);
    model.size = size;
}

static void random_mapped_write(int fd, size_t at, size_t length)
{
    if (at + length > model.size || length == 0)
        return;
    unsigned char *p = mmap(NULL, model.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(p != MAP_FAILED && memcmp(p + at, model.bytes + at, length) == 0);
    memset(p + at, (int)(at & 0xff), length);
    memset(model.bytes + at, (int)(at & 0xff), length);
    MUST(munmap(p, model.size) == 0);
}

static void random_changes_match_a_model(void)
{
    int fd = make("f");
    srandom(4711);
    for (int step = 0; step < STEPS; step++) {
        size_t at = (size_t)random() % MODEL, length = (size_t)random() % (MODEL - at);
        switch (random() % 6) {
        case 0:
        case 1:
            random_write(fd, at, length % 20000);
            break;
        case 2:
            random_truncate(fd, at);
            break;
        case 3:
            random_mapped_write(fd, at, length % 9000);
            break;
        case 4:
            close(fd);
            fd = open("f", O_RDWR);
            break;
        default:
            random_read(fd, at, length);
        }
        MUST(size_of(fd) == (off_t)model.size);
    }
    random_read(fd, 0, MODEL);
}

static const struct check checks[] = {
    {"blocks of 8 MiB come back as they were", big_blocks_come_back},
    {"writes of odd lengths at odd places", odd_pieces},
    {"readv, writev, pwritev", vectors},
    {"reading and writing the wrong way", the_wrong_way},
    {"O_APPEND appends, wherever the end is", appending},
    {"O_APPEND switched on and off", appending_switched_on_and_off},
    {"two processes append whole lines", two_processes_append},
    {"truncation makes shorter and longer, with zeroes", sizes},
    {"holes read as zeroes and cost nothing", holes_read_as_zeroes},
    {"offsets beyond 4 GiB", offsets_beyond_4_gib},
    {"SEEK_DATA and SEEK_HOLE", data_and_holes_are_told},
    {"fallocate: allocate, keep size, punch holes", allocation},
    {"copy_file_range and sendfile", copying_in_the_kernel},
    {"shared mappings are the file", shared_mappings_are_the_file},
    {"private mappings are not", private_mappings_are_not},
    {"a mapping beyond the end of the file is a bus error", a_mapping_beyond_the_end_is_a_bus_error},
    {"fsync, fdatasync, syncfs, O_SYNC", syncing},
    {"programs run, if they may be executed", programs_run_from_here},
    {"RLIMIT_FSIZE", the_limit_of_file_size},
    {"dup shares the offset, open does not", descriptors_share_their_offset},
    {"O_DIRECT", direct_io},
    {"3000 random changes match a model", random_changes_match_a_model},
};

const struct check_group data_group = {checks, COUNT(checks)};
