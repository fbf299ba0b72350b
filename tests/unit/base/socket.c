/* Descriptors over sockets, and long socket paths. */
#include "base/socket.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int pair[2];

static void set_up(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static int lowest_free(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

Test(socket, more_descriptors_than_wanted_are_closed, .init = set_up)
{
    int fds[3] = {0, 1, 2}, got[2];
    char byte;
    size_t room = 2;
    cr_assert_eq(socket_send_fds(pair[0], "x", 1, fds, 3), 0);
    int before = lowest_free();
    cr_expect(socket_recv_fds(pair[1], &byte, 1, got, &room) == -1 && errno == EMSGSIZE);
    cr_expect_eq(lowest_free(), before, "a descriptor stayed open");
}

Test(socket, more_than_a_control_buffer_holds_is_refused, .init = set_up)
{
    enum { MANY = 20 };
    union {
        char space[CMSG_SPACE(MANY * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_len = CMSG_LEN(MANY * sizeof(int));
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS; /* twenty times descriptor 0 */
    cr_assert_eq(sendmsg(pair[0], &m, 0), 1);

    int got[SOCKET_MAX_FDS], before = lowest_free();
    char byte;
    size_t room = SOCKET_MAX_FDS;
    cr_expect(socket_recv_fds(pair[1], &byte, 1, got, &room) == -1 && errno == EMSGSIZE);
    cr_expect_eq(lowest_free(), before, "a descriptor stayed open");
}

Test(socket, descriptors_travel, .init = set_up)
{
    int file = open("/etc/passwd", O_RDONLY), fds[2] = {file, 0}, got[SOCKET_MAX_FDS];
    char text[16] = "";
    size_t room = SOCKET_MAX_FDS;
    struct stat a, b;
    cr_assert_eq(socket_send_fds(pair[0], "hello", 5, fds, 2), 0);
    cr_assert_eq(socket_recv_fds(pair[1], text, sizeof(text), got, &room), 5);
    cr_expect_str_eq(text, "hello");
    cr_assert_eq(room, 2);
    cr_expect(fstat(file, &a) == 0 && fstat(got[0], &b) == 0 && a.st_ino == b.st_ino);
    cr_expect(fcntl(got[0], F_GETFD) & FD_CLOEXEC);

    room = SOCKET_MAX_FDS;
    cr_assert_eq(socket_send_fds(pair[0], "y", 1, NULL, 0), 0);
    cr_assert_eq(socket_recv_fds(pair[1], text, sizeof(text), got, &room), 1);
    cr_expect_eq(room, 0);
    close(pair[0]);
    cr_expect_eq(socket_recv_fds(pair[1], text, sizeof(text), got, &room), 0);
    cr_expect(socket_send_fds(pair[1], "y", 1, NULL, 0) == -1 && errno == EPIPE, "and no SIGPIPE");
    cr_expect(socket_send_fds(pair[1], "", 0, NULL, 0) == -1 && errno == EINVAL);
}

Test(socket, long_paths_connect)
{
    char dir[] = "/tmp/hull-socket-XXXXXX", path[512];
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
    struct error err;
    cr_assert(mkdtemp(dir) && chdir(dir) == 0);
    char name[151];
    memset(name, 'd', 150);
    name[150] = '\0';
    cr_assert(mkdir(name, 0755) == 0 && chdir(name) == 0);
    int sock = socket(AF_UNIX, SOCK_STREAM, 0), fd = -1;
    cr_assert_eq(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);

    snprintf(path, sizeof(path), "%s/%s/s", dir, name);
    cr_expect_eq(socket_connect(path, &fd, &err), -1, "nobody listens");
    cr_expect_eq(err.code, ECONNREFUSED);
    cr_assert_eq(listen(sock, 5), 0);
    cr_expect_eq(socket_connect(path, &fd, &err), 0, "%s", err.message);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    cr_expect_eq(socket_connect("s", &fd, &err), 0, "%s", err.message);
    close(fd);
    cr_expect_eq(socket_connect("missing", &fd, &err), -1);
    cr_expect_str_eq(err.message, "connect to missing: No such file or directory");
    unlink("s");
    cr_assert_eq(chdir(dir), 0);
    rmdir(name);
    rmdir(dir);
}
