/* seccomp_prepare with its cache, the load into a process, and the message to the agent. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/socket.h"
#include "runtime/seccomp.h"

static struct arena arena;

static const struct spec_seccomp *profile(const char *json)
{
    struct error err = {0};
    struct spec *spec;
    char *text = arena_printf(
        &arena,
        "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],"
        "\"user\":{\"uid\":0,\"gid\":0}},\"linux\":{\"seccomp\":%s}}",
        json);
    cr_assert_eq(spec_parse(&arena, text, strlen(text), "test", &spec, &err), 0, "%s", err.message);
    return &spec->linux_.seccomp;
}

#define SIMPLE                                                                                               \
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],"                \
    "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":70},{\"names\":[\"chmod\"],\"action\":\"SCMP_ACT_ERRNO\"}]}"

/* Not _exit(): a sanitizer hooks into that with calls which the filter denies. */
static _Noreturn void leave(int status)
{
    for (;;)
        syscall(SYS_exit_group, status);
}

/* Exit status 0 when chdir works, mkdir gives @mkdir_errno and number 1000 gives @unknown_errno under the
 * filter. */
static int outcome(const struct seccomp_filter *f, int mkdir_errno, int unknown_errno)
{
    int status, listener;
    struct error err = {0};
    pid_t pid = fork();

    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_load(f, &listener, &err) < 0)
            leave(10);
        if (chdir("/") < 0)
            leave(11);
        if (mkdir("/", 0700) == 0 || errno != mkdir_errno)
            leave(12);
        if (syscall(1000) == 0 || errno != unknown_errno)
            leave(13);
        leave(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Test(seccomp, errno_is_what_the_profile_says)
{
    struct seccomp_filter f;
    struct error err = {0};

    cr_assert_eq(seccomp_prepare(&arena, profile(SIMPLE), NULL, &f, &err), 0, "%s", err.message);
    cr_assert(f.present && !f.notify && f.flags == SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    cr_assert_eq(outcome(&f, 70, ENOSYS), 0);
}

Test(seccomp, numbers_newer_than_the_profile_are_enosys)
{
    static const char text[] = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_"
                               "64\"],\"flags\":[],\"syscalls\":[{\"names\":["
                               "\"chdir\",\"exit_group\",\"futex\",\"openat2\",\"seccomp\",\"wait4\"],"
                               "\"action\":\"SCMP_ACT_ALLOW\"}]}";
    struct seccomp_filter f;
    struct error err = {0};

    cr_assert_eq(seccomp_prepare(&arena, profile(text), NULL, &f, &err), 0, "%s", err.message);
    cr_assert_eq(f.flags, 0u, "\"flags\": [] asks for none");
    cr_assert_eq(outcome(&f, EPERM, ENOSYS), 0, "exit %d", outcome(&f, EPERM, ENOSYS));
}

Test(seccomp, what_cannot_be_is_an_error)
{
    static const struct {
        const char *profile, *message;
    } cases[] = {
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"write\"],\"action\":\"SCMP_ACT_"
         "NOTIFY\"}],"
         "\"listenerPath\":\"/x\"}",
         "write"},
        {"{\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/x\"}", "default"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_"
         "NOTIFY\"}]}",
         "listenerPath"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":3}", "rrno"},
        {"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":5000}", "rrno"},
        {"{\"defaultAction\":\"SCMP_ACT_WISH\"}", "SCMP_ACT_WISH"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_PDP11\"]}", "PDP11"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        struct seccomp_filter f;
        struct spec *spec;
        char *text = arena_printf(
            &arena,
            "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],"
            "\"user\":{\"uid\":0,\"gid\":0}},\"linux\":{\"seccomp\":%s}}",
            cases[i].profile);
        /* Some are found by validation already. */
        int ret = spec_parse(&arena, text, strlen(text), "test", &spec, &err);
        if (ret == 0)
            ret = seccomp_prepare(&arena, &spec->linux_.seccomp, NULL, &f, &err);
        cr_assert_eq(ret, -1, "%s", cases[i].profile);
        cr_assert(strstr(err.message, cases[i].message), "%s", err.message);
    }
}

/* --- cache ------------------------------------------------------------------------------------------------
 */

static char *cache_dir(void)
{
    char *base = arena_strdup(&arena, "/tmp/hull-unit-XXXXXX");
    cr_assert(mkdtemp(base));
    return arena_printf(&arena, "%s/a/b", base);
}

static char *cache_file(const char *dir)
{
    _cleanup_(closedirp) DIR *d = opendir(dir);
    char *found = NULL;

    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            cr_assert_null(found, "one profile, one file");
            found = arena_printf(&arena, "%s/%s", dir, e->d_name);
        }
    return found;
}

static void cache_remove(const char *dir)
{
    char *base = arena_strndup(&arena, dir, strlen(dir) - strlen("/a/b"));
    file_remove_tree(AT_FDCWD, base, NULL);
}

static void prepare_same(const char *dir, const struct seccomp_filter *want)
{
    struct seccomp_filter f;
    struct error err = {0};

    cr_assert_eq(seccomp_prepare(&arena, profile(SIMPLE), dir, &f, &err), 0, "%s", err.message);
    cr_assert_eq(f.program.len, want->program.len);
    cr_assert_eq(memcmp(f.program.filter, want->program.filter, f.program.len * sizeof(struct sock_filter)),
                 0);
}

Test(seccomp_cache, hit_gives_the_same_program_and_private_modes)
{
    struct seccomp_filter f;
    struct error err = {0};
    struct stat st;
    char *dir = cache_dir();

    cr_assert_eq(seccomp_prepare(&arena, profile(SIMPLE), dir, &f, &err), 0, "%s", err.message);
    cr_assert_eq(stat(dir, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0700u);
    cr_assert_eq(stat(cache_file(dir), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600u);
    prepare_same(dir, &f);
    cr_assert_eq(outcome(&f, 70, ENOSYS), 0);
    cache_remove(dir);
}

Test(seccomp_cache, every_damaged_byte_is_noticed_and_the_file_rewritten)
{
    struct seccomp_filter f;
    struct error err = {0};
    char *dir = cache_dir(), *file, byte, now;
    struct stat st;

    cr_assert_eq(seccomp_prepare(&arena, profile(SIMPLE), dir, &f, &err), 0, "%s", err.message);
    file = cache_file(dir);
    cr_assert_eq(stat(file, &st), 0);
    for (off_t at = 0; at < st.st_size; at++) {
        _cleanup_(fd_closep) int fd = open(file, O_RDWR | O_CLOEXEC), again = -1;
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
        prepare_same(dir, &f);
        again = open(file, O_RDONLY | O_CLOEXEC);
        cr_assert_eq(pread(again, &now, 1, at), 1);
        cr_assert_eq((char)(byte ^ 0x10), now, "rewritten after damage at %ld", (long)at);
    }
    for (off_t size = 0; size < st.st_size; size += 13) {
        cr_assert_eq(truncate(file, size), 0);
        prepare_same(dir, &f);
    }
    cache_remove(dir);
}

Test(seccomp_cache, what_others_may_write_is_not_believed)
{
    struct seccomp_filter f, other;
    struct error err = {0};
    char *dir = cache_dir(), *file;
    struct stat before, after;

    cr_assert_eq(seccomp_prepare(&arena, profile(SIMPLE), dir, &f, &err), 0, "%s", err.message);
    file = cache_file(dir);
    cr_assert_eq(chmod(file, 0666), 0);
    cr_assert_eq(stat(file, &before), 0);
    prepare_same(dir, &f);
    cr_assert_eq(stat(file, &after), 0);
    cr_assert_neq(before.st_ino, after.st_ino, "replaced by our own");

    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(chmod(dir, 0777), 0);
    cr_assert_eq(seccomp_prepare(&arena, profile(SIMPLE), dir, &other, &err), 0, "%s", err.message);
    cr_assert_null(cache_file(dir), "nothing is stored where others may write");
    cr_assert_eq(rmdir(dir), 0);
    cr_assert_eq(symlink("/tmp", dir), 0);
    prepare_same(dir, &f);
    cr_assert_eq(unlink(dir), 0);
    cache_remove(dir);
}

/* --- notify -----------------------------------------------------------------------------------------------
 */

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

Test(seccomp, listener_goes_to_the_agent)
{
    char path[64], message[4096];
    struct error err = {0};
    struct seccomp_filter f;
    struct json *json;
    int fds[2], listener;
    size_t nfds = ARRAY_SIZE(fds);

    snprintf(path, sizeof(path), "/tmp/hull-unit-%d.sock", (int)getpid());
    const struct spec_seccomp *p = profile(arena_printf(
        &arena,
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"%s\",\"listenerMetadata\":\"a \\\"b\\\"\","
        "\"flags\":[\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"],"
        "\"syscalls\":[{\"names\":[\"chroot\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
        path));
    if (seccomp_prepare(&arena, p, NULL, &f, &err) < 0)
        cr_skip_test("this kernel: %s", err.message);
    cr_assert(f.notify);
    _cleanup_(fd_closep) int server = listen_at(path);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    cr_assert_eq(seccomp_filter_load(&f, &listener, &err), 0, "%s", err.message);
    cr_assert_geq(listener, 0);
    cr_assert_eq(seccomp_send_listener(p, listener, "{\"id\":\"c1\",\"pid\":7}", 7, &err), 0, "%s",
                 err.message);

    _cleanup_(fd_closep) int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    ssize_t n = socket_recv_fds(client, message, sizeof(message), fds, &nfds);
    cr_assert_gt(n, 0);
    cr_assert_eq(nfds, 1u);
    cr_assert_eq(json_parse(&arena, message, (size_t)n, "message", &json, &err), 0, "%s", err.message);
    cr_assert_str_eq(json_get(json, "fds")->items[0].text, "seccompFd");
    cr_assert_str_eq(json_get(json, "pid")->text, "7");
    cr_assert_str_eq(json_get(json, "metadata")->text, "a \"b\"");
    cr_assert_str_eq(json_get(json_get(json, "state"), "id")->text, "c1");
    cr_assert_eq(read(client, message, 1), 0, "one state a connection, then it is closed");
    unlink(path);
}
