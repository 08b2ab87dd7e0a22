#!/usr/bin/env bash
# Try the README's two commands as a new user of Debian would, before each release; as root:
#     scripts/try_debian.sh [SUITE ...]        default: stable testing
# Each suite becomes a fresh root under TRY_FOLDER (default: a temporary folder, removed at the end) with git, make and
# python3; the committed checkout is cloned there. The host's name servers, certificates and pip settings are copied in.
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
folder=${TRY_FOLDER:-$(mktemp -d)}
mounted=()
leave() {
  [ ${#mounted[@]} -eq 0 ] || umount "${mounted[@]}"
  [ -n "${TRY_FOLDER:-}" ] || rm -rf --one-file-system "$folder"
}
trap leave EXIT
[ $# -gt 0 ] || set -- stable testing

copy() { # FILE or FOLDER of the host, to the same place in ROOT
  [ -e "$1" ] || return 0
  mkdir -p "$root$(dirname "$1")"
  rm -rf "${root:?}$1" # its links would lead to the host's files
  cp -rL "$1" "$root$(dirname "$1")/"
}

for suite in "$@"; do
  root=$folder/$suite
  debootstrap --variant=minbase --include=ca-certificates,git,make,python3,python3-venv "$suite" "$root" "$mirror" \
    > "$folder/$suite.debootstrap.log"
  for path in /etc/resolv.conf /etc/ssl/certs /usr/local/share/ca-certificates /etc/pip.conf /etc/xdg/pip \
    "$HOME/.config/pip" "$HOME/.pip" ${TRY_COPY:-}; do
    copy "$path"
  done
  git clone -q "file://$checkout" "$root/root/talkingface"
  settings=$(env | grep -E '^(PIP_|SSL_CERT_FILE|https?_proxy)' || true)
  mount -t proc proc "$root/proc" # PyTorch reads there what the processor can do
  mount --bind /dev "$root/dev"
  mounted+=("$root/proc" "$root/dev")
  run() { env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 $settings \
    chroot "$root" sh -c "cd /root/talkingface && $1"; }
  echo "== $suite: $(run 'python3 --version')"
  run 'make demo && test -s demo/out.mp4'
  run '.venv/bin/python -m pip check'
  run 'make test'
done
echo "== the README's two commands work on: $*"
