#!/usr/bin/env bash
# Run one training job in a container as SageMaker does: IMAGE train, with a folder as /opt/ml.
#
# Usage: local_test/train_local.sh IMAGE [ML_DIR]
#   IMAGE    a local image, e.g. brain-tumor
#   ML_DIR   the folder mounted as /opt/ml (default: local_test/test_dir); put zips or class folders
#            into ML_DIR/input/data/{train,val,test}/ first, e.g. by `brain-tumor prepare`
#
# The model is left in ML_DIR/model, the reports in ML_DIR/output/data.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  '') usage >&2; exit 2 ;;
esac
image=$1
ml_dir=$(cd "${2:-$here/test_dir}" && pwd)

if ! compgen -G "$ml_dir/input/data/*/*" >/dev/null; then
  echo "$ml_dir/input/data holds no channel. Put your zips into train/, val/ and test/ below it;" >&2
  echo "\`brain-tumor prepare ARCHIVE OUT_DIR\` makes them." >&2
  exit 1
fi
mkdir -p "$ml_dir/model" "$ml_dir/output/data"

# The container runs as root, as on SageMaker; what it writes is handed to the caller. A rootless
# engine already maps its root to the caller.
give_back() {
  if [ "$(id -u)" != 0 ] && ! docker info -f '{{.SecurityOptions}}' | grep -q rootless; then
    docker run --rm --network none -v "$ml_dir:/opt/ml" "$image" \
      chown -R "$(id -u):$(id -g)" /opt/ml
  fi
}
trap give_back EXIT

# --network none: training needs no network, and a job with network isolation has none.
# --init is not given: on the platform, too, `train` itself is PID 1.
docker run --rm --network none -v "$ml_dir:/opt/ml" "$image" train
