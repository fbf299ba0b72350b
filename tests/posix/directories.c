/* Making and reading directories. */
#include "posix.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { MANY = 10000 };

static int count(DIR *d)
{
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    return n;
}

static int entries(const char *name)
{
    DIR *d = opendir(name);
    MUST(d);
    int n = count(d);
    closedir(d);
    return n;
}

static void fill(int n)
{
    char name[32];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "entry-%d", i);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        MUST(fd >= 0 && close(fd) == 0);
    }
}

static void modes(void)
{
    umask(022);
    MUST(mkdir("d", 0777) == 0 && (look("d").st_mode & 07777) == 0755 && S_ISDIR(look("d").st_mode));
    MUST(mkdir("t", 01777) == 0 && (look("t").st_mode & 07777) == 01755);
    FAILS(mkdir("d", 0777), EEXIST);
    FAILS(mkdir("missing/d", 0777), ENOENT);
}

static void an_empty_one_has_two_entries(void)
{
    int dots = 0;
    DIR *d = opendir(".");
    MUST(d);
    for (const struct dirent *e; (e = readdir(d)); dots++)
        MUST(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    MUST(dots == 2);
}

static void ten_thousand_entries_each_once(void)
{
    static unsigned char seen[MANY];
    fill(MANY);
    DIR *d = opendir(".");
    MUST(d);
    for (const struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, "entry-", 6) == 0)
            MUST(++seen[atoi(e->d_name + 6)] == 1);
    }
    for (int i = 0; i < MANY; i++)
        MUST(seen[i] == 1);
}

static void reading_while_removing(void)
{
    fill(3000);
    DIR *d = opendir(".");
    MUST(d);
    for (const struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] == 'e')
            MUST(unlink(e->d_name) == 0);
    closedir(d);
    MUST(entries(".") == 0);
}

static void rewinding(void)
{
    fill(10);
    DIR *d = opendir(".");
    MUST(d && count(d) == 10);
    put("another", "x");
    rewinddir(d);
    MUST(count(d) == 11);
}

static void seeking(void)
{
    char name[256];
    fill(500);
    DIR *d = opendir(".");
    MUST(d);
    for (int i = 0; i < 100; i++)
        MUST(readdir(d));
    long at = telldir(d);
    const struct dirent *e = readdir(d);
    MUST(e);
    snprintf(name, sizeof(name), "%s", e->d_name);
    MUST(count(d) > 300);
    seekdir(d, at);
    MUST((e = readdir(d)) && strcmp(e->d_name, name) == 0);
}

static void types_and_inodes(void)
{
    put("f", "x");
    MUST(mkdir("d", 0755) == 0 && symlink("f", "l") == 0 && mkfifo("p", 0600) == 0);
    DIR *d = opendir(".");
    MUST(d);
    for (const struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        struct stat st = look(e->d_name);
        MUST(e->d_ino == st.st_ino && (e->d_type == DT_UNKNOWN || e->d_type == IFTODT(st.st_mode)));
    }
}

static void dotdot_is_the_parent(void)
{
    MUST(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0);
    MUST(look("a/b/..").st_ino == look("a").st_ino && look("a/b/../..").st_ino == look(".").st_ino);
}

static void what_is_made_is_seen_at_once(void)
{
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "f%d", i);
        FAILS(access(name, F_OK), ENOENT);
        put(name, "x");
        MUST(access(name, F_OK) == 0 && entries(".") == i + 1);
    }
}

static void make_and_remove(void)
{
    for (int i = 0; i < 200; i++)
        if (mkdir("d", 0755) == 0)
            rmdir("d");
}

static void two_processes_make_and_remove(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        make_and_remove();
        _exit(0);
    }
    in_child(make_and_remove);
    waitpid(pid, NULL, 0);
    rmdir("d");
    MUST(entries(".") == 0);
}

static void times_of_the_parent(void)
{
    MUST(mkdir("d", 0755) == 0);
    struct stat before = look("d");
    usleep(20000);
    put("d/f", "x");
    struct stat after = look("d");
    MUST(after.st_mtim.tv_sec > before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
    usleep(20000);
    MUST(unlink("d/f") == 0);
    before = look("d");
    MUST(after.st_mtim.tv_sec < before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
}

static void an_open_one_can_be_renamed(void)
{
    MUST(mkdir("a", 0755) == 0);
    int fd = open("a", O_RDONLY | O_DIRECTORY);
    MUST(fd >= 0 && rename("a", "b") == 0);
    int file = openat(fd, "f", O_CREAT | O_WRONLY, 0600);
    MUST(file >= 0 && access("b/f", F_OK) == 0 && fsync(fd) == 0);
}

static const struct check checks[] = {
    {"directories are made with their mode, less the umask", modes},
    {"an empty directory has . and ..", an_empty_one_has_two_entries},
    {"10000 entries are read, each once", ten_thousand_entries_each_once},
    {"a directory is read while its entries are removed", reading_while_removing},
    {"rewinddir sees what was made since", rewinding},
    {"telldir and seekdir", seeking},
    {"entries have the type and inode of their file", types_and_inodes},
    {".. is the parent", dotdot_is_the_parent},
    {"what is made is seen at once", what_is_made_is_seen_at_once},
    {"two processes make and remove the same directory", two_processes_make_and_remove},
    {"making and removing changes the directory's times", times_of_the_parent},
    {"an open directory can be renamed", an_open_one_can_be_renamed},
};

const struct check_group directories_group = {checks, COUNT(checks)};
