#!/bin/sh
# Writes the golden messages again, with Vitess's own published code: v0.9.0 (VExec, the old names),
# v0.21.0 (the last with gh-ost and pt-osc) and v0.23.0. The result must not change.
# Needs Go 1.21 or later; the toolchain that a release asks for is fetched by Go itself.
set -eu
cd "$(dirname "$0")"
for release in v0.9.0 v0.21.0 v0.23.0; do
    toolchain=$(sed -n 's/^toolchain //p' "go.$release.mod")
    GOTOOLCHAIN=${toolchain:-local} go run -modfile="go.$release.mod" . -release "$release" \
        > "$release.jsonl.new"
    mv "$release.jsonl.new" "$release.jsonl"
done
