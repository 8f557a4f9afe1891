#!/usr/bin/env bash
# Make the Dockerfile's base image from Debian's packages, for a machine that reaches a Debian
# mirror but no image registry. It holds what the official debian:trixie-slim holds.
#
# Usage: .ci/base_image.sh [TAG]
#   TAG   name of the image; default debian:trixie-slim, the name that the Dockerfile asks for
#   -h    print this text
#
# It needs root, debootstrap and a running Docker. The packages come from the mirror that apt uses
# on this machine. Certificates that this machine trusts beside Mozilla's (a company's proxy has
# one) go into the image too, so that a build reaches what the machine reaches.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"; }
fail() {
  echo "base_image.sh: $*" >&2
  exit 1
}

case "${1:-}" in -h | --help)
  usage
  exit 0
  ;;
esac
readonly tag=${1:-debian:trixie-slim}
readonly suite=trixie

[ "$(id -u)" = 0 ] || fail "debootstrap needs root: run it with sudo"
for tool in debootstrap docker; do
  command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install docker.io debootstrap"
done

# On the same file system as /var, not in a small /tmp.
work=$(mktemp -d /var/tmp/base_image.XXXXXX)
trap 'rm -rf "$work"' EXIT
readonly root=$work/root

# The mirror of a label ("Debian", "Debian-Security") in this machine's apt sources.
mirror_of() {
  local found
  found=$(apt-get indextargets --format "\$(LABEL) \$(REPO_URI)" 'Created-By: Packages' 2>/dev/null |
    sed -n "s/^$1 //p" | sed -n 1p)
  [ -n "$found" ] || fail "apt's sources on this machine name no mirror of $1"
  echo "$found"
}
main_mirror=$(mirror_of Debian)
security_mirror=$(mirror_of Debian-Security)

# debootstrap downloads with wget, which does not read apt's settings.
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
[ -z "${http_proxy:-}" ] || export http_proxy
[ -z "${https_proxy:-}" ] || export https_proxy

debootstrap --variant=minbase "$suite" "$root" "$main_mirror" >"$work/log" 2>&1 || {
  tail -n 20 "$work/log" >&2
  fail "debootstrap failed with $main_mirror"
}

# Sources as in the official image: the release, its updates and its security fixes.
rm -f "$root/etc/apt/sources.list"
cat >"$root/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: ${main_mirror%/}
Suites: $suite $suite-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: ${security_mirror%/}
Suites: $suite-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES

# Settings as in the official image: later installs leave no caches and no documentation either.
printf '#!/bin/sh\n# No service starts while an image is built.\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cat >"$root/etc/apt/apt.conf.d/docker-clean" <<'APT'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
Apt::AutoRemove::SuggestsImportant "false";
APT
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<'DPKG'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/groff/*
path-exclude /usr/share/info/*
path-exclude /usr/share/linda/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
DPKG
# A mirror may be a frozen copy whose lists are past their date: the machine's own apt knows.
apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Check-Date) ' \
  >"$root/etc/apt/apt.conf.d/mirror" || rm "$root/etc/apt/apt.conf.d/mirror"

# What those settings exclude is already there from debootstrap, and so are this machine's names.
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$root"/usr/share/{groff,info,linda,lintian,locale,man}/* \
  "$root"/var/cache/{apt,debconf,ldconfig}/* "$root"/var/lib/apt/lists/* \
  "$root"/var/log/{apt,*.log} "$root"/debootstrap "$root"/etc/{hostname,resolv.conf}

# Certificates of this machine that Debian's ca-certificates package does not hold, a file each:
# when that package is installed in the image, it writes the bundle anew from its own and these.
changes=()
bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
if [ -r "$bundle" ]; then
  mkdir "$work/extra"
  find /usr/share/ca-certificates -name '*.crt' -exec cat {} + >"$work/mozilla.pem" || true
  awk -v folder="$work/extra" '
    /BEGIN CERTIFICATE/ { pem = ""; inside = 1 }
    inside { pem = pem $0 "\n" }
    /END CERTIFICATE/ {
      inside = 0
      if (FILENAME == ARGV[1]) known[pem] = 1
      else if (!(pem in known)) printf "%s", pem > (folder "/extra-" ++n ".crt")
    }
  ' "$work/mozilla.pem" "$bundle"
  if [ -n "$(ls "$work/extra")" ]; then
    install -D -m 644 -t "$root/usr/local/share/ca-certificates" "$work"/extra/*.crt
    # Until then, and for tools that bring a list of their own (pip, uv), the whole bundle.
    install -D -m 644 "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
    changes=(--change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt')
  fi
fi
# apt needs the bundle before it can install ca-certificates from a mirror behind https.
case "$main_mirror$security_mirror" in *https:*)
  install -D -m 644 "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
  ;;
esac

tar -C "$root" --numeric-owner --exclude './dev/*' -c . |
  docker import --change 'CMD ["bash"]' ${changes[@]+"${changes[@]}"} - "$tag" >/dev/null
echo "made $tag from $main_mirror in $SECONDS s"
