#!/usr/bin/env bats
# What the lab promises to the tests that run in it. Anywhere else these skip.

setup()
{
    bats_require_minimum_version 1.5.0
    [ -n "${LAB-}" ] || skip "runs in the lab: tests/lab/lab test $BATS_TEST_FILENAME"
}

@test "cgroup v2 alone is mounted, and it is systemd's" {
    [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]
    run ! grep -q ' - cgroup ' /proc/self/mountinfo
    [ -d /sys/fs/cgroup/system.slice ]
}

@test "all controllers that limits need are there" {
    local controller
    for controller in cpuset cpu io memory hugetlb pids rdma misc; do
        grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers
    done
}

@test "systemd is the init, and answers on the system bus" {
    [ "$(cat /proc/1/comm)" = systemd ]
    [ "$(systemctl show --property=Version --value | cut -d. -f1)" -ge 252 ]
    busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.DBus.Peer Ping
}

@test "nothing of the machine failed" {
    run systemctl --failed --plain --no-legend
    [ -z "$output" ]
}

@test "KVM works: a virtual machine and a processor can be made" {
    [ -c /dev/kvm ]
    run python3 -c '
import fcntl, os
kvm = os.open("/dev/kvm", os.O_RDWR)
print(fcntl.ioctl(kvm, 0xae00), fcntl.ioctl(fcntl.ioctl(kvm, 0xae01, 0), 0xae41, 0) > 0)'
    [ "$output" = "12 True" ]
}

@test "hull-test has ids to give away and a user manager with controllers" {
    local i=0
    grep -q ^hull-test: /etc/subuid
    grep -q ^hull-test: /etc/subgid
    until [ "$(systemctl is-active user@1000.service)" = active ]; do
        ((++i < 100))
        sleep 0.2
    done
    grep -qw memory "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers"
    setpriv --reuid hull-test --regid hull-test --init-groups env XDG_RUNTIME_DIR=/run/user/1000 \
        systemctl --user show --property=Version
}

@test "a disk for limits is there, which nothing uses" {
    [ "$(blockdev --getsize64 /dev/vdc)" = $((256 * 1024 * 1024)) ]
    run ! grep -q ^/dev/vdc /proc/mounts
    dd if=/dev/zero of=/dev/vdc bs=64k count=1 oflag=direct status=none
}

@test "huge pages can be used up" {
    [ "$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)" -ge 16 ]
}

@test "overlayfs is to be had" {
    local d
    d=$(mktemp -d)
    mkdir "$d"/{lower,upper,work,merged}
    mount -t overlay overlay -o "lowerdir=$d/lower,upperdir=$d/upper,workdir=$d/work" "$d/merged"
    umount "$d/merged"
    rm -r "$d"
}
