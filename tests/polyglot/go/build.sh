#!/bin/bash
# build.sh RESULT BROKEN: makes the stubs as docs/clients.md says it, with them RESULT/runner and, of the
# program in page/, RESULT/page; in the current folder. Ends with BROKEN when all was there that it needs, and
# our own source is wrong.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..

# block LANGUAGE: what stands in the page's part on Go.
block() { sed -n "/^## Go\$/,/^## /{/^\`\`\`$1\$/,/^\`\`\`\$/p}" "$root/docs/clients.md" | sed '1d;$d'; }

mkdir -p source/page source/bin
cd source
cp "$here"/*.go "$here/go.mod" "$here/go.sum" .
cp -r "$root/protos" protos
go mod download
cp "$here/page/main.go" page/
# The page's protoc may be any; this one is in our environment.
printf '#!/bin/sh\nexec "%s" alpha protoc "$@"\n' "$root/.venv/bin/buf" >bin/protoc
chmod +x bin/protoc
{
    PATH=$PWD/bin:$PATH sh -euc "$(block sh)" &&
        go build -buildvcs=false -o "$1/runner" . &&
        go build -buildvcs=false -o "$1/page" ./page
} || exit "$2"
