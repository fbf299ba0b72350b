#!/usr/bin/env bats
# containerd (Debian's, 1.6) with hull in the place of runc, by `ctr run --runc-binary`. Its daemon is our own, in $DIR.

load ../integration/helpers
eval "usual_$(declare -f setup)"
eval "usual_$(declare -f teardown)"

setup()
{
    need_root
    need_tool containerd
    need_tool ctr
    usual_setup
    cat >"$DIR/containerd.toml" <<END
version = 2
root = "$DIR/containerd"
state = "$DIR/run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$DIR/sock"
[ttrpc]
  address = "$DIR/sock.ttrpc"
END
    timeout 120 containerd --config "$DIR/containerd.toml" </dev/null >"$DIR/containerd.log" 2>&1 3>&- 4>&- &
    DAEMON=$!
    wait_for ctr version
}

teardown()
{
    [ -z "${DAEMON-}" ] || {
        ctr task kill --signal KILL "$ID" >/dev/null 2>&1 || true
        ctr container rm "$ID" >/dev/null 2>&1 || true
        kill "$DAEMON" 2>/dev/null || true
        wait "$DAEMON" 2>/dev/null || true
        sleep 0.5
    }
    usual_teardown
}

ctr()
{
    timeout 30 ctr --address "$DIR/sock" "$@" </dev/null 3>&- 4>&-
}

@test "ctr run: output, exit code, nothing left" {
    run ctr run --rm --rootfs --runc-binary "$HULL" "$BUNDLE/rootfs" "$ID" sh -c 'echo from containerd; exit 4'
    exits 4
    says "from containerd"
    run ctr container ls --quiet
    output_is ""
}

@test "ctr run --detach, exec, kill" {
    ctr run --detach --null-io --rootfs --runc-binary "$HULL" "$BUNDLE/rootfs" "$ID" sleep 1000
    run ctr task ls
    says RUNNING
    run ctr task exec --exec-id probe "$ID" sh -c 'echo inside; exit 5'
    exits 5
    says inside
    ctr task kill --signal KILL "$ID"
    wait_for bash -c "timeout 30 ctr --address $DIR/sock task ls | grep STOPPED"
    ctr task rm "$ID" || true
    ctr container rm "$ID"
}
