# shellcheck shell=bash
# How the scripts beside this file install a distribution's package for the tests. Sourced, never run. The script has
# the functions `say` and `give_up`, the latter of which ends it with a hint.

readonly policy=/usr/sbin/policy-rc.d
readonly marker='# written by scripts/debian.sh, removed when the installation ends'
as_root=()

# Services must not start while their package is installed: nobody asked for one on this machine.
forbid_services() {
  if [[ -e $policy ]] && ! grep -qF "$marker" "$policy"; then
    return # the machine has a rule of its own
  fi
  trap allow_services EXIT
  trap 'exit 1' INT TERM
  printf '#!/bin/sh\n%s\nexit 101\n' "$marker" | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
}

allow_services() { "${as_root[@]}" rm -f "$policy"; }

# Installs PACKAGE, whose service has the same name and is not started.
install_with_apt() {
  local -r package=$1
  command -v apt-get >/dev/null || give_up "no $package on PATH, and this system has no apt-get"
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || give_up "no $package on PATH, and installing one takes root or sudo without a password"
    as_root=(sudo)
  fi
  local -r apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  say "no $package on PATH, installing the distribution's"
  forbid_services
  "${apt[@]}" update >&2 || give_up "apt-get update failed"
  "${apt[@]}" install -y --no-install-recommends "$package" >&2 || give_up "apt-get install $package failed"
  if [[ -d /run/systemd/system ]]; then
    "${as_root[@]}" systemctl disable --now --quiet "$package" >&2 || give_up "the service $package could not be stopped"
  fi
}
