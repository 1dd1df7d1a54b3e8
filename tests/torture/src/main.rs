//! Kills, starves and damages runs of the binary, and says what was lost. `tests/torture/run` builds and starts it.
//!
//! Linux alone: the kernel's way to hand over the calls of a process ([`calls`]) is its own.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it finds")]

#[cfg(target_os = "linux")]
mod bench;
#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod command_line;
#[cfg(target_os = "linux")]
mod ledger;
#[cfg(target_os = "linux")]
mod product;
#[cfg(target_os = "linux")]
mod trials;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    command_line::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("error: torture needs Linux");
    std::process::ExitCode::from(2)
}
