#!/usr/bin/env bash
# What a hundred annotated functions of different types, all of them run, add to a debug build.
#
#   amorsize-macros/compile-time.sh [FUNCTIONS] [ROUNDS]
#
# Makes a crate in a temporary folder, builds its dependencies, and then times builds of the crate alone: with plain functions
# that are called, and with the same functions annotated and collected.
set -euo pipefail

functions=${1:-100}
rounds=${2:-5}
root=$(cd "$(dirname "$0")/.." && pwd)
crate=$(mktemp -d)
trap 'rm -rf "$crate"' EXIT
mkdir "$crate/src"

cat >"$crate/Cargo.toml" <<EOF
[package]
name = "compile-time"
version = "0.0.0"
edition = "2024"

[dependencies]
amorsize = { path = "$root/amorsize" }

[workspace]
EOF
cp "$root/Cargo.lock" "$crate/Cargo.lock"

# Writes the crate: `plain` or `batched`.
write() {
    {
        echo 'fn main() {'
        echo '    let mut sum = 0u64;'
        for i in $(seq "$functions"); do
            if [ "$1" = plain ]; then
                echo "    sum += f$i(Item$i(7)).0.len() as u64;"
            else
                echo "    sum += f${i}_batched([Item$i(7)]).collect::<Vec<_>>().unwrap()[0].0.len() as u64;"
            fi
        done
        echo '    println!("{sum}");'
        echo '}'
        for i in $(seq "$functions"); do
            echo "pub struct Item$i(u32);"
            echo "pub struct Result$i(Vec<u8>);"
            [ "$1" = plain ] || echo '#[amorsize::batched]'
            echo "fn f$i(item: Item$i) -> Result$i { Result$i(vec![$i as u8; item.0 as usize]) }"
        done
    } >"$crate/src/main.rs"
}

# Seconds of a build of the crate alone.
build() {
    write "$1"
    local begun=$EPOCHREALTIME
    cargo build --quiet --offline --manifest-path "$crate/Cargo.toml" --target-dir "$crate/target"
    awk -v from="$begun" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.2f\n", to - from }'
}

write plain
cargo build --quiet --manifest-path "$crate/Cargo.toml" --target-dir "$crate/target"
for ((round = 1; round <= rounds; round++)); do
    plain+=("$(build plain)")
    batched+=("$(build batched)")
done
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
awk -v n="$functions" -v plain="$(median "${plain[@]}")" -v batched="$(median "${batched[@]}")" 'BEGIN {
    printf "%d functions, median of builds: plain %.2f s, annotated and run %.2f s: %.2f s more\n", n, plain, batched, batched - plain
}'
