#!/usr/bin/env bash
# Writes what the static binary is made of as CycloneDX 1.5, in JSON, and prints the path.
#
#   ./sbom.sh                 for this machine, as ./build-static.sh builds
#   ./sbom.sh arm64 --no-default-features      as it is in the image
#
# By cargo-cyclonedx, which is installed below the target directory where it is missing (some
# minutes). The same sources give the same bytes: it has neither a time nor a path of this machine.
set -euo pipefail
cd "$(dirname "$0")"

readonly version=0.5.9

case ${1:-$(uname -m)} in
    x86_64 | amd64) target=x86_64-unknown-linux-musl ;;
    aarch64 | arm64) target=aarch64-unknown-linux-musl ;;
    *) echo "sbom: knows x86_64 and aarch64, not '$1'" >&2; exit 2 ;;
esac
[ $# -eq 0 ] || shift

directory=$(cargo metadata --format-version 1 --no-deps --locked --offline |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
tool=$directory/tools/bin/cargo-cyclonedx
if [ ! -x "$tool" ] || [[ $("$tool" cyclonedx --version) != *"$version"* ]]; then
    cargo install -q --locked --root "$directory/tools" "cargo-cyclonedx@$version" >&2
fi

# It writes beside Cargo.toml, whatever it is told.
written=prelaunch_bin.cdx.json
trap 'rm -f "$written"' EXIT
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} "$tool" cyclonedx -q --format json --spec-version 1.5 \
    --describe binaries --no-build-deps --target "$target" "$@" >&2
mkdir -p "$directory/$target/release"
# Cargo names the package only where its directory is called otherwise.
sed "s|path+file://$PWD#\(prelaunch@\)\?|path+file:///prelaunch#|g" "$written" \
    >"$directory/$target/release/prelaunch.cdx.json"
echo "$directory/$target/release/prelaunch.cdx.json"
