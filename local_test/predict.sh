#!/usr/bin/env bash
# Send one file to a local endpoint and print the answer.
#
# Usage: local_test/predict.sh PAYLOAD [CONTENT_TYPE]
#   PAYLOAD        an image (jpg, png, ...), .dcm, .nii, .nii.gz, or a .json, .jsonl or .npy body
#   CONTENT_TYPE   default: by the file's ending; an unknown one is left to the server to recognise
#   PORT           environment variable: the port of the endpoint (default: 8080)
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  '') usage >&2; exit 2 ;;
esac
payload=$1
if [ ! -f "$payload" ]; then
  echo "$payload: no such file" >&2
  exit 1
fi
case $payload in
  *.jpg | *.jpeg) type=image/jpeg ;;
  *.png) type=image/png ;;
  *.json) type=application/json ;;
  *.jsonl) type=application/jsonlines ;;
  *.npy) type=application/x-npy ;;
  *.dcm) type=application/dicom ;;
  *.nii) type=application/x-nifti ;;
  *.nii.gz) type=application/gzip ;;
  *) type=application/x-image ;;
esac

# --noproxy: a company's proxy must not be asked for this machine.
# --fail-with-body: the server's sentence is shown, and the exit code says that it is an error.
exec curl --silent --show-error --fail-with-body --noproxy '*' --max-time 60 \
  -H "Content-Type: ${2:-$type}" --data-binary "@$payload" \
  "http://127.0.0.1:${PORT:-8080}/invocations"
