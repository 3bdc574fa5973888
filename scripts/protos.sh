#!/bin/sh
# Makes the Python stubs of protos/tabletd_pb in client/tabletd_pb, and checks them and the contract.
#
#   scripts/protos.sh generate   make the stubs
#   scripts/protos.sh check      fail, naming the files, when the stubs are not what the .proto files give
#   scripts/protos.sh lint       buf's rules of style (protos/buf.yaml), and its formatting
#   scripts/protos.sh breaking   fail when the contract breaks what PROTOS_BASE (default: main) promised
#
# The generator has a virtual environment of its own: stubs of an older generator load on every newer
# grpcio and protobuf, not the other way round. Set PYTHON to choose the interpreter that makes it.
set -eu
cd "$(dirname "$0")/.."

stubs=client/tabletd_pb
venv=.tools/protos-venv
pins=requirements/protos.txt

ensure_generator() {
    if cmp -s "$pins" "$venv/pins.txt"; then return; fi
    echo "protos: installing the stub generator into $venv" >&2
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$pins"
    cp "$pins" "$venv/pins.txt"
}

# generate_into DIR: the stubs, as DIR/tabletd_pb/*.
generate_into() {
    ensure_generator
    PATH="$PWD/$venv/bin:$PATH" "$venv/bin/python" -m grpc_tools.protoc -I protos \
        --python_out="$1" --grpc_python_out="$1" \
        --mypy_out=quiet:"$1" --mypy_grpc_out=quiet,only_async:"$1" \
        protos/tabletd_pb/*.proto
    # A file without a service gets empty service stubs: nobody imports them.
    for proto in protos/tabletd_pb/*.proto; do
        if ! grep -q '^service ' "$proto"; then
            name=$(basename "$proto" .proto)
            rm -f "$1/tabletd_pb/${name}_pb2_grpc.py" "$1/tabletd_pb/${name}_pb2_grpc.pyi"
        fi
    done
}

generate() {
    generate_into "$scratch"
    mkdir -p "$stubs"
    rm -f "$stubs"/*_pb2.py "$stubs"/*_pb2.pyi "$stubs"/*_pb2_grpc.py "$stubs"/*_pb2_grpc.pyi
    cp "$scratch"/tabletd_pb/* "$stubs/"
}

check() {
    generate_into "$scratch"
    if diff -rq -x __init__.py -x py.typed -x __pycache__ "$scratch/tabletd_pb" "$stubs" \
        > "$scratch/drift"; then
        return
    fi
    echo "protos: these stubs are not what protos/tabletd_pb gives:" >&2
    sed -E -e "s|^Files .* and (.*) differ\$|  \1 differs|" \
        -e "s|^Only in $scratch/tabletd_pb: (.*)|  $stubs/\1 is missing|" \
        -e "s|^Only in $stubs: (.*)|  $stubs/\1 has no .proto file|" "$scratch/drift" >&2
    echo "protos: run 'scripts/protos.sh generate' and commit the result" >&2
    exit 1
}

run_buf() {
    if [ -x .venv/bin/buf ]; then .venv/bin/buf "$@"; else buf "$@"; fi
}

breaking() {
    base=${PROTOS_BASE:-main}
    if ! git cat-file -e "$base:protos/buf.yaml" 2> "$scratch/git"; then
        echo "protos: nothing to compare with: $base has no protos/buf.yaml" >&2
        return
    fi
    git archive "$base" protos | tar -x -C "$scratch"
    run_buf breaking protos --against "$scratch/protos"
    # Vitess's names are only held to what travels (protos/buf.yaml); ours also to what is made of them.
    vitess=$(cd protos && grep -L '^package tabletd\.' tabletd_pb/*.proto | sed 's/.*/"&"/' | paste -sd,)
    cp -r protos "$scratch/now"
    echo "{version: v2, breaking: {use: [FILE], ignore: [$vitess]}}" > "$scratch/now/buf.yaml"
    run_buf breaking "$scratch/now" --against "$scratch/protos"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
case "${1:-}" in
    generate) generate ;;
    check) check ;;
    lint) run_buf lint protos && run_buf format protos --diff --exit-code ;;
    breaking) breaking ;;
    *)
        sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
