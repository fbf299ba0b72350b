#!/usr/bin/env bats
# Everything as an ordinary user: with subordinate ids, and with the single id that everybody has.

load helpers

setup()
{
    need_unprivileged_user
    DIR=$(mktemp -d /tmp/hull-test.XXXXXX)
    chmod 755 "$DIR"
    BUNDLE=$DIR/bundle
    STATE=$DIR/state
    ID=t${DIR##*.}
    # The user may not reach into root's build directory.
    install -m 755 "$HULL" "$DIR/hull"
    HULL=$DIR/hull
    make_bundle "$BUNDLE" --rootless
    # As `hull spec --rootless` writes it for this user, not for root.
    config --argjson uid "$(id -u $UNPRIVILEGED)" --argjson gid "$(id -g $UNPRIVILEGED)" '
        .linux.uidMappings[0].hostID = $uid | .linux.gidMappings[0].hostID = $gid'
    chown -hR "$UNPRIVILEGED:$UNPRIVILEGED" "$BUNDLE" "$DIR"
}

hull()
{
    as_user "$HULL" --root "$STATE" "$@"
}

with_ranges()
{
    config --argjson uid "$(id -u $UNPRIVILEGED)" --argjson gid "$(id -g $UNPRIVILEGED)" '
        .linux.uidMappings = [{containerID: 0, hostID: $uid, size: 1}, {containerID: 1, hostID: 700000, size: 65536}]
        | .linux.gidMappings = [{containerID: 0, hostID: $gid, size: 1}, {containerID: 1, hostID: 700000, size: 65536}]'
}

@test "run with a single id: root inside, the user outside" {
    script 'id -u; touch /tmp/made; echo $$'
    run_container
    exits 0
    output_is $'0\n1'
    [ "$(stat -c %U "$BUNDLE/rootfs/tmp/made")" = "$UNPRIVILEGED" ]
}

@test "run with ranges through newuidmap and newgidmap" {
    with_ranges
    config '.process.capabilities |= with_entries(.value += ["CAP_CHOWN"])'
    script 'cat /proc/self/uid_map | tr -s " "; chown 5:6 /tmp; stat -c %u:%g /tmp'
    run_container
    exits 0
    says "1 700000 65536"
    says 5:6
    [ "$(stat -c %u:%g "$BUNDLE/rootfs/tmp")" = 700004:700005 ]
}

@test "create, start, exec, kill, delete" {
    cargo sleep 1000
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    hull start "$ID"
    [ "$(status_of)" = running ]
    run hull exec "$ID" sh -c 'id -u; exit 3' </dev/null
    exits 3
    output_is 0
    hull kill "$ID" KILL
    wait_for has_status stopped
    hull delete "$ID"
}

@test "another user in a container with ranges" {
    with_ranges
    config '.process.user = {uid: 1000, gid: 1000}'
    script 'id -u; id -g'
    run_container
    exits 0
    output_is $'1000\n1000'
}

@test "a range that is not the user's is refused and nothing is left" {
    config '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 1}]'
    cargo echo ran
    run_container
    [ "$status" != 0 ]
    says_not $'ran\n'
}

@test "the state directory is \$XDG_RUNTIME_DIR/hull by default" {
    cargo sleep 1000
    mkdir "$DIR/run"
    chown "$UNPRIVILEGED" "$DIR/run"
    as_user XDG_RUNTIME_DIR="$DIR/run" "$HULL" run --bundle "$BUNDLE" --detach "$ID" </dev/null >/dev/null 2>&1
    [ -d "$DIR/run/hull/$ID" ]
    as_user XDG_RUNTIME_DIR="$DIR/run" "$HULL" delete --force "$ID"
    [ ! -d "$DIR/run/hull/$ID" ]
}

@test "root's containers are out of reach, and what the user may not do is refused" {
    cargo true
    mkdir -m 700 "$DIR/of-root"
    chown root:root "$DIR/of-root"
    config --arg s "$DIR/of-root" '.mounts += [{destination: "/x", source: ($s + "/y"), options: ["bind"]}]'
    run_container
    [ "$status" != 0 ]
    says "$DIR/of-root"
}

@test "a terminal works for the user" {
    config '.process.terminal = true | .process.env += ["PS1=# "]'
    run timeout 30 setpriv --reuid "$UNPRIVILEGED" --regid "$UNPRIVILEGED" --clear-groups env -i PATH="$PATH" \
        "$TESTS/integration/terminal.py" run -i 'tty' -i 'exit 5' -- "$HULL" --root "$STATE" run --bundle "$BUNDLE" "$ID"
    exits 5
    says /dev/pts/0
}
