/* fcntl(2) and flock(2) locks between processes. */
#include "posix.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static int lock(int fd, int command, short type, off_t start, off_t length)
{
    struct flock f = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &f);
}

static int open_file(void)
{
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    MUST(fd >= 0);
    return fd;
}

static void try_in_vain(void)
{
    int fd = open_file();
    MUST(lock(fd, F_SETLK, F_WRLCK, 5, 1) == -1 && (errno == EAGAIN || errno == EACCES));
    MUST(lock(fd, F_SETLK, F_RDLCK, 0, 0) == -1);
    MUST(lock(fd, F_SETLK, F_WRLCK, 20, 0) == 0);
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    MUST(fcntl(fd, F_GETLK, &f) == 0 && f.l_type == F_WRLCK && f.l_start == 0 && f.l_len == 10);
}

static void take_all(void)
{
    MUST(lock(open_file(), F_SETLK, F_WRLCK, 0, 0) == 0);
}

static void ranges_exclude_each_other(void)
{
    int fd = open_file();
    MUST(lock(fd, F_SETLK, F_WRLCK, 0, 10) == 0);
    in_child(try_in_vain);
    MUST(lock(fd, F_SETLK, F_UNLCK, 0, 10) == 0);
    in_child(take_all);
}

static void closing_any_descriptor_releases(void)
{
    int fd = open_file(), other = open_file();
    MUST(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0 && close(other) == 0);
    in_child(take_all);
}

static void share(void)
{
    MUST(lock(open_file(), F_SETLK, F_RDLCK, 0, 0) == 0);
}

static void readers_share(void)
{
    int fd = open_file();
    MUST(lock(fd, F_SETLK, F_RDLCK, 0, 0) == 0);
    in_child(share);
}

static void waiting_ends_when_the_lock_is_free(void)
{
    int ready[2], status;
    MUST(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        MUST(lock(open_file(), F_SETLK, F_WRLCK, 0, 0) == 0 && write(ready[1], "x", 1) == 1);
        usleep(200000);
        _exit(0);
    }
    MUST(read(ready[0], (char[1]){0}, 1) == 1);
    MUST(lock(open_file(), F_SETLKW, F_WRLCK, 0, 0) == 0);
    MUST(waitpid(pid, &status, 0) == pid && status == 0);
}

static void nothing(int signal_number)
{
    (void)signal_number;
}

static void waiting_ends_with_a_signal(void)
{
    int ready[2];
    MUST(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        MUST(lock(open_file(), F_SETLK, F_WRLCK, 0, 0) == 0 && write(ready[1], "x", 1) == 1);
        pause();
        _exit(0);
    }
    MUST(read(ready[0], (char[1]){0}, 1) == 1);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = nothing}, NULL);
    alarm(1);
    FAILS(lock(open_file(), F_SETLKW, F_WRLCK, 0, 0), EINTR);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void flock_in_vain(void)
{
    int fd = open_file();
    FAILS(flock(fd, LOCK_SH | LOCK_NB), EWOULDBLOCK);
}

static void flock_take(void)
{
    MUST(flock(open_file(), LOCK_EX | LOCK_NB) == 0);
}

static void flock_excludes(void)
{
    int fd = open_file();
    MUST(flock(fd, LOCK_EX) == 0);
    in_child(flock_in_vain);
    MUST(flock(fd, LOCK_UN) == 0);
    in_child(flock_take);
    MUST(flock(fd, LOCK_EX) == 0 && close(fd) == 0);
    in_child(flock_take);
}

static void description_locks(void)
{
    int a = open_file(), b = open_file();
    MUST(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0) == 0);
    MUST(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0) == -1 && (errno == EAGAIN || errno == EACCES));
    MUST(close(a) == 0 && lock(b, F_OFD_SETLK, F_WRLCK, 0, 0) == 0);
}

static const struct check checks[] = {
    {"locks of ranges exclude each other", ranges_exclude_each_other},
    {"closing any descriptor releases the process's locks", closing_any_descriptor_releases},
    {"readers share a lock", readers_share},
    {"F_SETLKW waits for the lock", waiting_ends_when_the_lock_is_free},
    {"F_SETLKW ends with a signal", waiting_ends_with_a_signal},
    {"flock excludes, until it is closed", flock_excludes},
    {"locks of open file descriptions", description_locks},
};

const struct check_group locks_group = {checks, COUNT(checks)};
