# For the install scripts, which run in the peer's folder with `peer` as the folder of its sources.
set -eux

# Asks Debian once more with a fresh list where the first answer is no.
apt() {
  apt-get "$@" || { apt-get update && apt-get "$@"; }
}

# Unpacks Debian packages here, without installing them.
unpack_debian() {
  apt download "$@"
  for package in *.deb; do dpkg --extract "$package" . && rm "$package"; done
}

# Installs the Debian packages of a program that is not there.
need() {
  local program=$1
  shift
  command -v "$program" || apt -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}

# Packages of npm. Their install scripts would compile or fetch things: all work without.
npm_install() {
  need npm npm
  npm install --ignore-scripts --no-save --no-audit --no-fund --prefix . "$@"
}

# Packages of PyPI.
pip_install() {
  need python3 python3
  python3 -m venv python || { apt install -y python3-venv && python3 -m venv python; }
  python/bin/pip install --quiet --disable-pip-version-check "$@"
}
