/* Opening, linking, renaming and removing by name. */
#include "posix.h"

#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

static void made_with_mode_and_umask(void)
{
    umask(027);
    int fd = open("f", O_CREAT | O_WRONLY, 0666);
    MUST(fd >= 0);
    struct stat st = look("f");
    MUST(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0640 && st.st_size == 0 && st.st_nlink == 1);
}

static void exclusive_creation_refuses_what_is_there(void)
{
    put("f", "x");
    FAILS(open("f", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
    MUST(symlink("nowhere", "l") == 0);
    FAILS(open("l", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
    MUST(holds("f", "x"));
}

static void creation_opens_what_is_there(void)
{
    put("f", "text");
    chmod("f", 0604);
    int fd = open("f", O_CREAT | O_RDWR, 0777);
    MUST(fd >= 0 && (look("f").st_mode & 07777) == 0604 && holds("f", "text"));
}

static void a_read_only_mode_leaves_the_creator_writing(void)
{
    become(USER, GROUP);
    int fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0);
    MUST(fd >= 0 && write(fd, "ab", 2) == 2 && pread(fd, (char[2]){0}, 2, 0) == 2);
    FAILS(open("f", O_RDONLY), EACCES);
}

static void truncation_at_open(void)
{
    put("f", "long text");
    int fd = open("f", O_WRONLY | O_TRUNC);
    MUST(fd >= 0 && look("f").st_size == 0);
}

static void creation_through_a_dangling_link(void)
{
    MUST(symlink("target", "l") == 0);
    put("l", "through");
    MUST(holds("target", "through") && S_ISLNK(look("l").st_mode));
}

static void links_are_not_followed_when_told(void)
{
    put("f", "x");
    MUST(symlink("f", "l") == 0);
    FAILS(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    MUST(open("l", O_PATH | O_NOFOLLOW) >= 0);
}

static void wrong_types(void)
{
    put("f", "x");
    MUST(mkdir("d", 0755) == 0);
    FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open("d", O_WRONLY), EISDIR);
    FAILS(open("d", O_RDONLY | O_CREAT, 0600), EISDIR);
    FAILS(open("f/x", O_RDONLY), ENOTDIR);
    FAILS(open("f/", O_RDONLY), ENOTDIR);
    FAILS(open("missing", O_RDONLY), ENOENT);
    FAILS(open("missing/f", O_CREAT | O_WRONLY, 0600), ENOENT);
}

static void names_of_255_bytes(void)
{
    char name[258];
    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    put(name, "long");
    MUST(holds(name, "long") && rename(name, "short") == 0 && rename("short", name) == 0 &&
         unlink(name) == 0);
    name[255] = 'n';
    name[256] = '\0';
    FAILS(open(name, O_CREAT | O_WRONLY, 0600), ENAMETOOLONG);
    FAILS(mkdir(name, 0700), ENAMETOOLONG);
}

static void names_of_any_bytes(void)
{
    char name[] = "a.b";
    for (int c = 1; c < 256; c++) {
        name[1] = (char)c;
        if (c == '/')
            continue;
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        MUST(fd >= 0 && close(fd) == 0);
    }
    for (int c = 1; c < 256; c++) {
        name[1] = (char)c;
        MUST(c == '/' || unlink(name) == 0);
    }
    put("...", "dots");
    put(" ", "space");
    MUST(holds("...", "dots") && holds(" ", "space"));
}

static void rename_replaces(void)
{
    put("a", "new");
    put("b", "old");
    ino_t inode = look("a").st_ino;
    int fd = open("b", O_RDONLY);
    MUST(rename("a", "b") == 0 && holds("b", "new") && look("b").st_ino == inode);
    FAILS(access("a", F_OK), ENOENT);
    char text[3];
    struct stat st;
    MUST(read(fd, text, 3) == 3 && memcmp(text, "old", 3) == 0);
    MUST(fstat(fd, &st) == 0 && st.st_nlink == 0);
}

static void rename_of_directories(void)
{
    MUST(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mkdir("full", 0755) == 0);
    put("a/f", "x");
    put("full/f", "y");
    put("file", "z");
    FAILS(rename("a", "full"), ENOTEMPTY);
    FAILS(rename("a", "file"), ENOTDIR);
    FAILS(rename("file", "a"), EISDIR);
    FAILS(rename("a", "a/inside"), EINVAL);
    FAILS(rename("missing", "a"), ENOENT);
    MUST(rename("a", "b") == 0 && holds("b/f", "x"));
}

static void rename_between_directories_moves_dotdot(void)
{
    MUST(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mkdir("a/sub", 0755) == 0);
    MUST(look("a").st_nlink == look("b").st_nlink + 1 || look("a").st_nlink == 1);
    MUST(rename("a/sub", "b/sub") == 0);
    MUST(look("b/sub/..").st_ino == look("b").st_ino);
    MUST(look("b").st_nlink == look("a").st_nlink + 1 || look("a").st_nlink == 1);
}

static void rename_of_two_names_of_one_file(void)
{
    put("a", "x");
    MUST(link("a", "b") == 0 && rename("a", "b") == 0);
    MUST(holds("a", "x") && holds("b", "x") && look("a").st_nlink == 2);
}

static int rename2(const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void rename_noreplace(void)
{
    put("a", "a");
    put("b", "b");
    FAILS(rename2("a", "b", RENAME_NOREPLACE), EEXIST);
    MUST(holds("b", "b") && rename2("a", "c", RENAME_NOREPLACE) == 0 && holds("c", "a"));
}

static void rename_exchange(void)
{
    put("a", "a");
    MUST(mkdir("d", 0755) == 0);
    put("d/f", "f");
    FAILS(rename2("a", "missing", RENAME_EXCHANGE), ENOENT);
    MUST(rename2("a", "d", RENAME_EXCHANGE) == 0 && holds("d", "a") && holds("a/f", "f"));
}

static void an_open_file_outlives_its_name(void)
{
    struct stat st;
    char text[8] = "";
    put("f", "before");
    int fd = open("f", O_RDWR);
    MUST(unlink("f") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 6);
    MUST(pwrite(fd, "after!", 6, 0) == 6 && pread(fd, text, 7, 0) == 6 && strcmp(text, "after!") == 0);
    MUST(fchmod(fd, 0600) == 0 && ftruncate(fd, 100) == 0 && fstat(fd, &st) == 0 && st.st_size == 100);
    put("f", "another");
    MUST(pread(fd, text, 6, 0) == 6 && memcmp(text, "after!", 6) == 0);
}

static void removing_the_wrong_kind(void)
{
    MUST(mkdir("d", 0755) == 0 && mkdir("full", 0755) == 0);
    put("full/f", "x");
    put("f", "x");
    FAILS(unlink("d"), EISDIR);
    FAILS(rmdir("f"), ENOTDIR);
    FAILS(rmdir("full"), ENOTEMPTY);
    FAILS(rmdir("missing"), ENOENT);
    FAILS(rmdir("d/."), EINVAL);
    FAILS(unlink("missing"), ENOENT);
    MUST(rmdir("d") == 0);
}

static void a_removed_directory_is_empty_and_closed(void)
{
    MUST(mkdir("d", 0755) == 0 && chdir("d") == 0 && rmdir("../d") == 0);
    FAILS(open("f", O_CREAT | O_WRONLY, 0600), ENOENT);
    FAILS(mkdir("sub", 0755), ENOENT);
}

static void link_counts(void)
{
    put("a", "one");
    MUST(link("a", "b") == 0 && link("a", "c") == 0);
    MUST(look("c").st_nlink == 3 && look("a").st_ino == look("b").st_ino);
    put("b", "two");
    MUST(holds("a", "two") && unlink("a") == 0 && look("c").st_nlink == 2 && unlink("b") == 0);
    MUST(look("c").st_nlink == 1 && holds("c", "two"));
}

static void links_that_cannot_be(void)
{
    put("a", "x");
    put("b", "x");
    MUST(mkdir("d", 0755) == 0);
    FAILS(link("a", "b"), EEXIST);
    FAILS(link("d", "e"), EPERM);
    FAILS(link("missing", "e"), ENOENT);
    FAILS(link("a", "missing/e"), ENOENT);
}

static void a_link_to_a_symlink(void)
{
    MUST(symlink("nowhere", "l") == 0 && link("l", "m") == 0);
    MUST(S_ISLNK(look("m").st_mode) && look("l").st_nlink == 2 && look("l").st_ino == look("m").st_ino);
}

static void symlinks_keep_any_text(void)
{
    char text[4000], back[4096];
    memset(text, 't', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    MUST(symlink(text, "long") == 0 && readlink("long", back, sizeof(back)) == sizeof(text) - 1);
    MUST(memcmp(text, back, sizeof(text) - 1) == 0 && look("long").st_size == sizeof(text) - 1);
    MUST(symlink("../../../../../../etc", "out") == 0 && readlink("out", back, 3) == 3);
    FAILS(symlink("x", "long"), EEXIST);
    FAILS(readlink(".", back, sizeof(back)), EINVAL);
}

static void symlink_loops_end(void)
{
    MUST(symlink("b", "a") == 0 && symlink("a", "b") == 0);
    FAILS(open("a", O_RDONLY), ELOOP);
}

static void symlinks_to_directories(void)
{
    MUST(mkdir("d", 0755) == 0 && symlink("d", "l") == 0);
    put("l/f", "x");
    MUST(holds("d/f", "x"));
    FAILS(rmdir("l"), ENOTDIR);
    MUST(unlink("l") == 0 && holds("d/f", "x"));
}

static void deep_paths(void)
{
    int here = open(".", O_RDONLY);
    for (int i = 0; i < 200; i++)
        MUST(mkdir("directory", 0755) == 0 && chdir("directory") == 0);
    put("bottom", "deep");
    char cwd[PATH_MAX];
    MUST(getcwd(cwd, sizeof(cwd)) && strlen(cwd) > 2000);
    MUST(fchdir(here) == 0 && access("directory/directory/directory", F_OK) == 0);
}

static void temporary_files_without_a_name(void)
{
    char path[64];
    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        skipped("no O_TMPFILE here");
    struct stat st;
    MUST(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && (st.st_mode & 07777) == 0640);
    MUST(write(fd, "named", 5) == 5);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    MUST(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW) == 0 && holds("f", "named"));
}

static void send_through_fifo(void)
{
    int fd = open("p", O_WRONLY);
    MUST(fd >= 0 && write(fd, "through", 7) == 7);
}

static void read_from_fifo(void)
{
    char text[8] = "";
    int fd = open("p", O_RDONLY);
    MUST(fd >= 0 && read(fd, text, 7) == 7 && strcmp(text, "through") == 0);
}

static void fifos_join_processes(void)
{
    MUST(mkfifo("p", 0644) == 0 && S_ISFIFO(look("p").st_mode));
    pid_t pid = fork();
    if (pid == 0) {
        send_through_fifo();
        _exit(0);
    }
    in_child(read_from_fifo);
}

static void sockets_join_processes(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(bind(server, (void *)&a, sizeof(a)) == 0 && S_ISSOCK(look("s").st_mode) && listen(server, 1) == 0);
    MUST(connect(client, (void *)&a, sizeof(a)) == 0 && write(client, "x", 1) == 1);
    MUST(read(accept(server, NULL, NULL), (char[1]){0}, 1) == 1);
    FAILS(open("s", O_RDONLY), ENXIO);
    MUST(unlink("s") == 0);
}

static void a_name_used_again_is_another_file(void)
{
    for (int i = 0; i < 50; i++) {
        put("f", "x");
        int fd = open("f", O_RDONLY);
        MUST(fd >= 0 && unlink("f") == 0);
        FAILS(stat("f", &(struct stat){0}), ENOENT);
        put("f", "other");
        MUST(holds("f", "other") && unlink("f") == 0 && close(fd) == 0);
    }
}

static const struct check checks[] = {
    {"a file is made with its mode, less the umask", made_with_mode_and_umask},
    {"O_EXCL refuses what is there, dangling links too", exclusive_creation_refuses_what_is_there},
    {"O_CREAT opens what is there and leaves its mode", creation_opens_what_is_there},
    {"a file made with mode 0 is its creator's to write", a_read_only_mode_leaves_the_creator_writing},
    {"O_TRUNC truncates", truncation_at_open},
    {"O_CREAT goes through a dangling link", creation_through_a_dangling_link},
    {"O_NOFOLLOW does not follow", links_are_not_followed_when_told},
    {"opening the wrong type or nothing", wrong_types},
    {"names may have 255 bytes, not 256", names_of_255_bytes},
    {"names may have any byte but / and NUL", names_of_any_bytes},
    {"rename replaces, and the old file stays open", rename_replaces},
    {"rename of directories", rename_of_directories},
    {"rename between directories moves ..", rename_between_directories_moves_dotdot},
    {"rename of two names of one file does nothing", rename_of_two_names_of_one_file},
    {"RENAME_NOREPLACE", rename_noreplace},
    {"RENAME_EXCHANGE", rename_exchange},
    {"an open file outlives its name", an_open_file_outlives_its_name},
    {"unlink and rmdir refuse the wrong kind", removing_the_wrong_kind},
    {"in a removed directory nothing can be made", a_removed_directory_is_empty_and_closed},
    {"hard links are counted", link_counts},
    {"hard links that cannot be", links_that_cannot_be},
    {"a hard link to a symlink", a_link_to_a_symlink},
    {"symlinks keep any text", symlinks_keep_any_text},
    {"loops of symlinks end", symlink_loops_end},
    {"symlinks to directories", symlinks_to_directories},
    {"paths 200 directories deep", deep_paths},
    {"O_TMPFILE, named later", temporary_files_without_a_name},
    {"fifos join processes", fifos_join_processes},
    {"sockets join processes", sockets_join_processes},
    {"a name used again is another file", a_name_used_again_is_another_file},
};

const struct check_group names_group = {checks, COUNT(checks)};
