#!/usr/bin/env bats
# Mounts, devices, masks and the root: each kind that the specification knows, as the container sees it.

load helpers

mount_entry()
{
    config --argjson mount "$1" '.mounts += [$mount]'
}

# The options of a mount point as the kernel tells them: per mount, then per super block.
OPTIONS="opts() { awk -v m=\$1 '\$5 == m { o = \$6 \" \" \$NF } END { print o }' /proc/self/mountinfo; }"

@test "proc, sysfs, tmpfs, devpts, mqueue: the usual mounts and their flags" {
    script "$OPTIONS"'; for m in /proc /sys /dev /dev/pts /dev/shm /dev/mqueue; do echo "$m $(opts $m)"; done'
    run_container
    exits 0
    echo "$output"
    grep -qE '^/proc rw' <<<"$output"
    grep -qE '^/sys ro,nosuid,nodev,noexec' <<<"$output"
    grep -qE '^/dev rw,nosuid .*mode=755' <<<"$output"
    grep -qE '^/dev/pts rw,nosuid,noexec.*ptmxmode=666' <<<"$output"
    grep -qE '^/dev/shm rw,nosuid,nodev,noexec' <<<"$output"
    grep -qE '^/dev/mqueue rw,nosuid,nodev,noexec' <<<"$output"
}

@test "bind mounts of a directory and a file; missing targets are made" {
    mkdir "$DIR/data"
    echo content >"$DIR/data/file"
    mount_entry "{\"destination\": \"/new/dir\", \"type\": \"bind\", \"source\": \"$DIR/data\", \"options\": [\"bind\"]}"
    mount_entry "{\"destination\": \"/new/f\", \"source\": \"$DIR/data/file\", \"options\": [\"bind\", \"ro\"]}"
    script 'cat /new/dir/file /new/f; echo more >>/new/dir/file; echo no >>/new/f'
    run_container
    exits 1
    says $'content\ncontent'
    says "Read-only file system"
    [ "$(cat "$DIR/data/file")" = $'content\nmore' ]
}

@test "a relative source of a bind mount is below the bundle" {
    mkdir "$BUNDLE/data"
    echo here >"$BUNDLE/data/file"
    mount_entry '{"destination": "/data", "type": "bind", "source": "data", "options": ["bind"]}'
    cargo cat /data/file
    run_container
    exits 0
    output_is here
}

@test "bind with flags: ro, nosuid, nodev, noexec, relatime" {
    mkdir "$DIR/data"
    cp /bin/busybox "$DIR/data/"
    mount_entry "{\"destination\": \"/data\", \"source\": \"$DIR/data\", \"options\": [\"rbind\", \"ro\", \"nosuid\", \"nodev\", \"noexec\"]}"
    script "$OPTIONS"'; opts /data; /data/busybox true'
    run_container
    exits 126
    says "ro,nosuid,nodev,noexec"
}

@test "a mount inside a read-only bind: its mount point is made there, and then it is read-only" {
    mkdir "$DIR/source"
    echo secret >"$DIR/file"
    config --arg s "$DIR" '.mounts += [{destination: "/run/secrets", type: "bind", source: ($s + "/source"), options: ["bind", "ro"]},
        {destination: "/run/secrets/one", type: "bind", source: ($s + "/file"), options: ["bind", "ro"]},
        {destination: "/run/secrets/a/two", type: "tmpfs", source: "tmpfs"}]'
    script 'cat /run/secrets/one; touch /run/secrets/a/two/x && echo written; touch /run/secrets/x; touch /run/secrets/one'
    run_container
    exits 1
    says secret
    says written
    says "/run/secrets/x: Read-only file system"
    says "/run/secrets/one: Read-only file system"
    [ -f "$DIR/source/one" ] && [ -d "$DIR/source/a/two" ]
}

@test "recursive options: rro reaches mounts below, ro does not" {
    mkdir -p "$DIR/data/sub"
    mount -t tmpfs none "$DIR/data/sub"
    mount_entry "{\"destination\": \"/a\", \"source\": \"$DIR/data\", \"options\": [\"rbind\", \"ro\"]}"
    mount_entry "{\"destination\": \"/b\", \"source\": \"$DIR/data\", \"options\": [\"rbind\", \"rro\", \"rnosuid\"]}"
    script 'touch /a/x; touch /a/sub/x && echo sub-of-a; touch /b/x || touch /b/sub/x || echo closed'
    run_container
    umount "$DIR/data/sub"
    says sub-of-a
    says closed
}

@test "tmpfs with size and mode; tmpcopyup keeps what was there" {
    mkdir "$BUNDLE/rootfs/full"
    echo kept >"$BUNDLE/rootfs/full/file"
    chmod 751 "$BUNDLE/rootfs/full"
    chown 0:8 "$BUNDLE/rootfs/full"
    mount_entry '{"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "mode=1700", "nosuid"]}'
    mount_entry '{"destination": "/full", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}'
    script "$OPTIONS"'; opts /t; stat -c %a /t; cat /full/file; stat -c %a:%u:%g /full; echo new >/full/new; grep -c " /full " /proc/self/mountinfo'
    run_container
    exits 0
    says size=64k
    says 1700
    says $'kept\n751:0:8\n1'
    config '(.mounts[] | select(.destination == "/full")).options += ["mode=1777", "uid=5"] | .process.args[2] = "stat -c %a:%u:%g /full"'
    run_container
    output_is 1777:5:8
    [ ! -e "$BUNDLE/rootfs/full/new" ]
}

@test "the read-only root is read-only, its mounts are not" {
    config '.root.readonly = true'
    script 'touch /x; touch /dev/shm/x && echo shm'
    run_container
    says "Read-only file system"
    says shm
    [ ! -e "$BUNDLE/rootfs/x" ]
}

@test "masked paths are empty, read-only paths refuse writes" {
    mkdir "$BUNDLE/rootfs/secret"
    echo s >"$BUNDLE/rootfs/secret/file"
    echo s >"$BUNDLE/rootfs/secretfile"
    mkdir "$BUNDLE/rootfs/frozen"
    config '.linux.maskedPaths += ["/secret", "/secretfile", "/not/there"] | .linux.readonlyPaths += ["/frozen", "/nor/here"]'
    script 'ls /secret; cat /secretfile; touch /frozen/x; cat /proc/kcore; echo 1 >/proc/sysrq-trigger; echo end'
    run_container
    exits 0
    grep -q 'touch: /frozen/x: Read-only' <<<"$output"
    says "Read-only file system"
    says end
    [ "$(grep -cx s <<<"$output")" = 0 ]
}

@test "default devices: kinds, numbers, modes; and the links" {
    script 'for d in null zero full random urandom tty; do stat -c "%n %F %t:%T %a" /dev/$d; done
        for l in fd stdin stdout stderr ptmx; do echo $l $(readlink /dev/$l); done; echo x >/dev/null'
    run_container
    exits 0
    output_is "/dev/null character special file 1:3 666
/dev/zero character special file 1:5 666
/dev/full character special file 1:7 666
/dev/random character special file 1:8 666
/dev/urandom character special file 1:9 666
/dev/tty character special file 5:0 666
fd /proc/self/fd
stdin /proc/self/fd/0
stdout /proc/self/fd/1
stderr /proc/self/fd/2
ptmx pts/ptmx"
}

@test "listed devices: number, mode and owner as asked for, in deep paths too" {
    config '.linux.devices = [
        {path: "/dev/my/zero", type: "c", major: 1, minor: 5, fileMode: 420, uid: 7, gid: 8},
        {path: "/dev/pipe", type: "p", fileMode: 384}, {path: "/dev/blk", type: "b", major: 7, minor: 99, fileMode: 432}]'
    script 'stat -c "%F %t:%T %a %u:%g" /dev/my/zero /dev/blk; stat -c "%F %a" /dev/pipe; head -c 3 /dev/my/zero | od -An -tx1'
    run_container
    exits 0
    says "character special file 1:5 644 7:8"
    says "block special file 7:63 660 0:0"
    says "fifo 600"
    says "00 00 00"
}

@test "propagation of a mount and of the root" {
    mkdir "$DIR/shared"
    mount -t tmpfs none "$DIR/shared"
    mount --make-shared "$DIR/shared"
    mount_entry "{\"destination\": \"/slave\", \"source\": \"$DIR/shared\", \"options\": [\"rbind\", \"rslave\"]}"
    mount_entry "{\"destination\": \"/private\", \"source\": \"$DIR/shared\", \"options\": [\"rbind\", \"rprivate\"]}"
    mkdir "$DIR/shared/sub"
    script 'echo ready; while [ ! -e /slave/sub/mark ]; do sleep 0.05; done; ls /private/sub; echo seen'
    start_detached
    wait_for grep ready "$DIR/stdout"
    mount -t tmpfs none "$DIR/shared/sub"
    touch "$DIR/shared/sub/mark"
    wait_for grep seen "$DIR/stdout"
    [ "$(cat "$DIR/stdout")" = $'ready\nseen' ]
    umount "$DIR/shared/sub" "$DIR/shared"
}

@test "an idmapped bind mount shifts owners" {
    mkdir "$DIR/data"
    touch "$DIR/data/file"
    chown 5:6 "$DIR/data/file"
    mount_entry "{\"destination\": \"/data\", \"source\": \"$DIR/data\", \"options\": [\"bind\", \"idmap\"],
        \"uidMappings\": [{\"containerID\": 0, \"hostID\": 1000, \"size\": 100}],
        \"gidMappings\": [{\"containerID\": 0, \"hostID\": 2000, \"size\": 100}]}"
    cargo stat -c %u:%g /data/file
    run_container
    if [ "$status" != 0 ] && [[ $output == *"nvalid argument"* ]]; then skip "this file system has no idmapped mounts"; fi
    exits 0
    output_is 1005:2006
}

@test "the cgroup mount works in this host's layout and is read-only" {
    [ -d /sys/fs/cgroup ] || skip "no cgroups here"
    config '(.mounts[] | select(.destination == "/sys/fs/cgroup")) |= (.options += ["ro"])'
    if ! jq -e 'any(.mounts[]; .destination == "/sys/fs/cgroup")' "$BUNDLE/config.json"; then
        mount_entry '{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}'
    fi
    script 'ls /sys/fs/cgroup | head -n 1; for d in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [ -d $d ] && mkdir $d/mine 2>/dev/null && echo "made $d/mine"; done; true'
    run_container
    exits 0
    [ -n "$output" ]
    says_not made
}

@test "the root of the host is out of reach after the pivot" {
    script 'grep -v " / / " /proc/self/mountinfo | grep -c "'"$DIR"'/bundle/rootfs" ; ls /..'
    run_container
    says_not "$(ls / | grep -xvE 'bin|dev|proc|sys|tmp|etc|root|run' | head -1)"
    [ "$(readlink -f "$BUNDLE/rootfs")" = "$BUNDLE/rootfs" ]
}

@test "--no-pivot gives the same view" {
    script 'ls / | tr "\n" " "; touch /from-inside'
    run_container --no-pivot
    exits 0
    says "bin dev etc"
    [ -e "$BUNDLE/rootfs/from-inside" ]
}

@test "an overlay as root file system and as mount" {
    mkdir -p "$DIR/o"/{upper,work,merged}
    mount -t overlay overlay -o "lowerdir=$BUNDLE/rootfs,upperdir=$DIR/o/upper,workdir=$DIR/o/work" "$DIR/o/merged"
    config --arg root "$DIR/o/merged" '.root.path = $root'
    script 'echo up >/etc/new; cat /etc/new'
    run_container
    umount "$DIR/o/merged"
    exits 0
    output_is up
    [ -e "$DIR/o/upper/etc/new" ]
    [ ! -e "$BUNDLE/rootfs/etc/new" ]
}

@test "faulty mounts are refused with their place in config.json, nothing mounted" {
    mount_entry "{\"destination\": \"/x\", \"source\": \"$DIR/nowhere\", \"options\": [\"bind\"]}"
    run_container
    exits 1
    says "$DIR/nowhere"
    config 'del(.mounts[-1])'
    mount_entry '{"destination": "/x", "type": "nosuchfs", "source": "x"}'
    run_container
    exits 1
    says nosuchfs
}

@test "the host's mount table is the same after a run" {
    cut -d' ' -f5- /proc/self/mountinfo | sort >"$DIR/before"
    cargo true
    run_container
    exits 0
    cut -d' ' -f5- /proc/self/mountinfo | sort >"$DIR/after"
    diff "$DIR/before" "$DIR/after"
}
