#!/usr/bin/env bash
# Serve a trained model in a container as SageMaker does: IMAGE serve, on port 8080.
#
# Usage: local_test/serve_local.sh IMAGE [ML_DIR]
#   IMAGE    a local image, e.g. brain-tumor
#   ML_DIR   the folder whose model/ is mounted as /opt/ml/model (default: local_test/test_dir)
#   PORT     environment variable: the port on this machine (default: 8080)
#
# It stays in the foreground; Ctrl-C ends it. In a second terminal: local_test/predict.sh PAYLOAD
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  '') usage >&2; exit 2 ;;
esac
image=$1
ml_dir=$(cd "${2:-$here/test_dir}" && pwd)

if [ ! -f "$ml_dir/model/model.json" ]; then
  echo "$ml_dir/model holds no model. Train one first: local_test/train_local.sh $image" >&2
  exit 1
fi

# Loopback only: the endpoint has no authentication, on SageMaker the platform stands before it.
# The model is read-only there too; --read-only and --tmpfs are what a serverless endpoint gives.
exec docker run --rm -p "127.0.0.1:${PORT:-8080}:8080" --read-only --tmpfs /tmp \
  -v "$ml_dir/model:/opt/ml/model:ro" "$image" serve
