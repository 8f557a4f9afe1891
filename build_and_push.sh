#!/usr/bin/env bash
# Build the image, push it to Amazon ECR, read it back from there, and print the URI that SageMaker
# takes. The repository is created when it is absent. It is safe to run again after a failure.
#
# Usage: build_and_push.sh IMAGE[:TAG] [OPTIONS]
#   IMAGE[:TAG]           name of the ECR repository and tag; the default tag is latest
#
# What is built
#   --platform PLATFORM   linux/amd64 (default), for all that SageMaker does, or linux/arm64, which it
#                         takes for endpoints on Graviton instances alone
#   --target STAGE        stage of the Dockerfile: serve is the small image that only serves
#   --build-arg NAME=VALUE  as for docker build, such as REQUIREMENTS=requirements-gpu.txt; may be
#                         given several times
#   --context DIR         folder of the Dockerfile; default: the one of this script
#   --engine ENGINE       docker or podman; default: the first of them on PATH
#
# Where it goes
#   --region REGION       default: AWS_REGION, AWS_DEFAULT_REGION, then the configuration of aws.
#                         SageMaker takes an image from ECR of its own region only
#   --profile PROFILE     profile of aws; default: AWS_PROFILE
#   --project NAME        `python -m deploy` finds a new repository by it; default: brain-tumor
#   --immutable           no tag of the repository can be pushed a second time
#   --keep-untagged N     ECR keeps the newest N images that have lost their tag, and deletes those
#                         before them; 0 for no such rule. Without it a new repository keeps 10, and
#                         one that was there stays as it is
#   --registry HOST[:PORT]  push to this registry, and call no aws. It logs in with REGISTRY_USER and
#                         REGISTRY_PASSWORD where they are set
#
#   --uri-file FILE       write the URI there too; without success there is no such file afterwards
#   --no-push             build only; needs no aws and no network but the build's own
#   --dry-run             print the commands and run none
#   -h                    print this text
#
# It needs docker or podman, python3 (3.9 or newer, nothing installed in it), and aws (1 or 2) for
# ECR. Messages go to stderr; the last line of stdout is the URI with the digest. Prefer it to the
# tag: a running endpoint does not see that a tag has moved.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=./deploy/push_remedies.sh
. "$here/deploy/push_remedies.sh"
# shellcheck source=./deploy/push_ecr.sh
. "$here/deploy/push_ecr.sh"

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"; }
fail() {
  printf 'build_and_push.sh: %s\n' "$*" >&2
  exit 1
}

# --- Arguments -------------------------------------------------------------------------------

image='' region='' profile=${AWS_PROFILE:-} platform=linux/amd64 engine='' registry=''
context=$here project=brain-tumor immutable='' keep_untagged='' uri_file='' dry_run='' push=yes
build_options=()
while [ $# -gt 0 ]; do
  name=${1#--} value=${2:-}
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --target | --build-arg)
      [ -n "$value" ] || fail "$1 needs a value"
      build_options+=("$1" "$value")
      shift
      ;;
    --platform | --context | --engine | --region | --profile | --project | --keep-untagged | \
      --registry | --uri-file)
      [ -n "$value" ] || fail "$1 needs a value"
      printf -v "${name//-/_}" %s "$value"
      shift
      ;;
    --immutable) immutable=IMMUTABLE ;;
    --dry-run) dry_run=yes ;;
    --no-push) push='' ;;
    -*) fail "unknown option $1; -h tells those that exist" ;;
    *)
      [ -z "$image" ] || fail "one image at a time: $image or $1?"
      image=$1
      ;;
  esac
  shift
done
[ -n "$image" ] || {
  usage >&2
  exit 2
}

repository=${image%%:*}
tag=latest
[ "$repository" = "$image" ] || tag=${image#*:}
lower=$(printf %s "$repository" | tr '[:upper:]' '[:lower:]')

# ECR's own rules; found out after a build of minutes otherwise.
part='[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*'
[ "$lower" = "$repository" ] || fail "ECR takes no capital letters in '$repository': use '$lower'"
[[ $repository =~ ^$part(/$part)*$ && ${#repository} -ge 2 && ${#repository} -le 256 ]] ||
  fail "'$repository' is no name for an ECR repository: 2 to 256 lower-case letters and digits, with single . _ - or / between them"
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] ||
  fail "'$tag' is no tag: at most 128 letters, digits, _ . or -, and neither . nor - first"
[ -z "$immutable" ] || [ "$tag" != latest ] ||
  fail "an immutable tag can be pushed once: give the version a name, such as $repository:v1"
[[ $platform =~ ^linux/(amd64|arm64)$ ]] ||
  fail "SageMaker runs linux/amd64 and, for endpoints on Graviton, linux/arm64, not '$platform'"
[[ $keep_untagged =~ ^[0-9]{0,4}$ ]] || fail "--keep-untagged takes a number, not '$keep_untagged'"
[ -z "$registry" ] || [ -z "$immutable$keep_untagged" ] ||
  fail "--immutable and --keep-untagged are rules of ECR, not of $registry"
[ -z "$region" ] || [[ $region =~ ^[a-z]+(-[a-z]+)+-[0-9]+$ ]] ||
  fail "'$region' is no region: they look like eu-central-1"
[ -f "$context/Dockerfile" ] || fail "there is no Dockerfile in $context: see --context"
[ -z "$uri_file" ] || [ -w "$(dirname "$uri_file")" ] || fail "no file can be written at $uri_file"

# --- Commands --------------------------------------------------------------------------------

# Where the commands are shown: beside the messages, or alone on stdout in a dry run.
if [ -n "$dry_run" ]; then exec 3>&1; else exec 3>&2; fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# No output may wait in a pager.
export AWS_PAGER=''

tell() { printf 'build_and_push.sh: %s\n' "$*" >&2; }
say() {
  local word line=+
  for word in "$@"; do
    [[ $word =~ ^[[:alnum:]_@%+=:,./-]+$ ]] || word="'$word'"
    line+=" $word"
  done
  echo "$line" >&3
}
log() { tee "$scratch/log" >&2; }

run() {
  say "$@"
  [ -n "$dry_run" ] || "$@" 2>&1 | log || explain "'$1 $2' failed"
}

# The answer is on stdout, what aws complains of in the log.
ask() {
  say aws "$@" "${account[@]}"
  [ -n "$dry_run" ] || aws "$@" "${account[@]}" 2>"$scratch/log"
}

need() {
  [ -n "$dry_run" ] || command -v "$1" >/dev/null || fail "$1 is missing: $2"
}

# --- Steps -----------------------------------------------------------------------------------

find_engine() {
  # The package podman-docker gives Podman the name docker. A dry run asks nothing.
  [ -n "$engine$dry_run" ] ||
    case $(docker --version 2>/dev/null || podman --version 2>/dev/null) in podman*) engine=podman ;; esac
  engine=${engine:-docker}
  [[ $engine =~ ^(docker|podman)$ ]] || fail "--engine is docker or podman, not '$engine'"
  need "$engine" "see https://docs.docker.com/get-docker/ or https://podman.io/docs/installation"
}

log_in() {
  local user=${REGISTRY_USER:-} password=${REGISTRY_PASSWORD:-}
  if [ -n "$region" ]; then
    user=AWS
    password=$(ask ecr get-login-password) || explain "ECR gives no login"
  fi
  [ -n "$user" ] || return 0
  credentials=$user:$password
  # Through a pipe: the arguments of a command can be read by everybody on the machine.
  set -- "$engine" login ${insecure:+--tls-verify=false} --username "$user" --password-stdin "$registry"
  say "$@"
  [ -n "$dry_run" ] || printf %s "$password" | "$@" 2>&1 | log || explain "$engine login failed"
}

build() {
  local options=(--platform "$platform" ${build_options[@]+"${build_options[@]}"})
  options+=(--tag "$repository:$tag" "$context")
  if [ "$engine" = podman ]; then
    # Podman's own format is OCI's, of which SageMaker takes no manifest.
    run podman build --format docker "${options[@]}"
  # A dry run supposes Docker's present builder.
  elif [ -n "$dry_run" ] || docker buildx version >/dev/null 2>&1; then
    # Attestations (provenance, sbom) would make an index of the image. type=docker alone is not
    # enough: newer versions of buildx take OCI's format for it where the engine can read that.
    run docker buildx build --provenance=false --sbom=false \
      --output type=docker,oci-mediatypes=false "${options[@]}"
  else
    # The classic builder gives Docker's format only where Docker keeps images in it too.
    case $(docker info --format '{{.DriverStatus}}' 2>/dev/null) in *io.containerd.snapshotter*)
      fail "this Docker keeps images in OCI's format, which SageMaker refuses, and the plugin buildx,
  which can turn that into Docker's, is missing (Debian: apt-get install docker-buildx)" ;;
    esac
    # Docker uses it only when told to.
    export DOCKER_BUILDKIT=0
    run docker build "${options[@]}"
  fi
}

identifier() {
  # Podman leaves out the name of the hash.
  [ -n "$dry_run" ] || "$engine" image inspect --format '{{.Id}}' "$repository:$tag" 2>/dev/null |
    sed 's/^sha256://;s/^/sha256:/'
}

# Docker's containerd image store takes the manifest's digest for the id.
is_there() { [[ -n $existing && " $existing " == *" $(identifier) "* ]]; }

# ECR refuses a spent tag even for the same image, so what is there is not pushed again.
refuse_spent_tag() {
  [ "$mutability" != IMMUTABLE ] || [ -z "$existing" ] || is_there || fail "$spent"
}

push() {
  refuse_spent_tag
  run "$engine" tag "$repository:$tag" "$remote"
  if [ "$engine" = podman ]; then
    # v2s2: Docker's manifest, version 2, schema 2.
    run podman push ${insecure:+--tls-verify=false} --format v2s2 "$remote"
  else
    say docker push "$remote"
    # Its bars are on stdout, which stays the terminal if it is one; its errors are on stderr.
    [ -n "$dry_run" ] || { docker push "$remote" 2>&1 >&4 | log; } 4>&2 || explain "the push failed"
  fi
}

read_back() {
  # -I: no module of the caller's folder or environment takes the place of Python's own.
  set -- python3 -I "$here/deploy/pushed_image.py" "$remote" "$@"
  say "$@"
  [ -n "$dry_run" ] || printf %s "$credentials" | "$@"
}

mutability='' credentials='' account=() insecure=''
spent="the tag $tag is there, and the tags of $repository are immutable: push to $repository:$tag-2"

find_engine
if [ -z "$push" ]; then
  build
  exit
fi
need python3 "version 3.9 or newer reads the image back"
# A file of an earlier run would look like success.
[ -n "$dry_run" ] || [ -z "$uri_file" ] || rm -f "$uri_file"
# All that may be refused comes before the build, which takes minutes.
if [ -z "$registry" ]; then
  need aws "see https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
  find_region
  find_repository
else
  region=''
fi
remote=$registry/$repository:$tag
# Docker takes a registry on loopback without TLS, Podman only when told to.
[[ $engine:$registry =~ ^podman:(localhost|127\.) ]] && insecure=yes
log_in
existing=$(read_back --existing)
refuse_spent_tag
build
if is_there; then
  tell "$remote is this image already: nothing is pushed"
else
  push
fi
uri=$(read_back --architecture "${platform#linux/}" --id "$(identifier)")
[ -z "$dry_run" ] || exit 0
echo "$uri"
[ -z "$uri_file" ] || echo "$uri" >"$uri_file"
