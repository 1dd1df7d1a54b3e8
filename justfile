# Cheapest first.
check: fmt clippy doc deny test

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

deny:
    command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
    cargo deny check licenses bans sources

test:
    cargo test --workspace

# Side by side with PyTorch, in an environment of its own.
bench-pytorch:
    benchmarks/pytorch/compare.sh
