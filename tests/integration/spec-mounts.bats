#!/usr/bin/env bats
# runtime-spec, "Mounts" and "Rootfs Mount Propagation": what /proc/self/mountinfo says inside.

load helpers

# mount_line DESTINATION: its last line of the container's mountinfo, from $output.
mount_line()
{
    awk -v dest="$1" '$5 == dest { line = $0 } END { print line }' <<<"$output"
}

bind_with() # OPTION...
{
    mkdir -p "$DIR/source"
    config --arg source "$DIR/source" '.mounts += [{destination: "/bound", type: "bind", source: $source,
        options: (["rbind"] + $ARGS.positional)}] | .process.args = ["cat", "/proc/self/mountinfo"]' --args -- "$@"
}

@test "recursive access time options also fit a mount without mounts below it" {
    need_root
    local option
    for option in rnoatime rstrictatime rrelatime; do
        mkdir -p "$DIR/source"
        config --arg source "$DIR/source" --arg option "$option" '.mounts = [.mounts[] | select(.destination != "/bound")]
            + [{destination: "/bound", type: "bind", source: $source, options: ["bind", $option]}]
            | .process.args = ["cat", "/proc/self/mountinfo"]'
        run_container
        exits 0
        case $option in
        rnoatime) [[ $(mount_line /bound) == *noatime* ]] ;;
        rstrictatime) [[ $(mount_line /bound) != *atime* ]] ;;
        rrelatime) [[ $(mount_line /bound) == *relatime* ]] ;;
        esac
    done
}

@test "a mount's own propagation outlives a recursive rootfsPropagation" {
    need_root
    local root
    for root in rprivate rslave private; do
        config '.mounts = [.mounts[] | select(.destination != "/bound")]'
        bind_with rshared
        config --arg root "$root" '.linux.rootfsPropagation = $root'
        run_container
        exits 0
        [[ $(mount_line /bound) == *shared:* ]]
        [[ $(mount_line /) != *shared:* ]]
    done
}

@test "rootfsPropagation shared is the root's alone: a private mount in it stays private" {
    need_root
    bind_with private
    config '.linux.rootfsPropagation = "rshared"'
    run_container
    exits 0
    [[ $(mount_line /) == *shared:* ]]
    [[ $(mount_line /bound) != *shared:* ]]
}

@test "a bind over / is the container's root" {
    need_root
    cp -a "$BUNDLE/rootfs" "$DIR/other"
    echo other >"$DIR/other/etc/which"
    config --arg source "$DIR/other" '.mounts = [{destination: "/", type: "bind", source: $source, options: ["bind", "rshared"]}] + .mounts'
    script 'cat /etc/which; touch /written; cat /proc/self/mountinfo'
    for flag in --no-new-keyring --no-pivot; do
        run_container $flag
        exits 0
        [ "${lines[0]}" = other ]
        [ -e "$DIR/other/written" ]
        [ ! -e "$BUNDLE/rootfs/written" ]
        [[ $(mount_line /) != *shared:* ]]
    done
}

@test "a tmpfs over / with tmpcopyup is a copy of the image" {
    need_root
    config '.mounts = [{destination: "/", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "mode=755"]}] + .mounts'
    script 'touch /written; cat /proc/self/mountinfo'
    run_container
    exits 0
    [[ $(mount_line /) == *"- tmpfs "* ]]
    [ ! -e "$BUNDLE/rootfs/written" ]
}

@test "proc cannot be the container's root" {
    config '.mounts = [{destination: "/", type: "proc", source: "proc"}] + .mounts'
    run_container
    exits 1
    says "cannot be the container's root"
}

@test "a file bound onto a directory is refused with words that help" {
    need_root
    config '.mounts += [{destination: "/tmp", type: "bind", source: "/etc/passwd", options: ["bind"]}]'
    run_container
    exits 1
    says "mount a directory onto a file"
}
