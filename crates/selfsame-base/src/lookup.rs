//! One way to find a thing by its name, and to say what there is when it is not there.

/// The entry called `name`, whatever its case and whether its words are joined by `-` or `_`.
///
/// # Errors
/// One line without an end: that there is no such `noun`, which one was probably meant, and which there are.
pub fn find<'a, T>(
    entries: impl IntoIterator<Item = &'a T>,
    name_of: impl Fn(&T) -> &'static str,
    noun: &str,
    name: &str,
) -> Result<&'a T, String> {
    let entries: Vec<&T> = entries.into_iter().collect();
    if let Some(found) = entries.iter().find(|entry| canonical(name_of(entry)) == canonical(name)) {
        return Ok(found);
    }
    let names: Vec<&str> = entries.iter().map(|entry| name_of(entry)).collect();
    let meant = nearest(name, names.iter().copied()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    Err(format!("there is no {noun} `{name}`{meant} (there are {})", names.join(", ")))
}

/// A name as it is compared.
pub fn canonical(name: &str) -> String {
    name.trim().to_lowercase().replace('-', "_")
}

/// The candidate that `given` was most likely meant to be, if any is near enough. Full dotted paths are compared, and last
/// segments, so that `batchsize` finds `train.batch_size`.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = canonical(given);
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = last(&given);
    let mut best = (0.6, None);
    for candidate in candidates {
        let compared = canonical(candidate);
        let tail = last(&compared);
        let word = tail.split('_').any(|w| w == wanted) || wanted.split('_').any(|w| w == tail);
        let whole = strsim::normalized_damerau_levenshtein(&given, &compared);
        let score = whole
            .max(0.95 * strsim::normalized_damerau_levenshtein(&wanted, &tail) + 0.05 * whole)
            .max(if word { 0.7 } else { 0.0 });
        if score > best.0 {
            best = (score, Some(candidate));
        }
    }
    best.1
}

/// `` `a`, `b` or `c` ``.
pub fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<_> = words.iter().map(|w| format!("`{}`", w.as_ref())).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["simclr", "barlow_twins", "moco"];

    fn found(name: &str) -> Result<&'static str, String> {
        find(&NAMES, |name| name, "method", name).copied()
    }

    #[test]
    fn case_and_joints_are_forgiven() {
        for name in ["barlow_twins", "Barlow-Twins", "BARLOW_TWINS", " barlow-twins"] {
            assert_eq!(found(name), Ok("barlow_twins"));
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        assert_eq!(
            found("simclar").unwrap_err(),
            "there is no method `simclar`; did you mean `simclr`? (there are simclr, barlow_twins, moco)"
        );
        assert_eq!(found("quux").unwrap_err(), "there is no method `quux` (there are simclr, barlow_twins, moco)");
    }

    #[test]
    fn nearest_finds_what_was_meant_and_nothing_far() {
        let paths = ["seed", "data.path", "train.epochs", "train.batch_size", "optimizer.base_lr"];
        for (given, meant) in [
            ("batchsize", "train.batch_size"),
            ("train.epoch", "train.epochs"),
            ("trian.epochs", "train.epochs"),
            ("optimizer.base_lr", "optimizer.base_lr"),
            ("lr", "optimizer.base_lr"),
            ("data.pth", "data.path"),
            ("Seed", "seed"),
        ] {
            assert_eq!(nearest(given, paths), Some(meant), "{given}");
        }
        assert_eq!(nearest("quux", paths), None);
    }
}
