//! Numbers and paths as people read them.

/// Hours, minutes and seconds: `8 s`, `3 min 07 s`, `2 h 05 min`. What is not a number, or is negative, is `0 s`.
///
/// ```
/// assert_eq!(selfsame_base::text::duration(187.4), "3 min 07 s");
/// ```
pub fn duration(seconds: f64) -> String {
    // A cast of NaN is 0.
    let total = seconds.clamp(0.0, 1e9).round() as u64;
    match (total / 3600, total / 60 % 60, total % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// Bytes: `812 bytes`, `4.1 kB`, `46.3 MB`, `2.0 GB`.
pub fn size(bytes: u64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.into_iter().find(|&(unit, _)| bytes as f64 >= unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit),
        None => format!("{bytes} bytes"),
    }
}

/// A path, or any word, as it is pasted into a shell: quoted where it must be.
///
/// ```
/// assert_eq!(selfsame_base::text::pasted("runs/simclr-my photos"), "'runs/simclr-my photos'");
/// assert_eq!(selfsame_base::text::pasted("runs/simclr-demo"), "runs/simclr-demo");
/// ```
pub fn pasted(word: impl AsRef<std::path::Path>) -> String {
    let word = word.as_ref().to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c) || cfg!(windows) && c == '\\';
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Text as one line that a terminal only shows: line breaks and other control characters, which names in foreign files can
/// hold, as Rust writes them.
///
/// ```
/// assert_eq!(selfsame_base::text::one_line("column a\nb\u{1b}[2J"), r"column a\nb\u{1b}[2J");
/// ```
pub fn one_line(text: impl AsRef<str>) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let shown = |c: char| if breaks(c) { c.escape_debug().collect() } else { String::from(c) };
    text.as_ref().chars().map(shown).collect()
}

/// Writes a path as people read it, whatever its bytes.
///
/// # Errors
/// The serializer's.
pub fn readable<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_two_units_are_said() {
        let cases = [(0.4, "0 s"), (59.7, "1 min 00 s"), (3599.0, "59 min 59 s"), (7500.0, "2 h 05 min")];
        cases.iter().for_each(|(seconds, said)| assert_eq!(duration(*seconds), *said));
        let sizes = [(812, "812 bytes"), (4_100, "4.1 kB"), (46_260_000, "46.3 MB"), (1 << 31, "2.1 GB")];
        sizes.iter().for_each(|(bytes, said)| assert_eq!(size(*bytes), *said));
        for none in [f64::NAN, f64::NEG_INFINITY, -3.0] {
            assert_eq!(duration(none), "0 s");
        }
    }
}
