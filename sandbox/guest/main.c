/*
 * hull-guest: PID 1 of a virtual machine that holds one container, and its agent. The kernel starts it as /init of the
 * initramfs that sandbox/boot makes:
 *
 *   modules -> root on tmpfs, mounts -> vsock to the VMM -> the shared tree -> agent_serve() -> the machine ends
 *
 * It never exits: that would be the kernel's panic. The VMM ends the machine when it has heard the end; if it does not, the machine
 * resets itself, which is its end as well (and, unlike power-off, possible without ACPI). What goes wrong is
 * said on the console, and to the VMM where there is a connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sandbox/guest/agent.h"
#include "sandbox/guest/control.h"
#include "sandbox/guest/setup.h"

#define MODULE_LIST "/modules/list"
#define RUN_DIR     "/run/hull-guest"
#define NULL_DEVICE "/null"

enum { END_TIMEOUT_MS = 10000 };

/* Without a console the kernel has opened nothing for us, and what comes first would take the places of 0, 1 and 2: the
 * connection to the VMM would be the container's stdin while that is made, and messages would go to it. There is no /dev yet.
 *
 * #syscalls: mknodat openat unlinkat close */
static void open_stdio(void)
{
    int fd;

    (void)mknod(NULL_DEVICE, S_IFCHR | 0600, makedev(1, 3));
    do {
        fd = open(NULL_DEVICE, O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    fd_closep(&fd);
    (void)unlink(NULL_DEVICE);
}

/* #syscalls: socket connect */
static int connect_vsock(enum agent_port port, struct error *err)
{
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = (unsigned)port};
    _cleanup_(fd_closep) int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set(err, errno, "connect to port %d of the VMM by vsock", port);
    return steal_fd(&fd);
}

static int serve(int *control, struct error *err)
{
    static const struct agent_place place = {.connect = connect_vsock,
                                             .shared = AGENT_FS_MOUNT,
                                             .run = RUN_DIR,
                                             .set_clock = true,
                                             .caches = "/proc/sys/vm/drop_caches"};

    if (setup_modules(MODULE_LIST, err) < 0 || setup_machine(err) < 0)
        return -1;
    *control = connect_vsock(AGENT_PORT_CONTROL, err);
    if (*control < 0 || setup_shared(err) < 0)
        return -1;
    if (mkdir(RUN_DIR, 0700) < 0)
        return error_set(err, errno, "make " RUN_DIR);
    return agent_serve(&place, *control, err);
}

/* #syscalls: reboot poll */
static _Noreturn void end_machine(int control)
{
    struct pollfd fd = {.fd = control}; /* only the end of the connection */

    if (control >= 0)
        poll(&fd, 1, END_TIMEOUT_MS);
    sync();
    reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}

int main(void)
{
    struct error err = {0};
    int control = -1;

    if (getpid() != 1) {
        fputs("hull-guest: this is the first process of hull's virtual machines, and starts nowhere else\n",
              stderr);
        return 1;
    }
    open_stdio();
    if (serve(&control, &err) < 0) {
        fprintf(stderr, "hull-guest: %s\n", err.message);
        if (control >= 0)
            control_send_error(control, &err, NULL);
    }
    end_machine(control);
}
