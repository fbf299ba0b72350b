# Images for tests of containers: the rootfs of helpers.bash, with a configuration of the test's own.

# What helpers.bash does for each test, under names of their own: the files that load this have their own setup.
eval "$(declare -f setup | sed '1s/.*/make_test_directory()/')"
eval "$(declare -f teardown | sed '1s/.*/leave_nothing()/')"

# put_image NAME [CONFIG]: into the store of $HULL_STORE; CONFIG is the "config" object of the image's configuration.
put_image()
{
    local name=$1 config=$2 layout layer size
    [ -n "$config" ] || config='{}'
    layout=$DIR/layout.$RANDOM
    mkdir -p "$layout/blobs/sha256"
    tar -C "$(rootfs_template)" -cf "$layout/layer" .
    layer=$(blob "$layout" "$layout/layer")
    jq -cn --argjson config "$config" --arg layer "$layer" \
        '{os: "linux", architecture: "amd64", config: $config, rootfs: {type: "layers", diff_ids: ["sha256:" + $layer]}}' >"$layout/config"
    size=$(stat -c %s "$layout/blobs/sha256/$layer")
    jq -cn --arg config "$(blob "$layout" "$layout/config")" --arg layer "$layer" --argjson size "$size" \
        --argjson config_size "$(stat -c %s "$layout/config")" '{schemaVersion: 2,
            mediaType: "application/vnd.oci.image.manifest.v1+json",
            config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: ("sha256:" + $config), size: $config_size},
            layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: ("sha256:" + $layer), size: $size}]}' >"$layout/manifest"
    jq -cn --arg manifest "$(blob "$layout" "$layout/manifest")" --argjson size "$(stat -c %s "$layout/manifest")" '{schemaVersion: 2,
        manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: ("sha256:" + $manifest), size: $size}]}' >"$layout/index.json"
    echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
    hull load --quiet --input "$layout" "$name" >/dev/null
    rm -rf "$layout"
}

# blob LAYOUT FILE: keep FILE as a blob; prints its digits.
blob()
{
    local digest
    digest=$(sha256sum <"$2")
    cp "$2" "$1/blobs/sha256/${digest%% *}"
    echo "${digest%% *}"
}

# put_image_by_hand NAME: the same where hull-images and its libraries are missing (the lab): what it would have made
# (images/store.h), without a configuration.
put_image_by_hand()
{
    local store=$DIR/store layer config manifest name=$1 size
    layer=$(printf '%064d' 1)
    mkdir -p "$store"/{blobs/sha256,stacks,names,containers,tmp} "$store/layers/$layer"
    chmod 700 "$store"
    cp -a "$(rootfs_template)" "$store/layers/$layer/tree"
    echo '{}' >"$store/layers/$layer/layer.json"
    echo '{"os": "linux", "config": {"Env": ["PATH=/bin"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:'"$layer"'"]}}' >"$DIR/config"
    config=$(blob "$store" "$DIR/config")
    size=$(stat -c %s "$DIR/config")
    echo '{"schemaVersion": 2, "config": {"digest": "sha256:'"$config"'", "size": '"$size"'},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:'"$layer"'", "size": 1}]}' >"$DIR/manifest"
    manifest=$(blob "$store" "$DIR/manifest")
    echo "$layer" >"$store/stacks/$config"
    echo '{"name": "localhost/'"$name"':latest", "manifest": "sha256:'"$manifest"'", "created": 1}' >"$store/names/localhost+$name:latest"
    : >"$store/lock"
}

image_setup()
{
    need_root
    make_test_directory
    rm -rf "$BUNDLE"
    HULL_STORE=$DIR/store
    export HULL_STORE
    if [ "${1-}" = by-hand ]; then
        put_image_by_hand box
    else
        [ -x "${HULL%/*}/hull-images" ] || skip "no ${HULL%/*}/hull-images"
        put_image box "${1:-}"
    fi
}

# run_image OPTIONS...: as bats' run would, in the foreground.
run_image()
{
    run hull run --image box "$@" </dev/null
}

# detach NAME OPTION... : run -d
detach()
{
    local name=$1
    shift
    hull run --detach --name "$name" --image box "$@" </dev/null >"$DIR/id"
}

# Nothing of this test's containers in the store, and the store itself as it was.
image_teardown()
{
    local left=
    if [ -d "${DIR-}/store/containers" ]; then
        hull rm --force --all >/dev/null 2>&1 || true
        left=$(find "$DIR/store/containers" "$DIR/store/tmp" -mindepth 1 -maxdepth 1 ! -name 'lock-*')
    fi
    leave_nothing
    [ -z "$left" ] || {
        printf 'left in the store:\n%s\n' "$left" >&2
        return 1
    }
}

containers_left()
{
    ls -A "$DIR/store/containers"
}
