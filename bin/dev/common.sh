# shellcheck shell=bash
#
# common.sh - what bin/try, bin/test and check-variant share: packages, and builds below .build/.
#
# Each configuration of the build is a variant, in a directory of its own below $build_root.  A
# source directory that was configured in place cannot be the source of a second build: make would
# find the objects that are there.  The variants are then built from a copy.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build_root=$top/.build
source_dir=$top
# shellcheck disable=SC2034  # for those that source this
jobs=$(nproc 2>/dev/null || echo 2)

# A make above this one, `make check-asan`, is not to lend its flags to the makes of the variants.
unset MAKEFLAGS MFLAGS MAKELEVEL

say()
{
    echo "${0##*/}: $*" >&2
}

die()
{
    say "$@"
    exit 1
}

# A log that explains a failure, then the end.
die_with_log()
{
    tail -n 40 "$2" >&2
    die "$1 (all of it: $2)"
}

# skipped_parts LOG: what a cmocka program skipped of itself, a line each: name, tabulator, reason.
skipped_parts()
{
    awk '
        # What follows is said a second time.
        /^\[=+\] .* run\./ { exit }
        /^skipped: / { reason = substr($0, 10) }
        /^\[  SKIPPED \] / { print $4 "\t" (reason != "" ? reason : "no reason given"); reason = "" }
    ' "$1"
}

# list_words FILE: its lines without comments.
list_words()
{
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"
}

# missing_of LIST...: packages of lists like packages.build whose probe finds nothing, with the
# reason why they are wanted.
missing_of()
{
    local package probe why
    while read -r package probe why; do
        if [[ $probe == /* ]]; then
            [[ -e $probe ]] && continue
        else
            command -v "$probe" >/dev/null && continue
        fi
        echo "$package  # $why"
    done < <(for list in "$@"; do list_words "$list"; done)
}

# apt ARGUMENTS...: apt-get as root, quiet unless it fails.
apt()
{
    local root=()
    if ((EUID != 0)); then
        root=(sudo)
        # Nobody is there to type a password.
        [[ -t 0 || -t 2 ]] || root=(sudo -n)
    fi
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
        "$@" >>"$build_root/apt.log" 2>&1
}

# install_packages PACKAGE...: false, with the reason printed, if that is impossible.
install_packages()
{
    if ! command -v apt-get >/dev/null; then
        say "this system has no apt-get; please install: $*"
        return 1
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        say "please run as root: apt-get install $*"
        return 1
    fi
    mkdir -p "$build_root"
    say "installing by apt-get: $*"
    if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
        apt update || say "apt-get update failed; see $build_root/apt.log"
    fi
    # Package lists that are out of date name files that the server does not have any more.
    apt install --no-install-recommends "$@" ||
        { apt update && apt install --no-install-recommends "$@"; } ||
        {
            tail -n 5 "$build_root/apt.log" >&2
            say "apt-get could not install them; see $build_root/apt.log"
            return 1
        }
}

# Packages that are missing are named with the reason, then installed.
need_for_build()
{
    local missing packages
    missing=$(missing_of "$top/bin/dev/packages.build")
    [[ -n $missing ]] || return 0
    say "missing for the build:"
    echo "$missing" >&2
    mapfile -t packages < <(awk '{ print $1 }' <<<"$missing")
    install_packages "${packages[@]}" || die "cannot build without them"
}

# One build at a time: the variants share the source directory, and autoreconf writes there.  A test
# that bin/test runs, and that calls bin/try, is inside the lock already.
lock_builds()
{
    [[ ${XALLOC_BUILD_LOCK:-} != "$top" ]] || return 0
    export XALLOC_BUILD_LOCK=$top
    mkdir -p "$build_root"
    exec 8>"$build_root/lock"
    if ! flock -n 8; then
        say "waiting for another build below $build_root"
        flock 8
    fi
}

# Set source_dir, with an up-to-date configure in it.
prepare_source()
{
    mkdir -p "$build_root"
    if [[ -e $top/config.status ]]; then
        build_root=$top/.build/copy
        source_dir=$build_root/source
        mkdir -p "$build_root"
        make -s -C "$top" distdir distdir=.build/copy/source >"$build_root/copy.log" 2>&1 ||
            die_with_log "the copy of this directory, which is configured in place, failed" \
                "$build_root/copy.log"
        return
    fi
    if [[ -x $top/configure && -e $top/Makefile.in ]] && [[ -z $(find "$top/configure.ac" \
        "$top/Makefile.am" "$top/src/sources.am" "$top/test/tests.am" \
        -newer "$top/Makefile.in") ]]; then
        return
    fi
    say "making the configure script"
    (cd "$top" && autoreconf -i) >"$build_root/autoreconf.log" 2>&1 ||
        die_with_log "autoreconf -i failed" "$build_root/autoreconf.log"
}

# configure_variant NAME OPTIONS...: a configured $build_root/NAME; at once if it is there.
configure_variant()
{
    local name=$1 folder=$build_root/$1 record
    shift
    # Whatever changes what configure would find: the options, and tools that came since.
    record="$source_dir $* $(command -v gcc g++ clang | tr '\n' ' ') $(echo /usr/include/cmocka*)"
    if [[ -e $folder/Makefile && $record == "$(cat "$folder/record" 2>/dev/null)" ]]; then
        return
    fi
    say "configuring $name"
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && "$source_dir/configure" -q "$@") >"$folder/configure.log" 2>&1 ||
        die_with_log "configure failed" "$folder/configure.log"
    echo "$record" >"$folder/record"
}

# The options of a variant that the tests use.
variant_options()
{
    case $1 in
    check) echo --enable-development ;;
    asan) echo --enable-development --enable-debug --enable-sanitizer=address ;;
    ubsan) echo --enable-development --enable-debug --enable-sanitizer=undefined ;;
    tsan) echo --enable-development --enable-debug --enable-sanitizer=thread ;;
    *) die "$1: no such variant; there are check, asan, ubsan and tsan" ;;
    esac
}
