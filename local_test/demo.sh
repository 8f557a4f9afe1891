#!/usr/bin/env bash
# The whole product on this machine: prepare data, train, serve, predict with curl.
#
# Usage: local_test/demo.sh [--docker|--no-docker] [--data ARCHIVE_OR_FOLDER] [--workdir DIR]
#                           [-s key=value ...]
#   --docker      build the image and run everything in containers
#   --no-docker   install the same package into a virtual environment (Python 3.11-3.13, C compiler)
#                 default: Docker when an engine answers
#   --data PATH   a zip or folder of class folders, e.g. the Kaggle download
#                 default: draw a small synthetic set
#   --workdir DIR where everything is put; it must be new, empty or from a former demo (default: demo)
#   -s key=value  a hyperparameter, e.g. -s epochs=2; may be repeated
#
# BASE_IMAGE, when set in the environment, is passed to the build (see README, company proxies).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
fail() { echo "demo: $*" >&2; exit 1; }
step() { printf '\n[%4ds] %s\n' "$SECONDS" "$*"; }

mode='' data='' workdir=$root/demo
parameters=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --docker | --no-docker) mode=${1#--}; shift ;;
    --data | --workdir | -s)
      [ $# -ge 2 ] || fail "$1 needs a value; see --help"
      case $1 in
        --data) data=$2 ;;
        --workdir) workdir=$2 ;;
        -s) case $2 in ?*=*) parameters+=("$2") ;; *) fail "-s $2: wanted key=value" ;; esac ;;
      esac
      shift 2 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
done

command -v curl >/dev/null || fail "curl is missing. Debian: apt-get install curl"
if [ -z "$mode" ]; then
  if docker info >/dev/null 2>&1; then mode=docker; else mode=no-docker; fi
fi
if [ "$mode" = docker ]; then
  docker info >/dev/null 2>&1 || fail "no Docker engine answers; start one, or use --no-docker"
fi
if [ -n "$data" ]; then
  [ -e "$data" ] || fail "--data $data does not exist"
  data=$(cd "$(dirname "$data")" && pwd)/$(basename "$data")
fi

# Only a folder that a demo made is ever cleared.
mkdir -p "$workdir"
workdir=$(cd "$workdir" && pwd)
case $data in "$workdir"/*) fail "--data lies in --workdir $workdir, which is cleared" ;; esac
marker=$workdir/.brain-tumor-demo
if [ -n "$(ls -A "$workdir")" ] && [ ! -e "$marker" ]; then
  fail "--workdir $workdir holds files of yours; give a new or empty folder"
fi
touch "$marker"
rm -rf "$workdir/data" "$workdir/ml" "$workdir/payloads" "$workdir/serve.log"
ml=$workdir/ml
mkdir -p "$workdir/data" "$workdir/payloads" "$ml/input/config" "$ml/output/data" "$ml/model"
for channel in train val test; do mkdir -p "$ml/input/data/$channel"; done

image=brain-tumor
venv=$root/.venv-demo
server=''
stop_server() {
  [ -n "$server" ] || return 0
  if [ "$mode" = docker ]; then docker stop "$server" >/dev/null; else kill "$server"; fi
  server=''
}
trap stop_server EXIT

# Run a command of the product; the same paths hold inside and outside of the container.
product() {
  if [ "$mode" = docker ]; then
    local mounts=(-v "$workdir:$workdir" -v "$here:$here:ro")
    [ -z "$data" ] || mounts+=(-v "$data:$data:ro")
    docker run --rm --network none --user "$(id -u):$(id -g)" "${mounts[@]}" "$image" "$@"
  else
    PATH=$venv/bin:$PATH "$@"
  fi
}

json_string() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

write_hyperparameters() {
  local separator='' pair
  {
    printf '{'
    for pair in "$@"; do
      printf '%s%s: %s' "$separator" "$(json_string "${pair%%=*}")" "$(json_string "${pair#*=}")"
      separator=', '
    done
    printf '}\n'
  } >"$ml/input/config/hyperparameters.json"
}

# Tell whether a hyperparameter was given with -s. The odd expansion is for bash before 4.4, which
# calls an empty array unbound.
given() {
  local pair
  for pair in ${parameters[@]+"${parameters[@]}"}; do
    [ "${pair%%=*}" = "$1" ] && return 0
  done
  return 1
}

if [ "$mode" = docker ]; then
  step "1/5 Build the image $image"
  docker build ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} -t "$image" "$root"
else
  step "1/5 Install into $venv"
  "$here/make_venv.sh" "$venv" "$root/requirements.txt"
fi

if [ -z "$data" ]; then
  step "2/5 No --data given: draw a small SYNTHETIC set, which says nothing about real scans"
  product python "$here/phantoms.py" "$workdir/data/phantoms.zip"
  source_data=$workdir/data/phantoms.zip
  given epochs || parameters+=(epochs=8)
  given image-size || given image_size || parameters+=(image-size=96)
else
  step "2/5 Prepare $data"
  source_data=$data
  given time-budget-minutes || given time_budget_minutes || parameters+=(time-budget-minutes=12)
fi
product brain-tumor prepare "$source_data" "$workdir/data"

step "3/5 Train: ${parameters[*]}"
cp "$here"/test_dir/input/config/*.json "$ml/input/config/"
write_hyperparameters "${parameters[@]}"
mv "$workdir/data/Train.zip" "$ml/input/data/train/"
mv "$workdir/data/Val.zip" "$ml/input/data/val/"
mv "$workdir/data/Test.zip" "$ml/input/data/test/"
if [ "$mode" = docker ]; then
  "$here/train_local.sh" "$image" "$ml"
else
  SAGEMAKER_BASE_DIR=$ml product brain-tumor train
fi

port=${PORT:-8080}
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
step "4/5 Serve on http://127.0.0.1:$port"
if [ "$mode" = docker ]; then
  server=brain-tumor-demo-$$
  # The flags of serve_local.sh, in the background and with a name to stop it by.
  docker run -d --rm --name "$server" -p "127.0.0.1:$port:8080" --read-only --tmpfs /tmp \
    -v "$ml/model:/opt/ml/model:ro" "$image" serve >/dev/null
  docker logs -f "$server" >"$workdir/serve.log" 2>&1 &
  alive() { docker inspect "$server" >/dev/null 2>&1; }
else
  SAGEMAKER_BASE_DIR=$ml PORT=$port BRAIN_TUMOR_HOST=127.0.0.1 \
    "$venv/bin/serve" >"$workdir/serve.log" 2>&1 &
  server=$!
  alive() { kill -0 "$server" 2>/dev/null; }
fi
ready_by=$((SECONDS + 300))
until curl --silent --fail --noproxy '*' --max-time 2 -o /dev/null "http://127.0.0.1:$port/ping"; do
  alive || { cat "$workdir/serve.log" >&2; server=''; fail "serve ended; its log is above"; }
  [ "$SECONDS" -lt "$ready_by" ] || fail "serve was not ready in 5 minutes; see $workdir/serve.log"
  printf '.'
  sleep 1
done
echo ' ready'

step "5/5 Predict with curl: one test image of each class, then the payload beside this script"
product python -c '
import pathlib, sys, zipfile
archive, out = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
first = {}
for name in archive.namelist():
    first.setdefault(name.split("/")[0], name)
for label, name in first.items():
    (out / f"{label}{pathlib.Path(name).suffix.lower()}").write_bytes(archive.read(name))
' "$ml/input/data/test/Test.zip" "$workdir/payloads"
for payload in "$workdir"/payloads/* "$here/payload.png"; do
  printf '%s\n  ' "local_test/predict.sh $payload"
  PORT=$port "$here/predict.sh" "$payload"
done
stop_server

step "Done. The server is stopped; everything is in $workdir"
cat <<END
  model            $ml/model  (SavedModel in 1/, class_names.json, model.json)
  report to read   $ml/output/data/report.html, MODEL_CARD.md
  learning curves  $ml/output/data/learning_curves.png
  confusion matrix $ml/output/data/confusion_matrix.png
  test figures     $ml/output/data/evaluation.json, classification_report.txt, predictions.csv
  data set report  $workdir/data/dataset_report.html
END
if [ "$mode" = docker ]; then
  echo "  serve it again   local_test/serve_local.sh $image $ml"
else
  echo "  serve it again   SAGEMAKER_BASE_DIR=$ml $venv/bin/serve"
fi
echo "Not a medical device: no answer of it is a diagnosis."
