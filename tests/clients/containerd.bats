#!/usr/bin/env bats
# containerd (1.6 of Debian 12): its runc shim with hull in runc's place, a daemon of our own in a directory of our own.

load helpers
load ../integration/cgroups

setup_file()
{
    need_root
    need_tool containerd
    need_tool ctr
    DIR=$(mktemp -d /tmp/hull-containerd.XXXXXX)
    export DIR
    cat >"$DIR/config.toml" <<CONF
version = 2
root = "$DIR/root"
state = "$DIR/run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$DIR/sock"
CONF
    make_rootfs "$DIR/rootfs"
    containerd --config "$DIR/config.toml" >"$DIR/log" 2>&1 3>&- 4>&- &
    echo $! >"$DIR/pid"
    wait_for ctr_ version
}

teardown_file()
{
    [ -z "${DIR-}" ] || {
        kill "$(cat "$DIR/pid")"
        wait_for sh -c "! kill -0 $(cat "$DIR/pid")"
        remove_tree "$DIR"
        # Containers' cgroups are below one of the namespace's name; nothing may be left in it.
        find /sys/fs/cgroup -depth -type d -name "hull-${DIR##*.}" -exec rmdir {} +
    }
}

teardown()
{
    local name
    for name in $(ctr_ tasks ls -q 2>/dev/null); do
        ctr_ tasks kill -s 9 "$name" || true
        wait_for stopped "$name"
        ctr_ tasks rm "$name" || true
    done
    for name in $(ctr_ containers ls -q 2>/dev/null); do
        ctr_ containers rm "$name" || true
    done
    [ -z "$(ls /run/containerd/runc/"hull-${DIR##*.}" 2>/dev/null)" ]
}

ctr_()
{
    timeout 30 ctr --address "$DIR/sock" --namespace "hull-${DIR##*.}" "$@" 3>&- 4>&-
}

# start [flags] NAME COMMAND...
start()
{
    ctr_ run --runc-binary "$HULL" --rootfs "$@"
}

stopped()
{
    ctr_ tasks ls | grep -q "^$1 .*STOPPED"
}

@test "run: output and exit code" {
    run start --rm "$DIR/rootfs" one sh -c 'echo hello; exit 5' </dev/null
    exits 5
    [ "$output" = hello ]
}

@test "a detached task: exec, ps, kill, rm" {
    start --detach "$DIR/rootfs" two sleep 1000 </dev/null
    run ctr_ tasks ls
    says RUNNING
    run ctr_ tasks exec --exec-id e two sh -c 'echo inside; exit 3' </dev/null
    exits 3
    says inside
    run ctr_ tasks ps two
    exits 0
    says "$(ctr_ tasks ls | awk '$1 == "two" { print $2 }')"
    ctr_ tasks kill -s 9 two
    wait_for stopped two
    run ctr_ tasks rm two
    says 137
}

@test "run on a terminal" {
    run timeout 30 "$TESTS/integration/terminal.py" run -i tty -i 'exit 6' -- ctr --address "$DIR/sock" \
        --namespace "hull-${DIR##*.}" run --rm --tty --env 'PS1=# ' --runc-binary "$HULL" --rootfs "$DIR/rootfs" three sh
    exits 6
    says /dev/pts/0
}

@test "a command that is not there is told of" {
    run start --rm "$DIR/rootfs" four /no/such/command </dev/null
    [ "$status" != 0 ]
    says "no such file or directory"
}

# Of cgroups.bash: the process whose cgroup is looked at.
pid_of()
{
    ctr_ tasks ls | awk -v name="$1" '$1 == name { print $2 }'
}

# value_is V1-CONTROLLER V1-FILE V1-VALUE V2-FILE V2-VALUE, of the task "five"
value_is()
{
    local found want=$3
    ! is_v2 "$1" || want=$5
    found=$(ID=five cgroup_value "$1" "$2" "$4")
    [ "$found" = "$want" ] || {
        printf '%s: "%s", expected "%s"\n' "$2 or $4" "$found" "$want" >&2
        return 1
    }
}

@test "limits, metrics, pause and resume" {
    start --detach --memory-limit 67108864 --cpu-quota 50000 --cpu-period 100000 --cpu-shares 512 "$DIR/rootfs" five sleep 1000 </dev/null
    value_is memory memory.limit_in_bytes 67108864 memory.max 67108864
    value_is cpu cpu.cfs_quota_us 50000 cpu.max "50000 100000"
    value_is cpu cpu.shares 512 cpu.weight 59
    run ctr_ tasks metrics --format json five
    exits 0
    says 67108864
    ctr_ tasks pause five
    value_is freezer freezer.state FROZEN cgroup.freeze 1
    run ctr_ tasks ls
    says PAUSED
    ctr_ tasks resume five
    value_is freezer freezer.state THAWED cgroup.freeze 0
    run ctr_ tasks ls
    says RUNNING
}

@test "a task over its memory limit is killed; the daemon tells of it" {
    ctr_ events >"$DIR/events" 2>&1 &
    local events=$!
    run start --rm --memory-limit 16777216 "$DIR/rootfs" five tail /dev/zero </dev/null
    exits 137
    wait_for grep -q "/tasks/oom" "$DIR/events"
    kill $events
}

@test "--device: what is given can be opened" {
    [ -c /dev/kmsg ] || skip "no /dev/kmsg here"
    run start --rm --device /dev/kmsg --cap-add CAP_SYSLOG --cap-add CAP_MKNOD "$DIR/rootfs" five sh -c \
        'exec 3</dev/kmsg && echo opened; mknod /mem c 1 1; dd if=/mem of=/dev/null bs=1 count=0' </dev/null
    says opened
    says "can't open '/mem': Operation not permitted"
}
