# shellcheck shell=bash
# What the scripts beside this file share. Sourced, never run.

# Prints a line of progress with the seconds since the script began.
say() { printf '[%4ds] %s: %s\n' "$SECONDS" "${0##*/}" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Installs Debian packages (NAME or NAME/SUITE) and touches nothing else: no upgrade is asked for, no package is
# removed, and no service is started, because the caller decides what runs. In a subshell, for its traps.
apt_install() (
    policy=/usr/sbin/policy-rc.d
    marker='# written by .ci/lib.sh, removed when the installation ends'
    if [[ ! -e $policy ]] || grep -qF "$marker" "$policy"; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        printf '#!/bin/sh\n%s\nexit 101\n' "$marker" >"$policy"
        chmod 755 "$policy"
    fi
    say "installing $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-remove --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
)

# Brings the package lists up to date, and finishes an installation that an earlier run was killed in.
apt_update() {
    command -v apt-get >/dev/null || die "this is no Debian: install Docker Engine, Compose v2 and Buildx by hand"
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a </dev/null >&2
    apt-get update -qq -o DPkg::Lock::Timeout=300 </dev/null >&2
}

# Prints the address that this machine takes Debian from. Needs up-to-date lists.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016  # apt expands $(...), not the shell
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' \
        | awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }')
    [[ -n $mirror ]] || die "apt knows no Debian mirror: add one to /etc/apt/sources.list.d"
    printf '%s\n' "$mirror"
}
