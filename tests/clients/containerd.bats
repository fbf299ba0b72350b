#!/usr/bin/env bats
# containerd (1.6 of Debian 12): its runc shim with hull in runc's place, a daemon of our own in a directory of our own.

load helpers

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
