#!/usr/bin/env bash
# Tests the NEON kernels where no ARM is at hand: builds for 64-bit ARM, and runs under qemu the tests of the kernels and the comparison of
# trained encoders with those recorded with AVX2 (crates/selfsame/tests/all/recorded.rs). Takes some ten minutes. For Debian and its like;
# what is missing is installed, as root. Rust's libraries for the target come from rustup, or else from the package libstd-rust-dev:arm64
# beside Debian's own rustc, of the same version.
#
#   scripts/aarch64.sh
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null || [ ! -d /usr/aarch64-linux-gnu/lib ]; then
    apt-get install --yes --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
fi
if command -v rustup >/dev/null; then
    rustup target add "$target" || true # the next line tells what is missing
fi
[ -d "$(rustc --print target-libdir --target "$target")" ] || {
    echo "rustc lacks libraries for $target: install them with rustup, or libstd-rust-dev:arm64 of the version of Debian's rustc" >&2
    exit 1
}
# Some tests run themselves again, which qemu does not see to.
SELFSAME_TEST_RUNNER=$(command -v qemu-aarch64)
export SELFSAME_TEST_RUNNER QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$SELFSAME_TEST_RUNNER
cargo test --target "$target" -p selfsame-kernels
cargo test --target "$target" -p selfsame --test all -- recorded environment
