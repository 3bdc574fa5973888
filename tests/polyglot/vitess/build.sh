#!/bin/sh
# build.sh RESULT BROKEN: makes RESULT/vexec and RESULT/health with Vitess's published code, in the current
# folder. Ends with BROKEN when all was there that it needs, and our own source is wrong.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for program in vexec health; do
    cd "$here/$program"
    # Fetches what is needed and no more: Vitess's own list of modules is long.
    go list -deps . >/dev/null
    go build -buildvcs=false -o "$1/$program" . || exit "$2"
done
