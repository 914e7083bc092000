#!/bin/sh
# How much do a hundred annotated functions add to a debug build?
#
# Builds a crate of 100 functions of different types and calls, once plain and once with each of them annotated and its
# wrapper used too; prints the wall time of each build and the difference of the best times. Dependencies are built first and
# not counted. Run it from anywhere: amorsize-macros/compile-time.sh [--write] [runs]
set -eu

write_figures=
if [ "${1:-}" = --write ]; then
    write_figures=yes
    shift
fi
runs=${1:-5}
amorsize=$(cd "$(dirname "$0")/../amorsize" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR="$work/target"

functions() { # $1: the attribute, empty for plain functions
    echo 'use amorsize as _;'
    i=0
    while [ $i -lt 100 ]; do
        echo "#[derive(Clone, Debug)] pub struct Result$i(pub Vec<u8>, pub [u32; $((i + 1))]);"
        echo "$1"
        echo "pub fn function$i(item: u32, shared: &str, config: u64) -> Result$i {"
        echo "    Result$i(shared.as_bytes().to_vec(), [item + config as u32; $((i + 1))])"
        echo '}'
        i=$((i + 1))
    done
    echo 'fn main() {'
    i=0
    while [ $i -lt 100 ]; do
        if [ -n "$1" ]; then
            echo "    let all: Vec<Result$i> = function${i}_batched(0..4, \"text\", 1).collect().unwrap();"
        else
            echo "    let all: Vec<Result$i> = (0..4).map(|item| function$i(item, \"text\", 1)).collect();"
        fi
        echo '    assert_eq!(all.len(), 4);'
        i=$((i + 1))
    done
    echo '}'
}

best() { # the lowest of $runs builds of one crate, in milliseconds
    lowest=
    run=0
    while [ $run -lt "$runs" ]; do
        touch "$work/$1/src/main.rs"
        start=$(date +%s%N)
        cargo build --quiet --offline --manifest-path "$work/$1/Cargo.toml" >&2
        taken=$((($(date +%s%N) - start) / 1000000))
        echo "  $1: $taken ms" >&2
        if [ -z "$lowest" ] || [ $taken -lt "$lowest" ]; then lowest=$taken; fi
        run=$((run + 1))
    done
    echo "$lowest"
}

for crate in plain annotated; do
    mkdir -p "$work/$crate/src"
    cat >"$work/$crate/Cargo.toml" <<TOML
[package]
name = "$crate"
version = "0.0.0"
edition = "2024"

[dependencies]
amorsize = { path = "$amorsize" }

# A whole build each time, as after a checkout.
[profile.dev]
incremental = false

[workspace]
TOML
    # The versions that this repository is tested with.
    if [ -f "$amorsize/../Cargo.lock" ]; then cp "$amorsize/../Cargo.lock" "$work/$crate/Cargo.lock"; fi
done
functions '' >"$work/plain/src/main.rs"
functions '#[amorsize::batched]' >"$work/annotated/src/main.rs"

for crate in plain annotated; do
    cargo build --quiet --manifest-path "$work/$crate/Cargo.toml" 2>/dev/null || cargo build --manifest-path "$work/$crate/Cargo.toml"
done
plain=$(best plain)
annotated=$(best annotated)
"$work/target/debug/annotated"
echo "100 plain functions, all used:     $plain ms"
echo "100 annotated functions, all used: $annotated ms"
echo "added by the attribute:            $((annotated - plain)) ms"
if [ -n "$write_figures" ]; then
    # With the target directory of the workspace, which goes on after this one is gone.
    unset CARGO_TARGET_DIR
    added=$(((annotated - plain + 50) / 100))
    echo "A hundred annotated functions of different types, all of them run, add $((added / 10)).$((added % 10)) s to a debug build" |
        cargo run --quiet --manifest-path "$amorsize/benches/shared/Cargo.toml" --bin write-figures -- \
            compile-time "amorsize-macros/compile-time.sh --write"
fi
