#!/usr/bin/env bats
# stats: a live table for people, one array a round for programs.

load helpers
load cgroups

setup_file()
{
    [ "$(id -u)" = 0 ] || skip "needs root"
}

# sample FILTER: of the one container in a fresh array.
sample()
{
    hull stats --no-stream --format json "$ID" | jq -c ".[0] | $1"
}

has_lines()
{
    [ "$(grep -c "$1" "$DIR/out")" -ge "$2" ]
}

# follow [ARGUMENT...]: stats in the background, into $DIR/out; $FOLLOWER is its pid.
follow()
{
    "$HULL" --root "$STATE" $HULL_FLAGS stats "$@" </dev/null >"$DIR/out" 2>"$DIR/errors" 3>&- 4>&- &
    FOLLOWER=$!
}

@test "stats --no-stream lists those that run" {
    cargo sleep 100
    start_detached
    hull run --detach --bundle "$BUNDLE" "$ID-second" </dev/null >/dev/null 2>&1
    cargo true
    hull run --detach --bundle "$BUNDLE" "$ID-ended" </dev/null >/dev/null 2>&1
    wait_for has_status stopped "$ID-ended"
    run hull stats --no-stream
    exits 0
    [ "${#lines[@]}" = 3 ] || {
        printf '%s\n' "$output" >&2
        false
    }
    [[ ${lines[0]} == ID*CPU*MEM*PIDS*BLOCK*NET*PRESSURE* ]]
    [[ ${lines[1]} == "$ID "*%*MiB*%* || ${lines[1]} == "$ID "*%*KiB*%* ]]
    [[ ${lines[2]} == "$ID-second "* ]]
    run hull stats --no-stream "$ID-second"
    [ "${#lines[@]}" = 2 ]
    [[ ${lines[1]} == "$ID-second "* ]]
}

@test "stats --format json tells what the kernel's files say" {
    local usage
    config '.linux.resources.memory = {limit: 67108864} | .linux.resources.pids.limit = 20'
    cargo sleep 100
    start_detached
    [ "$(sample .id)" = "\"$ID\"" ]
    [ "$(sample .pid)" = "$(pid_of)" ]
    [ "$(sample .memory_limit)" = 67108864 ]
    [ "$(sample .pids)" = "$(cgroup_value pids pids.current pids.current)" ]
    [ "$(sample .pids_limit)" = 20 ]
    [ "$(sample .memory_oom_kills)" = 0 ]
    [ "$(sample .net_received)" = null ]
    usage=$(($(cgroup_value memory memory.usage_in_bytes memory.current) -
        $(cgroup_value memory memory.stat memory.stat | awk '$1 == "total_inactive_file" || $1 == "inactive_file" {n = $2} END {print n}')))
    [ "$(sample ".memory_usage - $usage" | tr -d -)" -le $((2 << 20)) ]
    [ "$(sample '.memory_percent == (.memory_usage * 10000 / .memory_limit | floor / 100)')" = true ]
}

@test "the CPU share is that of the time between two readings" {
    script 'while :; do :; done'
    start_detached
    hull stats --no-stream --interval 500ms --format json "$ID" >"$DIR/busy"
    hull pause "$ID"
    hull stats --no-stream --interval 500ms --format json "$ID" >"$DIR/idle"
    hull resume "$ID"
    jq -e '.[0].cpu_percent > 5 and .[0].cpu_percent < 130' "$DIR/busy"
    jq -e '.[0].cpu_percent < 1' "$DIR/idle"
}

@test "network traffic of a network namespace of its own" {
    need_tool ip
    cargo sleep 100
    start_detached
    ip link add "h${ID:0:12}" type veth peer name eth0 netns "$(pid_of)" || skip "no veth"
    ip link set "h${ID:0:12}" up
    nsenter -t "$(pid_of)" -n ip link set eth0 up
    wait_for eval '[ "$(sample .net_sent)" -gt 0 ]'
    [ "$(sample '.net_received | type')" = '"number"' ]
    stats=$(hull events --stats "$ID")
    [ "$(jq -r '.data.network_interfaces[0].Name' <<<"$stats")" = eth0 ]
    [ "$(jq -r '.data.network_interfaces[0].TxBytes' <<<"$stats")" -gt 0 ]
}

@test "a table each interval; containers come and go; SIGINT ends it with 0" {
    cargo sleep 100
    start_detached
    follow --interval 200ms
    wait_for has_lines "^$ID " 2
    ! has_lines "^$ID-late " 1
    hull run --detach --bundle "$BUNDLE" "$ID-late" </dev/null >/dev/null 2>&1
    wait_for has_lines "^$ID-late " 1
    hull delete --force "$ID"
    sleep 0.5
    : >"$DIR/out"
    wait_for has_lines "^$ID-late " 2
    ! has_lines "^$ID " 1
    kill -INT "$FOLLOWER"
    wait "$FOLLOWER"
    ! grep -q $'\x1b' "$DIR/out"
}

@test "stats of named containers ends with the last of them" {
    cargo sleep 100
    start_detached
    follow --interval 200ms --format json "$ID"
    wait_for has_lines "\"id\":\"$ID\"" 2
    hull delete --force "$ID"
    wait "$FOLLOWER"
    jq -es 'all(type == "array" and length == 1)' "$DIR/out"
}

@test "stats of what is not there, or not running, is an error" {
    cargo true
    run hull stats --no-stream "$ID"
    exits 1
    says "does not exist"
    hull run --detach --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    wait_for has_status stopped
    run hull stats "$ID"
    exits 1
    says "container with id $ID is not running"
}

@test "stats without containers: the titles, or an empty array" {
    run hull stats --no-stream
    exits 0
    [[ $output == ID*PRESSURE* ]] && [ "${#lines[@]}" = 1 ]
    run hull stats --no-stream --format json
    output_is "[]"
}

@test "a container without a cgroup is listed with what is known" {
    cargo sleep 100
    "$HULL" --root "$STATE" --cgroup-manager disabled run --detach --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- 4>&-
    run hull stats --no-stream
    exits 0
    [[ ${lines[1]} == "$ID "*"-- / --"* ]]
    [ "$(sample '[.cpu_percent, .memory_usage, .pids]')" = '[null,null,null]' ]
}

@test "long ids are cut unless --no-trunc" {
    local id=0123456789abcdef
    id=$id$id$id$id
    cargo sleep 100
    hull run --detach --bundle "$BUNDLE" "$id" </dev/null >/dev/null 2>&1
    run hull stats --no-stream
    [[ ${lines[1]} == "0123456789ab "* ]]
    run hull stats --no-stream --no-trunc
    [[ ${lines[1]} == "$id "* ]]
}

@test "on a terminal the table is refreshed in place within the window, and ^C gives the screen back" {
    need_tool python3
    cargo sleep 100
    for i in 1 2 3 4 5; do
        hull run --detach --bundle "$BUNDLE" "$ID-$i" </dev/null >/dev/null 2>&1
    done
    timeout 30 python3 - "$HULL" --root "$STATE" $HULL_FLAGS stats --interval 100ms <<'PYTHON'
import fcntl, os, pty, re, select, struct, sys, termios, time

ROWS, COLUMNS = 6, 40
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
seen, interrupted, end = b"", False, time.monotonic() + 20
while time.monotonic() < end:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            break
    if seen.count(b"\x1b[H") >= 3 and not interrupted:
        interrupted = True
        os.write(terminal, b"\x03")
status = os.waitpid(pid, 0)[1]
assert interrupted and status == 0, (status, seen)
text = seen.decode()
assert text.startswith("\x1b[?1049h"), text
live, final = text.rsplit("\x1b[?1049l", 1)
frames = live.split("\x1b[H")[1:]
assert len(frames) >= 3, text
for frame in frames:
    shown = re.sub(r"\x1b\[[?0-9]*[A-Za-z]|\^C", "", frame.replace("\r", "")).split("\n")
    assert len(shown) <= ROWS and all(len(line) <= COLUMNS for line in shown), shown
    assert "... 2 more" in shown, shown
assert final.count("\n") == 6, final
PYTHON
}
