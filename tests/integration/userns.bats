#!/usr/bin/env bats
# User namespaces made by root: maps, ownership, devices by bind, what a mapped root may and may not.

load helpers

map_user_namespace()
{
    config '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}, {containerID: 1000, hostID: 300000, size: 10}]
        | .linux.gidMappings = [{containerID: 0, hostID: 200000, size: 2000}]'
    chown -hR 100000:200000 "$BUNDLE/rootfs"
}

@test "several id maps, as the kernel has them" {
    map_user_namespace
    script 'cat /proc/self/uid_map /proc/self/gid_map | tr -s " "'
    run_container
    exits 0
    output_is " 0 100000 1000
 1000 300000 10
 0 200000 2000"
}

@test "root inside is an ordinary user outside; exec too" {
    map_user_namespace
    cargo sleep 1000
    start_detached
    [ "$(stat -c %u:%g "/proc/$(pid_of)")" = 100000:200000 ]
    run hull exec "$ID" sh -c 'id -u; touch /tmp/made; stat -c %u:%g /tmp/made' </dev/null
    exits 0
    output_is $'0\n0:0'
    [ "$(stat -c %u:%g "$BUNDLE/rootfs/tmp/made")" = 100000:200000 ]
    run hull exec --user 1000:1000 "$ID" sh -c 'id -u; touch /tmp/user' </dev/null
    exits 0
    [ "$(stat -c %u "$BUNDLE/rootfs/tmp/user")" = 300000 ]
}

@test "the usual mounts and devices work" {
    map_user_namespace
    script 'echo x >/dev/null && head -c 2 /dev/zero | od -An -tx1; ls /proc/self/status /sys/kernel /dev/shm /dev/pts >/dev/null && echo good'
    run_container
    exits 0
    says "00 00"
    says good
}

@test "a source that only root may reach is bound all the same (sources below 0750 directories)" {
    map_user_namespace
    mkdir -p "$DIR/closed/in"
    echo data >"$DIR/closed/in/file"
    chmod 700 "$DIR/closed"
    config --arg s "$DIR/closed/in" '.mounts += [{destination: "/in", source: $s, options: ["rbind"]}]'
    cargo cat /in/file
    run_container
    exits 0
    output_is data
}

@test "an idmapped mount maps the volume's owners into the namespace" {
    map_user_namespace
    mkdir "$DIR/volume"
    touch "$DIR/volume/root"
    config --arg s "$DIR/volume" '.mounts += [{destination: "/volume", source: $s, options: ["rbind", "ridmap"]}]'
    script 'stat -c %u:%g /volume/root; touch /volume/new'
    run_container
    if [ "$status" != 0 ] && [[ $output == *"nvalid argument"* ]]; then skip "this file system has no idmapped mounts"; fi
    exits 0
    output_is 0:0
    [ "$(stat -c %u:%g "$DIR/volume/new")" = 0:0 ]
}

@test "an id that is not mapped is refused with its place" {
    map_user_namespace
    config '.process.user.uid = 5000'
    cargo true
    run_container
    [ "$status" != 0 ]
    says "process.user.uid"
    config '.process.user.uid = 0'
    cargo sleep 1000
    start_detached
    run hull exec --user 5000 "$ID" true </dev/null
    [ "$status" != 0 ]
}

@test "a user namespace joined by path" {
    unshare --user --map-root-user sleep 1000 3>&- 4>&- &
    local holder=$!
    sleep 0.3
    config --arg p "/proc/$holder/ns/user" '.linux.namespaces += [{type: "user", path: $p}]'
    script 'readlink /proc/self/ns/user; id -u'
    run_container
    local expected
    expected=$(readlink /proc/$holder/ns/user)
    kill $holder
    wait $holder || true
    exits 0
    says "$expected
0"
}
