#!/usr/bin/env bats
# shellcheck disable=SC2016 # scripts for the shell inside
# Containers from images: created, started, started again; their logs in several files.

load helpers
load image-run

setup()
{
    image_setup '{"Env": ["PATH=/bin"]}'
}

teardown()
{
    image_teardown
}

create()
{
    local name=$1
    shift
    hull create --name "$name" --image box "$@" </dev/null >"$DIR/id"
}

status_in_list()
{
    hull list --all --format json | jq -r --arg id "$1" '.[] | select(.id == $id) | .status'
}

@test "create --image: an id, nothing runs; stop, wait and logs say so; rm" {
    run hull create --image box sh -c 'echo never' </dev/null
    exits 0
    local id=$output
    [[ $id =~ ^[0-9a-f]{64}$ ]]
    [ "$(status_in_list "$id")" = created ]
    run hull state "$id"
    exits 1
    run hull stop "$id"
    output_is "$id"
    run hull wait "$id"
    output_is 0
    run hull logs --follow "$id"
    exits 0
    output_is ""
    run hull attach "$id"
    exits 125
    run hull rm "${id:0:12}"
    output_is "${id:0:12}"
    [ -z "$(containers_left)" ]
    run hull create --image nosuch --pull never true
    exits 125
}

@test "start: of what was created, then again with what it wrote; logs of all lives" {
    create lives -e A=b sh -c 'echo x >>/count; echo life $(wc -l </count) $A; exit 3'
    run hull start lives
    exits 0
    output_is lives
    run hull wait lives
    output_is 3
    run hull start lives
    exits 0
    run hull wait lives
    output_is 3
    [ "$(status_in_list lives)" = "exited (3)" ]
    run hull logs lives
    output_is $'life 1 b\nlife 2 b'
    [ -z "$(ls -A "$STATE")" ]
}

@test "start --attach: streams, exit status; --interactive: standard input" {
    create front sh -c 'echo out; echo err >&2; exit 7'
    run --separate-stderr hull start --attach front </dev/null
    exits 7
    output_is out
    # shellcheck disable=SC2154
    [ "$stderr" = err ]
    [ "$(status_in_list front)" = "exited (7)" ]
    create reads -i sh -c 'read line; echo "got $line"'
    run hull start -a -i reads <<<"a line"
    output_is "got a line"
    run hull start -a reads <<<"a line"
    output_is "got "
    run hull start -a front reads
    exits 1
}

@test "start: in the foreground or with a terminal before, detached now; what runs is left alone" {
    run_image --name again -t sh -c 'test -t 1 && echo terminal; sleep 100 & wait' &
    wait_for hull exec again true
    hull kill again KILL
    wait
    run hull start again
    exits 0
    run hull start again
    exits 0
    output_is again
    run hull start --attach again
    exits 125
    says "is running"
    wait_for grep -q terminal "$DIR/store/containers/again/log"
    run hull stop --time 0 again
    exits 0
}

@test "create --rm: gone when it has run, in the foreground too" {
    create once --rm true
    run hull start -a once
    exits 0
    [ -z "$(containers_left)" ]
    create once --rm true
    run hull start once
    exits 0
    wait_for test ! -e "$DIR/store/containers/once"
}

@test "start of what cannot run: 127, and it can be tried again" {
    create broken /bin/appears
    run -127 hull start broken
    exits 127
    says "no such file or directory"
    [ "$(status_in_list broken)" = "exited (127)" ]
    printf '#!/bin/sh\necho now\n' >"$DIR/store/containers/broken/upper/appears"
    mkdir -p "$DIR/store/containers/broken/upper/bin"
    mv "$DIR/store/containers/broken/upper/appears" "$DIR/store/containers/broken/upper/bin/"
    chmod 755 "$DIR/store/containers/broken/upper/bin/appears"
    run hull start --attach broken
    exits 0
    output_is now
    run hull start nosuch
    exits 1
    says "does not exist"
}

@test "start: the network of another container is looked for again" {
    detach one sleep 100
    create two --network container:one readlink /proc/self/ns/net
    run hull start -a two
    output_is "$(readlink "/proc/$(pid_of one)/ns/net")"
    hull stop --time 0 one
    run hull start -a two
    exits 125
    says "--network container:one"
    hull start one
    run hull start -a two
    output_is "$(readlink "/proc/$(pid_of one)/ns/net")"
}

@test "start after the monitor was killed, and while it lives on" {
    detach orphan sh -c 'sleep 100'
    kill -9 "$(pgrep -f "^hull-monitor $(pid_of orphan) ")"
    run hull start orphan
    exits 125
    says "who looked after it was killed"
    run hull stop orphan
    exits 0
    wait_for hull start orphan
    run hull stop -t 0 orphan
    exits 0
}

@test "two starts at once: one runs it" {
    local i
    for i in 1 2 3 4 5; do
        create "both$i" sh -c 'echo begun; sleep 1'
        hull start "both$i" >/dev/null 2>&1 &
        hull start "both$i" >/dev/null 2>&1 &
        wait
        hull wait "both$i"
        [ "$(hull logs "both$i" | wc -l)" = 1 ]
    done
}

# --- logs ---------------------------------------------------------------------------------------------------------------

@test "--log-opt max-size: the log begins anew; max-file keeps some, logs reads them in order" {
    detach full --log-opt max-size=16k --log-opt max-file=3 seq 1 3000
    hull wait full
    run ls "$DIR/store/containers/full"
    [ "$(grep -c '^log' <<<"$output")" = 3 ]
    for file in "$DIR"/store/containers/full/log*; do
        [ "$(stat -c %s "$file")" -le 16384 ]
    done
    run hull logs full
    local first=${lines[0]}
    [ "$first" -gt 1500 ]
    [ "$output" = "$(seq "$first" 3000)" ]
    run hull logs --tail 5 full
    output_is "$(seq 2996 3000)"
    run hull logs --tail 400 full
    output_is "$(seq 2601 3000)"
    run hull logs --tail 100000 full
    output_is "$(seq "$first" 3000)"
    detach one --log-opt max-size=16k seq 1 3000
    hull wait one
    run ls "$DIR/store/containers/one"
    [ "$(grep -c '^log' <<<"$output")" = 1 ]
    [ "$(hull logs one | tail -1)" = 3000 ]
}

@test "logs --follow goes on across many rotations, and misses nothing that is kept" {
    detach follow --log-opt max-size=8k --log-opt max-file=50 sh -c 'for i in $(seq 1 4000); do echo $i; done; sleep 0.3'
    run hull logs --follow follow
    exits 0
    [ "$output" = "$(seq 1 4000)" ]
}

@test "numbers of full logs go on after a start" {
    create more --log-opt max-size=4k --log-opt max-file=2 seq 1 200
    hull start more
    hull wait more
    local before after
    before=$(cd "$DIR/store/containers/more" && echo log.*)
    hull start more
    hull wait more
    after=$(cd "$DIR/store/containers/more" && echo log.*)
    [ "${after#log.}" -gt "${before#log.}" ]
    [ "$(hull logs more | tail -1)" = 200 ]
}

@test "--log-driver: none keeps nothing; json-file is the usual one; others and unknown options are named" {
    detach quiet --log-driver none echo lost
    hull wait quiet
    run hull logs quiet
    exits 125
    says "--log-driver none"
    [ ! -e "$DIR/store/containers/quiet/log" ]
    detach usual --log-driver json-file echo kept
    hull wait usual
    run hull logs usual
    output_is kept
    run_image --log-driver journald true
    exits 125
    says '"journald" is not available: there are none, k8s-file, and json-file'
    run_image --log-opt tag=x true
    exits 125
    says '"tag=x" is unknown: there are max-size=SIZE and max-file=N'
    run_image --log-opt max-size=1 true
    exits 125
    run_image --log-opt max-size=ten true
    exits 125
    says "--log-opt max-size"
    run_image --log-opt max-file=0 true
    exits 125
    [ "$(containers_left | tr '\n' ' ')" = "quiet usual " ]
}

@test "the monitor stays below 1 MB when it rotates" {
    detach small --log-opt max-size=8k --log-opt max-file=5 sh -c 'seq 1 5000; sleep 100'
    wait_for grep -q ' 5000$' "$DIR/store/containers/small/log"
    [ "$(awk '/^Rss:/ {print $2}' "/proc/$(pgrep -f "^hull-monitor $(pid_of small) ")/smaps_rollup")" -lt 1024 ]
}
