# What mends a push that failed, by what aws, docker or podman said. Read by build_and_push.sh, whose
# variables and functions it uses.
# shellcheck shell=bash disable=SC2154

# Print what mends it, or nothing when that is not known.
remedy_for() {
  local as=${profile:+ --profile $profile}
  case $1 in
    *'config profile'*) echo "'aws configure list-profiles' tells which there are" ;;
    *'locate credentials'* | *'Partial credentials'*)
      echo "aws has no credentials: run 'aws configure$as', or name a profile by --profile" ;;
    *ExpiredToken* | *RequestExpired* | *'has expired'* | *'is expired'*)
      echo "the login has expired: run 'aws sso login$as' or fetch new credentials, then this again" ;;
    *InvalidClientTokenId* | *UnrecognizedClient* | *SignatureDoesNotMatch* | *InvalidSignature*)
      echo "AWS does not know these credentials: the key is mistyped or deleted, or it is of another
  partition (China, GovCloud) than $region, or $region is not enabled for the account" ;;
    *'connect to the endpoint'* | *'Invalid endpoint'*)
      echo "there is no region $region, or no way to AWS: check spelling, network and proxy" ;;
    *AccessDenied* | *'not authorized to perform'*)
      echo "docs/push.md has the policy that a push needs" ;;
    *'o space left on device'*)
      echo "the disk is full: '$engine system df' tells of what, '$engine system prune' frees it" ;;
    *'connect to the Docker daemon'* | *'permission denied while trying'*)
      echo "no Docker engine answers: start it, and see by 'docker info' that you may use it" ;;
    *'exec format error'*)
      echo "this machine does not run programs for $platform: install QEMU's emulation
  (Debian: apt-get install qemu-user-static binfmt-support), or build on such a machine" ;;
    *immutable*) echo "$spent" ;;
    *x509* | *'certificate verify failed'*)
      echo "behind a company's proxy Docker and aws (AWS_CA_BUNDLE) need its certificate" ;;
    *'saving credentials'* | *'storing credentials'*)
      echo "see 'credsStore' and 'credHelpers' in ~/.docker/config.json" ;;
    *denied* | *nauthorized* | *'no basic auth credentials'*) echo "the registry refuses the login" ;;
    *timeout* | *'connection reset'* | *EOF*)
      echo "the network broke off: run this again; what has arrived is not sent twice" ;;
  esac
}

# End with the last word of what failed, and with what mends it.
explain() {
  local remedy
  remedy=$(remedy_for "$(cat "$scratch/log")")
  fail "$1: $(grep . "$scratch/log" | tail -n 1)${remedy:+
  $remedy}"
}
