#!/usr/bin/env bats
# Containers from images in virtual machines: needs what sandbox.bats needs (VMX or SVM, a kernel for guests; GUEST_KERNEL is
# its file).

load helpers
load image-run

setup()
{
    need_root
    grep -qwE 'vmx|svm' /proc/cpuinfo || skip "neither VMX nor SVM here: the lab has it"
    modprobe -q kvm_intel 2>/dev/null || modprobe -q kvm_amd 2>/dev/null || true
    [ -c /dev/kvm ] || skip "no /dev/kvm"
    image_setup by-hand
    KERNEL=(${GUEST_KERNEL:+--kernel "$GUEST_KERNEL"})
}

teardown()
{
    [ -z "${DIR-}" ] || image_teardown
}

@test "run --image --isolation=vm: its own kernel, a root to write to, files of its own, exit status; nothing is left" {
    run timeout 150 "$HULL" --root "$STATE" run --rm --isolation vm --memory 128m "${KERNEL[@]}" --image box \
        sh -c 'cat /proc/sys/kernel/random/boot_id; hostname; cat /etc/hostname; echo x >/new && cat /new; exit 5' </dev/null 3>&- 4>&-
    exits 5
    says_not "$(cat /proc/sys/kernel/random/boot_id)"
    [ "${lines[1]}" = "${lines[2]}" ]
    [ "${lines[3]}" = x ]
    [ -z "$(containers_left)" ]
}

@test "a detached one: log, wait, rm" {
    hull run -d --name machine --isolation vm --memory 128m "${KERNEL[@]}" --image box sh -c 'echo from inside; exit 6' </dev/null
    run timeout 150 "$HULL" --root "$STATE" wait machine
    output_is 6
    run hull logs machine
    output_is "from inside"
    run hull rm machine
    exits 0
}

@test "a user namespace of root's, volumes, another image: the same inside as for a container" {
    local tree
    tree=$(echo "$DIR"/store/layers/*/tree)
    mkdir "$tree/content"
    echo image >"$tree/content/file"
    run timeout 250 "$HULL" --root "$STATE" run --name vm --uidmap 0:200000:65536 -v data:/content -v /anonymous --mount type=image,src=box,dst=/img \
        --isolation vm --memory 128m "${KERNEL[@]}" --image box \
        sh -c 'stat -c %u:%g / /content/file /img/content/file; touch /mine /content/mine /anonymous/x; chown 5:6 /mine; stat -c %u:%g /mine; touch /img/x' </dev/null 3>&- 4>&-
    exits 1
    says $'0:0\n0:0\n0:0\n5:6'
    says "Read-only file system"
    [ "$(stat -c %u:%g "$DIR/store/containers/vm/upper/mine")" = 200005:200006 ]
    [ "$(stat -c %u:%g "$DIR/store/volumes/data/_data/mine")" = 200000:200000 ]
    run hull rm -v vm
    run hull volume ls -q
    output_is data
}
