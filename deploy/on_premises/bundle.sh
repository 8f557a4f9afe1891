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
[ ! -e "$out" ] || fail "$out exists already"
for name in "$image" "$proxy"; do
  [[ $name != *@* ]] || fail "$name: docker save keeps tags and no digests; docker tag it first"
  docker image inspect "$name" >/dev/null 2>&1 ||
    fail "no image $name here: -h tells how to get the default ones"
done

mkdir -p "$out"
# chmod: any user may serve it, whoever packed it.
cp -R "$model" "$out/model"
chmod -R u=rwX,go=rX "$out/model"
cp "$here/compose.yaml" "$here/Caddyfile" "$out/"
printf '%s\n' "BRAIN_TUMOR_IMAGE=$image" "PROXY_IMAGE=$proxy" >"$out/.env"
docker save --output "$out/images.tar" "$image" "$proxy"
chmod 644 "$out/images.tar"

cd "$out"
(cd model && find . -type f -exec sha256sum {} +) >model.sha256
sha256sum .env Caddyfile compose.yaml images.tar model.sha256 >SHA256SUMS
echo "Wrote $out, $(du -sh . | cut -f1). SHA256SUMS has the sha256"
sha256sum <SHA256SUMS | cut -d' ' -f1
