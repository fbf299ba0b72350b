#!/usr/bin/env bats
# events: runc's statistics document out of the kernel's files, and OOM kills as they happen. v1 and v2.

load helpers
load cgroups

setup_file()
{
    [ "$(id -u)" = 0 ] || skip "needs root"
}

# field PATH: of the document that `events --stats` printed.
field()
{
    jq -c ".data.$1" <<<"$stats"
}

# follow [FLAG...]: events of $ID in the background, into $DIR/events; its status into $DIR/ended when it ends.
follow()
{
    {
        timeout 30 "$HULL" --root "$STATE" $HULL_FLAGS events "$@" "$ID" </dev/null >"$DIR/events" 2>"$DIR/errors"
        echo $? >"$DIR/ended"
    } 3>&- 4>&- &
}

has_events()
{
    [ "$(grep -c "\"type\":\"$1\"" "$DIR/events")" -ge "$2" ]
}

# A process that takes more memory than there is, when the file /go is there.
HOG='while [ ! -e /go ]; do sleep 0.1; done; tail /dev/zero'

@test "events --stats tells what the kernel's files say" {
    local before after current
    config '.linux.resources.memory = {limit: 67108864} | .linux.resources.pids.limit = 20'
    cargo sleep 100
    start_detached
    before=$(cgroup_value cpuacct cpuacct.usage cpu.stat | sed 's/^usage_usec \(.*\)/\1000/;q')
    stats=$(hull events --stats "$ID")
    after=$(cgroup_value cpuacct cpuacct.usage cpu.stat | sed 's/^usage_usec \(.*\)/\1000/;q')
    [ "$(wc -l <<<"$stats")" = 1 ]
    [ "$(jq -r '.type + " " + .id' <<<"$stats")" = "stats $ID" ]
    [ "$(field cpu.usage.total)" -ge "$before" ] && [ "$(field cpu.usage.total)" -le "$after" ]
    [ "$(field memory.usage.limit)" = 67108864 ]
    current=$(cgroup_value memory memory.usage_in_bytes memory.current)
    [ "$(field memory.usage.usage)" -gt 0 ]
    [ "$(field "memory.usage.usage - $current" | tr -d -)" -le $((2 << 20)) ]
    [ "$(field pids.current)" = "$(cgroup_value pids pids.current pids.current)" ]
    [ "$(field pids.limit)" = 20 ]
    [ "$(field 'memory.raw | keys | length')" = "$(cgroup_value memory memory.stat memory.stat | wc -l)" ]
    [ "$(field 'memory.raw | keys_unsorted | join(" ")' | tr -d '"')" = \
        "$(cgroup_value memory memory.stat memory.stat | cut -d' ' -f1 | xargs)" ]
    [ "$(field cpuset.cpus)" = "$(cgroup_value cpuset cpuset.cpus cpuset.cpus.effective |
        jq -cR '[split(",")[] | split("-") | range(.[0] | tonumber; (.[1] // .[0] | tonumber) + 1)]')" ]
}

@test "events --stats has a value wherever runc has one" {
    need_tool runc
    local runc_state=$DIR/runc keys='[.data | paths(scalars) | map(if type == "number" then "N" else . end)
        | join(".")] | unique[]'
    cargo sleep 100
    start_detached
    hull events --stats "$ID" | jq -r "$keys" >"$DIR/ours"
    timeout 20 runc --root "$runc_state" run --detach --bundle "$BUNDLE" "runc-$ID" </dev/null >/dev/null 2>&1 3>&- 4>&-
    timeout 20 runc --root "$runc_state" events --stats "runc-$ID" | jq -r "$keys" >"$DIR/theirs" || true
    timeout 20 runc --root "$runc_state" delete --force "runc-$ID"
    [ -s "$DIR/theirs" ]
    # Reading and caching is what each happened to do, and zero is left out.
    run comm -13 "$DIR/ours" <(grep -v -e '^blkio\.io' -e '^memory\.cache$' "$DIR/theirs")
    output_is ""
}

@test "events prints one line each interval, and ends when the container does" {
    script 'while [ ! -e /go ]; do sleep 0.1; done'
    start_detached
    follow --interval 200ms
    wait_for has_events stats 3
    [ ! -e "$DIR/ended" ]
    touch "$BUNDLE/rootfs/go"
    wait_for [ -e "$DIR/ended" ]
    [ "$(cat "$DIR/ended")" = 0 ]
    [ ! -s "$DIR/errors" ]
    jq -e 'select(.type == "stats").data.cpu.usage.total > 0' "$DIR/events" >/dev/null
    ! has_events oom 1
}

@test "a process that is OOM-killed is reported, while the container goes on" {
    config '.linux.resources.memory = {limit: 16777216, swap: 16777216}'
    script "$HOG; touch /survived; sleep 100"
    start_detached
    follow --interval 1h
    sleep 0.3
    [ ! -s "$DIR/events" ]
    touch "$BUNDLE/rootfs/go"
    wait_for has_events oom 1
    [ "$(head -n 1 "$DIR/events")" = "{\"type\":\"oom\",\"id\":\"$ID\"}" ]
    wait_for [ -e "$BUNDLE/rootfs/survived" ]
    [ ! -e "$DIR/ended" ]
    [ "$(status_of)" = running ]
    stats=$(hull events --stats "$ID")
    [ "$(field memory.usage.limit)" = 16777216 ]
}

@test "a container that is OOM-killed is reported before events ends" {
    config '.linux.resources.memory = {limit: 16777216, swap: 16777216}'
    script "${HOG/tail/exec tail}"
    start_detached
    follow
    sleep 0.3
    touch "$BUNDLE/rootfs/go"
    wait_for [ -e "$DIR/ended" ]
    [ "$(cat "$DIR/ended")" = 0 ]
    [ "$(cat "$DIR/events")" = "{\"type\":\"oom\",\"id\":\"$ID\"}" ]
    [ "$(status_of)" = stopped ]
}

@test "a fork bomb stops at the pids limit, and pids.current shows it" {
    config '.linux.resources.pids.limit = 15'
    script '(while :; do sleep 100 & done) 2>/dev/null; touch /done; sleep 100'
    start_detached
    wait_for [ -e "$BUNDLE/rootfs/done" ]
    stats=$(hull events --stats "$ID")
    [ "$(field pids.limit)" = 15 ]
    # The subshell that could fork no more has ended, and made room for the sleep behind it.
    [ "$(field pids.current)" -ge 14 ] && [ "$(field pids.current)" -le 15 ]
    [ "$(hull ps --format json "$ID" | jq length)" -le 15 ]
    [ "$(cgroup_value pids pids.events pids.events | sed -n 's/^max //p')" -ge 1 ]
}

@test "events of a paused container goes on" {
    cargo sleep 100
    start_detached
    hull pause "$ID"
    stats=$(hull events --stats "$ID")
    [ "$(field pids.current)" = 1 ]
    hull resume "$ID"
}

@test "events of what is not there, or not running, is an error" {
    cargo true
    run hull events "$ID"
    exits 1
    says "does not exist"
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    run hull events --stats "$ID"
    exits 0
    hull start "$ID"
    wait_for has_status stopped
    run hull events "$ID"
    exits 1
    says "container with id $ID is not running"
    run hull events --stats "$ID"
    exits 1
}

@test "a container without a cgroup has no statistics" {
    cargo sleep 100
    "$HULL" --root "$STATE" --cgroup-manager disabled run --detach --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- 4>&-
    run hull events --stats "$ID"
    exits 1
    says "cgroup"
}

@test "intervals are lengths of time" {
    local interval
    for interval in 5 0s -1s 1x ''; do
        run hull events --interval "$interval" "$ID"
        exits 1
        says "--interval"
    done
}
