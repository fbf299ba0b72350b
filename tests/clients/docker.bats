#!/usr/bin/env bats
# docker (20.10 of Debian 12) with hull as its runtime: a daemon of our own in a directory of our own, without a bridge, so
# that the host's network is left as it is. Where systemd runs (the lab), it makes the containers' cgroups.

load helpers
load ../integration/cgroups

setup_file()
{
    need_root
    need_tool dockerd
    need_tool docker
    DIR=$(mktemp -d /tmp/hull-docker.XXXXXX)
    export DIR
    export DRIVER=cgroupfs PARENT=/hull-${DIR##*.}
    [ ! -d /run/systemd/system ] || export DRIVER=systemd PARENT=hull${DIR##*.}.slice
    dockerd --data-root "$DIR/root" --exec-root "$DIR/run" --pidfile "$DIR/pid" --host "unix://$DIR/sock" --storage-driver vfs \
        --bridge none --iptables=false --ip6tables=false --add-runtime "hull=$HULL" --default-runtime hull \
        --exec-opt "native.cgroupdriver=$DRIVER" --cgroup-parent "$PARENT" </dev/null >"$DIR/log" 2>&1 3>&- 4>&- &
    wait_for docker_ version
    make_rootfs "$DIR/rootfs"
    tar -C "$DIR/rootfs" -cf "$DIR/busybox.tar" .
    docker_ import "$DIR/busybox.tar" busybox >/dev/null
}

teardown_file()
{
    [ -n "${DIR-}" ] || return 0
    kill "$(cat "$DIR/pid")"
    wait_for test ! -e "$DIR/pid"
    remove_tree "$DIR"
    [ "$DRIVER" = cgroupfs ] || systemctl stop "$PARENT" 2>/dev/null || true
    # The parent that docker asked for; nothing may be left in it.
    find /sys/fs/cgroup -depth -type d -name "hull-${DIR##*.}" -exec rmdir {} +
}

# No test leaves a container, nor a cgroup or a state of one.
teardown()
{
    local all
    all=$(docker_ ps --all --quiet)
    # shellcheck disable=SC2086
    [ -z "$all" ] || docker_ rm --force $all >/dev/null
    [ -z "$(find /sys/fs/cgroup -type d -path "*hull*${DIR##*.}*" -regextype posix-extended -regex ".*[0-9a-f]{64}.*")" ]
    [ -z "$(find "$DIR/run" -name state.json)" ]
}

docker_()
{
    timeout 60 docker --host "unix://$DIR/sock" "$@" 3>&- 4>&-
}

run_()
{
    run docker_ run --rm --network none "$@" </dev/null
}

# start [flags] busybox COMMAND...: in the background, named "cargo"
start()
{
    docker_ run --detach --name cargo --network none "$@" </dev/null >/dev/null
}

# Of cgroups.bash: the process whose cgroup is looked at.
pid_of()
{
    docker_ inspect --format '{{.State.Pid}}' cargo
}

# value_is V1-CONTROLLER V1-FILE V1-VALUE V2-FILE V2-VALUE
value_is()
{
    local found want=$3
    ! is_v2 "$1" || want=$5
    found=$(ID=cargo cgroup_value "$1" "$2" "$4")
    [ "$found" = "$want" ] || {
        printf '%s: "%s", expected "%s"\n' "$2 or $4" "$found" "$want" >&2
        return 1
    }
}

@test "run: output, exit code; 126 and 127" {
    run_ busybox sh -c 'echo out; exit 3'
    exits 3
    [ "$output" = out ]
    run_ busybox /etc
    exits 126
    run -127 docker_ run --rm --network none busybox no-such-program </dev/null
    says "executable file not found in \$PATH"
}

@test "run -it gives a terminal" {
    run timeout 30 script -qec "stty rows 33 cols 77; docker --host unix://$DIR/sock run --rm -it --network none busybox \
        sh -c 'sleep 0.3; tty; stty size; exit 6'" /dev/null </dev/null
    exits 6
    says /dev/pts/0
    says "33 77"
}

@test "run --read-only, --tmpfs, --volume, --init, --privileged, --user" {
    mkdir "$DIR/volume"
    run_ --read-only --tmpfs /scratch --volume "$DIR/volume:/v:ro" busybox sh -c 'touch /scratch/a && touch /v/a; touch /a'
    says "/v/a: Read-only file system"
    says "/a: Read-only file system"
    run_ --init busybox sh -c 'ps -o args | grep "docker-[i]nit"'
    exits 0
    run_ --privileged --user 1000 busybox sh -c 'id -u; grep CapBnd /proc/self/status'
    exits 0
    [ "${lines[0]}" = 1000 ]
}

@test "limits, update, restart" {
    start --memory 64m --memory-swap 96m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 44 \
        busybox sleep 1000
    value_is memory memory.limit_in_bytes 67108864 memory.max 67108864
    value_is memory memory.memsw.limit_in_bytes 100663296 memory.swap.max 33554432
    value_is memory memory.soft_limit_in_bytes 33554432 memory.low 33554432
    value_is cpu cpu.cfs_quota_us 50000 cpu.max "50000 100000"
    value_is cpu cpu.shares 512 cpu.weight 59
    value_is cpuset cpuset.cpus 0 cpuset.cpus 0
    value_is pids pids.max 44 pids.max 44
    docker_ update --memory 128m --memory-swap 256m --cpus 1.5 --pids-limit 55 cargo >/dev/null
    value_is memory memory.limit_in_bytes 134217728 memory.max 134217728
    value_is memory memory.memsw.limit_in_bytes 268435456 memory.swap.max 134217728
    value_is cpu cpu.cfs_quota_us 150000 cpu.max "150000 100000"
    value_is pids pids.max 55 pids.max 55
    docker_ restart --time 0 cargo >/dev/null
    value_is memory memory.limit_in_bytes 134217728 memory.max 134217728
}

@test "pause, unpause, stats, top, exec, stop, start, kill, wait" {
    start --memory 64m busybox sh -c 'trap "exit 9" TERM; while :; do sleep 0.05; done'
    docker_ pause cargo >/dev/null
    value_is freezer freezer.state FROZEN cgroup.freeze 1
    run docker_ ps --format '{{.Status}}'
    says Paused
    docker_ unpause cargo >/dev/null
    value_is freezer freezer.state THAWED cgroup.freeze 0
    run docker_ stats --no-stream --format '{{.MemUsage}}' cargo
    says "/ 64MiB"
    run docker_ top cargo
    says "sleep 0.05"
    run docker_ exec cargo sh -c 'echo inside; exit 7' </dev/null
    exits 7
    says inside
    docker_ stop cargo >/dev/null
    run docker_ inspect --format '{{.State.Status}} {{.State.ExitCode}}' cargo
    [ "$output" = "exited 9" ]
    docker_ start cargo >/dev/null
    docker_ kill cargo >/dev/null
    run docker_ wait cargo
    [ "$output" = 137 ]
}

@test "a container over its memory limit is killed, and inspect says so" {
    run docker_ run --name cargo --network none --memory 16m --memory-swap 16m busybox tail /dev/zero </dev/null
    exits 137
    run docker_ inspect --format '{{.State.OOMKilled}} {{.State.ExitCode}}' cargo
    [ "$output" = "true 137" ]
}

@test "a fork bomb stops at --pids-limit" {
    run_ --pids-limit 8 busybox sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait'
    exits 2
    says "can't fork"
}

@test "run --device: allowed as asked, others are not" {
    [ -c /dev/kmsg ] || skip "no /dev/kmsg here"
    run_ --device /dev/kmsg:/dev/k:r --cap-add SYSLOG busybox sh -c \
        'exec 3</dev/k && echo opened; mknod /mem c 1 1 && dd if=/mem of=/dev/null bs=1 count=0; (: >/dev/k)'
    says opened
    says "can't open '/mem': Operation not permitted"
    says "can't create /dev/k: Operation not permitted"
}
