#!/usr/bin/env bats
# shellcheck disable=SC2016 # scripts for the shell inside
# Volumes: by name, anonymous, the image's own, of other containers; hull volume. And what else run --image mounts: --mount's types,
# -v's options; as root, in user namespaces of root's, without root.

load helpers
load image-run

setup()
{
    image_setup '{"Env": ["PATH=/bin"], "Volumes": {"/var/data": {}}}'
    VOLUMES=$DIR/store/volumes
}

teardown()
{
    image_teardown
}

# in_layer PATH COMMAND...: the image's layer gets more.
layer()
{
    echo "$DIR"/store/layers/*/tree
}

owner()
{
    stat -c %u:%g:%a "$1"
}

# The same for the user of the rootless tests, with a store of his own: user ARGUMENTS...
user()
{
    as_user HULL_STORE="$DIR/user/store" XDG_RUNTIME_DIR="$DIR/user" timeout 60 "$HULL" "$@" </dev/null
}

user_setup()
{
    need_unprivileged_user
    mkdir "$DIR/user"
    cp -a "$(rootfs_template)" "$DIR/rootfs"
    mkdir -p "$DIR/rootfs/content"
    echo image >"$DIR/rootfs/content/file"
    chown -R 5:6 "$DIR/rootfs/content"
    tar -C "$DIR/rootfs" -cf "$DIR/user/box.tar" .
    chown -R "$UNPRIVILEGED" "$DIR/user"
    user import --quiet "$DIR/user/box.tar" box
}

@test "volume create, ls, inspect, exists, rm: podman's words and output" {
    run hull volume ls
    output_is ""
    run hull volume create --label a=1 --label b one
    output_is one
    run hull volume create one
    exits 1
    says "there is one of that name"
    run hull volume create --ignore one
    exits 0
    run hull volume create
    exits 0
    [ "${#output}" = 64 ]
    hull volume rm "$output"
    hull volume create two >/dev/null
    run hull volume ls
    output_is $'DRIVER      VOLUME NAME\nlocal       one\nlocal       two'
    run hull volume ls -q --filter label=a=1
    output_is one
    run hull volume ls -q --filter name=tw
    output_is two
    run hull volume inspect one
    [ "$(jq -r '.[0] | [.Name, .Driver, .Mountpoint, .Scope, .Labels.a, .Labels.b, .NeedsCopyUp] | join(" ")' <<<"$output")" = \
        "one local $VOLUMES/one/_data local 1  true" ]
    hull volume exists one
    run hull volume exists three
    exits 1
    run hull volume inspect three
    exits 1
    says "volume three: there is none of that name"
    run hull volume rm one three two
    exits 1
    says "volume three"
    [ -z "$(ls -A "$VOLUMES")" ]
    run hull volume create ../evil
    exits 1
    says "must be letters"
    run hull volume nonsense
    exits 1
}

@test "a named volume keeps what is written; the image's content is copied to it at its first use, with its owners" {
    mkdir -p "$(layer)/content/deep"
    echo image >"$(layer)/content/deep/file"
    ln "$(layer)/content/deep/file" "$(layer)/content/link"
    ln -s deep/file "$(layer)/content/symlink"
    chown 5:6 "$(layer)/content" "$(layer)/content/deep/file"
    chmod 2750 "$(layer)/content"
    run_image --rm -v data:/content sh -c 'cat /content/symlink; stat -c %u:%g:%a:%h /content /content/link; echo more >/content/new'
    exits 0
    output_is $'image\n5:6:2750:3\n5:6:644:2'
    [ "$(owner "$VOLUMES/data/_data")" = 5:6:2750 ]
    rm "$VOLUMES/data/_data/symlink"
    run_image --rm -v data:/content:ro sh -c 'cat /content/new; ls /content; touch /content/x'
    exits 1
    says more
    says_not symlink
    says "Read-only file system"
    run hull volume ls -q
    output_is data
}

@test "nocopy; a volume that has content already; one where the image has nothing belongs to the user" {
    mkdir -p "$(layer)/content"
    echo image >"$(layer)/content/file"
    run_image --rm -v empty:/content:nocopy ls /content
    output_is ""
    run_image --rm -v empty:/content ls /content
    output_is ""
    hull volume create mine >/dev/null
    echo own >"$VOLUMES/mine/_data/own"
    run_image --rm -v mine:/content ls /content
    output_is own
    run_image --rm -u user -v new:/not/there sh -c 'stat -c %u:%g /not/there; touch /not/there/x'
    exits 0
    output_is 1000:1000
}

@test "anonymous volumes: -v DIR and the image's own; gone with --rm and rm -v, kept by rm, pruned" {
    run_image --rm -v /here sh -c 'touch /here/a /var/data/b; grep -c -E " /(here|var/data) " /proc/mounts'
    output_is 2
    [ -z "$(ls -A "$VOLUMES")" ]
    run_image --name one -v /here touch /here/a /var/data/b
    exits 0
    [ "$(hull volume ls -q | wc -l)" = 2 ]
    run hull volume prune
    output_is ""
    hull rm one
    [ "$(hull volume ls -q | wc -l)" = 2 ]
    hull volume create named >/dev/null
    run hull volume prune
    [ "${#lines[@]}" = 2 ]
    run hull volume ls -q
    output_is named
    run_image --name two -v /here true
    hull rm -v two
    run hull volume ls -q
    output_is named
    hull run -d --rm --name three -v /here -v named:/n --image box true </dev/null
    wait_for sh -c '! [ -e "$1/three" ]' - "$DIR/store/containers"
    wait_for test "$(hull volume ls -q)" = named
    run hull volume prune --all
    output_is named
}

@test "an image that asks for volumes that cannot be is refused, and leaves nothing" {
    local volumes
    for volumes in '{"/": {}}' '{"/./": {}}' '{"relative": {}}' '{"/a/../../etc": {}}' "{\"/proc/self\": {}}" \
        "$(seq 1 1001 | jq -Rn '[inputs | {key: "/v\(.)", value: {}}] | from_entries')"; do
        put_image hostile "{\"Volumes\": $volumes, \"Env\": [\"PATH=/bin\"]}"
        run hull run --rm --image hostile true </dev/null
        exits 125
    done
    run_image --rm -v "$DIR:/" true
    exits 125
    says "the container's root is its image"
    [ -z "$(containers_left)" ]
    [ -z "$(hull volume ls -q)" ]
}

@test "a volume in use is not removed; --force removes its containers" {
    hull run -d --name user -v data:/data --image box sleep 100 </dev/null
    run hull volume rm data
    exits 2
    says "volume data is used by container user"
    run hull volume prune --all
    says_not data
    run hull volume inspect data
    [ "$(jq '.[0].MountCount' <<<"$output")" = 1 ]
    run hull volume rm --force data
    exits 0
    output_is data
    run hull list --all
    says_not user
}

@test "--volumes-from: volumes and paths of another, read-only if asked for; the volume stays as long as one uses it" {
    mkdir "$DIR/host"
    run_image --name source -v data:/data -v /anonymous -v "$DIR/host:/host:ro" sh -c 'echo a >/data/file; echo b >/anonymous/file'
    exits 0
    run_image --rm --volumes-from source sh -c 'cat /data/file /anonymous/file; touch /host/x 2>&1; echo c >>/data/file'
    says $'a\nb'
    says "/host/x: Read-only file system"
    run_image --rm --volumes-from source:ro sh -c 'cat /data/file; touch /data/x'
    exits 1
    says c
    says "Read-only file system"
    run_image --name heir --volumes-from source true
    hull rm -v source
    [ "$(hull volume ls -q | wc -l)" = 3 ]
    hull rm -v heir
    run hull volume ls -q
    output_is data
    run_image --rm --volumes-from nobody true
    exits 125
    says "--volumes-from nobody"
}

@test "start fills the volumes of what was only created" {
    mkdir -p "$(layer)/content"
    echo image >"$(layer)/content/file"
    hull create --name made -v data:/content --image box cat /content/file </dev/null
    run hull start --attach made
    output_is image
}

@test "killed processes leave what the next use or prune takes" {
    local i
    mkdir -p "$(layer)/content"
    head -c 20000000 /dev/zero >"$(layer)/content/big"
    echo end >"$(layer)/content/last"
    for i in 1 2 3 4 5 6 7 8; do
        "$HULL" --root "$STATE" run --rm -v "v$i:/content" --image box true </dev/null 3>&- 4>&- &
        sleep "0.0$i"
        kill -9 $! 2>/dev/null || true
        wait $! 2>/dev/null || true
        run_image --rm -v "v$i:/content" sh -c 'stat -c %s /content/big; cat /content/last'
        output_is $'20000000\nend'
    done
    mkdir "$VOLUMES/half"
    run hull volume ls -q
    says_not half
    run_image --rm -v half:/half touch /half/x
    exits 0
    mkdir "$VOLUMES/other"
    hull rm --all --force
    hull volume prune --all >/dev/null
    [ -z "$(ls -A "$VOLUMES")" ]
    hull prune >/dev/null # who was killed while a volume went left it in tmp
}

@test "many processes at once use a volume for the first time: one copies" {
    local i
    mkdir -p "$(layer)/content"
    for i in 1 2 3 4 5 6 7 8 9; do echo "$i" >"$(layer)/content/$i"; done
    for i in 1 2 3 4 5 6; do
        hull run --rm -v data:/content --image box sh -c 'cat /content/* | wc -l; echo x >>/content/1' </dev/null >"$DIR/out$i" &
    done
    wait
    for i in 1 2 3 4 5 6; do [ "$(cat "$DIR/out$i")" -ge 9 ]; done
    [ "$(wc -l <"$VOLUMES/data/_data/1")" = 7 ]
}

@test "--mount: types, keys, what is wrong is named" {
    mkdir -p "$DIR/host/sub" "$(layer)/content"
    echo image >"$(layer)/content/file"
    mount -t tmpfs none "$DIR/host/sub"
    echo below >"$DIR/host/sub/file"
    run_image --rm --mount "type=bind,source=$DIR/host,target=/a,bind-propagation=rslave" --mount "type=bind,src=$DIR/host,dst=/b,bind-nonrecursive,ro=true" \
        --mount type=volume,src=data,dst=/content --mount type=volume,dst=/anonymous,readonly --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700,chown=true \
        -u user sh -c 'cat /a/sub/file; ls /b/sub; cat /content/file; touch /anonymous/x 2>&1; stat -c %u:%a /t; grep " /a " /proc/self/mountinfo | grep -o master'
    umount "$DIR/host/sub"
    says $'below\nimage\n'
    says "/anonymous/x: Read-only file system"
    says 1000:700
    [ "$(hull volume ls -q)" = data ]
    while IFS='|' read -r mount message; do
        run_image --rm --mount "$mount" true
        exits 125
        says "$message"
    done <<'END'
type=nonsense,dst=/a|type must be bind, volume, tmpfs or image
type=bind,dst=/a|needs source=PATH
type=tmpfs,src=/x,dst=/a|a mount of type tmpfs has no key src
type=volume,src=data|must be absolute
type=volume,src=../x,dst=/a|must be letters
type=bind,src=/,dst=/a,ro=maybe|ro must be true or false
type=bind,src=/,dst=/a,bind-propagation=x|bind-propagation=x is not known
type=volume,dst=/a,nonsense=1|has no key nonsense
type=image,dst=/a|needs source=IMAGE
type=image,src=missing,dst=/a|image missing is not in the store
END
    run_image --rm -v data:/a -v other:/a true
    exits 125
    says "/a: two mounts were asked for there"
    run_image --rm -v data:/a:nonsense true
    exits 125
    says "unknown option nonsense"
    [ -z "$(containers_left)" ]
}

@test "--mount type=image: read-only, or written to until the container goes; a sweep spares it" {
    put_image other '{"Cmd": ["x"]}'
    echo here >"$(layer)/mark"
    run_image --rm --mount type=image,src=other,dst=/other sh -c 'cat /other/mark; touch /other/x'
    exits 1
    says here
    says "Read-only file system"
    run_image --name writer --mount type=image,src=other,dst=/other,rw=true sh -c 'echo new >/other/mark; cat /other/mark'
    exits 0
    output_is new
    [ "$(cat "$(layer)/mark")" = here ]
    hull rmi --force other
    hull prune --all >/dev/null
    run hull start --attach writer
    output_is new
}

@test "-v DIR:O is written to elsewhere; U gives it to the user; depth, not order, says what is mounted first" {
    mkdir -p "$DIR/host/sub"
    echo host >"$DIR/host/sub/file"
    run_image --name o -v "$DIR/host:/data:O" sh -c 'cat /data/sub/file; echo new >/data/sub/file; cat /data/sub/file; touch /data/x'
    exits 0
    output_is $'host\nnew'
    [ "$(cat "$DIR/host/sub/file")" = host ]
    [ ! -e "$DIR/host/x" ]
    run_image --rm -u user -v "$DIR/host:/data:U" -v data:/vol:U sh -c 'stat -c %u:%g /data /data/sub/file /vol; touch /data/sub/x /vol/x'
    exits 0
    output_is $'1000:1000\n1000:1000\n1000:1000'
    [ "$(owner "$DIR/host/sub/file")" = 1000:1000:644 ]
    run_image --rm -v /etc:/data:U true
    exits 125
    says "/etc is the system's"
    mkdir "$DIR/outer"
    echo outer >"$DIR/outer/file"
    run_image --rm -v "$DIR/host:/a/b" -v "$DIR/outer:/a" sh -c 'cat /a/file /a/b/sub/file'
    output_is $'outer\nhost'
}

@test "in a user namespace of root's: volumes, images, O and U have its ids; idmap shows the host's files with them" {
    mkdir -p "$(layer)/content" "$DIR/host"
    echo image >"$(layer)/content/file"
    chown 5:6 "$(layer)/content/file"
    echo host >"$DIR/host/file"
    chown 7:8 "$DIR/host/file"
    run_image --rm --uidmap 0:200000:65536 -v data:/content -v new:/new sh -c 'stat -c %u:%g /content /content/file /new; touch /content/mine'
    exits 0
    output_is $'0:0\n5:6\n0:0'
    [ "$(owner "$VOLUMES/data/_data/file")" = 200005:200006:644 ]
    [ "$(owner "$VOLUMES/data/_data/mine")" = 200000:200000:644 ]
    run_image --rm --uidmap 0:200000:65536 --mount type=image,src=box,dst=/img --mount type=image,src=box,dst=/img2,rw -v "$DIR/host:/o:O" \
        sh -c 'stat -c %u:%g /img/content/file; touch /img2/new; stat -c %u:%g /img2/new; cat /o/file'
    exits 0
    output_is $'5:6\n0:0\nhost'
    run_image --rm --uidmap 0:200000:65536 -v "$DIR/host:/h" stat -c %u:%g /h/file
    output_is 65534:65534
    run_image --rm --uidmap 0:200000:65536 -v "$DIR/host:/h:idmap" sh -c 'stat -c %u:%g /h/file; touch /h/new'
    output_is 7:8
    [ "$(owner "$DIR/host/new")" = 0:0:644 ]
    run_image --rm --uidmap 0:200000:65536 -v "$DIR/host:/h:idmap=uids=7-200001-1#0-200000-1;gids=8-200002-1" stat -c %u:%g /h/file
    output_is 1:2
    run_image --rm --uidmap 0:200000:65536 --mount "type=bind,src=$DIR/host,dst=/h,idmap" stat -c %u:%g /h/file
    output_is 7:8
    run_image --rm -v "$DIR/host:/h:idmap=uids=7-1-1;gids=8-2-1" stat -c %u:%g /h/file
    output_is 1:2
    run_image --rm --uidmap 0:200000:65536 -u user -v "$DIR/host:/h:U" stat -c %u:%g /h/file
    output_is 1000:1000
    [ "$(owner "$DIR/host/file")" = 201000:201000:644 ]
    run_image --rm -v "$DIR/host:/h:idmap=uids=7-1;gids=8-2-1" true
    exits 125
    says "FILE-HOST-SIZE"
    run_image --rm -v "$DIR/host:/h:idmap" true
    exits 125
    says "and there is none"
}

@test "--tmpfs and --mount type=tmpfs have what the image has there, unless notmpcopyup is said" {
    mkdir -p "$(layer)/content"
    echo image >"$(layer)/content/file"
    run_image --rm --tmpfs /content sh -c 'cat /content/file; echo x >/content/file'
    output_is image
    run_image --rm --tmpfs /content:notmpcopyup,size=1m ls /content
    output_is ""
    run_image --rm --mount type=tmpfs,dst=/content,notmpcopyup ls /content
    output_is ""
    run_image --rm --tmpfs /content:nonsense true
    exits 125
    says "unknown option nonsense"
}

@test "without root: volumes with the image's owners, images, O, U; what others of the user's ids wrote is removed" {
    user_setup
    run user run --rm --image box -v data:/content -v /anonymous sh -c 'stat -c %u:%g /content/file /anonymous; chown 9:9 /content/file'
    exits 0
    output_is $'5:6\n0:0'
    run user run --rm --image box -v data:/content stat -c %u:%g /content/file
    output_is 9:9
    run user volume ls -q
    output_is data
    mkdir "$DIR/user/host"
    echo host >"$DIR/user/host/file"
    chown -R "$UNPRIVILEGED:" "$DIR/user/host"
    run user run --rm --image box --mount type=image,src=box,dst=/img -v "$DIR/user/host:/o:O" sh -c 'stat -c %u:%g /img/content/file; echo new >/o/file; cat /o/file'
    exits 0
    output_is $'5:6\nnew'
    [ "$(cat "$DIR/user/host/file")" = host ]
    run user run --rm --image box -u user -v "$DIR/user/host:/h:U" stat -c %u:%g /h/file
    output_is 1000:1000
    [ "$(stat -c %u "$DIR/user/host/file")" != "$(id -u "$UNPRIVILEGED")" ]
    run user run --rm --image box -v "$DIR/user/host:/h:idmap" true
    exits 125
    says "needs root on the host"
    run user run --rm --image box --tmpfs /content cat /content/file
    output_is image
    run user volume rm data
    exits 0
    [ -z "$(ls -A "$DIR/user/store/volumes")" ]
    run user volume create --label x=y again
    exits 0
    run user volume prune --all
    output_is again
}
