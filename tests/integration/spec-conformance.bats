#!/usr/bin/env bats
# What runtime-spec says in words that no other file has a place for, in the manner of runtime-tools' validation.

load helpers

@test "a missing cwd is made in a root that is to be read-only" {
    config '.root.readonly = true | .process.cwd = "/srv/work" | .process.args = ["pwd"]'
    run_container
    exits 0
    output_is /srv/work
}

@test "a missing cwd that leads out of the root by a symlink is made inside" {
    ln -s /../../../../tmp/outside "$BUNDLE/rootfs/srv"
    config '.root.readonly = true | .process.cwd = "/srv/work" | .process.args = ["pwd"]'
    run_container
    [ ! -e /tmp/outside ]
}

@test "exec --cap warns of a capability that does not exist, and goes on" {
    cargo sleep 100
    start_detached
    run hull exec --cap CAP_NO_SUCH --cap CAP_KILL "$ID" echo done </dev/null
    exits 0
    says CAP_NO_SUCH
    says done
}

# hook NAME [ENV]: one that writes where it runs and what is in its environment.
hook()
{
    jq -n --arg script "pwd >$DIR/$1.pwd; env >$DIR/$1.env" --argjson env "${2:-null}" \
        '[{path: "/bin/sh", args: ["sh", "-c", $script]} + (if $env then {env: $env} else {} end)]'
}

@test "hooks of the host run in the bundle with the caller's environment, unless they bring their own" {
    need_root
    config --argjson first "$(hook prestart)" --argjson second "$(hook createRuntime '["ONLY=this"]')" \
        --argjson last "$(hook poststop)" '.hooks = {prestart: $first, createRuntime: $second, poststop: $last}'
    cargo true
    OF_THE_HOST=yes run_container
    exits 0
    [ "$(cat "$DIR/prestart.pwd" "$DIR/createRuntime.pwd" "$DIR/poststop.pwd" | sort -u)" = "$BUNDLE" ]
    grep -q OF_THE_HOST=yes "$DIR/prestart.env"
    grep -q OF_THE_HOST=yes "$DIR/poststop.env"
    grep -q ONLY=this "$DIR/createRuntime.env"
    ! grep -q OF_THE_HOST "$DIR/createRuntime.env"
}

@test "a createContainer hook runs in the root file system, without the host's environment" {
    need_root
    config --argjson hook "$(hook createContainer)" '.hooks = {createContainer: $hook} | .process.env += ["OF_THE_CONTAINER=yes"]'
    cargo true
    OF_THE_HOST=yes run_container
    exits 0
    [ "$(cat "$DIR/createContainer.pwd")" = "$BUNDLE/rootfs" ]
    grep -q OF_THE_CONTAINER=yes "$DIR/createContainer.env"
    ! grep -q OF_THE_HOST "$DIR/createContainer.env"
}

@test "annotation run.oci.keep_original_groups: the process stays in the caller's groups" {
    need_root
    config '.annotations = {"run.oci.keep_original_groups": "1"} | .process.user.additionalGids = [77] | .process.args = ["sleep", "100"]'
    setpriv --groups 5,6 "$HULL" --root "$STATE" run --detach --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>"$DIR/stderr" 3>&- 4>&-
    grep -q additionalGids "$DIR/stderr"
    run hull exec "$ID" id -G </dev/null
    says_not 77
    grep -q '^Groups:.*5 6' "/proc/$(pid_of)/status"
    run hull features
    says run.oci.keep_original_groups
}

@test "consoleSize stays when the caller's terminal knows no size of its own" {
    config '.process.terminal = true | .process.consoleSize = {height: 25, width: 90}'
    cargo stty size
    run timeout 20 "$TESTS/integration/terminal.py" run -s 0x0 -- "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    exits 0
    says "25 90"
}
