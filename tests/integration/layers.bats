#!/usr/bin/env bats
# A layer's tree against what others make of the same archive: umoci, podman, GNU tar; its stream made again bit by bit, and
# packed anew. No network, no store.

load helpers

LAYER=${LAYER:-$(dirname "${HULL:-$(dirname "$BATS_TEST_FILENAME")/../../build/hull}")/tests/tools/layer}
LISTING=$TESTS/integration/listing.py

setup_file()
{
    export IMAGE_DIR=$BATS_FILE_TMPDIR/image
    [ -x "$LAYER" ] && command -v umoci >/dev/null || return 0
    make_image "$IMAGE_DIR"
}

# make_image DIR: an OCI layout of three layers; its blobs are linked as DIR/0, 1, 2.
make_image()
{
    local root=$1/bundle/rootfs image=$1/oci:test
    mkdir -p "$1"
    umoci init --layout "$1/oci"
    umoci new --image "$image"
    umoci unpack --image "$image" "$1/bundle"
    mkdir -p "$root"/{usr/bin,etc/deep/er,var/many,dev,tmp}
    ln -s usr/bin "$root/bin"
    cp /bin/busybox "$root/usr/bin/"
    ln "$root/usr/bin/busybox" "$root/usr/bin/sh"
    chmod 1777 "$root/tmp"
    cp /bin/busybox "$root/usr/bin/ping"
    python3 - "$root" <<'EOF'
import os, sys
os.setxattr(sys.argv[1] + "/usr/bin/ping", "security.capability", bytes([1, 0, 0, 2, 0, 0x20]) + bytes(14))
os.setxattr(sys.argv[1] + "/etc", "user.colour", b"blue")
EOF
    mknod "$root/dev/null" c 1 3
    mkfifo -m 622 "$root/tmp/fifo"
    echo below >"$root/etc/deep/er/file"
    chown 1000:2000 "$root/etc/deep/er/file"
    chmod 4755 "$root/etc/deep/er/file"
    truncate -s 3M "$root/var/sparse"
    printf end >>"$root/var/sparse"
    (cd "$root/var/many" && for i in {1..300}; do echo "$i" >"file-$i"; done)
    echo long >"$root/var/$(printf 'n%.0s' {1..200})"
    echo "$(printf 'gr\303\274n')" >"$root/var/$(printf 'gr\303\274n')"
    ln -s "$(printf 'target/%.0s' {1..30})" "$root/var/long-link"
    find "$root" -exec touch -h -d '2021-03-04 05:06:07' {} +
    umoci repack --refresh-bundle --image "$image" "$1/bundle"

    rm -r "$root/var/many" "$root/etc/deep/er/file"
    mkdir "$root/var/many"
    echo new >"$root/var/many/new"
    ln "$root/var/sparse" "$root/var/linked"
    rm "$root/tmp/fifo"
    mkdir "$root/tmp/fifo"
    chmod 700 "$root/etc/deep"
    find "$root/var" "$root/tmp" "$root/etc" -newermt 2022-01-01 -exec touch -h -d '2022-03-04 05:06:07' {} +
    umoci repack --refresh-bundle --image "$image" "$1/bundle"

    rm -r "$root/etc/deep"
    echo again >"$root/var/many/file-7"
    find "$root/var" "$root/etc" -newermt 2023-01-01 -exec touch -h -d '2023-03-04 05:06:07' {} +
    umoci repack --image "$image" "$1/bundle"
    rm -r "$1/bundle"

    local manifest digest i=0
    manifest=$(jq -r '.manifests[0].digest' "$1/oci/index.json")
    for digest in $(jq -r '.layers[].digest' "$1/oci/blobs/${manifest/://}"); do
        ln "$1/oci/blobs/${digest/://}" "$1/$((i++))"
    done
}

setup_layers()
{
    [ "$(id -u)" = 0 ] || skip "layers have owners and devices"
    [ -x "$LAYER" ] || skip "no $LAYER"
    command -v umoci >/dev/null || skip "no umoci"
    local i below=()
    for i in 0 1 2; do
        mkdir "$DIR/tree$i" "$DIR/skeleton$i"
        "$LAYER" unpack "$DIR/tree$i" "$DIR/skeleton$i" "${below[@]}" <"$IMAGE_DIR/$i" >"$DIR/id$i"
        below=("$DIR/tree$i" "${below[@]}")
    done
}

# list_overlay NAME: the trees NAME0, 1, 2 laid over each other. The root's own time is whose made it.
list_overlay()
{
    mkdir -p "$DIR/merged"
    mount -t overlay overlay -o "ro,lowerdir=$DIR/${1}2:$DIR/${1}1:$DIR/${1}0" "$DIR/merged"
    list "$DIR/merged"
    umount "$DIR/merged"
}

list()
{
    python3 "$LISTING" "$1" | tail -n +2
}

@test "layers: as umoci unpacks them" {
    setup_layers
    umoci unpack --image "$IMAGE_DIR/oci:test" "$DIR/umoci"
    list "$DIR/umoci/rootfs" >"$DIR/theirs"
    list_overlay tree >"$DIR/ours"
    [ "$(wc -l <"$DIR/ours")" -gt 15 ]
    diff "$DIR/theirs" "$DIR/ours"
}

@test "layers: as podman unpacks them" {
    setup_layers
    command -v podman >/dev/null || skip "no podman"
    local podman=(podman --root "$DIR/podman" --runroot "$DIR/podman-run" --storage-driver vfs)
    cd "$IMAGE_DIR" # its path may not be in the image's name
    "${podman[@]}" pull -q oci:oci:test >"$DIR/image" 2>"$DIR/complaint" || skip "podman cannot pull here: $(tail -n 1 "$DIR/complaint")"
    list "$("${podman[@]}" image mount "$(cat "$DIR/image")")" >"$DIR/theirs"
    "${podman[@]}" image umount --all
    list_overlay tree >"$DIR/ours"
    diff "$DIR/theirs" "$DIR/ours"
}

@test "layers: as GNU tar unpacks one" {
    setup_layers
    mkdir "$DIR/gnu"
    tar --numeric-owner --xattrs --xattrs-include='*' -xzpf "$IMAGE_DIR/0" -C "$DIR/gnu"
    list "$DIR/gnu" >"$DIR/theirs"
    list "$DIR/tree0" >"$DIR/ours"
    diff "$DIR/theirs" "$DIR/ours"
}

@test "layers: the stream again, bit by bit" {
    setup_layers
    local i
    for i in 0 1 2; do
        gzip -dc "$IMAGE_DIR/$i" >"$DIR/theirs"
        "$LAYER" again "$DIR/tree$i" "$DIR/skeleton$i" | cmp - "$DIR/theirs"
        [ "$(cut -d' ' -f1 "$DIR/id$i")" = "sha256:$(sha256sum <"$DIR/theirs" | cut -d' ' -f1)" ]
        [ "$(stat -c %s "$DIR/skeleton$i/skeleton")" -lt 40000 ]
    done
}

@test "layers: packed anew, and unpacked again" {
    setup_layers
    local i how below=()
    list_overlay tree >"$DIR/theirs"
    for how in gzip zstd; do
        below=()
        for i in 0 1 2; do
            mkdir "$DIR/$how$i"
            "$LAYER" pack "$DIR/tree$i" $how | "$LAYER" unpack "$DIR/$how$i" - "${below[@]}"
            below=("$DIR/$how$i" "${below[@]}")
        done
        list_overlay $how >"$DIR/ours"
        diff "$DIR/theirs" "$DIR/ours"
    done
    "$LAYER" pack "$DIR/tree0" gzip | gzip -t
    "$LAYER" pack "$DIR/tree0" | tar -tf - >/dev/null
}

@test "layers: holes are not written" {
    setup_layers
    [ "$(stat -c %b "$DIR/tree0/var/sparse")" -le 16 ]
}
