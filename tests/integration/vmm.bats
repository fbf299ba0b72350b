#!/usr/bin/env bats
# hull-vmm as a process, with guests of a few instructions: how it ends when the machine does. What runs in a whole guest is
# sandbox.bats's, which needs the lab.

load helpers
eval "usual_$(declare -f setup)"

setup()
{
    usual_setup
    VMM=$(dirname "$HULL")/hull-vmm
    [ -x "$VMM" ] || skip "no hull-vmm beside hull"
}

# guest HEX [OPTION...]
guest()
{
    [ -r /dev/kvm ] || skip "no /dev/kvm"
    run timeout 30 python3 "$BATS_TEST_DIRNAME/vmm.py" "$VMM" "$@"
}

@test "hull-vmm is small and static" {
    [ "$(stat -c %s "$VMM")" -lt 409600 ] || ! command -v musl-gcc
    ! readelf -lW "$VMM" | grep -q INTERP
}

@test "hull-vmm: options that make no sense are an error in words" {
    run -125 "$VMM"
    [[ $output == *"hull-vmm needs --memory"* ]]
    run -125 "$VMM" --memory=67108864 --cpus=0 web
    [[ $output == *"cpus"* ]]
}

@test "a guest that resets the machine before there is a container: an error for hull, exit status 125" {
    guest b0fee664f4 # mov al,0xfe; out 0x64,al; hlt
    [[ ${lines[0]} == "sync 9 the sandbox's machine ended while the guest boots: "*reset* ]]
    [[ ${lines[-1]} == "exit 125" ]]
}

@test "a guest that crashes: an error for hull" {
    guest 0f0b # ud2, without an IDT: a triple fault
    [[ ${lines[0]} == "sync 9 the sandbox's machine ended while the guest boots: "* ]]
    [[ ${lines[-1]} == "exit 125" ]]
}

@test "a guest that writes on its serial port is heard where the console is asked for, and only there" {
    local code=66baf803b068eeb00aeeb0fee664f4 # "h\n" to 0x3f8, then the reset
    guest "$code" --console
    [[ $output == *$'h\n'* ]]
    [[ ${lines[-1]} == "exit 125" ]]
    guest "$code"
    [[ $output != *$'h\n'* ]]
}

@test "what is no kernel: an error for hull before anything runs" {
    guest ""
    [[ ${lines[0]} == "sync 9 "*kernel* ]]
    [[ ${lines[-1]} == "exit 125" ]]
    guest f4 --cpu-mask=nonsense
    [[ ${lines[0]} == "sync 9 "*nonsense* ]]
}

@test "a sandbox is confined thread by thread, is small, keeps signals for the workload, and ends with hull" {
    [ "$EUID" = 0 ] || skip "reads another process's memory map, needs root"
    guest ebfe --look # jmp to itself
    local line files=0 vcpus=0
    # Blocked: all but SIGKILL and SIGSTOP; in the vCPU's thread the signal that stops it is not, 16.
    for line in "${lines[@]}"; do
        [[ $line != thread* ]] || [[ $line == "thread Seccomp=2 NoNewPrivs=1 SigBlk=fffffffffffb"[7f]"eff "* ]]
        [[ $line != *SigBlk=fffffffffffb7eff* ]] || vcpus=$((vcpus + 1))
        case $line in
        thread*CapPrm=0000000000000000\ CapEff=0000000000000000\ CapInh=0000000000000000) ;;
        thread*CapInh=0000000000000000) files=$((files + 1)) ;;
        thread*) false ;;
        memory*) [ "${line#memory }" -lt 3072 ] ;;
        esac
    done
    [ $files = 1 ]
    [ $vcpus = 1 ]
    [[ $output == *"alive True"* ]]
    [[ $output == *"hull went away"* ]]
    [[ ${lines[-1]} == "exit 125" ]]
}
