#!/bin/bash
# build.sh RESULT BROKEN MAVEN-REPOSITORY: makes the stubs as docs/clients.md says it, with them RESULT/runner
# and, of the program in page/, RESULT/page. Ends with BROKEN when all was there that it needs (mvn and javac in
# PATH), and our own source is wrong.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)

# block LANGUAGE: what stands in the page's part on Java.
block() { sed -n "/^## Java\$/,/^## /{/^\`\`\`$1\$/,/^\`\`\`\$/p}" "$root/docs/clients.md" | sed '1d;$d'; }

release=$(javac -version 2>&1 | sed -nE 's/^javac ([0-9]+).*/\1/p')
if [ "$release" -lt 17 ]; then
    echo "this is Java $release, and 17 is needed"
    exit 1
fi
mvn -q -B -Dmaven.repo.local="$3" -f "$here/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies -DoutputDirectory="$1/lib"
cd "$1"
(cd lib && sha256sum --check --quiet --strict "$here/files.sha256")

# The page's protoc is an installed one, with the messages that come with it.
mkdir bin include
for program in protoc protoc-gen-grpc-java; do
    mv lib/$program-[0-9]*.exe bin/$program
    chmod +x bin/$program
done
(cd include && jar xf ../lib/protobuf-java-[0-9]*.jar google)

cp -r "$root/protos" protos
cp "$here/page/Example.java" .
{
    PATH=$PWD/bin:$PATH sh -euc "$(block sh)" &&
        javac -Xlint:all -Werror -proc:none -encoding UTF-8 -cp 'lib/*:classes' -d classes "$here"/src/*.java
} || exit "$2"

# What a JVM does to be fast later costs more than these programs.
for program in runner=Runner page=Example; do
    printf '#!/bin/sh\nhere=$(dirname "$0")\nexec "%s" %s -cp "$here/classes:$here/lib/*" %s "$@"\n' \
        "$(command -v java)" '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC' "${program#*=}" >"${program%=*}"
    chmod +x "${program%=*}"
done
