#!/usr/bin/env bats
# shellcheck disable=SC2016 # scripts for the shell inside
# run --image in the foreground: what an image's configuration and the options make of a container.

load helpers
load image-run

setup()
{
    image_setup '{"Cmd": ["/bin/sh", "-c", "echo from the image"], "Env": ["PATH=/bin", "FROM=image"],
        "Labels": {"org.example.note": "kept", "org.hull.isolation": "vm"}, "StopSignal": "SIGUSR1"}'
}

teardown()
{
    image_teardown
}

@test "the image's command, environment and exit status; --rm leaves nothing" {
    run_image --rm
    exits 0
    output_is "from the image"
    run_image --rm sh -c 'echo $FROM $HOME $container; exit 7'
    exits 7
    output_is "image /root hull"
    [ -z "$(containers_left)" ]
    [ -z "$(ls -A "$STATE")" ]
}

@test "the options of run end where the command begins" {
    run_image --rm echo --rm -d
    exits 0
    output_is "--rm -d"
}

@test "an image that is not there, is not whole, or is not named is a clear error" {
    run hull run --pull never --image nothere true </dev/null
    exits 125
    says "image nothere is not in the store"
    run hull run --image 'NOT//ok' true </dev/null
    exits 125
    says 'NOT//ok'
    rm -rf "$DIR/store/stacks"/*
    run_image --rm true
    exits 125
    says "is not whole"
    [ -z "$(containers_left)" ]
}

@test "images are found by full name, short name, id and digest" {
    local id
    id=$(hull images -q --no-trunc)
    for name in localhost/box:latest box:latest "$id" "${id#sha256:}" "$(echo "${id#sha256:}" | cut -c1-8)"; do
        run hull run --rm --image "$name" echo found </dev/null
        exits 0
        output_is found
    done
}

@test "two names that a short name may mean are an error that lists them" {
    put_image a.example/team/thing:1
    run hull run --rm --image thing:1 echo found </dev/null
    exits 0
    put_image b.example/team/thing:1
    run hull run --rm --image thing:1 true </dev/null
    exits 125
    says "a.example/team/thing:1, b.example/team/thing:1"
}

@test "what the container writes stays out of the layer, and goes with it" {
    run_image --rm sh -c 'echo new >/new; rm /etc/passwd; chmod 700 /root; ls /new'
    exits 0
    output_is /new
    run_image --rm sh -c 'cat /etc/passwd | head -1; ls /new'
    exits 1
    says root:x:0
    says "/new: No such file"
    run_image --name kept sh -c 'echo stays >/file'
    exits 0
    [ "$(cat "$DIR/store/containers/kept/upper/file")" = stays ]
    run hull rm kept
    exits 0
}

@test "the host sees nothing of the overlay while it is mounted" {
    hull run -d --image box --name seen sleep 100 </dev/null
    run grep -F "$DIR/" /proc/self/mountinfo
    exits 1
    [ -z "$(ls -A "$DIR/store/containers/seen/root")" ]
    hull rm --force seen
}

@test "entry point, command and --entrypoint, as podman combines them" {
    put_image entry '{"Entrypoint": ["/bin/echo", "entry"], "Cmd": ["cmd"]}'
    run hull run --rm --image entry </dev/null
    output_is "entry cmd"
    run hull run --rm --image entry other </dev/null
    output_is "entry other"
    run hull run --rm --entrypoint /bin/echo --image entry </dev/null
    output_is ""
    run hull run --rm --entrypoint '["/bin/echo", "a b"]' --image entry c </dev/null
    output_is "a b c"
    run hull run --rm --entrypoint '' --image entry echo plain </dev/null
    output_is plain
    put_image none
    run hull run --rm --image none </dev/null
    exits 125
    says "there is nothing to run"
}

@test "-e, --env-file: set, passed on, in place of the image's" {
    printf '# a comment\nA=file\nB=file\nPASSED\n' >"$DIR/env"
    PASSED=on run_image --rm --env-file "$DIR/env" -e B=option -e FROM=option -e MISSING env
    says A=file
    says B=option
    says FROM=option
    says PASSED=on
    says_not MISSING
    run_image --rm -e =x true
    exits 125
    says "--env must be NAME or NAME=VALUE"
}

@test "users by name and number, groups of the image's own files; home" {
    put_image user '{"User": "user", "Env": ["PATH=/bin"]}'
    run hull run --rm --image user sh -c 'id -u; id -g; echo $HOME' </dev/null
    output_is $'1000\n1000\n/'
    run_image --rm -u 1000 sh -c 'id -u; id -g'
    output_is $'1000\n1000'
    run_image --rm -u 4242 sh -c 'id -u; id -g; grep CapEff /proc/self/status'
    output_is $'4242\n0\nCapEff:\t0000000000000000'
    run_image --rm -u user:root sh -c 'id -u; id -g'
    output_is $'1000\n0'
    run_image --rm -u nobody-here true
    exits 125
    says 'user "nobody-here": no such name in the image'
}

@test "a passwd file that is a link to the host's, a directory or a device is none" {
    put_image evil
    local layer
    layer=$(ls -d "$DIR/store/layers"/*/tree)
    [ -f "$layer/etc/passwd" ]
    echo 'evil:x:4711:4711::/:/bin/sh' >"$DIR/passwd"
    rm "$layer/etc/passwd"
    ln -s "../../../../../../../../$DIR/passwd" "$layer/etc/passwd"
    run hull run --rm -u evil --image evil true </dev/null
    exits 125
    says 'user "evil"'
    rm "$layer/etc/passwd"
    mkfifo "$layer/etc/passwd"
    run timeout 10 "$HULL" --root "$STATE" run --rm -u evil --image evil true </dev/null
    exits 125
}

@test "-w makes a missing directory; it must be absolute" {
    run_image --rm -w /made/here pwd
    output_is /made/here
    run_image --rm -w here pwd
    exits 125
    says "--workdir must be an absolute path"
}

@test "volumes and mounts of the host's: ro, propagation, files; what is wrong is named" {
    mkdir "$DIR/data"
    echo content >"$DIR/data/file"
    run_image --rm -v "$DIR/data:/data:ro,z" sh -c 'cat /data/file; echo x >/data/new'
    exits 1
    says content
    says "Read-only file system"
    run_image --rm -v "$DIR/data/file:/etc/one" --mount "type=bind,src=$DIR/data,dst=/two,readonly" \
        --mount type=tmpfs,dst=/three,tmpfs-size=1m --tmpfs /four:size=2m,mode=700 \
        sh -c 'cat /etc/one /two/file; touch /three/a /four/a; grep -c -E " /(three|four) " /proc/mounts; stat -c %a /four'
    exits 0
    output_is $'content\ncontent\n2\n700'
    run_image --rm -v "$DIR/missing:/data" true
    exits 125
    says "$DIR/missing:/data: No such file or directory"
    run_image --rm -v "$DIR/data:data" true
    exits 125
    says "must be absolute"
    run_image --rm --mount "type=bind,dst=/a" true
    exits 125
    says "needs source=PATH"
    [ -z "$(containers_left)" ]
}

@test "--read-only: the root is, tmpfs is not" {
    run_image --rm --read-only --tmpfs /tmp sh -c 'touch /tmp/a && touch /b'
    exits 1
    says "/b: Read-only file system"
}

@test "capabilities: podman's eleven; add, drop, ALL; for other users what was asked for" {
    local eff='grep -E "Cap(Eff|Bnd)" /proc/self/status | cut -f2 | sort -u'
    run_image --rm sh -c "$eff"
    output_is 00000000800405fb
    run_image --rm --cap-add net_admin --cap-drop CAP_CHOWN sh -c "$eff"
    output_is 00000000800415fa
    run_image --rm --cap-drop all --cap-add kill sh -c "$eff"
    output_is 0000000000000020
    run_image --rm -u user --cap-add kill sh -c 'grep CapEff /proc/self/status | cut -f2'
    output_is 0000000000000020
    run_image --rm --cap-add nonsense true
    exits 125
    says 'unknown capability "nonsense"'
}

@test "the seccomp profile: the default, none, a file, a template" {
    run_image --rm sh -c 'grep Seccomp: /proc/self/status | cut -f2; swapoff /nothing'
    says 2
    says "Operation not permitted"
    run_image --rm --security-opt seccomp=unconfined sh -c 'grep Seccomp: /proc/self/status | cut -f2'
    output_is 0
    echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}' >"$DIR/profile"
    run_image --rm --security-opt "seccomp=$DIR/profile" mkdir /x
    exits 1
    says "No space left"
    echo '{"archMap": []}' >"$DIR/profile"
    run_image --rm --security-opt "seccomp=$DIR/profile" true
    exits 125
    says "template"
    run_image --rm --security-opt nonsense true
    exits 125
}

@test "no-new-privileges, --privileged, masks" {
    run_image --rm --security-opt no-new-privileges sh -c 'grep NoNewPrivs /proc/self/status | cut -f2'
    output_is 1
    run_image --rm sh -c 'cat /proc/keys | wc -c; ls /sys/firmware | wc -l; echo 1 >/proc/sys/kernel/panic'
    exits 1
    says "Read-only file system"
    run_image --rm --privileged sh -c 'grep Seccomp: /proc/self/status | cut -f2; [ -w /sys/kernel ] && echo writable'
    exits 0
    output_is $'0\nwritable'
}

@test "limits: memory, cpus, pids; a number that is none" {
    run_image --rm --memory 64m --pids-limit 40 sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max'
    output_is $'67108864\n40'
    run_image --rm --memory lots true
    exits 125
    says --memory
    run_image --rm --cpus -1 true
    exits 125
    says "--cpus must be a number"
    run_image --rm --pids-limit 1x true
    exits 125
}

@test "devices" {
    run_image --rm --device /dev/zero:/dev/nothing:r sh -c 'head -c 3 /dev/nothing | wc -c; ls -l /dev/nothing | cut -c1'
    output_is $'3\nc'
    run_image --rm --device /etc/passwd true
    exits 125
    says "is no device"
    run_image --rm --device /dev/zero:/x:q true
    exits 125
}

@test "host name, hosts, networks" {
    run_image --rm --hostname there sh -c 'hostname; cat /etc/hostname; grep -c there /etc/hosts; ls /sys/class/net'
    output_is $'there\nthere\n1\nlo'
    run_image --rm --network host readlink /proc/self/ns/net
    output_is "$(readlink /proc/self/ns/net)"
    hull run -d --image box --name other sleep 100 </dev/null
    run_image --rm --network container:other readlink /proc/self/ns/net
    output_is "$(readlink "/proc/$(pid_of other)/ns/net")"
    run_image --rm --network ns:/proc/self/ns/net readlink /proc/self/ns/net
    output_is "$(readlink /proc/self/ns/net)"
    run_image --rm --network bridge true
    exits 125
    says "--network must be none, host, ns:PATH or container:ID"
}

@test "--init is the first process, reaps, and passes the status on" {
    run_image --rm --init sh -c 'echo $$; cat /proc/1/comm; exit 9'
    exits 9
    [ "${lines[0]}" != 1 ]
    output_is "${lines[0]}"$'\ninit'
    run_image --rm --init nosuch
    exits 127
}

@test "labels and fields of the image's become annotations; it cannot ask for a virtual machine" {
    hull run -d --image box --name labels --annotation mine=1 sleep 100 </dev/null
    run hull state labels
    [ "$(jq -r '.annotations["org.example.note"]' <<<"$output")" = kept ]
    [ "$(jq -r '.annotations["org.opencontainers.image.stopSignal"]' <<<"$output")" = SIGUSR1 ]
    [ "$(jq -r '.annotations.mine' <<<"$output")" = 1 ]
    [ "$(jq -r '.annotations["org.hull.isolation"]' <<<"$output")" = null ]
}

@test "what cannot be executed: 127 and 126" {
    run_image --rm nosuch
    exits 127
    says 'executable file not found in $PATH'
    run_image --rm /no/such
    exits 127
    run_image --rm /etc/passwd
    exits 126
    [ -z "$(containers_left)" ]
}

@test "standard input only with -i" {
    run bash -c 'echo typed | "$1" --root "$2" run --rm --image box cat' - "$HULL" "$STATE"
    output_is ""
    run bash -c 'echo typed | "$1" --root "$2" run -i --rm --image box cat' - "$HULL" "$STATE"
    output_is typed
}

@test "names: taken, invalid; hull that is killed leaves what rm removes" {
    run_image --name twice true
    exits 0
    run_image --name twice true
    exits 125
    says "the container name twice is in use"
    run_image --name ../x true
    exits 125
    "$HULL" --root "$STATE" run --image box --name killed sleep 100 </dev/null 3>&- 4>&- &
    local pid=$!
    wait_for hull state killed
    kill -9 "$pid"
    wait "$pid" || true
    run hull list --all
    says killed
    run hull rm --force killed twice
    exits 0
    [ -z "$(containers_left)" ]
    run hull state killed
    exits 1
}

@test "a sweep spares what a container uses" {
    hull run -d --image box --name user sleep 100 </dev/null
    run hull rmi --force box
    hull prune --all --force >/dev/null 2>&1 || hull prune --all >/dev/null
    run hull exec user cat /etc/hostname
    exits 0
    output_is user
    hull rm --force user
    hull prune --all >/dev/null
    [ -z "$(ls -A "$DIR/store/layers")" ]
}

@test "without root: the image's users, what they wrote is removed, in the background too" {
    need_unprivileged_user
    mkdir "$DIR/user"
    tar -C "$(rootfs_template)" -cf "$DIR/user/box.tar" .
    chown -R "$UNPRIVILEGED" "$DIR/user"
    user()
    {
        as_user HULL_STORE="$DIR/user/store" XDG_RUNTIME_DIR="$DIR/user" timeout 60 "$HULL" "$@" </dev/null
    }
    user import --quiet "$DIR/user/box.tar" box
    run user run --rm --image box sh -c 'id -u; touch /f; chown 5:6 /f; stat -c %u:%g /f; grep -c userxattr /proc/self/mountinfo'
    exits 0
    output_is $'0\n5:6\n1'
    user run -d --name one --image box -u user sh -c 'touch /tmp/mine; echo out; sleep 100'
    user run -d --name two --image box sh -c 'exit 3'
    run user wait two
    output_is 3
    run user exec one id -u
    exits 0
    run user rm --force one two
    exits 0
    [ -z "$(ls -A "$DIR/user/store/containers")" ]
}

@test "an image of 120 layers, the topmost first" {
    local stack key i
    stack=$(ls -d "$DIR"/store/stacks/*)
    for ((i = 1; i < 120; i++)); do
        key=$(printf '%064d' "$i")
        mkdir -p "$DIR/store/layers/$key/tree"
        echo '{}' >"$DIR/store/layers/$key/layer.json"
        echo "$i" >"$DIR/store/layers/$key/tree/top"
        echo "$i" >"$DIR/store/layers/$key/tree/only$i"
        echo "$key" >>"$stack"
    done
    run_image --rm sh -c 'cat /top /only1 /only119'
    exits 0
    output_is $'119\n1\n119'
}

@test "the root directory's owner and mode come from the topmost layer that describes it" {
    local layer
    layer=$(ls -d "$DIR"/store/layers/*)
    jq -c '.root = {mode: 488, uid: 7, gid: 8}' "$layer/layer.json" >"$DIR/layer.json"
    cat "$DIR/layer.json" >"$layer/layer.json"
    run_image --rm --cap-add dac_read_search stat -c '%a %u:%g' /
    output_is '750 7:8'
}
