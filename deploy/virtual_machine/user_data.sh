#!/usr/bin/env bash
# Print the user-data with which a cloud starts a plain Debian or Ubuntu machine that serves.
#
# Usage: deploy/virtual_machine/user_data.sh IMAGE > user-data.yaml
#   IMAGE   what the machine pulls, with its digest: registry.example.org/brain-tumor-serve@sha256:...
#   -h      print this text
#
# It installs Docker and security updates, for which the machine starts anew at 04:00 where one asks for
# it, and writes brain-tumor.service, which waits for the model: copy it over (scp), then `systemctl start
# brain-tumor`. It holds no secret, since whoever may read the machine's metadata reads it; an image from a
# private registry is pulled on the machine (`docker login`, `docker pull`).
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"; }

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  '' | -*)
    usage >&2
    exit 2
    ;;
  *[!A-Za-z0-9._/:@-]*)
    echo "user_data.sh: '$1' is no name of an image" >&2
    exit 1
    ;;
esac
# A tag may mean another image tomorrow.
[[ $1 =~ @sha256:[0-9a-f]{64}$ ]] || {
  echo "user_data.sh: '$1' has no digest; wanted NAME@sha256:..., which build_and_push.sh prints" >&2
  exit 1
}
unit=$(sed 's/^\(.\)/      \1/' "$(dirname "$0")/brain-tumor.service")

cat <<USER_DATA
#cloud-config
package_update: true
package_upgrade: true
packages: [docker.io, unattended-upgrades]
ssh_pwauth: false
disable_root: true
write_files:
  - path: /etc/systemd/system/brain-tumor.service
    content: |
$unit
  - path: /etc/brain-tumor.env
    permissions: '0600'
    content: |
      IMAGE=$1
  # Kernel and dockerd stay the old ones until the machine starts anew.
  - path: /etc/apt/apt.conf.d/52brain-tumor
    content: |
      Unattended-Upgrade::Automatic-Reboot "true";
      Unattended-Upgrade::Automatic-Reboot-Time "04:00";
runcmd:
  - [install, -d, -m, '755', /var/lib/brain-tumor/model]
  - [systemctl, daemon-reload]
  - [systemctl, enable, brain-tumor.service]
USER_DATA
