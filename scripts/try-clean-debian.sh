#!/usr/bin/env bash
# What happens on a fresh machine? Make a minimal Debian (or Ubuntu), clone this checkout's last commit into it as an
# ordinary user who may use sudo, and run `make demo` and `make test` there. Needs root, mmdebstrap and make's machine.
#
#   scripts/try-clean-debian.sh [--suite bookworm|trixie] [--as user|root] [--ci] [--keep] [TARGET ...]
#   scripts/try-clean-debian.sh --suite noble --sources FILE ...    another system, from the sources.list in FILE
#
# The system lives in namespaces of its own and shares the network. It uses this machine's package mirrors, proxies and
# certificate authorities, read when it runs. Nothing stays: mounts, processes, loop devices and files are removed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

suite=bookworm sources='' as=user ci='' keep='' targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --suite) suite=$2 && shift ;;
    --sources) sources=$(realpath "$2") && shift ;;
    --as) as=$2 && shift ;;
    --ci) ci=true ;;
    --keep) keep=yes ;;
    -*) sed -n '2,9s/^# \?//p' "$0" >&2 && exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || targets=(demo test)
[ "$(id -u)" -eq 0 ] || { echo "needs root: sudo $0" >&2 && exit 3; }

work=$(mktemp -d "${TMPDIR:-/var/tmp}/secondsite-clean.XXXXXX")
root=$work/root
groups=()

clean_up() {
  trap - EXIT
  local group device
  for group in "${groups[@]}"; do # whatever is left of it lives in these
    while read -r pid; do kill -9 "$pid" 2>/dev/null || :; done < <(find "$group" -name cgroup.procs -exec cat {} +)
  done
  losetup --noheadings --output NAME,BACK-FILE | while read -r device file; do
    case $file in "$root"/*) losetup --detach "$device" ;; esac
  done
  sleep 0.5
  for group in "${groups[@]}"; do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || :; done
  if [ -n "$keep" ]; then
    echo "kept: $root" >&2
  else
    rm -rf --one-file-system "$work"
  fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The group that everything runs in, in each hierarchy that shows where we are.
own_groups() {
  local controllers path base
  while IFS=: read -r _ controllers path; do
    base=/sys/fs/cgroup/${controllers#name=}${path%/}
    [ -n "$controllers" ] || base=/sys/fs/cgroup/unified${path%/}
    [ -d "$base" ] || continue
    mkdir "$base/${work##*/}"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$base/${work##*/}/$file" ] || cat "$base/$file" >"$base/${work##*/}/$file"
    done
    groups+=("$base/${work##*/}")
  done </proc/self/cgroup
}

sources() { # this machine's mirrors, unless others were given
  if [ -n "$sources" ]; then
    cat "$sources"
  else
    PYTHONPATH=src python3 -c "from secondsite_lab import sources; print(*sources.lines('$suite'), sep='\n')"
  fi
}

make_system() {
  local options=()
  mapfile -t options < <(PYTHONPATH=src python3 -c "from secondsite_lab import sources; print(*sources.options(), sep='\n')")
  echo "== a minimal $suite ==" >&2
  sources >"$work/sources.list"
  mmdebstrap --mode=root --variant=minbase --quiet "${options[@]/#/--aptopt=}" --include=apt,make,git,ca-certificates,sudo \
    "$suite" "$root" "$work/sources.list"
  printf '%s\n' "${options[@]}" >"$root/etc/apt/apt.conf.d/90machine"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  printf '127.0.0.1 localhost\n127.0.1.1 fresh\n' >"$root/etc/hosts"
  grep -vE 'localhost|^127\.|^::1' /etc/hosts >>"$root/etc/hosts" || :
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  chroot "$root" useradd --create-home --shell /bin/bash owner
  echo 'owner ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/owner"
  if [ "$as" = root ]; then home=/root; else home=/home/owner; fi
  git clone --quiet --no-local . "$root$home/secondsite"
  git -C "$root$home/secondsite" remote remove origin
  [ "$as" = root ] || chroot "$root" chown -R owner: "$home/secondsite"
}

# Proxies and certificate authorities of this machine, as far as they are set by environment variables.
machine_settings() {
  env | grep -iE '^(https?_proxy|no_proxy|all_proxy)=' || :
  env | grep -E '^(SSL_CERT_FILE|PIP_CERT|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)=/etc/ssl/certs/ca-certificates.crt$' || :
}

inside() { # run a shell line as that user in the system, with namespaces of its own
  local settings=()
  mapfile -t settings < <(machine_settings)
  [ -z "$ci" ] || settings+=(CI=true)
  local login=(env -i HOME="$home" PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 TERM=dumb "${settings[@]}")
  [ "$as" = root ] && login[3]=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  [ "$as" = root ] || login=(setpriv --reuid=owner --regid=owner --init-groups "${login[@]}")
  (
    for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
    # shellcheck disable=SC2016
    exec unshare --mount --pid --uts --ipc --fork --kill-child --propagation private bash -euc '
      root=$1 && shift
      hostname fresh
      mount --bind "$root" "$root"
      mount --rbind /dev "$root/dev"
      mount --rbind /sys "$root/sys"
      mount -t proc proc "$root/proc"
      mount -t tmpfs -o mode=755 tmpfs "$root/run"
      mkdir "$root/run/lock" "$root/.outside"
      cd "$root"
      pivot_root . .outside
      umount --lazy /.outside
      rmdir /.outside
      "$@" </dev/null
    ' inside "$root" "${login[@]}" bash -c "$1"
  )
}

own_groups
make_system
cd / && declare -A outcome
for target in "${targets[@]}"; do
  echo "== make $target ==" >&2
  began=$SECONDS code=0
  inside "cd ~/secondsite && make $target" || code=$?
  outcome[$target]="exit $code after $((SECONDS - began)) s"
done
echo "== $suite, as $as =="
failed=0
for target in "${targets[@]}"; do
  echo "make $target: ${outcome[$target]}"
  case ${outcome[$target]} in "exit 0 "*) ;; *) failed=1 ;; esac
done
exit $failed
