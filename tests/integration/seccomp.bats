#!/usr/bin/env bats
# linux.seccomp as the process meets it: actions, arguments, errno, flags, the notify listener, the cache.

load helpers

@test "an errno rule, with its own errnoRet" {
    config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [
        {names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"},
        {names: ["unlink", "unlinkat"], action: "SCMP_ACT_ERRNO", errnoRet: 28}]}'
    script 'mkdir /tmp/x; rm /etc/passwd; grep ^Seccomp: /proc/self/status | tr -d "\t"'
    run_container
    exits 0
    says "mkdir: can't create directory '/tmp/x': Operation not permitted"
    says "No space left on device"
    says "Seccomp:2"
}

@test "the default action and defaultErrnoRet; exec is under the same filter" {
    config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [
        {names: ["sethostname"], action: "SCMP_ACT_ERRNO", errnoRet: 38}]}'
    cargo sleep 1000
    start_detached
    run hull exec "$ID" sh -c 'hostname other; grep ^Seccomp: /proc/self/status | tr -d "\t"' </dev/null
    says "Function not implemented"
    says "Seccomp:2"
}

@test "kill actions end the process by SIGSYS" {
    config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_KILL_PROCESS"}]}'
    cargo mkdir /tmp/x
    run_container
    exits 159
}

@test "argument operators: only the calls that match" {
    config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [
        {names: ["kill"], action: "SCMP_ACT_ERRNO", errnoRet: 28, args: [{index: 1, value: 10, op: "SCMP_CMP_EQ"}]},
        {names: ["kill"], action: "SCMP_ACT_ERRNO", errnoRet: 30, args: [{index: 1, value: 60, op: "SCMP_CMP_GE"}]},
        {names: ["kill"], action: "SCMP_ACT_ERRNO", errnoRet: 12, args: [{index: 1, value: 255, valueTwo: 12, op: "SCMP_CMP_MASKED_EQ"}]}]}'
    script 'trap : USR1 USR2 TERM; kill -USR1 1; kill -64 1; kill -USR2 1; kill -TERM 1; echo end'
    run_container
    exits 0
    says "No space left on device"
    says "Read-only file system"
    says "Cannot allocate memory"
    [ "$(wc -l <<<"$output")" = 4 ]
}

@test "an unknown system call name is skipped, an unknown action refused with its path" {
    config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["no_such_call", "mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]}'
    cargo mkdir /tmp/x
    run_container
    exits 1
    says "not permitted"
    config '.linux.seccomp.syscalls[0].action = "SCMP_ACT_NONSENSE"'
    run_container
    exits 1
    says "linux.seccomp.syscalls[0].action"
    says "SCMP_ACT_NONSENSE"
}

@test "podman's default profile of three architectures: cached after the first run, the same effect" {
    local profile=/usr/share/containers/seccomp.json
    [ -e "$profile" ] || skip "golang-github-containers-common is not installed"
    [ "$(uname -m)" = x86_64 ] || skip "needs x86-64"
    jq '{defaultAction, defaultErrnoRet, architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        syscalls: [.syscalls[] | select(((.includes.arches // ["amd64"]) | index("amd64")) and (.includes.caps == null) and .excludes == {}) | {names, action}
            + (if (.args // []) == [] then {} else {args} end)]} | del(..|nulls)' "$profile" >"$DIR/profile"
    config --slurpfile p "$DIR/profile" '.linux.seccomp = $p[0]'
    script 'keyctl 2>/dev/null; unshare -m true; grep ^Seccomp: /proc/self/status | tr -d "\t"'
    run_container
    says "Seccomp:2"
    local first=$output
    run_container
    [ "$output" = "$first" ]
}

@test "the filter works without noNewPrivileges and for another user" {
    config '.process.noNewPrivileges = false | .process.user = {uid: 1000, gid: 1000}
        | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]}'
    script 'mkdir /tmp/x; grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status | tr -d "\t"'
    run_container
    says "not permitted"
    says $'NoNewPrivs:0\nSeccomp:2'
}

@test "a notify listener gets the descriptor, the state and the metadata" {
    need_tool python3
    config --arg path "$DIR/notify.sock" '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $path,
        listenerMetadata: "for the agent", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY"}]}'
    python3 - "$DIR/notify.sock" "$DIR/received" <<'PY' 3>&- 4>&- &
import array, fcntl, os, socket, struct, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(1)
peer, _ = server.accept()
data, ancillary, _, _ = peer.recvmsg(65536, socket.CMSG_SPACE(16))
open(sys.argv[2] + ".new", "wb").write(data)
os.rename(sys.argv[2] + ".new", sys.argv[2])
fds = array.array("i")
fds.frombytes(ancillary[0][2][:4])
request = bytearray(80)
fcntl.ioctl(fds[0], 0xc0502100, request)  # SECCOMP_IOCTL_NOTIF_RECV
answer = bytearray(struct.pack("QqiI", struct.unpack_from("Q", request)[0], 0, -28, 0))  # ENOSPC
fcntl.ioctl(fds[0], 0xc0182101, answer)  # SECCOMP_IOCTL_NOTIF_SEND
PY
    wait_for test -S "$DIR/notify.sock"
    cargo mkdir /tmp/x
    run timeout 10 "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID" </dev/null
    says "No space left on device"
    jq -e --arg id "$ID" '.metadata == "for the agent" and .fds == ["seccompFd"] and .pid > 0 and .state.id == $id
        and (.ociVersion | length) > 0' "$DIR/received"
}
