//! Tells the binary of which commit it is, where the sources are a checkout.

use std::path::Path;
use std::process::Command;

fn main() {
    let root = Path::new("../..");
    // Whichever of these a commit changes.
    for name in ["HEAD", "logs/HEAD"] {
        let path = root.join(".git").join(name);
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
    let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).current_dir(root).output();
    let commit = git.ok().filter(|output| output.status.success() && root.join(".git").exists());
    let commit = commit.and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo:rustc-env=SELFSAME_COMMIT={}", commit.as_deref().map_or("", str::trim));
}
