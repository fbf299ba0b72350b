#!/usr/bin/env bats
# Hull for a user who is not root: ids mapped by newuidmap with the user's range of /etc/subuid, or one id alone.
# Everything here runs as that user, state directory included.

load helpers
eval "usual_$(declare -f setup)"

setup()
{
    need_unprivileged_user
    usual_setup
    chown "$UNPRIVILEGED:" "$DIR"
    export ID_OF_USER ID_OF_GROUP
    ID_OF_USER=$(id -u "$UNPRIVILEGED")
    ID_OF_GROUP=$(id -g "$UNPRIVILEGED")
    FIRST=$(sed -n "s/^$UNPRIVILEGED:\([0-9]*\):.*/\1/p" /etc/subuid | head -1)
    FIRST_GID=$(sed -n "s/^$UNPRIVILEGED:\([0-9]*\):.*/\1/p" /etc/subgid | head -1)
    rm "$BUNDLE/config.json"
    chown -R "$UNPRIVILEGED:" "$BUNDLE"
    hull_alone spec --rootless --bundle "$BUNDLE" # with the user's ids
    config '.process.terminal = false | .root.readonly = false'
}

hull_alone()
{
    as_user XDG_RUNTIME_DIR="$DIR" timeout 20 "$HULL" "$@"
}

hull()
{
    hull_alone --root "$STATE" "$@"
}

# The whole range: root is the user, 1 and up are the subordinate ids.
map_range()
{
    config --argjson u "$ID_OF_USER" --argjson g "$ID_OF_GROUP" --argjson fu "$FIRST" --argjson fg "$FIRST_GID" '
        .linux.uidMappings = [{"containerID": 0, "hostID": $u, "size": 1}, {"containerID": 1, "hostID": $fu, "size": 65535}] |
        .linux.gidMappings = [{"containerID": 0, "hostID": $g, "size": 1}, {"containerID": 1, "hostID": $fg, "size": 65535}] |
        .process.capabilities |= map_values(. + ["CAP_CHOWN"])'
}

@test "spec --rootless maps the user's own id to root" {
    run jq -c '[.linux.uidMappings[0].hostID, .linux.gidMappings[0].hostID]' "$BUNDLE/config.json"
    output_is "[$ID_OF_USER,$ID_OF_GROUP]"
}

@test "run: root inside, the user outside" {
    script 'id -u; id -g; echo mine >/tmp/file; awk "{print \$2}" /proc/self/uid_map; exit 3'
    run_container
    exits 3
    output_is $'0\n0\n'"$ID_OF_USER"
    [ "$(stat -c %u "$BUNDLE/rootfs/tmp/file")" = "$ID_OF_USER" ]
    [ ! -e "$STATE/$ID" ]
}

@test "create, start, state, exec, ps, kill, delete" {
    cargo sleep 1000
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>"$DIR/stderr"
    [ "$(status_of)" = created ]
    hull start "$ID"
    [ "$(status_of)" = running ]
    run hull exec "$ID" sh -c 'id -u; readlink /proc/self/ns/user; exit 4' </dev/null
    exits 4
    [ "${lines[0]}" = 0 ]
    [ "${lines[1]}" = "$(readlink "/proc/$(pid_of)/ns/user")" ]
    run hull ps --format json "$ID"
    [ "$(jq length <<<"$output")" = 1 ]
    run hull list --quiet
    output_is "$ID"
    hull kill "$ID" KILL
    wait_for has_status stopped
    hull delete "$ID"
    [ ! -e "$STATE/$ID" ]
}

@test "a terminal through run and exec" {
    config '.process.terminal = true'
    script 'tty; stty size; exit 5'
    run command script -qec "stty rows 33 cols 77; setpriv --reuid $UNPRIVILEGED --regid $UNPRIVILEGED --clear-groups \
        timeout --foreground 20 $HULL --root $STATE run --bundle $BUNDLE $ID" /dev/null </dev/null
    exits 5
    says /dev/pts/0
    says "33 77"
    config '.process.terminal = false'
    cargo sleep 1000
    start_detached
    run command script -qec "setpriv --reuid $UNPRIVILEGED --regid $UNPRIVILEGED --clear-groups \
        timeout --foreground 20 $HULL --root $STATE exec --tty $ID tty" /dev/null </dev/null
    exits 0
    says /dev/pts/
}

@test "several ranges by newuidmap: other users inside" {
    map_range
    script 'wc -l </proc/self/uid_map; id -u; touch /tmp/file; chown 1000:1000 /tmp/file; stat -c %u /tmp/file'
    run_container
    exits 0
    output_is $'2\n0\n1000'
    [ "$(stat -c %u "$BUNDLE/rootfs/tmp/file")" = $((FIRST + 999)) ]
    config '.process.user = {"uid": 1000, "gid": 1000, "additionalGids": [5, 6]}'
    script 'id -u; id -g; id -G'
    run_container
    exits 0
    output_is $'1000\n1000\n1000 5 6'
}

@test "exec as another user of the range" {
    map_range
    cargo sleep 1000
    start_detached
    run hull exec --user 1000:1000 "$ID" sh -c 'id -u; id -g' </dev/null
    exits 0
    output_is $'1000\n1000'
}

@test "ids outside of the user's range are refused, with the line that would allow them" {
    config '.linux.uidMappings = [{"containerID": 0, "hostID": 1, "size": 10}]'
    run_container
    exits 1
    says /etc/subuid
    says "add the line"
    [ ! -e "$STATE/$ID" ]
}

@test "one id alone: setgroups is denied, and other ids are refused by their path in config.json" {
    script 'cat /proc/self/setgroups'
    run_container
    exits 0
    output_is deny
    config '.process.user = {"uid": 1000, "gid": 0}'
    cargo true
    run_container
    exits 1
    says process.user
    [ ! -e "$STATE/$ID" ]
}

@test "without a user namespace the refusal says what is needed" {
    config '.linux.namespaces |= map(select(.type != "user")) | del(.linux.uidMappings, .linux.gidMappings)'
    run_container
    exits 1
    says "user namespace"
    [ ! -e "$STATE/$ID" ]
}

@test "the default state directory is the user's runtime directory" {
    cargo sleep 1000
    as_user XDG_RUNTIME_DIR="$DIR" timeout 20 "$HULL" run --detach --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    [ -e "$DIR/hull/$ID/state.json" ]
    as_user XDG_RUNTIME_DIR="$DIR" timeout 20 "$HULL" delete --force "$ID"
    [ ! -e "$DIR/hull/$ID" ]
}

@test "volumes, tmpfs, a read-only root" {
    mkdir "$DIR/volume"
    chown "$UNPRIVILEGED:" "$DIR/volume"
    config --arg v "$DIR/volume" '.root.readonly = true | .mounts += [
        {"destination": "/volume", "type": "bind", "source": $v, "options": ["rbind", "rw"]},
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}]'
    mkdir "$BUNDLE/rootfs/volume" "$BUNDLE/rootfs/scratch"
    script 'echo written >/volume/file; touch /scratch/file && echo ok; touch /file'
    run_container
    exits 1
    says ok
    says "Read-only file system"
    [ "$(cat "$DIR/volume/file")" = written ]
}
