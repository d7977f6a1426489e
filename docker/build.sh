#!/bin/sh
# Builds the image with the first tool that works: docker, podman, buildah.
# Where no registry of images is reachable, the base is made with debootstrap and tagged with the name in FROM; the
# package clients' settings of this machine (certificates) are mounted for the build and never copied into the image.
set -eu
cd "$(dirname "$0")/.."
image=${1:-liveserver}
base=docker.io/library/debian:bookworm-slim

if docker info >/dev/null 2>&1; then exec docker build -t "$image" .; fi
if podman info >/dev/null 2>&1 && podman pull -q "$base" >/dev/null 2>&1; then exec podman build -t "$image" .; fi
command -v buildah >/dev/null || { echo "make image needs docker, podman or buildah (apt-get install buildah)"; exit 1; }

export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}" BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"
mounts=
if ! buildah inspect --type image "$base" >/dev/null 2>&1 && ! buildah pull -q "$base" >/dev/null 2>&1; then
  command -v debootstrap >/dev/null || { echo "no image registry is reachable, and debootstrap is not installed"; exit 1; }
  root=$(mktemp -d)
  debootstrap --variant=minbase bookworm "$root" >/dev/null
  fresh=$(buildah from scratch)
  buildah copy -q "$fresh" "$root" / >/dev/null
  buildah commit -q "$fresh" "$base" >/dev/null
  buildah rm "$fresh" >/dev/null
  rm -rf "$root"
fi
certificates=/etc/ssl/certs/ca-certificates.crt
if [ -r "$certificates" ]; then
  settings=$(mktemp -d)
  trap 'rm -rf "$settings"' EXIT
  cp "$certificates" "$settings/ca.crt"
  printf '[global]\ncert = /run/build/ca.crt\n' > "$settings/pip.conf"
  printf 'cafile=/run/build/ca.crt\n' > "$settings/npmrc"
  mounts="--volume $settings:/run/build:ro --volume $settings/pip.conf:/etc/pip.conf:ro --volume $settings/npmrc:/build/web/.npmrc:ro"
fi
# shellcheck disable=SC2086 # the mounts are words
buildah build --pull-never $mounts -t "$image" .
