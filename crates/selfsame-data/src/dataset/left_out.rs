//! What is told of files that hold more than is taken.

use crate::decode::Header;

/// What is left out of the probed files, one line each: further pages, and further bands.
pub fn left_out(headers: &[Header]) -> impl Iterator<Item = String> {
    let line = |more: fn(&Header) -> usize, what: &str, remedy: &str| {
        let (files, most) = (headers.iter().filter(|header| more(header) > 0).count(), headers.iter().map(more).max());
        let most = most.filter(|_| files > 0)?;
        Some(format!(
            "{files} of {} files looked at have more {what}, up to {most}, that are left out; {remedy}",
            headers.len()
        ))
    };
    let pages = line(|header| header.pages - 1, "pages", "data.pages = \"all\" takes each as a sample");
    let bands = line(|header| header.unused_bands, "bands", "data.channels takes all, data.bands some, e.g. [4, 3, 2]");
    pages.into_iter().chain(bands)
}
