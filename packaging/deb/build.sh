#!/bin/bash
# Builds dist/tabletd_VERSION-REVISION_ARCHITECTURE.deb for the Debian that it is run on.
#
#   packaging/deb/build.sh [REVISION]     default: 1
#
# The daemon and its command get an environment of their own in /usr/lib/tabletd, with the libraries that
# requirements/server.txt pins, on Debian's own Python. The version is the one of the Python package.
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 022

release=$(/usr/bin/python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
python=/usr/bin/$release
home=/usr/lib/tabletd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH

released=$(.venv/bin/python -m hatchling version)
# Debian sorts what comes before a release by a tilde.
version=$(sed -E 's/\.?(a|b|rc|dev)([0-9])/~\1\2/' <<<"$released")-${1:-1}
architecture=$(dpkg --print-architecture)

place() { install -D -m "$1" "$2" "$root/$3"; }

build_environment() {
    local ours=$root$home
    "$python" -m venv --without-pip "$ours"
    .venv/bin/python -m hatchling build -t wheel -d "$work" >"$work/log" 2>&1
    local pip=(.venv/bin/pip --python "$ours/bin/python" --quiet --disable-pip-version-check)
    "${pip[@]}" install --no-compile --only-binary :all: --require-hashes -r requirements/server.txt
    "${pip[@]}" install --no-compile --no-deps --no-index --find-links "$work" "tabletd==$released"
    find "$ours/bin" -mindepth 1 ! -name 'python*' ! -name tabletd ! -name tabletctl -delete
    sed -i "1s|.*|#!$home/bin/python3|" "$ours/bin/tabletd" "$ours/bin/tabletctl"
    sed -i '/^command = /d' "$ours/pyvenv.cfg"
    # Compiled here: nobody writes into this folder later.
    "$python" -m compileall -q --invalidation-mode unchecked-hash -s "$root" "$ours/lib"
    mkdir -p "$root/usr/bin"
    ln -s ../lib/tabletd/bin/tabletd ../lib/tabletd/bin/tabletctl "$root/usr/bin/"
}

place_files() {
    place 644 packaging/systemd/tabletd.service usr/lib/systemd/system/tabletd.service
    place 644 packaging/systemd/sysusers.conf usr/lib/sysusers.d/tabletd.conf
    place 644 packaging/systemd/tmpfiles.conf usr/lib/tmpfiles.d/tabletd.conf
    place 644 packaging/logrotate/tabletd etc/logrotate.d/tabletd
    place 644 packaging/tabletd.toml etc/tabletd/tabletd.toml
    place 644 packaging/deb/copyright usr/share/doc/tabletd/copyright
    local page
    for page in README.md CHANGELOG.md $(find docs -name '*.md') packaging/{grafana,prometheus}/*; do
        place 644 "$page" "usr/share/doc/tabletd/$page"
    done
    (cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$work/conffiles"
}

describe() {
    local size
    size=$(du -sk "$root" | cut -f1)
    mkdir "$root/DEBIAN"
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) \
        >"$root/DEBIAN/md5sums"
    sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@PYTHON@/$release/" \
        -e "s/@INSTALLED_SIZE@/$size/" packaging/deb/control.in >"$root/DEBIAN/control"
    cp "$work/conffiles" "$root/DEBIAN/conffiles"
    install -m 755 packaging/deb/{postinst,prerm,postrm} "$root/DEBIAN/"
}

build_environment
place_files
describe
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p dist
dpkg-deb --root-owner-group -Zzstd --build "$root" "dist/tabletd_${version}_$architecture.deb"
