#!/usr/bin/env bats
# shellcheck disable=SC2016 # scripts for the shell inside
# run --image in user namespaces of root's: one unpacked layer, shown to each container with the ids that it has.

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

# with_subids LINE COMMAND...: where /etc/subuid and /etc/subgid have this line alone.
with_subids()
{
    echo "$1" >"$DIR/subids"
    shift
    HULL=$HULL unshare --mount --propagation private sh -c \
        'mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid && shift && exec "$@"' - "$DIR/subids" "$@" 3>&- 4>&-
}

# The same as bats' run would, for hull run --image box.
run_auto()
{
    run with_subids containers:1000000:10000 "$HULL" --root "$STATE" run --image box "$@" </dev/null
}

owner()
{
    stat -c %u:%g "$1"
}

@test "--uidmap: owners are right inside, what it writes is the mapped root's outside, the layer stays as it was" {
    local tree
    tree=$(echo "$DIR"/store/layers/*/tree)
    chown 7:8 "$tree/etc/group"
    run_image --name mapped --uidmap 0:200000:65536 sh -c 'id -u; stat -c %u:%g / /etc/passwd /etc/group /etc/hosts /etc/hostname
        touch /new; chown 5:6 /new; stat -c %u:%g /new; echo x >>/etc/group; stat -c %u:%g /etc/group; cat /proc/self/uid_map'
    exits 0
    [ "${lines[0]}" = 0 ]
    [ "${lines[*]:1:8}" = "0:0 0:0 7:8 0:0 0:0 5:6 7:8          0     200000      65536" ]
    [ "$(owner "$DIR/store/containers/mapped/upper")" = 200000:200000 ]
    [ "$(owner "$DIR/store/containers/mapped/upper/new")" = 200005:200006 ]
    [ "$(owner "$DIR/store/containers/mapped/upper/etc/group")" = 200007:200008 ]
    [ "$(owner "$tree/etc/group")" = 7:8 ]
    [ "$(owner "$tree/etc/passwd")" = 0:0 ]
}

@test "several mappings of one layer at once, and none; nothing is mounted on the host" {
    local i
    for i in 1 2 3; do
        hull run -d --name "c$i" --uidmap "0:${i}00000:1000" --gidmap "0:${i}50000:1000" --image box sleep 100 </dev/null
    done
    hull run -d --name c0 --image box sleep 100 </dev/null
    run grep -F "$DIR/" /proc/self/mountinfo
    exits 1
    for i in 1 2 3; do
        run hull exec "c$i" sh -c 'stat -c %u:%g /etc/passwd; echo "$1" >/mine; cat /mine' - "$i"
        exits 0
        output_is $'0:0\n'"$i"
        [ "$(owner "$DIR/store/containers/c$i/upper/mine")" = "${i}00000:${i}50000" ]
        [ "$(awk '/^Uid/ { print $2 }' "/proc/$(pid_of "c$i")/status")" = "${i}00000" ]
    done
    run hull exec c0 cat /mine
    exits 1
}

@test "diff and the image made of it have the container's ids; a program's capabilities hold" {
    run_image --name source --uidmap 0:200000:65536 sh -c 'echo x >/mine; chown 5:6 /mine; rm /etc/group; mkdir /d; chmod 2751 /d'
    exits 0
    run hull diff source
    output_is $'A /d\nC /etc\nD /etc/group\nA /etc/hostname\nA /etc/hosts\nA /mine'
    hull diff --quiet source made >/dev/null
    run hull run --rm --image made sh -c 'stat -c %u:%g:%a /mine /d; ls /etc/group' </dev/null
    exits 1
    says 5:6:644
    says 0:0:2751
    run hull run --rm --uidmap 0:300000:1000 --image made stat -c %u:%g /mine </dev/null
    output_is 5:6
    hull rmi made
}

@test "a program with file capabilities has them in the user namespace, and a set-user-id one its user" {
    need_tool setcap
    local tree
    tree=$(echo "$DIR"/store/layers/*/tree)
    mkdir "$tree/capable" "$tree/other"
    cp /bin/busybox "$tree/capable/grep"
    setcap cap_kill+ep "$tree/capable/grep"
    run_image --rm --uidmap 0:200000:65536 -u user sh -c '/capable/grep CapEff /proc/self/status | cut -f2'
    exits 0
    output_is 0000000000000020
    cp /bin/busybox "$tree/other/id"
    chown 3:3 "$tree/other/id"
    chmod 4755 "$tree/other/id"
    run_image --rm --uidmap 0:200000:65536 /other/id -u
    output_is 3
}

@test "auto: ids of the user containers, as many as the image has or size says, none twice" {
    run_auto --name one --userns auto cat /proc/self/uid_map
    output_is "$(printf '%10d %10d %10d' 0 1000000 1024)"
    run_auto --name two --userns auto:size=2000 cat /proc/self/gid_map
    output_is "$(printf '%10d %10d %10d' 0 1001024 2000)"
    put_image big
    echo 'high:x:5000:7000:::' >>"$(hull inspect big | jq -r '.[0].Directories[0]')/etc/passwd"
    run with_subids containers:1000000:10000 "$HULL" --root "$STATE" run --rm --image big --userns auto -u 6000 cat /proc/self/uid_map </dev/null
    output_is "$(printf '%10d %10d %10d' 0 1003024 6001)"
}

@test "auto: ranges do not overlap, however many processes ask at once; removed containers give theirs back" {
    with_subids containers:1000000:16000 bash -c '
        for i in 1 2 3 4 5 6 7 8 9 10; do
            "$HULL" --root "$1" run --name "a$i" --userns auto:size=1500 --image box cat /proc/self/uid_map </dev/null &
        done
        wait' - "$STATE" >"$DIR/maps"
    [ "$(wc -l <"$DIR/maps")" = 10 ]
    [ "$(sort -u "$DIR/maps" | awk '{ print $2 }' | sort -n | awk 'NR > 1 && $1 < last + 1500 { print "overlap" } { last = $1 }')" = "" ]
    [ "$(awk '{ print $2 }' "$DIR/maps" | sort -un | wc -l)" = 10 ]
    run with_subids containers:1000000:16000 "$HULL" --root "$STATE" run --userns auto:size=1500 --image box true </dev/null
    exits 125
    says "no 1500 ids in a row are free"
    hull rm a3
    run with_subids containers:1000000:16000 "$HULL" --root "$STATE" run --userns auto:size=1500 --image box true </dev/null
    exits 0
}

@test "auto without ids to take: what to add where" {
    run with_subids other:1000000:10000 "$HULL" --root "$STATE" run --userns auto --image box true </dev/null
    exits 125
    says "add to /etc/subuid a line"
    [ -z "$(containers_left)" ]
}

@test "--subuidname: all that the files give a name" {
    run with_subids $'me:500000:10\nyou:1:2\nme:700000:20' "$HULL" --root "$STATE" run --subuidname me --rm --image box sh -c 'tr -s " " </proc/self/uid_map; stat -c %u:%g /etc/passwd' </dev/null
    exits 0
    output_is $' 0 500000 10\n 10 700000 20\n0:0'
    run_image --subuidname nobody-here --rm true
    exits 125
    says "gives nobody-here no ids"
}

@test "container:ID and ns:PATH: the namespace of another, and its ids" {
    hull run -d --name other --uidmap 0:200000:65536 --image box sleep 100 </dev/null
    run_image --name joined --userns container:other sh -c 'readlink /proc/self/ns/user; stat -c %u:%g /etc/passwd; touch /f'
    exits 0
    output_is "$(readlink "/proc/$(pid_of other)/ns/user")"$'\n0:0'
    [ "$(owner "$DIR/store/containers/joined/upper/f")" = 200000:200000 ]
    run_image --rm --userns "ns:/proc/$(pid_of other)/ns/user" stat -c %u:%g /etc/passwd
    output_is 0:0
    run_image --rm --userns container:nobody true
    exits 125
    says "does not exist"
}

@test "options that contradict each other, or cannot be" {
    run_image --rm --userns auto --uidmap 0:1:2 true
    exits 125
    says "the ids are said twice"
    run_image --rm --uidmap 0:1:x true
    exits 125
    says "--uidmap 0:1:x"
    run_image --rm --userns keep-id true
    exits 125
    says "for users without root"
    run_image --rm --userns nonsense true
    exits 125
    says "--userns must be host"
    run_image --rm --uidmap 0:200000:10 -u 4242 true
    exits 125
    [ -z "$(containers_left)" ]
}

@test "devices, the terminal's group, a network of its own, limits and --read-only in a user namespace" {
    run_image --rm --uidmap 0:200000:65536 --read-only --memory 64m --tmpfs /tmp -t sh -c 'echo x >/dev/null && stat -c %g /dev/pts/0; touch /tmp/a; touch /b; hostname new; ls /sys/class/net'
    says 5
    says "/b: Read-only file system"
    says lo
}

@test "without root --userns=keep-id: the user is himself inside, the image's files are root's; layers are copied once" {
    need_unprivileged_user
    local own tree
    own=$(id -u "$UNPRIVILEGED")
    mkdir "$DIR/user"
    cp -a "$(rootfs_template)" "$DIR/rootfs"
    mkdir "$DIR/rootfs/d"
    echo x >"$DIR/rootfs/d/file"
    ln "$DIR/rootfs/d/file" "$DIR/rootfs/d/link"
    chown 5:6 "$DIR/rootfs/d/file"
    cp /bin/busybox "$DIR/rootfs/d/grep"
    setcap cap_kill+ep "$DIR/rootfs/d/grep"
    tar -C "$DIR/rootfs" --xattrs --xattrs-include='*' -cf "$DIR/user/box.tar" .
    mkdir "$DIR/user/host"
    chown -R "$UNPRIVILEGED:" "$DIR/user"
    user()
    {
        as_user HULL_STORE="$DIR/user/store" XDG_RUNTIME_DIR="$DIR/user" timeout 60 "$HULL" "$@" </dev/null
    }
    user import --quiet "$DIR/user/box.tar" box
    run user run --name kept --userns keep-id -v "$DIR/user/host:/host" -v data:/d2 --image box sh -c 'id -u; stat -c %u:%g / /bin/sh /d/file /host /d2
        stat -c %h /d/file; touch /host/mine; touch /root/x; grep CapEff /proc/self/status | cut -f2'
    exits 0
    [ "${lines[0]}" = "$own" ]
    says $'0:0\n0:0\n5:6\n'"$own:"
    says "/root/x: Permission denied"
    [ "$(stat -c %u "$DIR/user/host/mine")" = "$own" ]
    [ "$(find "$DIR/user/store/layers" -mindepth 1 -maxdepth 1 -name "*.keep-$own-*" | wc -l)" = 1 ]
    run user run --rm --userns keep-id -u 0 --image box sh -c 'id -u; touch /root/x; chown 7:8 /root/x; stat -c %u:%g /root/x /root; /d/grep CapPrm /proc/self/status | wc -l'
    exits 0
    output_is $'0\n7:8\n0:0\n1'
    run user run --rm --userns keep-id:uid=5,gid=6 --image box sh -c 'id -u; id -g; echo y >/d/file; cat /d/link; /d/grep CapEff /proc/self/status | cut -f2'
    exits 0
    output_is $'5\n6\nx\n0000000000000020'
    run user start --attach kept
    exits 0
    user run --name source --userns keep-id -u 0 --image box sh -c 'echo new >/new; chown 7:8 /new; echo u >/u; chown 5:5 /u'
    user diff --quiet source made
    run user run --rm --image made stat -c %u:%g /new /u /d/file
    output_is $'7:8\n5:5\n5:6'
    run user run --rm --userns keep-id:uid=99999999 --image box true
    exits 125
    says "is beyond the ids"
    run user run --rm --userns auto --image box true
    exits 125
    says "only root may show them"
    user rm --all
    user volume rm data
    user prune --all >/dev/null
    [ -z "$(ls -A "$DIR/user/store/layers")" ]
}
