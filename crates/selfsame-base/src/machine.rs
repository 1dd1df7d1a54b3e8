//! What the machine leaves to this process.

#[cfg(unix)]
use std::path::Path;

/// Memory that this process may have, bytes: the machine's, or what a container or a limit leaves of it; unknown on systems
/// that do not tell it in a way that we know.
pub fn memory_bytes() -> Option<f64> {
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
        assert_eq!(memory_bytes(), Some(4e6 * 1024.0));
    }

    #[test]
    fn a_limit_of_the_process_counts_as_its_memory() {
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1e8));
        let output = std::process::Command::new("sh")
            .args([
                "-c",
                "ulimit -v 4000000; exec \"$0\" --exact machine::tests::in_a_process_with_little_memory --ignored",
            ])
            .arg(std::env::current_exe().unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}

/// Bytes that may be written to the file system of `folder`, where the system tells.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
        let mut told = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: `path` ends in NUL, and `told` has room for what is told.
        let failed = unsafe { libc::statvfs(path.as_ptr(), told.as_mut_ptr()) } != 0;
        // SAFETY: it was filled in.
        let told = (!failed).then(|| unsafe { told.assume_init() })?;
        // The widths of these numbers differ between systems; some virtual file systems tell nothing.
        let [blocks, free, block_bytes] = [told.f_blocks as u64, told.f_bavail as u64, told.f_frsize as u64];
        (blocks > 0).then(|| free.saturating_mul(block_bytes))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}
