#!/bin/bash
# Runs every static check, one line each, and shows the output of those that fail.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=0

# check NAME COMMAND...
check() {
    local name=$1
    shift
    if "$@" >"$output" 2>&1; then
        printf '%-10s %s\n' '[ok]' "$name"
    else
        printf '%-10s %s: %s\n' '[failed]' "$name" "$*"
        cat "$output"
        failed=1
    fi
}

# What the contract is compared with: main as the others have it or, on main itself, the state before
# the last change of the contract.
protos_base() {
    local base last
    base=$(git merge-base HEAD origin/main 2>/dev/null)
    if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
        last=$(git log -n 1 --format=%H -- protos)
        if git diff --quiet HEAD -- protos; then base=$last^; else base=HEAD; fi
    fi
    echo "$base"
}

# same_as_printed FILE COMMAND...
same_as_printed() {
    local file=$1
    shift
    diff -u "$file" <("$@") ||
        { echo "make it anew: $* > $file"; return 1; }
}

check "ruff: lint" $bin/ruff check .
check "ruff: format" $bin/ruff format --check .
check "pyright, strict" $bin/pyright
check "mypy, strict" $bin/mypy
check "import-linter: the arrows point down" $bin/lint-imports
check "docs/configuration.md: all settings as they are" same_as_printed docs/configuration.md \
    $bin/tabletd config reference --format markdown
check "protos: stubs are what the .proto files give" scripts/protos.sh check
check "protos: buf lint" scripts/protos.sh lint
check "protos: buf breaking" env PROTOS_BASE="$(protos_base)" scripts/protos.sh breaking
exit $failed
