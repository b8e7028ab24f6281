#!/usr/bin/env bash
# xalloc_config_test.sh - xalloc-config says what was configured, and rejects what it does not know.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

config=$top_builddir/bin/xalloc-config
libdir=$("$config" --libdir)

expect 0 "$version" "$config" --version
expect 0 "/*" "$config" --prefix
expect 0 "$("$config" --exec-prefix)/*" "$config" --libdir
expect 0 "-L$libdir -lxalloc" "$config" --libs
expect 0 "$libdir/libxalloc.so" "$config" --preload
expect 0 "$("$config" --cflags) -L$libdir -lxalloc" "$config" --cflags --libs
expect 0 "usage: xalloc-config*" "$config" --help
expect 2 "usage: xalloc-config*" "$config"
expect 2 "xalloc-config: --lib: no such option;*" "$config" --version --lib

# A library below /usr needs no -I, which would change the order of the system's directories.
sed 's|^includedir=.*|includedir=/usr/include|' "$config" >"$work/xalloc-config"
expect 0 "" bash "$work/xalloc-config" --cflags
finish
