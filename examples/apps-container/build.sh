#!/bin/sh
# Makes `web.tar` beside this script, out of the server of the example apps-binary. Nothing is left in your own storage.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
"$here/../apps-binary/build.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$here/Containerfile" "$here/../apps-binary/server" "$scratch"
rm -f "$here/web.tar"
buildah_() { buildah --root "$scratch/storage" --runroot "$scratch/run" --storage-driver vfs "$@"; }
buildah_ build --quiet --isolation chroot --timestamp 0 --tag localhost/web "$scratch" >/dev/null
buildah_ push --quiet localhost/web "oci-archive:$here/web.tar:localhost/web"
