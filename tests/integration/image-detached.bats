#!/usr/bin/env bats
# shellcheck disable=SC2016 # scripts for the shell inside
# Detached containers from images: their monitor, logs, attach, wait, stop, rm, list --all; and what kill -9 leaves.

load helpers
load image-run

setup()
{
    image_setup '{"Env": ["PATH=/bin"], "StopSignal": "SIGUSR1"}'
}

teardown()
{
    image_teardown
}

monitor_of()
{
    pgrep -f "^hull-monitor $(pid_of "$1") "
}

has_ended()
{
    [ -s "$DIR/store/containers/$1/exit" ]
}

# on_terminal SCRIPT COMMAND...: type what SCRIPT (a Python list of texts) says at COMMAND's terminal, show what it printed.
on_terminal()
{
    timeout 20 python3 - "$@" <<'PYTHON'
import ast, os, pty, select, sys, time
typed, command = ast.literal_eval(sys.argv[1]), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execv(command[0], command)
seen = b""
def read_for(seconds):
    global seen
    end = time.time() + seconds
    while time.time() < end:
        if select.select([fd], [], [], 0.05)[0]:
            try:
                more = os.read(fd, 4096)
            except OSError:
                return False
            if not more:
                return False
            seen += more
    return True
for text in typed:
    read_for(0.4)
    os.write(fd, text.encode())
while read_for(0.2) and os.waitpid(pid, os.WNOHANG)[0] == 0:
    pass
try:
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
except ChildProcessError:
    status = 0
sys.stdout.write(seen.decode())
PYTHON
}

@test "run -d prints the id; the log has both streams; wait gives the status; rm frees the name" {
    run hull run --detach --image box sh -c 'echo out; echo err >&2; printf half; exit 5' </dev/null
    exits 0
    local id=$output
    [[ $id =~ ^[0-9a-f]{64}$ ]]
    run hull wait "$id"
    output_is 5
    run --separate-stderr hull logs "${id:0:10}"
    exits 0
    output_is $'out\nhalf'
    # shellcheck disable=SC2154
    [ "$stderr" = err ]
    run hull list --all
    says "exited (5)"
    says "${id:0:12} "
    run hull state "$id"
    exits 1
    run hull rm "$id"
    exits 0
    run hull logs "$id"
    exits 125
    says "there is no container of the name or id"
}

@test "the monitor is one process below 1 MB" {
    detach small sleep 100
    local monitor
    monitor=$(monitor_of small)
    [ "$(awk '/^Rss:/ {print $2}' "/proc/$monitor/smaps_rollup")" -lt 1024 ]
    [ "$(awk '/^Threads:/ {print $2}' "/proc/$monitor/status")" = 1 ]
    kill -9 "$(pid_of small)"
    run hull wait small
    output_is 137
    wait_for test ! -d "/proc/$monitor"
}

@test "--rm: when it ends, all is gone" {
    detach gone --rm sh -c 'sleep 0.3; exit 9'
    run hull wait gone
    output_is 9
    wait_for test ! -e "$DIR/store/containers/gone"
    [ -z "$(ls -A "$STATE")" ]
}

@test "what fails to start is an error of run, and leaves nothing" {
    run -127 hull run -d --name bad --image box /no/such </dev/null
    exits 127
    says "no such file or directory"
    [ -z "$(containers_left)" ]
    run hull run -d --name bad --image box -m 6m --tmpfs /x:nonsense=1 true </dev/null
    [ "$status" != 0 ]
    [ -z "$(containers_left)" ]
}

@test "logs: --tail, --since, --timestamps, --follow" {
    detach lines sh -c 'for i in 1 2 3 4 5; do echo line $i; done; sleep 0.5; echo late; sleep 0.2'
    run hull logs --follow lines
    exits 0
    output_is $'line 1\nline 2\nline 3\nline 4\nline 5\nlate'
    run hull logs --tail 2 lines
    output_is $'line 5\nlate'
    run hull logs --tail 0 lines
    output_is ""
    run hull logs --tail 100 lines
    [ "${#lines[@]}" = 6 ]
    run hull logs --timestamps --tail 1 lines
    [[ $output =~ ^20[0-9-]+T[0-9:.]+Z\ late$ ]]
    run hull logs --since 1h lines
    [ "${#lines[@]}" = 6 ]
    run hull logs --since 2999-01-01T00:00:00Z lines
    output_is ""
    run hull logs --until 1h lines
    output_is ""
    run hull logs --until 2999-01-01T00:00:00Z lines
    [ "${#lines[@]}" = 6 ]
    run hull logs --since yesterday lines
    exits 125
    run hull logs --tail x lines
    exits 125
}

@test "much output is complete, and long lines are put together again" {
    detach much sh -c 'head -c 3000000 /dev/zero | tr "\0" x; echo; seq 1 20000'
    run hull wait much
    output_is 0
    [ "$(hull logs much | head -1 | wc -c)" = 3000001 ]
    [ "$(hull logs much | tail -n +2 | md5sum)" = "$(seq 1 20000 | md5sum)" ]
}

@test "stop asks by the image's signal, then kills" {
    detach polite sh -c 'trap "echo asked; exit 4" USR1; while :; do sleep 0.05; done'
    wait_for hull exec polite true
    run hull stop polite
    exits 0
    run hull wait polite
    output_is 4
    run hull logs polite
    output_is asked
    detach deaf sleep 100
    run hull stop --time 0 deaf
    exits 0
    run hull wait deaf
    output_is 137
    run hull stop deaf
    exits 0
    run hull stop nobody
    exits 125
    says "no container of the name or id \"nobody\""
}

@test "the first digits of an id will do, those of a name will not; podman's small options" {
    hull run --detach --image box sleep 100 </dev/null >"$DIR/id"
    local id
    id=$(cat "$DIR/id")
    detach named sleep 100
    run hull exec "${id:0:6}" echo inside
    output_is inside
    run hull exec -i -w /tmp "${id:0:6}" sh -c 'pwd; cat' <<<"typed"
    output_is $'/tmp\ntyped'
    run hull inspect named
    exits 1
    says "named is a container: "
    run hull state "${id:0:12}"
    exits 0
    hull kill "${id:0:12}" KILL
    run hull wait --interval 1s --condition exited --ignore "${id:0:12}" nobody
    output_is $'137\n-1'
    run hull rm name
    exits 1
    says "no container of the name or id"
    run hull exec name true
    exits 255
    run hull stop --ignore nobody
    exits 0
    run hull rm --ignore nobody
    exits 0
    run hull stop --all --time 0
    exits 0
    says named
    run hull rm --all --time 0
    exits 0
    [ -z "$(containers_left)" ]
    run hull stop
    exits 125
    says "see 'hull stop --help'"
    run_image --no-such-option true
    exits 125
}

@test "rm refuses what runs; --force and --all" {
    detach runs sleep 100
    detach ended true
    hull wait ended
    run hull rm runs
    exits 2
    says "is running: stop it first"
    run hull rm --all
    exits 0
    [ "$(containers_left)" = runs ]
    run hull rm --force runs nobody
    exits 0
    [ -z "$(containers_left)" ]
    [ -z "$(ls -A "$STATE")" ]
    run hull rm
    exits 125
}

@test "attach: input to a container without a terminal, its output and status" {
    detach cat -i sh -c 'read line; echo "got $line"; read line; exit 6'
    run bash -c '(echo hello; sleep 0.3; echo) | "$1" --root "$2" attach cat' - "$HULL" "$STATE"
    exits 6
    output_is "got hello"
    run hull attach cat
    exits 125
    says "is not running detached"
}

@test "attach: a terminal, its size, detach keys, and back again" {
    detach shell -it sh
    run on_terminal '["echo hi$((1+1))\n", "\x10\x11"]' "$HULL" --root "$STATE" attach shell
    exits 0
    says hi2
    [ "$(status_of shell)" = running ]
    run on_terminal '["exit 3\n"]' "$HULL" --root "$STATE" attach shell
    run hull wait shell
    output_is 3
    run hull logs shell
    says hi2
}

@test "attach: a client that does not read does not hold the container up" {
    detach busy sh -c 'while [ ! -e /go ]; do sleep 0.05; done; head -c 5000000 /dev/zero | tr "\0" x; echo done'
    "$HULL" --root "$STATE" attach --no-stdin busy </dev/null 3>&- 4>&- > >(exec sleep 30) &
    sleep 0.3
    hull exec busy touch /go
    run timeout 15 "$HULL" --root "$STATE" wait busy
    exits 0
    output_is 0
    kill %1 2>/dev/null || true
}

@test "list --all: JSON, status of the living, the ended and the abandoned" {
    detach alive sleep 100
    detach ended sh -c 'exit 2'
    hull wait ended
    run hull list --all --format json
    exits 0
    [ "$(jq -r '.[] | select(.id == "alive") | .status' <<<"$output")" = running ]
    [ "$(jq -r '.[] | select(.id == "alive") | .pid' <<<"$output")" = "$(pid_of alive)" ]
    [ "$(jq -r '.[] | select(.id == "ended") | .exitCode' <<<"$output")" = 2 ]
    [ "$(jq -r '.[] | select(.id == "ended") | .image' <<<"$output")" = localhost/box:latest ]
    run hull list --all --quiet
    output_is $'alive\nended'
    mkdir "$DIR/store/containers/half"
    run hull list --all
    says dead
    run hull rm half
    exits 0
}

@test "kill -9 of the monitor: the container can still be stopped and removed" {
    detach orphan sleep 100
    kill -9 "$(monitor_of orphan)"
    sleep 0.1
    [ "$(status_of orphan)" = running ]
    run hull wait orphan
    exits 125
    says "is unknown: who looked after it was killed"
    run hull rm --force orphan
    exits 0
    [ -z "$(containers_left)" ]
    run hull state orphan
    exits 1
}

@test "kill -9 at many points of run -d: rm --force --all takes what is left" {
    local i pid
    for i in 1 2 3 4 5 6 7 8 10 12 15 20; do
        setsid "$HULL" --root "$STATE" run -d --name "point$i" --image box sleep 50 </dev/null >/dev/null 2>&1 3>&- 4>&- &
        pid=$!
        sleep "0.0$(printf %02d "$i")"
        kill -9 -- "-$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    sleep 0.5 # who was made by the killed comes to its end
    run hull rm --force --all
    exits 0
    [ -z "$(containers_left)" ]
    for i in "$STATE"/*/; do
        [ ! -d "$i" ] || hull delete --force "$(basename "$i")"
    done
}

@test "a hostile file in place of the log or the socket is not followed" {
    detach evil true
    hull wait evil
    rm "$DIR/store/containers/evil/log"
    ln -s /etc/hostname "$DIR/store/containers/evil/log"
    run hull logs evil
    exits 125
    says "Too many levels of symbolic links"
}
