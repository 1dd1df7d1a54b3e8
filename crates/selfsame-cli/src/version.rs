//! Which program this is, and on what machine.

use selfsame_kernels::Isa;
use std::sync::LazyLock;

/// Version, the commit where the sources were a checkout, and the instruction set that this machine's work is done in.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = match env!("SELFSAME_COMMIT") {
        "" => String::new(),
        commit => format!(" ({commit})"),
    };
    format!("{}{commit}, {}", env!("CARGO_PKG_VERSION"), machine())
});

/// What a report says of the program that wrote it.
pub fn environment() -> String {
    format!("selfsame {} on {}", env!("CARGO_PKG_VERSION"), machine())
}

/// Operating system, architecture and instruction set.
fn machine() -> String {
    let isa = Isa::select().map_or_else(|_| "unknown".to_owned(), |isa| isa.to_string());
    format!("{} {}, instruction set {isa}", std::env::consts::OS, std::env::consts::ARCH)
}
