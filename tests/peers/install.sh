# Helpers for the install scripts, which run in the peer's folder; `peer` is the folder of its sources.
set -eux

# Runs apt-get, and retries with an updated package list if it fails.
apt() {
  apt-get "$@" || { apt-get update && apt-get "$@"; }
}

# Unpacks Debian packages in the current folder, without installing them.
unpack_debian() {
  apt download "$@"
  for package in *.deb; do dpkg --extract "$package" . && rm "$package"; done
}

# Installs Debian packages if a program is missing.
need() {
  local program=$1
  shift
  command -v "$program" || apt -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}

# npm packages, without their install scripts, which compile or download things that none of them needs.
npm_install() {
  need npm npm
  npm install --ignore-scripts --no-save --no-audit --no-fund --prefix . "$@"
}

# PyPI packages.
pip_install() {
  need python3 python3
  python3 -m venv python || { apt install -y python3-venv && python3 -m venv python; }
  python/bin/pip install --quiet --disable-pip-version-check "$@"
}
