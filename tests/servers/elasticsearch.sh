#!/usr/bin/env bash
# Puts a real Elasticsearch together from what is published on Maven Central, and prints where it is.
#
#   tests/servers/elasticsearch.sh            once, into target/elasticsearch
#
# To start it: java -cp "$there/classes:$there/lib/*" Launch HOME HTTP-PORT TRANSPORT-PORT, where HOME
# is a copy of $there/home. Needs a JDK of 17 or later, Maven and unzip, and installs them on Debian. It
# lacks the modules that are not published, such as scripts and `_reindex`: what Argilla asks is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly version=8.19.21
sources=$PWD/tests/servers/elasticsearch
there=$(realpath -m "${CARGO_TARGET_DIR:-target}")/elasticsearch

install_missing() {
    local missing=() root=()
    command -v javac >/dev/null || missing+=(default-jdk-headless)
    command -v mvn >/dev/null || missing+=(maven)
    command -v unzip >/dev/null || missing+=(unzip)
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "elasticsearch.sh: installs ${missing[*]}" >&2
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    "${root[@]}" apt-get update -q >&2
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
}

# described NAME CLASS: what Elasticsearch wants to know of a module before it loads it.
described() {
    printf '%s\n' "name=$1" "description=$1" "classname=$2" "version=$version" \
        "java.version=17" "elasticsearch.version=$version" \
        >"$there/home/modules/$1/plugin-descriptor.properties"
}

if [ ! -e "$there/complete" ]; then
    install_missing
    rm -rf "$there"
    mkdir -p "$there"/home/{config,data,logs,plugins} \
        "$there"/home/modules/{transport-netty4,root} "$there"/{classes,root}
    # Colours in its output would end up in logs.
    mvn -q -B -f "$sources/pom.xml" dependency:copy-dependencies -DoutputDirectory="$there/lib" \
        -Dstyle.color=never >&2
    # The network is a module, which loads its libraries itself.
    mv "$there"/lib/netty-*.jar "$there/lib/transport-netty4-$version.jar" \
        "$there/home/modules/transport-netty4/"
    described transport-netty4 org.elasticsearch.transport.netty4.Netty4Plugin
    javac -nowarn -cp "$there/lib/*" -d "$there/classes" "$sources/Launch.java" >&2
    javac -nowarn -cp "$there/lib/*" -d "$there/root" "$sources/Root.java" >&2
    jar cf "$there/home/modules/root/root.jar" -C "$there/root" .
    described root prelaunch.Root
    touch "$there/complete"
fi
echo "$there"
