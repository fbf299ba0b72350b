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
