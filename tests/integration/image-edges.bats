#!/usr/bin/env bats
# shellcheck disable=SC2016 # text for shells inside
# Images at their edges: how an imported one is run, bundles of one that says nothing, layers that cannot be made again, labels.

load helpers
load image-run

setup()
{
    image_setup
    tar -C "$(rootfs_template)" -cf "$DIR/root.tar" .
}

teardown()
{
    image_teardown
}

import()
{
    run hull import --quiet "$@" "$DIR/root.tar" changed
}

@test "import --change: all instructions, in both forms" {
    import -c 'CMD ["echo", "one two"]' --change 'ENV A=b c' -c 'ENV=D=e' -c 'env F g' -c 'USER 1000' -c 'WORKDIR /tmp' \
        -c 'LABEL a.b=c d' -c 'EXPOSE 80' -c 'EXPOSE 53/udp' -c 'VOLUME /v' -c 'VOLUME ["/w", "/x"]' -c 'STOPSIGNAL SIGUSR1'
    exits 0
    run hull inspect changed
    jq -e '.[0].Config | .User == "1000" and .WorkingDir == "/tmp" and .Cmd == ["echo", "one two"] and
        .Env == ["A=b c", "D=e", "F=g"] and .Labels == {"a.b": "c d"} and .StopSignal == "SIGUSR1" and
        (.ExposedPorts | keys) == ["53/udp", "80/tcp"] and (.Volumes | keys) == ["/v", "/w", "/x"]' <<<"$output"
    import -c 'CMD echo $A; pwd' -c 'ENV A=shell' -c 'ENV PATH=/bin' -c 'WORKDIR=/etc'
    run hull run --rm --image changed </dev/null
    output_is $'shell\n/etc'
    import -c 'ENTRYPOINT ["/bin/echo"]' -c 'CMD ["by default"]'
    run hull run --rm --image changed </dev/null
    output_is "by default"
    run hull run --rm --image changed other </dev/null
    output_is other
}

@test "import --change: what is no instruction is named" {
    local change
    for change in 'FROM x' CMD 'CMD ' 'CMD [1]' 'CMD ["a"' 'ENV A' 'ENV =b' 'LABEL a' 'EXPOSE http' 'EXPOSE 80/icmp' 'VOLUME v' \
        'VOLUME ["v"]' 'STOPSIGNAL NEVER' 'WORKDIR tmp' ''; do
        import --change "$change"
        exits 1
        says "--change: "
    done
    import --change 'ONBUILD RUN x'
    says '"ONBUILD RUN x": there are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR'
}

@test "unpack of an image without a command: a bundle that runs sh" {
    hull import --quiet "$DIR/root.tar" bare
    run hull unpack bare "$DIR/bundle.sh"
    exits 0
    [ "$(jq -c .process.args "$DIR/bundle.sh/config.json")" = '["sh"]' ]
    run hull run --image bare </dev/null
    exits 125
    says "neither entry point nor command"
}

@test "prune counts in words" {
    hull import --quiet "$DIR/root.tar" >/dev/null
    run hull prune
    says "Removed 1 image, 0 layers, "
}

# made_again ARCHIVE: what save writes has the very layer that was imported; what it warns of.
made_again()
{
    hull import --quiet "$1" again >/dev/null
    run hull save --output "$DIR/saved" --format oci-dir again
    exits 0
    local config
    config=$(jq -r '.config.digest[7:]' "$DIR/saved/blobs/sha256/$(jq -r '.manifests[0].digest[7:]' "$DIR/saved/index.json")")
    [ "$(jq -r '.rootfs.diff_ids[0][7:]' "$DIR/saved/blobs/sha256/$config")" = "$(sha256sum <"$1" | cut -d' ' -f1)" ]
}

@test "an entry that replaces a directory: made again if that was empty; else the warning says why not" {
    python3 - "$DIR" <<'PYTHON'
import io, sys, tarfile
def make(name, *entries):
    with tarfile.open(sys.argv[1] + "/" + name, "w") as t:
        for path, text in entries:
            i = tarfile.TarInfo(path)
            i.type = tarfile.REGTYPE if text else tarfile.DIRTYPE
            i.size = len(text)
            t.addfile(i, io.BytesIO(text.encode()))
make("empty.tar", ("d", ""), ("d", "file"))
make("full.tar", ("d", ""), ("d/in", "lost"), ("d", "file"))
PYTHON
    made_again "$DIR/empty.tar"
    says_not "warning"
    rm -rf "$DIR/saved"
    hull import --quiet "$DIR/full.tar" full >/dev/null
    run hull save --output "$DIR/saved" --format oci-dir full
    exits 0
    says "has entries that replaced others, and cannot be made again as it came"
    says_not "was changed"
}

@test "--security-opt label: parts, a whole one, disable; nothing without SELinux; what is wrong is named" {
    [ ! -e /sys/fs/selinux/enforce ] || skip "SELinux is in force"
    local label
    for label in disable type:spc_t level:s0:c1,c2 user:u role:r filetype:t system_u:system_r:container_t:s0:c1,c2; do
        run_image --rm --security-opt "label=$label" true
        exits 0
    done
    hull create --name c --image box --security-opt label=type:spc_t true
    [ "$(jq '.process.selinuxLabel, .linux.mountLabel' "$DIR/store/containers/c/config.json")" = $'null\nnull' ]
    for label in nonsense a:b:c type: ::: ; do
        run_image --rm --security-opt "label=$label" true
        exits 125
        says "--security-opt label=$label: there are disable, user:USER"
    done
    run_image --rm --security-opt nonsense=1 true
    exits 125
    says '--security-opt: "nonsense=1" is unknown: there are '
}
