# What every bats file wants: what it needs, waiting, and assertions that show what was there instead.

need_root()
{
    [ "$(id -u)" = 0 ] || skip "needs root"
}

need_tool()
{
    command -v "$1" >/dev/null || skip "$1 is not installed"
}

# wait_for CONDITION...: until the command is true, for at most ten seconds.
wait_for()
{
    local i
    for ((i = 0; i < 200; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    echo "waited ten seconds in vain for: $*" >&2
    return 1
}

exits()
{
    # shellcheck disable=SC2154
    [ "$status" = "$1" ] || {
        printf 'exit status %s, expected %s. Output:\n%s\n' "$status" "$1" "$output" >&2
        return 1
    }
}

says()
{
    [[ $output == *"$1"* ]] || {
        printf 'expected "%s" in:\n%s\n' "$1" "$output" >&2
        return 1
    }
}

says_not()
{
    [[ $output != *"$1"* ]] || {
        printf 'did not expect "%s" in:\n%s\n' "$1" "$output" >&2
        return 1
    }
}

output_is()
{
    [ "$output" = "$1" ] || {
        printf 'expected:\n%s\ngot:\n%s\n' "$1" "$output" >&2
        return 1
    }
}
