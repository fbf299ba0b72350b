#!/usr/bin/env bats
# The command line itself: usage, help, messages and where they go, exit statuses, and the formats that engines parse, held
# against runc's own output where runc is installed.

load helpers

COMMANDS='attach check cp create delete events exec features kill list logs pause ps resume rm run spec start state stats stop update volume wait
    diff history images import inspect load login logout mount prune pull push rmi save tag umount unpack'

# hull without this file's --root: for what stands before the command.
bare()
{
    run "$HULL" "$@" </dev/null 3>&- 4>&-
}

options_of()
{
    "$HULL" "$@" --help | sed -n 's/^  \(-., \|    \)\(--[a-z0-9-]*\).*/\2/p'
}

@test "--version has runc's layout" {
    for flag in --version -v -version; do
        bare $flag
        exits 0
        [[ ${lines[0]} =~ ^hull\ version\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
        [[ ${lines[1]} =~ ^commit:\ v[0-9] ]]
        [[ ${lines[2]} =~ ^spec:\ 1\.[0-9]+\.[0-9]+$ ]]
        [[ ${lines[3]} =~ ^libseccomp:\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
    done
}

@test "help of each command: --help, -h, -help and the help command agree" {
    local command expected
    for command in $COMMANDS; do
        expected=$("$HULL" "$command" --help)
        [[ $expected == $'NAME:\n'"   hull $command - "* ]]
        [[ $expected == *$'USAGE:\n'"   hull [GLOBAL OPTION...] $command "* ]]
        for flag in -h -help; do
            bare "$command" $flag
            exits 0
            output_is "$expected"
        done
        bare help "$command"
        exits 0
        output_is "$expected"
    done
}

@test "global help lists every command; no command at all prints it too" {
    local command expected
    expected=$("$HULL" --help)
    for command in $COMMANDS; do
        grep -q "^  $command " <<<"$expected"
    done
    bare
    exits 0
    output_is "$expected"
    bare help
    output_is "$expected"
}

@test "the manual page knows every command and option, and no others" {
    local command option page=$TOP/docs/hull.1.scd all
    for command in $COMMANDS; do
        grep -q "^## $command" "$page"
    done
    all=$({
        options_of
        options_of run --image REF
        for command in create ls rm prune; do options_of volume "$command"; done
        for command in $COMMANDS; do options_of "$command"; done
    } | sort -u)
    for option in $all; do
        grep -q -e "\*$option\*" "$page" || {
            echo "hull.1.scd does not know $option" >&2
            return 1
        }
    done
    for option in $(grep -o -e '\*--[a-z0-9-]*\*' "$page" | tr -d '*' | sort -u); do
        grep -qx -e "$option" <<<"$all" || {
            echo "hull.1.scd knows $option, hull does not" >&2
            return 1
        }
    done
}

@test "every option of runc and of crun is there" {
    local command option
    need_tool runc
    need_tool crun
    for command in create delete exec kill list ps run spec start state; do
        for option in $({
            runc "$command" --help
            crun "$command" --help
        } 2>&1 | grep -o -e '^ *\(-[a-z], \)\?--[a-z-]*' | grep -o -e '--.*' | grep -v -e '--usage' | sort -u); do
            grep -qx -e "$option" <<<"$(options_of "$command")" || {
                echo "$command: no $option" >&2
                return 1
            }
        done
    done
}

@test "wrong usage: a complaint, the way to help, exit status 1" {
    local words
    for words in create 'create a b' run start state 'state a b' delete kill 'kill a b c' exec 'exec a' ps \
        'list a' 'spec a' 'features a' 'run --nothing a' 'run -dz a' 'create --bundle' 'list --format xml' \
        'ps --format xml a' 'run --detach=perhaps a' 'exec --env A a b' 'run --preserve-fds 0x1 a' 'kill -9 a'; do
        # shellcheck disable=SC2086
        bare $words
        exits 1
        [ "${#lines[@]}" = 1 ]
        [[ $output == "hull: "*"; see 'hull ${words%% *} --help'" ]]
    done
    bare --nothing
    exits 1
    output_is "hull: unknown option --nothing; see 'hull --help'"
    bare nothing
    exits 3
    output_is "hull: No help topic for 'nothing': there is no such command; see 'hull --help'"
}

@test "the number of arguments is complained of in runc's words" {
    bare create
    says '"create" requires exactly 1 argument(s)'
    bare kill
    says '"kill" requires a minimum of 1 argument(s)'
}

@test "a container that does not exist: runc's words, exit status 1, 255 for exec" {
    local command
    for command in start state kill delete ps; do
        run hull $command nobody
        exits 1
        says 'container does not exist'
    done
    run hull exec nobody true
    exits 255
    says 'container does not exist'
    run hull delete --force nobody
    exits 0
    output_is ''
}

@test "ids that are no names are refused" {
    local id
    for id in '' . .. ../x a/b 'a b' $'a\nb' "$(printf 'a%.0s' {1..1025})"; do
        run hull run --bundle "$BUNDLE" -- "$id" </dev/null
        exits 1
        run hull delete --force -- "$id"
        exits 1
    done
}

@test "--log: the error goes to the file and to standard error, once each" {
    run hull --log "$DIR/log" --log-format json state nobody
    exits 1
    [ "${#lines[@]}" = 1 ]
    [[ $output == "hull: "*"does not exist"* ]]
    [ "$(wc -l <"$DIR/log")" = 1 ]
    jq -e '.level == "error" and (.msg | contains("container does not exist")) and (.time | fromdate > 0)' "$DIR/log"
    hull --log="$DIR/text" --log-format=text state nobody 2>/dev/null || true
    grep -q '^time="[^"]*" level=error msg=".*does not exist.*"$' "$DIR/text"
}

@test "without --log there is one line on standard error, in the format asked for" {
    run hull state nobody
    [ "${#lines[@]}" = 1 ]
    run hull --log /dev/stderr state nobody
    [ "${#lines[@]}" = 1 ]
    run hull --log-format json state nobody
    [ "${#lines[@]}" = 1 ]
    jq -e '.level == "error"' <<<"$output"
}

@test "a log that cannot be opened is an error" {
    bare --log "$DIR/no/such/dir" list
    exits 1
    says "$DIR/no/such/dir"
}

@test "global options: odd values are refused" {
    local words
    for words in '--log-format xml' '--log-level loud' '--rootless maybe' '--cgroup-manager v3' '--isolation none'; do
        # shellcheck disable=SC2086
        bare $words list
        exits 1
        says "${words%% *}"
    done
}

@test "a sandbox that is asked for and cannot be given is an error, whoever asks; the strongest request counts" {
    # The build's own directory may have a hull-vmm: a copy elsewhere has none.
    local lonely=$DIR/hull words
    cp "$HULL" "$lonely"
    asks()
    {
        local asker=$1
        shift
        run "$@" run --bundle "$BUNDLE" "$ID" 3>&- 4>&-
        exits 1
        says "$asker asks for a sandbox"
    }
    [ -e "$(strings "$HULL" | grep -m 1 'libexec/hull$')/hull-vmm" ] && skip "an installed hull-vmm"
    asks --isolation=vm "$lonely" --root "$STATE" --isolation=vm
    says hull-vmm
    bare --root "$STATE" run --isolation=vm --kernel /nowhere --bundle "$BUNDLE" "$ID"
    exits 1
    says "--isolation=vm asks for a sandbox"
    HULL_ISOLATION=vm bare --root "$STATE" create --isolation=container --bundle "$BUNDLE" "$ID"
    exits 1
    says "--isolation=container, but environment variable HULL_ISOLATION=vm asks for a virtual machine"
    HULL_ISOLATION=vm asks 'HULL_ISOLATION=vm' "$lonely" --root "$STATE" --isolation=container
    ln -s hull "$DIR/hull-vm"
    asks hull-vm "$DIR/hull-vm" --root "$STATE" --isolation=container
    config '.annotations["org.hull.isolation"] = "vm"'
    asks org.hull.isolation "$lonely" --root "$STATE" --isolation=container
    config 'del(.annotations) | .vm = {kernel: {path: "/nowhere"}}'
    asks "vm object" "$lonely" --root "$STATE"
    config 'del(.vm) | .annotations["org.hull.isolation"] = "machine"'
    bare --root "$STATE" run --bundle "$BUNDLE" "$ID"
    exits 1
    says 'must be container or vm, got "machine"'
    HULL_ISOLATION=VM bare --root "$STATE" create --bundle "$BUNDLE" "$ID"
    exits 1
    says HULL_ISOLATION
    HULL_ISOLATION=vm bare --root "$STATE" list -q
    exits 0
    config 'del(.annotations)'
    bare --root "$STATE" run --kernel /boot/vmlinuz --bundle "$BUNDLE" "$ID"
    exits 1
    says '--kernel'
}

@test "engines' ways to write options" {
    cargo true
    run hull --log-format=json --cgroup-manager=disabled --systemd-cgroup=false --rootless=auto --criu /usr/sbin/criu \
        run --no-pivot=false --detach=false -bundle "$BUNDLE" "$ID" </dev/null
    exits 0
    output_is ''
    cargo sleep 1000
    start_detached
    run hull kill "$ID" KILL --all
    exits 0
    wait_for has_status stopped
    run hull delete "$ID" --force
    exits 0
}

@test "exec: odd users and groups are refused, the process never runs" {
    local value
    cargo sleep 1000
    start_detached
    for value in -1 4294967295 4294967296 18446744073709551616 0x10 010 1: :1 1:-1 1:2:3 ' 1' '1 ' 1e3 root root:root; do
        run hull exec -u "$value" "$ID" touch /oops
        exits 1
        says 'must be UID or UID:GID'
        run hull exec --additional-gids "$value" "$ID" touch /oops
        exits 1
    done
    [ ! -e "$BUNDLE/rootfs/oops" ]
    run hull exec -u 1234:5678 -g 7,8 -g 9 "$ID" id
    exits 0
    output_is 'uid=1234 gid=5678 groups=5678,7,8,9' || says 'uid=1234 gid=5678'
}

@test "exec: what follows the container is the command, options included" {
    cargo sleep 1000
    start_detached
    run hull exec "$ID" echo -u 1 --help --tty
    exits 0
    output_is '-u 1 --help --tty'
    run hull exec --process "$DIR/none" "$ID"
    exits 255
    says "$DIR/none"
}

@test "list: an empty one, as runc prints it" {
    run hull list
    exits 0
    output_is 'ID          PID         STATUS      BUNDLE      CREATED     OWNER'
    run hull list --format json
    output_is null
    run hull list --quiet
    output_is ''
}

# The same bundle under runc, and the keys of its JSON.
runc_keys()
{
    runc --root "$DIR/runc" "$@" | jq -c 'if type == "array" then .[0] else . end | keys'
}

@test "list and state: fields and columns are runc's" {
    need_root
    need_tool runc
    cargo sleep 1000
    config '.annotations = {"org.example.a": "b"}'
    config 'del(.linux.resources, .linux.cgroupsPath)'
    runc --root "$DIR/runc" run --bundle "$BUNDLE" --detach "$ID" </dev/null >/dev/null 2>"$DIR/runc.err" 3>&- 4>&- ||
        skip "runc does not run here: $(cat "$DIR/runc.err")"
    local state list table
    state=$(runc_keys state "$ID")
    list=$(runc_keys list --format json)
    table=$(runc --root "$DIR/runc" list | awk 'NR == 1')
    runc --root "$DIR/runc" delete --force "$ID"

    start_detached
    [ "$(hull state "$ID" | jq -c keys)" = "$state" ]
    [ "$(hull list --format json | jq -c '.[0] | keys')" = "$list" ]
    [ "$(hull list --format json | wc -l)" = 1 ]
    [ "$(hull list | awk 'NR == 1 {print $1, $2, $3, $4, $5, $6}')" = "$(awk '{print $1, $2, $3, $4, $5, $6}' <<<"$table")" ]
    hull state "$ID" | jq -e --arg id "$ID" --arg bundle "$(realpath "$BUNDLE")" '
        .id == $id and .bundle == $bundle and .rootfs == $bundle + "/rootfs" and .status == "running" and
        (.pid | type) == "number" and .owner == "root" and .annotations["org.example.a"] == "b" and
        (.created | test("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?Z$"))'
}

@test "list: columns line up, --quiet gives ids, the pid of a stopped one is 0" {
    cargo sleep 1000
    start_detached
    run hull list
    exits 0
    [ "${#lines[@]}" = 2 ]
    local bundle
    bundle=$(realpath "$BUNDLE")
    [ "$(awk -v h="${lines[0]}" 'BEGIN {print index(h, "BUNDLE")}')" = \
        "$(awk -v l="${lines[1]}" -v b="$bundle" 'BEGIN {print index(l, b)}')" ]
    run hull list -q
    output_is "$ID"
    hull kill "$ID" KILL
    wait_for has_status stopped
    hull list -f json | jq -e '.[0].pid == 0 and .[0].status == "stopped"'
}

@test "ps: only the container's processes, in ps(1)'s own lines; JSON is the pids" {
    need_tool ps
    script 'sleep 1001 & sleep 1002; true'
    start_detached
    wait_for sh -c "[ \$('$HULL' --root '$STATE' ps --format json '$ID' | jq length) = 3 ]"
    hull ps --format json "$ID" | jq -e --argjson pid "$(pid_of)" 'contains([$pid])'
    run hull ps "$ID"
    exits 0
    [ "${#lines[@]}" = 4 ]
    [[ ${lines[0]} == UID*PID*CMD* ]]
    says 'sleep 1001'
    says 'sleep 1002'
    run hull ps "$ID" aux
    exits 0
    [[ ${lines[0]} == USER* ]]
    [ "${#lines[@]}" = 4 ]
    run hull ps "$ID" -eo args
    exits 1
    says 'no PID column'
    run hull ps "$ID" --no-such-option
    exits 1
    says 'ps failed'
    PATH=/nonexistent run hull ps "$ID"
    exits 1
    says 'executable file not found in $PATH'
}

@test "kill: names, numbers and SIG-prefix; unknown signals are refused" {
    local signal
    cargo sleep 1000
    start_detached
    for signal in NOSIG 0x9 65 -9 '' 9a; do
        run hull kill -- "$ID" "$signal"
        exits 1
    done
    for signal in CONT SIGCONT sigcont 18; do
        run hull kill "$ID" "$signal"
        exits 0
    done
    [ "$(status_of)" = running ]
}

@test "kill and delete by --regex take all that match and no others" {
    local id
    cargo sleep 1000
    for id in "$ID-a1" "$ID-a2" "$ID-b"; do
        hull run --bundle "$BUNDLE" --detach "$id" </dev/null >/dev/null 2>&1
    done
    run hull kill --regex "^$ID-a[0-9]\$" KILL
    exits 0
    wait_for sh -c "[ \$('$HULL' --root '$STATE' list -f json | jq '[.[] | select(.status == \"stopped\")] | length') = 2 ]"
    run hull delete --regex "^$ID-a"
    exits 0
    run hull list -q
    output_is "$ID-b"
    run hull delete --regex '['
    exits 1
    says '--regex'
    run hull delete --regex '^nothing$'
    exits 0
    run hull delete --force --regex .
    exits 0
    run hull list -q
    output_is ''
}

@test "delete: several ids; all are tried, and each failure is told" {
    local id
    cargo true
    for id in "$ID-1" "$ID-2"; do
        hull create --bundle "$BUNDLE" "$id" </dev/null >/dev/null 2>&1
        hull kill "$id" KILL
    done
    wait_for sh -c "[ \$('$HULL' --root '$STATE' list -f json | jq '[.[] | select(.status == \"stopped\")] | length') = 2 ]"
    run hull delete "$ID-1" nobody "$ID-2" noone
    exits 1
    says nobody
    says noone
    run hull list -q
    output_is ''
}

@test "spec: writes config.json, never over another" {
    mkdir "$DIR/new"
    (umask 027 && hull spec --bundle "$DIR/new")
    [ "$(stat -c %a "$DIR/new/config.json")" = 640 ]
    jq -e '.ociVersion | startswith("1.")' "$DIR/new/config.json"
    run hull spec --bundle "$DIR/new"
    exits 1
    output_is 'hull: File config.json exists. Remove it first'
    hull spec --bundle "$DIR/new" --file other.json --rootless
    jq -e '[.linux.namespaces[].type] | contains(["user"])' "$DIR/new/other.json"
    ln -s "$DIR/elsewhere" "$DIR/new/link.json"
    run hull spec --bundle "$DIR/new" -f link.json
    exits 1
    [ ! -e "$DIR/elsewhere" ]
    run hull spec --bundle "$DIR/none"
    exits 1
    says "$DIR/none"
}

@test "features prints the specification's document" {
    run hull features
    exits 0
    jq -e '(.ociVersionMin | startswith("1.")) and (.ociVersionMax | startswith("1.")) and
        (.hooks | index("createRuntime")) and (.linux.namespaces | index("user")) and .linux.seccomp.enabled' <<<"$output"
}

@test "standard output that cannot be written is an error" {
    [ -e /dev/full ] || skip "no /dev/full"
    local command
    for command in --version --help features 'list'; do
        run sh -c "'$HULL' --root '$STATE' $command 3>&- 4>&- >/dev/full"
        exits 1
        says 'standard output'
    done
}

@test "closed standard descriptors are not taken for the container's" {
    script 'ls -l /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 >/fds 2>&1'
    hull run --bundle "$BUNDLE" "$ID" <&- >&- 2>&-
    [ "$(grep -c '/dev/null' "$BUNDLE/rootfs/fds")" -ge 1 ]
    ! grep -q -e state -e config.json -e hull "$BUNDLE/rootfs/fds"
}

@test "the state directory: --root, relative too; rootless from XDG_RUNTIME_DIR, else one of the user's own" {
    cargo sleep 1000
    (cd "$DIR" && "$HULL" --root state run --bundle bundle --detach "$ID" </dev/null >/dev/null 2>&1 3>&- 4>&-)
    [ "$(status_of)" = running ]
    need_unprivileged_user
    local uid
    uid=$(id -u "$UNPRIVILEGED")
    mkdir "$DIR/xdg"
    chown "$UNPRIVILEGED" "$DIR/xdg"
    cp "$HULL" "$DIR/hull"
    chmod 755 "$DIR/hull"
    run as_user "$DIR/hull" list -q
    exits 0
    rm -rf "/tmp/hull-$uid"
    ln -s /root "/tmp/hull-$uid"
    run as_user "$DIR/hull" list -q
    rm "/tmp/hull-$uid"
    exits 1
    says "/tmp/hull-$uid must be a directory that belongs to user $uid"
    run as_user env XDG_RUNTIME_DIR="$DIR/xdg" "$DIR/hull" list -q
    exits 0
    [ ! -e "/tmp/hull-$uid" ]
}
