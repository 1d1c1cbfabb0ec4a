#!/usr/bin/env bash
# Make a checkout ready to work: Debian packages, a Python, a private uv, and the locked environment in .venv.
#
#   scripts/setup.sh system    packages of the machine (uses sudo unless run as root; does nothing when all are there)
#   scripts/setup.sh python    .tools/venv with uv, and .venv as uv.lock says
#   scripts/setup.sh           both
#   scripts/setup.sh tests     what only the tests need: curl, PgBouncer, and PostgreSQL's programs without a cluster of the
#                              machine's own; zfs-fuse and libfaketime are unpacked into .tools and not installed
#   scripts/setup.sh openzfs   what only make openzfs needs: QEMU
#
# Runs on Debian 12 and 13 and on Ubuntu 22.04 and 24.04. Needs no terminal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" # where a user's PATH does not lead

# program:package, or /a/file:package. The lab looks for the same programs before it starts.
readonly WANTED=(
  /etc/ssl/certs/ca-certificates.crt:ca-certificates
  /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
  btrfs:btrfs-progs
  git:git
  ip:iproute2
  losetup:mount
  mkfs.btrfs:btrfs-progs
  mkfs.ext4:e2fsprogs
  mmdebstrap:mmdebstrap
  nft:nftables
  nsenter:util-linux
  rsync:rsync
  ssh-keygen:openssh-client
  sysctl:procps
  systemd-nspawn:systemd-container
  tc:iproute2
)

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  printf 'setup: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf '  next: %s\n' "$2" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "needs root for: $*" "run make as root, or install sudo"
  fi
}

apt_get() { # its chatter is kept; its complaints are shown
  mkdir -p .tools
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -y -q -o DPkg::Lock::Timeout=300 "$@" </dev/null >>.tools/apt.log
}

# Install packages; fetch the package lists only when the ones at hand do not lead to the packages.
install_packages() {
  command -v apt-get >/dev/null || fail "this machine has no apt-get" "install by hand: $*"
  say "installing $*"
  if known_to_apt "$@" && apt_get install --no-install-recommends "$@"; then
    return
  fi
  apt_get update || fail "apt-get update failed; see .tools/apt.log"
  apt_get install --no-install-recommends "$@" || fail "apt-get install failed; see .tools/apt.log"
}

known_to_apt() {
  local package
  for package in "$@"; do
    # Not grep -q: it leaves early, apt-cache dies of that, and pipefail calls the package unknown.
    apt-cache policy "$package" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null || return 1
  done
}

missing_packages() {
  local pair what package
  for pair in "${WANTED[@]}"; do
    what=${pair%:*} package=${pair##*:}
    case $what in
      /*) [ -e "$what" ] || echo "$package" ;;
      *) command -v "$what" >/dev/null || echo "$package" ;;
    esac
  done | sort -u
}

recent_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
makes_venvs() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# The first Python that is recent enough: the machine's own before any other, the common name before a numbered one.
find_python() {
  local name path
  for name in /usr/bin/python3 python3 python3.11 python3.12 python3.13 python3.14; do
    path=$(command -v "$name") || continue
    if recent_enough "$path" && { [ "${1:-}" != ready ] || makes_venvs "$path"; }; then
      "$path" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

python_packages() {
  local path
  if path=$(find_python); then # it only lacks venv
    case $path in
      /usr/bin/python3.*) echo "$(basename "$path")-venv" ;;
      *) echo python3-venv ;;
    esac
  elif [ -x /usr/bin/python3 ]; then # too old: Ubuntu 22.04 has a newer one beside it
    printf '%s\n' python3.11 python3.11-venv
  else
    printf '%s\n' python3 python3-venv
  fi
}

all_missing() {
  missing_packages
  find_python ready >/dev/null || python_packages
}

setup_system() {
  local missing
  for _ in first second; do # the second round is for a machine without a Python, whose own then is too old
    mapfile -t missing < <(all_missing)
    [ ${#missing[@]} -gt 0 ] || return 0
    install_packages "${missing[@]}"
  done
  mapfile -t missing < <(all_missing)
  [ ${#missing[@]} -eq 0 ] || fail "still missing after the installation: ${missing[*]}"
}

setup_python() {
  local python uv=.tools/venv/bin/uv
  python=$(find_python ready) || fail "no Python 3.11 or newer that can make environments" "make setup"
  if ! cmp -s scripts/requirements-uv.txt .tools/requirements-uv.txt || ! "$uv" --version >/dev/null 2>&1; then
    say "installing uv into .tools/venv"
    "$python" -m venv --clear .tools/venv
    .tools/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
      --only-binary :all: --requirement scripts/requirements-uv.txt
    cp scripts/requirements-uv.txt .tools/requirements-uv.txt
  fi
  if recent_enough .venv/bin/python; then
    python=.venv/bin/python # an environment that works keeps its interpreter
  fi
  say "making .venv as uv.lock says"
  UV_PROJECT_ENVIRONMENT=.venv "$uv" sync --quiet --locked --no-python-downloads --python "$python"
}

fetch_package() { (cd "$1" && apt-get download "$2" >/dev/null 2>&1); }

# Programs that would start a daemon, or that only one test needs: their packages are unpacked beside the machine's own.
unpack_packages() {
  local target=$PWD/.tools/unpacked folder package file
  folder=$(mktemp -d)
  known_to_apt zfs-fuse libfaketime || apt_get update || fail "apt-get update failed; see .tools/apt.log"
  for package in zfs-fuse libfaketime libfuse2 libfuse2t64 libaio1 libaio1t64; do
    known_to_apt "$package" || continue # two names for one library; which one there is depends on the release
    fetch_package "$folder" "$package" || { apt_get update && fetch_package "$folder" "$package"; } ||
      fail "$package cannot be fetched"
  done
  mkdir -p "$target"
  for file in "$folder"/*.deb; do
    dpkg-deb --extract "$file" "$target"
  done
  rm -rf "$folder"
}

setup_tests() {
  [ -d .tools/unpacked/usr/lib ] || unpack_packages
  command -v curl >/dev/null || install_packages curl
  if ! command -v pgbouncer >/dev/null; then
    install_packages pgbouncer
    as_root systemctl disable --now pgbouncer.service >/dev/null 2>&1 || : # the tests start their own
  fi
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return
  local no_cluster=/etc/postgresql-common/createcluster.d/secondsite-setup.conf
  as_root mkdir -p "${no_cluster%/*}"
  echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
  install_packages postgresql || :
  as_root rm -f "$no_cluster"
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || fail "PostgreSQL could not be installed"
}

setup_openzfs() {
  command -v qemu-system-x86_64 >/dev/null && command -v qemu-img >/dev/null && return
  install_packages qemu-system-x86 qemu-utils
}

case ${1:-all} in
  system) setup_system ;;
  python) setup_python ;;
  tests) setup_tests ;;
  openzfs) setup_openzfs ;;
  all)
    setup_system
    setup_python
    ;;
  *) fail "unknown part: $1" "scripts/setup.sh [system|python|tests|openzfs]" ;;
esac
