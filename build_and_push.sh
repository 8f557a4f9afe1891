#!/usr/bin/env bash
# Build the image, push it to Amazon ECR, and print the URI that SageMaker takes. The repository is
# created when it is absent.
#
# Usage: build_and_push.sh IMAGE[:TAG] [OPTIONS]
#   IMAGE[:TAG]         name of the ECR repository and tag; the default tag is latest
#   --region REGION     default: AWS_REGION, AWS_DEFAULT_REGION, then the configuration of aws
#   --platform PLATFORM default: linux/amd64, the only one that SageMaker trains on
#   --no-push           build only; needs no aws
#   --dry-run           print the commands and run none
#   -h                  print this text
#
# Messages go to stderr; the last line of stdout is the URI with the digest. Prefer it to the tag:
# a running endpoint does not see that a tag has moved.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"; }
fail() {
  echo "build_and_push.sh: $*" >&2
  exit 1
}

# --- Arguments -------------------------------------------------------------------------------

image='' region='' platform=linux/amd64 dry_run='' push=yes
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --region | --platform)
      [ -n "${2:-}" ] || fail "$1 needs a value"
      if [ "$1" = --region ]; then region=$2; else platform=$2; fi
      shift
      ;;
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

# --- Commands --------------------------------------------------------------------------------

# Where the commands are shown: beside the messages, or alone on stdout in a dry run.
if [ -n "$dry_run" ]; then exec 3>&1; else exec 3>&2; fi
say() { printf '+ %s\n' "$*" >&3; }

run() {
  say "$@"
  [ -n "$dry_run" ] || "$@"
}

ecr() { run aws ecr "$@" --region "$region"; }

need() {
  [ -n "$dry_run" ] || command -v "$1" >/dev/null || fail "$1 is missing: $2"
}

find_registry() {
  local account='<account>'
  region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-}}}
  if [ -n "$dry_run" ]; then
    region=${region:-<region>}
  else
    [ -n "$region" ] || region=$(aws configure get region) ||
      fail "no region is set: give one, such as --region eu-central-1"
    account=$(aws sts get-caller-identity --query Account --output text) ||
      fail "aws has no valid credentials: run 'aws configure' or 'aws sso login'"
  fi
  registry=$account.dkr.ecr.$region.amazonaws.com
  case $region in cn-*) registry+=.cn ;; esac
}

make_repository() {
  local answer
  if answer=$(ecr describe-repositories --repository-names "$repository" 2>&1) && [ -z "$dry_run" ]; then
    return
  fi
  case $dry_run$answer in
    yes | *RepositoryNotFoundException*)
      ecr create-repository --repository-name "$repository" \
        --image-scanning-configuration scanOnPush=true >&2
      ;;
    *) fail "ECR does not tell whether the repository $repository exists: $answer" ;;
  esac
}

build() {
  # A dry run asks nothing and supposes Docker's present builder.
  if [ -n "$dry_run" ] || docker buildx version >/dev/null 2>&1; then
    # SageMaker takes no OCI manifests. Attestations (provenance, sbom) would make it one, and
    # --output type=docker asks for Docker's own kind.
    run docker buildx build --platform "$platform" --provenance=false --sbom=false \
      --output type=docker --tag "$repository:$tag" "$project" >&2
  else
    # Without the plugin Docker has only its classic builder, and uses it only when told to.
    export DOCKER_BUILDKIT=0
    run docker build --platform "$platform" --tag "$repository:$tag" "$project" >&2
  fi
}

log_in() {
  say "aws ecr get-login-password --region $region | docker login --username AWS --password-stdin $registry"
  [ -n "$dry_run" ] || aws ecr get-login-password --region "$region" |
    docker login --username AWS --password-stdin "$registry" >&2
}

# What ECR holds is what counts: Docker's containerd image store may push an OCI manifest after all.
read_back() {
  local answer digest media_type wanted=application/vnd.docker.distribution.manifest.v2+json
  answer=$(ecr batch-get-image --repository-name "$repository" --image-ids "imageTag=$tag" \
    --query 'images[0].[imageId.imageDigest,imageManifestMediaType]' --output text)
  [ -z "$dry_run" ] || return 0
  read -r digest media_type <<<"$answer"
  [ "$media_type" = "$wanted" ] ||
    fail "ECR holds $repository:$tag as '$media_type', but SageMaker takes only '$wanted'.
  Turn off 'Use containerd for pulling and storing images' in Docker's settings, and push again."
  echo "$registry/$repository@$digest"
}

project=$(cd "$(dirname "$0")" && pwd)
# No output may wait in a pager.
export AWS_PAGER=''

need docker "see https://docs.docker.com/get-docker/"
if [ -z "$push" ]; then
  build
  exit
fi
need aws "see https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
# All that may be refused comes before the build, which takes minutes.
find_registry
make_repository
build
log_in
run docker tag "$repository:$tag" "$registry/$repository:$tag"
run docker push "$registry/$repository:$tag" >&2
read_back
