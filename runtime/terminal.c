/*
 * Terminals; see terminal.h. The relay is a plain copy loop: what the container prints goes to stdout as it
 * is, and stdin's terminal is raw meanwhile, so that ^C travels as a byte and becomes a signal inside. ONLCR
 * is cleared on the container's side as runc does (crun 1262), for engines whose terminal adds the CR;
 * where hull itself makes the outer terminal raw, it is set again before the process runs.
 */
#include "runtime/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "base/socket.h"

static int open_ptmx(int devpts, struct error *err)
{
    _cleanup_(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    int fd;

    if (root < 0)
        return error_set(err, errno, "open /");
    fd = devpts >= 0 ? path_open(devpts, "ptmx", O_RDWR | O_NOCTTY, 0)
                     : path_open(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY, 0);
    if (fd < 0 && errno == ENOENT && devpts < 0)
        fd = path_open(root, "dev/ptmx", O_RDWR | O_NOCTTY, 0);
    if (fd < 0)
        return error_set(err, errno,
                         "process.terminal: open /dev/pts/ptmx (is a devpts mounted at /dev/pts?)");
    /* ptmx is character device 5:2 in every devpts; anything else is a trap of the image's. */
    if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2)) {
        close(fd);
        return error_set(err, 0, "process.terminal: /dev/pts/ptmx is not a pseudo-terminal multiplexer");
    }
    return fd;
}

static void set_output_mode(int slave)
{
    struct termios t;

    if (tcgetattr(slave, &t) == 0) {
        t.c_oflag &= ~(tcflag_t)ONLCR;
        tcsetattr(slave, TCSANOW, &t);
    }
}

int terminal_open(const struct spec_process *p, int devpts, int *master, int *slave, struct error *err)
{
    _cleanup_(fd_closep) int m = open_ptmx(devpts, err);
    _cleanup_(fd_closep) int s = -1;
    int unlock = 0;

    if (m < 0)
        return -1;
    if (ioctl(m, TIOCSPTLCK, &unlock) < 0)
        return error_set(err, errno, "unlock the pseudo-terminal");
    s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s < 0)
        return error_set(err, errno, "open the pseudo-terminal's slave");
    set_output_mode(s);
    if (p->has_console_size) {
        struct winsize size = {.ws_row = (unsigned short)p->console_height,
                               .ws_col = (unsigned short)p->console_width};

        if (ioctl(s, TIOCSWINSZ, &size) < 0)
            return error_set(err, errno, "process.consoleSize: set the terminal's size");
    }
    /* The user who will own the session owns its terminal. A user namespace may refuse; the mode still lets
     * it in. */
    if (p->user.uid != 0)
        (void)!fchown(s, p->user.uid, (gid_t)-1);
    *master = steal_fd(&m);
    *slave = steal_fd(&s);
    return 0;
}

int terminal_attach(int slave, struct error *err)
{
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return error_set(err, errno, "make the pseudo-terminal the controlling terminal");
    for (int fd = 0; fd < 3; fd++) {
        if (dup2(slave, fd) < 0)
            return error_set(err, errno, "dup2");
    }
    return 0;
}

int terminal_send(int console_socket, int master, struct error *err)
{
    unsigned number;
    char name[32] = "/dev/ptmx";

    if (ioctl(master, TIOCGPTN, &number) == 0)
        snprintf(name, sizeof(name), "/dev/pts/%u", number);
    if (socket_send_fds(console_socket, name, strlen(name), &master, 1) < 0)
        return error_set(err, errno, "send the terminal to the console socket");
    return 0;
}

int terminal_relay_begin(struct arena *a, int master, struct terminal_relay *r, struct error *err)
{
    struct termios raw;

    *r = (struct terminal_relay){.master = master, .stdin_open = true, .saved = arena_new(a, struct termios)};
    if (tcgetattr(STDIN_FILENO, r->saved) < 0)
        return 0; /* not a terminal: bytes are relayed all the same */
    raw = *r->saved;
    cfmakeraw(&raw);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
        return error_set(err, errno, "make the terminal raw");
    r->raw = true;
    return 0;
}

void terminal_resize(int master)
{
    struct winsize size;

    /* A terminal that knows no size (serial line, expect) has none to pass on: consoleSize stays. */
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
        ioctl(master, TIOCSWINSZ, &size);
}

void terminal_take(int master, bool raw)
{
    struct termios t;

    terminal_resize(master);
    if ((raw || isatty(STDIN_FILENO)) && tcgetattr(master, &t) == 0) {
        t.c_oflag |= ONLCR;
        tcsetattr(master, TCSANOW, &t);
    }
}

/* One read's worth from one side to the other. -1: the source has ended or the sink is gone. */
static int copy_some(int from, int to)
{
    char data[16384];
    ssize_t n = read(from, data, sizeof(data));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n <= 0 || fd_write_all(to, data, (size_t)n) < 0 ? -1 : 0;
}

int terminal_relay_step(struct terminal_relay *r, short master_events, short stdin_events)
{
    /* A master reads EIO once every slave is closed; what was written before still comes first. */
    if (master_events && copy_some(r->master, STDOUT_FILENO) < 0)
        return 0;
    if (stdin_events && r->stdin_open && copy_some(STDIN_FILENO, r->master) < 0) {
        char eof = 4; /* VEOF: the other end of a pipe on stdin closed */

        r->stdin_open = false;
        if (!r->raw)
            (void)!write(r->master, &eof, 1);
    }
    return 1;
}

void terminal_relay_end(struct terminal_relay *r)
{
    if (r->raw)
        tcsetattr(STDIN_FILENO, TCSANOW, r->saved);
    r->raw = false;
}
