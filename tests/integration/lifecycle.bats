#!/usr/bin/env bats
# The states of runtime-spec's lifecycle and the commands between them; exit codes.

load helpers

@test "run gives the exit code of the process" {
    local code
    for code in 0 3 255; do
        script "exit $code"
        run_container
        exits "$code"
    done
}

@test "run gives 128+signal for a process that a signal ended" {
    script 'exec busybox sh -c "busybox kill -9 \$\$"'
    config '.linux.namespaces |= map(select(.type != "pid"))'
    run_container
    exits 137
    script 'exec busybox sh -c "busybox kill -TERM \$\$"'
    config '.linux.namespaces |= map(select(.type != "pid"))'
    run_container
    exits 143
}

@test "run passes stdin, stdout and stderr through" {
    script 'cat; echo to-stderr >&2'
    hull run --bundle "$BUNDLE" "$ID" <<<"through stdin" >"$DIR/out" 2>"$DIR/err"
    [ "$(cat "$DIR/out")" = "through stdin" ]
    [ "$(cat "$DIR/err")" = "to-stderr" ]
}

@test "run leaves no state behind" {
    cargo true
    run_container
    exits 0
    run hull state "$ID"
    exits 1
    says "does not exist"
}

@test "run forwards signals to the container" {
    script 'trap "echo got it; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
    "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID" >"$DIR/out" 2>&1 3>&- 4>&- </dev/null &
    local pid=$! code=0
    wait_for grep ready "$DIR/out"
    kill -TERM $pid
    wait $pid || code=$?
    cat "$DIR/out"
    [ "$code" = 7 ]
    grep -q "got it" "$DIR/out"
}

@test "create, start, kill, delete: the status follows" {
    cargo sleep 1000
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    [ "$(status_of)" = created ]
    hull start "$ID"
    [ "$(status_of)" = running ]
    hull kill "$ID" KILL
    wait_for has_status stopped
    hull delete "$ID"
    run hull state "$ID"
    exits 1
}

@test "state is the document of the specification" {
    cargo sleep 1000
    config '.annotations = {"org.example.key": "value"}'
    start_detached
    run hull state "$ID"
    exits 0
    jq -e --arg id "$ID" --arg bundle "$BUNDLE" '.id == $id and .bundle == $bundle and .status == "running"
        and (.ociVersion | type) == "string" and .pid > 0 and .annotations["org.example.key"] == "value"' <<<"$output"
    [ -d "/proc/$(jq .pid <<<"$output")" ]
}

@test "create does not run the process before start" {
    script 'echo ran >/tmp/mark'
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    sleep 0.2
    [ ! -e "$BUNDLE/rootfs/tmp/mark" ]
    hull start "$ID"
    wait_for test -e "$BUNDLE/rootfs/tmp/mark"
    wait_for has_status stopped
}

@test "start twice is an error" {
    cargo sleep 1000
    start_detached
    run hull start "$ID"
    exits 1
    [ -n "$output" ]
}

@test "a second container of the same name is an error, and the first lives on" {
    cargo sleep 1000
    start_detached
    run hull create --bundle "$BUNDLE" "$ID" </dev/null
    exits 1
    says "exists"
    [ "$(status_of)" = running ]
}

@test "delete of a running container is an error without --force" {
    cargo sleep 1000
    start_detached
    run hull delete "$ID"
    exits 1
    [ "$(status_of)" = running ]
    hull delete --force "$ID"
    run hull state "$ID"
    exits 1
}

@test "delete --force of what is not there is no error" {
    hull delete --force "$ID"
    run hull delete "$ID"
    exits 1
    says "does not exist"
}

@test "a created container can be killed and deleted without having been started" {
    cargo sleep 1000
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    hull kill "$ID" 9
    wait_for has_status stopped
    hull delete "$ID"
}

@test "kill takes names, numbers and the SIG prefix, and refuses what is no signal" {
    local sig
    for sig in TERM SIGTERM 15; do
        script 'trap "exit 0" TERM; while :; do sleep 0.05; done'
        start_detached
        sleep 0.2
        hull kill "$ID" "$sig"
        wait_for has_status stopped
        hull delete "$ID"
    done
    cargo sleep 1000
    start_detached
    for sig in NOSUCH 99 -1 1x ""; do
        run hull kill "$ID" "$sig"
        [ "$status" != 0 ]
    done
    [ "$(status_of)" = running ]
}

@test "kill of a stopped container is an error that engines know" {
    cargo true
    start_detached
    wait_for has_status stopped
    run hull kill "$ID" KILL
    exits 1
    says "container not running"
}

@test "kill --all reaches every process of a container without a pid namespace" {
    config '.linux.namespaces |= map(select(.type != "pid"))'
    script 'sleep 987 & sleep 987 & echo ready; wait'
    start_detached
    wait_for grep -q ready "$DIR/stdout"
    run hull kill --all "$ID" KILL
    exits 0
    wait_for has_status stopped
    hull delete "$ID"
    ! pgrep -f "^sleep 987"
}

@test "pid-file holds the pid of the process, without a newline" {
    cargo sleep 1000
    start_detached --pid-file "$DIR/pid"
    [ "$(cat "$DIR/pid")" = "$(pid_of)" ]
    [ "$(wc -l <"$DIR/pid")" = 0 ]
    [ -d "/proc/$(cat "$DIR/pid")" ]
}

@test "run --keep keeps the stopped container" {
    cargo true
    run_container --keep
    exits 0
    [ "$(status_of)" = stopped ]
    [ "$(pid_of)" = 0 ]
    hull delete "$ID"
}

@test "list shows what there is, as table, json and names" {
    run hull list
    exits 0
    cargo sleep 1000
    start_detached
    run hull list --quiet
    output_is "$ID"
    run hull list --format json
    jq -e --arg id "$ID" 'length == 1 and .[0].id == $id and .[0].status == "running"' <<<"$output"
    run hull list
    says "$ID"
    says "$BUNDLE"
    hull delete --force "$ID"
    run hull list --format json
    jq -e '. == null or length == 0' <<<"$output"
}

@test "ps shows the processes, as table and json" {
    cargo sleep 1000
    start_detached
    run hull ps --format json "$ID"
    exits 0
    jq -e --argjson pid "$(pid_of)" '. == [$pid]' <<<"$output"
    run hull ps "$ID"
    exits 0
    says "sleep 1000"
}

@test "delete --regex removes those that match" {
    cargo true
    local n
    for n in a1 a2 b1; do
        hull run --bundle "$BUNDLE" --detach "$ID-$n" </dev/null >/dev/null 2>&1
    done
    sleep 0.3
    hull delete --force --regex "$ID-a.*"
    run hull list --quiet
    output_is "$ID-b1"
    hull delete --force "$ID-b1"
}

@test "exec runs in the container and gives the exit code" {
    cargo sleep 1000
    start_detached
    run hull exec "$ID" sh -c 'echo "pid $$"; hostname; exit 5' </dev/null
    exits 5
    says "$(jq -r .hostname "$BUNDLE/config.json")"
    local ns
    for ns in mnt pid net ipc uts; do
        run hull exec "$ID" readlink "/proc/self/ns/$ns" </dev/null
        exits 0
        [ "$output" = "$(readlink "/proc/$(pid_of)/ns/$ns")" ]
    done
}

@test "exec --detach --pid-file, and --process FILE" {
    cargo sleep 1000
    start_detached
    hull exec --detach --pid-file "$DIR/pid" "$ID" sleep 500 </dev/null >/dev/null 2>&1
    [ "$(tr '\0' ' ' <"/proc/$(cat "$DIR/pid")/cmdline")" = "sleep 500 " ]
    jq '.process | .args = ["sh", "-c", "echo $MARK; id -u; pwd"] | .env += ["MARK=from-file"] | .user = {uid: 5, gid: 6}
        | .cwd = "/tmp"' "$BUNDLE/config.json" >"$DIR/process.json"
    run hull exec --process "$DIR/process.json" "$ID" </dev/null
    exits 0
    output_is $'from-file\n5\n/tmp'
}

@test "exec into a container that does not run is an error" {
    cargo true
    start_detached
    wait_for has_status stopped
    run hull exec "$ID" true </dev/null
    [ "$status" != 0 ]
    [ -n "$output" ]
}

@test "a command that is not there or not executable: 127 and 126 for engines, by runc's words" {
    cargo /no/such/thing
    run_container
    [ "$status" != 0 ]
    says "no such file or directory"
    cargo nosuchcommand
    run_container
    [ "$status" != 0 ]
    says 'executable file not found in $PATH'
    cargo /etc/passwd
    run_container
    [ "$status" != 0 ]
    says "permission denied"
    cargo sleep 1000
    start_detached
    run hull exec "$ID" nosuchcommand </dev/null
    [ "$status" != 0 ]
    says 'executable file not found in $PATH'
}

@test "names that are paths or worse are refused before anything is touched" {
    local bad
    for bad in "../up" "a/b" "." ".." "" "a b" $'a\nb'; do
        run hull create --bundle "$BUNDLE" "$bad" </dev/null
        [ "$status" != 0 ]
    done
    [ ! -d "$STATE" ] || [ -z "$(ls "$STATE")" ]
}

@test "a broken config.json is told of with all its faults and their paths" {
    cargo true
    config '.process.cwd = "tmp" | .process.user.uid = -1 | .mounts[0].destination = 7'
    run_container
    exits 1
    says "process.cwd"
    says "process.user.uid"
    says "mounts[0].destination"
    echo '{' >"$BUNDLE/config.json"
    run_container
    exits 1
    says "config.json"
}

@test "numbers are parsed strictly: exec --user" {
    cargo sleep 1000
    start_detached
    local bad
    for bad in -1 4294967296 18446744073709551616 1x x "1:" ":1" "1:-1" " 1" 0x0 4294967295; do
        run hull exec --user "$bad" "$ID" id </dev/null
        [ "$status" != 0 ] || {
            echo "--user '$bad' gave $output" >&2
            return 1
        }
    done
    run hull exec --user 12:34 "$ID" sh -c 'id -u; id -g' </dev/null
    output_is $'12\n34'
}

@test "the log goes to --log, as text or JSON" {
    run hull --log "$DIR/log.json" --log-format json run --bundle "$DIR/nowhere" "$ID" </dev/null
    exits 1
    jq -es 'any(.level == "error" and (.msg | length) > 0 and (.time | length) > 0)' "$DIR/log.json"
    run hull --log "$DIR/log.txt" run --bundle "$DIR/nowhere" "$ID" </dev/null
    exits 1
    grep -q 'level=error msg="' "$DIR/log.txt"
}

@test "version, help, spec and features" {
    run hull --version
    exits 0
    says "hull"
    says "spec: "
    run hull --help
    exits 0
    local command
    for command in create start run state kill delete list exec ps spec features; do
        says "$command"
        run hull "$command" --help
        exits 0
        run hull --help
    done
    mkdir "$DIR/new"
    (cd "$DIR/new" && hull spec && jq -e .process.args config.json)
    run hull features
    exits 0
    jq -e '.ociVersionMin and .ociVersionMax and (.linux.namespaces | index("time") != null)
        and (.mountOptions | index("rro") != null)' <<<"$output"
}

@test "an unknown command or flag is an error that says so" {
    run hull nosuch
    [ "$status" != 0 ]
    says "nosuch"
    run hull run --nosuch "$ID"
    [ "$status" != 0 ]
    says "nosuch"
}
