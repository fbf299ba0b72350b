# What users and engines know from runc, where it goes beyond the specification.

load helpers

@test "env: of a name given twice the last counts, each name is there once" {
    cargo env
    config '.process.env = ["ONE=two", "PATH=/bin", "ONE=three", "LINE=a\nb"]'
    run_container
    exits 0
    output_is $'PATH=/bin\nONE=three\nLINE=a\nb\nHOME=/root'
}

@test "env: an empty HOME is the passwd entry's, also where it overrides another" {
    script 'echo "$HOME"'
    config '.process.env += ["HOME=/override", "HOME="]'
    run_container
    output_is /root
    config '.process.env += ["HOME=/last"]'
    run_container
    output_is /last
}

@test "exec --process takes a pipe" {
    cargo sleep 1000
    start_detached
    run hull exec --process <(sleep 0.2; echo '{"args": ["/bin/echo", "from a pipe"], "cwd": "/"}') "$ID" </dev/null
    exits 0
    output_is "from a pipe"
}

@test "kill --all of a stopped container is no error, kill is" {
    cargo sleep 1000
    start_detached
    hull kill "$ID" KILL
    wait_for has_status stopped
    run hull kill "$ID" 0
    exits 1
    says "container not running"
    run hull kill --all "$ID" 0
    exits 0
}

@test "--debug: lines with level and time on stderr, from hull's side and from inside" {
    cargo true
    run hull --debug run --bundle "$BUNDLE" "$ID" </dev/null
    exits 0
    [[ $output =~ time=\"[^\"]+\"\ level=debug\ msg=\"init:\ .*pid ]]
    run hull --debug --log "$DIR/log" --log-format json run --bundle "$BUNDLE" "$ID" </dev/null
    output_is ''
    jq -es 'all(.level == "debug")' "$DIR/log"
}

@test "a failing hook is named by kind and position, and so is the signal that killed it" {
    config '.hooks.createRuntime = [{path: "/bin/true"}, {path: "/bin/false"}]'
    run_container
    exits 1
    says "error running createRuntime hook #1: /bin/false"
    config '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "kill -SYS $$"]}]'
    run_container
    says "error running createRuntime hook #0"
    says "bad system call"
}

@test "--preserve-fds of a closed descriptor says which one" {
    cargo true
    run bash -c 'exec 3>&-; exec "$@"' bash "$HULL" --root "$STATE" run --preserve-fds=1 --bundle "$BUNDLE" "$ID" </dev/null
    exits 1
    says "preserved-fd 0"
}

@test "state and list: pid stands before status" {
    cargo sleep 1000
    start_detached
    hull state "$ID" | jq -e 'keys_unsorted[:4] == ["ociVersion", "id", "pid", "status"]'
    hull list --format json | jq -e '.[0] | keys_unsorted[:4] == ["ociVersion", "id", "pid", "status"]'
}

@test "the CPUs of hull's caller are not the container's" {
    need_tool taskset
    [ "$(nproc)" -gt 1 ] || skip "one CPU"
    local all
    all=$(grep Cpus_allowed_list: /proc/self/status)
    cargo grep Cpus_allowed_list: /proc/self/status
    run taskset -c 0 "$HULL" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null
    output_is "$all"
    cargo sleep 1000
    start_detached
    run taskset -c 0 "$HULL" --root "$STATE" exec "$ID" grep Cpus_allowed_list: /proc/self/status </dev/null
    output_is "$all"
}

@test "time offsets in a new user namespace" {
    need_root
    [ -e /proc/self/timens_offsets ] || skip "no time namespaces"
    chown -R 100000:200000 "$BUNDLE/rootfs"
    cargo cat /proc/self/timens_offsets
    config '.linux.namespaces += [{type: "user"}, {type: "time"}]
        | .linux.uidMappings = [{hostID: 100000, containerID: 0, size: 65534}]
        | .linux.gidMappings = [{hostID: 200000, containerID: 0, size: 65534}]
        | .linux.timeOffsets = {monotonic: {secs: 7881, nanosecs: 2718281}}'
    run_container
    exits 0
    [[ $output =~ monotonic\ +7881\ +2718281 ]]
}

@test "a user namespace without root in it" {
    need_root
    chown -R 100000:200000 "$BUNDLE/rootfs"
    script 'id -u; id -g; grep CapEff /proc/self/status'
    config '.linux.namespaces += [{type: "user"}] | .process.user = {uid: 1000, gid: 1000}
        | .linux.uidMappings = [{hostID: 100000, containerID: 1000, size: 1}]
        | .linux.gidMappings = [{hostID: 200000, containerID: 1000, size: 1}]
        | (.mounts[] | select(.destination == "/dev/pts") | .options) -= ["gid=5"]'
    run_container
    exits 0
    output_is $'1000\n1000\nCapEff:\t0000000000000000'
    cargo sleep 1000
    start_detached
    run hull exec "$ID" sh -c 'id -u; id -g' </dev/null
    output_is $'1000\n1000'
}

@test "the idle I/O class needs no priority" {
    script 'ionice -p $$'
    config '.process.ioPriority = {class: "IOPRIO_CLASS_IDLE"}'
    run_container
    exits 0
    output_is idle
}

@test "a created container ends by a signal, one that hull's caller ignores does not end it; the program has neither's handlers" {
    script 'grep -E "^Sig(Cgt|Ign)" /proc/self/status; sleep 1000'
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    hull kill "$ID" TERM
    wait_for has_status stopped
    hull delete "$ID"
    (
        trap '' HUP
        hull create --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/out" 2>&1
    )
    hull kill "$ID" HUP
    sleep 0.2
    has_status created
    hull start "$ID"
    wait_for grep -q SigCgt "$DIR/out"
    grep -Eq '^SigIgn:.*1$' "$DIR/out"
}

@test "a seccomp agent that is not there is named" {
    cargo true
    config --arg path "$DIR/none" '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $path,
        syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}'
    run_container
    exits 1
    says "failed to connect with seccomp agent"
    says "$DIR/none"
}
