//! Whether a plan can fit into the machine's memory: checked before anything is allocated.

use crate::error::Error;
#[cfg(unix)]
use std::path::Path;

/// Bytes of an `f32`.
const F32: f64 = 4.0;

/// What a training holds at least, in `f32` values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Needed {
    /// Weights, gradients and the optimizer's tensors.
    pub weights: f64,
    /// Activations that wait for the backward pass.
    pub activations: f64,
    /// Batches of views.
    pub views: f64,
}

impl Needed {
    fn bytes(&self) -> f64 {
        F32 * (self.weights + self.activations + self.views)
    }

    /// Refuses what needs more memory than there is. The estimate is from below: what it refuses cannot work.
    pub fn check(&self) -> Result<(), Error> {
        match machine_bytes() {
            Some(machine) if self.bytes() > machine => Err(self.too_much(machine)),
            _ => Ok(()),
        }
    }

    fn too_much(&self, machine: f64) -> Error {
        let gigabytes = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
        let (what, key, hint) = if F32 * self.weights > 0.5 * machine {
            ("weights, gradients and optimizer", "backbone", "use a smaller backbone or projector")
        } else if F32 * self.views > 0.5 * machine {
            ("batches of views", "train.batch_size", "use fewer or smaller views per step")
        } else {
            ("activations", "train.chunk_size", "smaller chunks need less memory, and the batch stays the same")
        };
        let problem = format!(
            "a step needs at least {}, most of it for {what}, and this process may have {}; {hint}",
            gigabytes(self.bytes()),
            gigabytes(machine)
        );
        Error::setting(key, problem)
    }
}

/// Memory that this process may have, bytes: the machine's, or what a container or a limit leaves of it; unknown on systems
/// that do not tell it in a way that we know.
fn machine_bytes() -> Option<f64> {
    #[cfg(unix)]
    {
        // SAFETY: `sysconf` reads no memory of ours.
        let [pages, page_bytes] = unsafe { [libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)] };
        let machine = (pages > 0 && page_bytes > 0).then_some(pages as f64 * page_bytes as f64);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `getrlimit` writes the struct that it is given.
        let limited = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
        let limit = (limited && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as f64);
        [machine, limit, container_bytes()].into_iter().flatten().min_by(f64::total_cmp)
    }
    #[cfg(not(unix))]
    None
}

/// The tightest limit of the control groups that this process is in, bytes.
#[cfg(unix)]
fn container_bytes() -> Option<f64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let limit = |folder: &Path, file: &str| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    let of_group = |line: &str| -> Option<f64> {
        // HIERARCHY:CONTROLLERS:/PATH; version 2 has one hierarchy, 0, without controllers.
        let (root, file, path) = match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            ["0", "", path] => ("/sys/fs/cgroup", "memory.max", path),
            [_, "memory", path] => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", path),
            _ => return None,
        };
        let folder = Path::new(root).join(path.trim_start_matches('/'));
        let groups = folder.ancestors().take_while(|group| group.starts_with(root));
        groups.filter_map(|group| limit(group, file)).min_by(f64::total_cmp)
    };
    own.lines().filter_map(of_group).min_by(f64::total_cmp)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    #[ignore = "run by `a_limit_of_the_process_counts_as_its_memory` in a process with little"]
    fn in_a_process_with_little_memory() {
        assert_eq!(machine_bytes(), Some(4e6 * 1024.0));
    }

    #[test]
    fn a_limit_of_the_process_counts_as_its_memory() {
        assert!(machine_bytes().is_some_and(|bytes| bytes > 1e8));
        let output = std::process::Command::new("sh")
            .args([
                "-c",
                "ulimit -v 4000000; exec \"$0\" --exact memory::tests::in_a_process_with_little_memory --ignored",
            ])
            .arg(std::env::current_exe().unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
