#!/usr/bin/env python3
"""hull-vmm by hand, with a guest of a few bytes: vmm.py HULL-VMM HEX-OF-CODE [OPTION...]

Plays the container's init (descriptors, command line) and hull (the sync socket). Prints what came by the socket, then the
exit status, or the signal as a negative number. With --look as the first option, says once it runs how its threads are
confined and how much memory it has besides the guest's, sends it a SIGTERM, and then goes away as a hull that dies.
"""
import os
import signal
import socket
import struct
import subprocess
import sys
import time

ENTRY = 0x1000000


def elf(code):
    """A vmlinux: one loadable segment, which begins with @code."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, ENTRY, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 4096, ENTRY, ENTRY, len(code), 4096, 4096)
    return (header + segment).ljust(4096, b"\0") + code


def memfd(name, content):
    fd = os.memfd_create(name, 0)
    os.write(fd, content)
    return fd


def look(pid):
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        print("thread", *(f"{key}={status[key].strip()}" for key in ("Seccomp", "NoNewPrivs", "SigBlk", "CapPrm", "CapEff", "CapInh")))
    others = size = 0
    with open(f"/proc/{pid}/smaps", encoding="ascii") as f:
        for line in f:
            words = line.split()
            if "-" in words[0]:
                start, end = words[0].split("-")
                size = int(end, 16) - int(start, 16)
            elif words[0] == "Rss:" and size < 64 << 20:
                others += int(words[1])
    print("memory", others)


vmm, code, *more = sys.argv[1:]
looks = more[:1] == ["--look"]
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
fds = {"kvm": os.open("/dev/kvm", os.O_RDWR), "kernel": memfd("kernel", elf(bytes.fromhex(code))),
       "initrd": memfd("initrd", b"initrd"), "config": memfd("config", b"{}"), "root": os.open(".", os.O_PATH),
       "proc": os.open("/proc", os.O_PATH), "sync": theirs.fileno()}
argv = [vmm, "--memory=%d" % (64 << 20), "--cpus=1", *("--%s=%d" % fd for fd in fds.items()), *more[looks:], "web"]
child = subprocess.Popen(argv, pass_fds=fds.values(), stdin=subprocess.DEVNULL)
theirs.close()
if looks:
    time.sleep(1)
    look(child.pid)
    child.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    print("alive", child.poll() is None)
    ours.shutdown(socket.SHUT_RDWR)
while packet := ours.recv(8192):
    kind, error, exit_code, value = struct.unpack_from("<Iiii", packet)
    print("sync", kind, packet[16:].rstrip(b"\0").decode())
print("exit", child.wait(timeout=20))
