#!/usr/bin/env bash
# Put all that a machine without a network needs into one folder: images, Compose file, proxy's
# settings, model, checksums.
#
# Usage: deploy/on_premises/bundle.sh [OPTIONS] MODEL_DIR OUT_DIR
#   MODEL_DIR      what `train` left in /opt/ml/model
#   OUT_DIR        is made; must not exist
#   --image IMAGE  default: brain-tumor-serve (docker build --target serve -t brain-tumor-serve .)
#   --proxy IMAGE  default: caddy:2.11 (docker pull caddy:2.11)
#   -h             print this text
#
# The images get tags of their own in it, brain-tumor-serve:ID and brain-tumor-proxy:ID, so that two bundles
# on one machine keep each its images.
#
# It prints the digest of SHA256SUMS: tell it to whoever loads the bundle by another way than the
# bundle's, for a list that travels with the files proves only that nothing was damaged.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"; }
fail() {
  echo "bundle.sh: $*" >&2
  exit 1
}

image=brain-tumor-serve proxy=caddy:2.11 folders=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --image | --proxy)
      [ -n "${2:-}" ] || fail "$1 needs a value"
      if [ "$1" = --image ]; then image=$2; else proxy=$2; fi
      shift
      ;;
    -*) fail "unknown option $1; -h tells those that exist" ;;
    *) folders+=("$1") ;;
  esac
  shift
done
[ ${#folders[@]} = 2 ] || {
  usage >&2
  exit 2
}
model=${folders[0]} out=${folders[1]}
here=$(cd "$(dirname "$0")" && pwd)

[ -f "$model/model.json" ] || fail "$model is no model: it holds no model.json. Give what \`train\` left in /opt/ml/model"
[ -z "$(find "$model" -type l)" ] || fail "$model holds symbolic links, of which no checksum is kept: copy it by cp -RL"
[ ! -e "$out" ] || fail "$out exists already"
for name in "$image" "$proxy"; do
  docker image inspect "$name" >/dev/null 2>&1 ||
    fail "no image $name here: -h tells how to get the default ones"
done

# docker load takes a tag away from the image that had it, so a tag must never mean two images.
tag() {
  local id
  id=$(docker image inspect --format '{{.Id}}' "$1")
  id=${id#sha256:}
  docker tag "$1" "$2:${id:0:12}"
  echo "$2:${id:0:12}"
}
serve_tag=$(tag "$image" brain-tumor-serve)
proxy_tag=$(tag "$proxy" brain-tumor-proxy)

mkdir -p "$out"
out=$(cd "$out" && pwd)
# A bundle is whole, or it is not there.
trap 'rm -rf "$out"' EXIT
cp -R "$model" "$out/model"
cp "$here/compose.yaml" "$here/Caddyfile" "$out/"
# COMPOSE_FILE: Compose would take a compose.override.yaml, which no checksum names, by itself.
cat >"$out/.env" <<ENV
COMPOSE_FILE=compose.yaml
# $image
BRAIN_TUMOR_IMAGE=$serve_tag
# $proxy
PROXY_IMAGE=$proxy_tag
# Yours:
ENV
docker save --output "$out/images.tar" "$serve_tag" "$proxy_tag"

cd "$out"
(cd model && find . -type f -exec sha256sum {} +) >model.sha256
sha256sum .env Caddyfile compose.yaml images.tar model.sha256 >SHA256SUMS
# Any user may serve it, whoever packed it.
chmod -R u=rwX,go=rX .
trap - EXIT
echo "Wrote $out, $(du -sh . | cut -f1). SHA256SUMS has the sha256"
sha256sum <SHA256SUMS | cut -d' ' -f1
