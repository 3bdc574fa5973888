#!/bin/bash
# build.sh RESULT BROKEN: makes RESULT/runner and, of page.mjs, RESULT/page. Ends with
# BROKEN when all was there that it needs (node and npm in PATH), and our own source is wrong.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)

cp -r "$here"/{package.json,package-lock.json,.npmrc,tsconfig.json,src} "$1"
mkdir "$1/protos"
cp -r "$root/protos/tabletd_pb" "$1/protos/"
cd "$1"
npm ci --ignore-scripts --no-audit --no-fund

# The options are those that src/stubs.ts gives to the loader.
node_modules/.bin/proto-loader-gen-types --keepCase --longs=String --enums=String --bytes=String \
    --grpcLib=@grpc/grpc-js --includeDirs=protos --outDir=src/generated \
    tabletd_pb/{errors,migrations,queryservice,tabletmanagerservice,vtctlservice}.proto || exit "$2"
node_modules/.bin/tsc || exit "$2"
cp "$here/page.mjs" build/
node --check build/page.mjs || exit "$2"

for program in runner.js page.mjs; do
    printf '#!/bin/sh\nexec "%s" "$(dirname "$0")/build/%s" "$@"\n' \
        "$(node -p process.execPath)" "$program" >"${program%.*}"
    chmod +x "${program%.*}"
done
