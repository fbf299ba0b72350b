#!/usr/bin/env python3
"""A terminal for tests.

  terminal.py run [-s ROWSxCOLS] [-r ROWSxCOLS] [-i TEXT]... -- COMMAND...
      Run a command on a new terminal, as a person would: each -i is typed when the output so far ends in a prompt ("# " or
      "> "); -r resizes it after the first prompt. Prints what the terminal showed; exits as the command did.

  terminal.py console SOCKET [-i TEXT]...
      Be an engine's --console-socket: take the terminal that is sent, type, print what it showed.
"""
import array
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import sys
import termios
import time


def set_size(fd, size):
    rows, columns = map(int, size.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def converse(fd, typed, resize, deadline=float(os.environ.get("TERMINAL_DEADLINE", "15"))):
    """Type each line at its prompt; until end of file or the deadline."""
    shown = b""
    seen = 0
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError:  # EIO: the last slave is closed
            break
        if not data:
            break
        shown += data
        # busybox asks the terminal where the cursor is, after its prompt.
        if typed and shown[seen:].removesuffix(b"\x1b[6n").endswith((b"# ", b"> ", b"$ ")):
            seen = len(shown)
            if resize:
                set_size(fd, resize)
                resize = None
                time.sleep(0.2)
            os.write(fd, typed.pop(0).encode().decode("unicode_escape").encode() + b"\n")
    sys.stdout.write(shown.decode(errors="replace").replace("\r\n", "\n"))
    sys.stdout.flush()


def take_options(words):
    options = {"-i": [], "-s": "24x80", "-r": None}
    while words and words[0] in options:
        flag, value = words.pop(0), words.pop(0)
        options[flag] = options[flag] + [value] if flag == "-i" else value
    if words and words[0] == "--":
        words.pop(0)
    return options


def run(words):
    options = take_options(words)
    pid, master = pty.fork()
    if pid == 0:
        set_size(0, options["-s"])
        os.execvp(words[0], words)
    converse(master, options["-i"], options["-r"])
    for _ in range(50):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) & 0xFF
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    print("the command did not end")
    return 125


def console(words):
    path = words.pop(0)
    options = take_options(words)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    server.settimeout(15)
    peer, _ = server.accept()
    _, ancillary, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(16))
    fds = array.array("i")
    fds.frombytes(ancillary[0][2][:4])
    print("terminal:", os.isatty(fds[0]), flush=True)
    converse(fds[0], options["-i"], options["-r"])
    return 0


if __name__ == "__main__":
    sys.exit({"run": run, "console": console}[sys.argv[1]](sys.argv[2:]))
