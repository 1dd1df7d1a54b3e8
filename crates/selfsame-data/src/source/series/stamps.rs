//! Time stamps: numbers, or dates of ISO 8601.

const NANOS: i128 = 1_000_000_000;

/// A stamp in billionths: of seconds since 1970 for a date, else of whatever a number counts. `None` if it is neither.
pub fn parse(text: &str) -> Option<i128> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(i128::from(whole) * NANOS);
    }
    if let Ok(number) = text.parse::<f64>() {
        return (number.abs() < 1e18).then_some((number * 1e9).round() as i128);
    }
    date(text)
}

/// `2007-01-31`, and after a blank or a `T` the time of the day, `23:59`, `23:59:58` or `23:59:58.25`, and a zone, `Z`,
/// `+01:00` or ` +01:00`.
fn date(text: &str) -> Option<i128> {
    let (day, rest) = text.split_at_checked(10)?;
    let [year, month, day] = fields(day, '-')?;
    let year_length = |year: i64| 365 + i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let february = year_length(year) - 337;
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !(1..=length).contains(&day) || !(1..=9999).contains(&year) {
        return None;
    }
    // Days before the year, in the calendar of today.
    let before = |year: i64| 365 * (year - 1) + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let days = before(year) - before(1970) + lengths[..month as usize - 1].iter().sum::<i64>() + day - 1;
    let seconds = match rest.strip_prefix([' ', 'T']) {
        Some(time) => time_of_day(time)?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    Some(i128::from(days) * 86_400 * NANOS + seconds)
}

fn time_of_day(text: &str) -> Option<i128> {
    let (clock, zone) = match text.strip_suffix('Z') {
        Some(clock) => (clock, 0),
        None => match text.rfind(['+', '-']) {
            Some(at) => {
                let [hours, minutes] = fields(&text[at + 1..], ':')?;
                let minutes = 60 * hours + minutes;
                (&text[..at], if text[at..].starts_with('+') { minutes } else { -minutes })
            }
            None => (text, 0),
        },
    };
    let (whole, fraction) = clock.trim_end().split_once('.').unwrap_or((clock, ""));
    let [hours, minutes, seconds] = fields(whole, ':').or_else(|| fields(whole, ':').map(|[h, m]| [h, m, 0]))?;
    if hours > 23 || minutes > 59 || seconds > 60 || fraction.len() > 9 {
        return None;
    }
    let fraction: i128 = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse::<u32>().ok()?.into() };
    Some(i128::from(3600 * hours + 60 * minutes + seconds - 60 * zone) * NANOS + fraction)
}

/// So many numbers without a sign, with `between` between them.
fn fields<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut found = [0; N];
    for field in &mut found {
        let part =
            parts.next().filter(|part| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))?;
        *field = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// How steps with these stamps follow each other.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// As they are listed.
    Listed,
    /// In this order; the first of them that is out of place in the list.
    Sorted(Vec<usize>, usize),
    /// Two steps have one stamp.
    Twice(usize, usize),
}

/// The order of steps with these stamps.
pub fn order(stamps: &[i128]) -> Order {
    let Some(late) = stamps.windows(2).position(|pair| pair[0] >= pair[1]) else { return Order::Listed };
    let mut order: Vec<usize> = (0..stamps.len()).collect();
    order.sort_by_key(|&step| stamps[step]);
    match order.windows(2).find(|pair| stamps[pair[0]] == stamps[pair[1]]) {
        Some(&[first, second]) => Order::Twice(first, second),
        _ => Order::Sorted(order, late + 1),
    }
}

/// Whether steps in their order are equally far from each other, to a thousandth.
pub fn is_even(stamps: impl ExactSizeIterator<Item = i128> + Clone) -> bool {
    let steps = stamps.clone().zip(stamps.skip(1)).map(|(a, b)| b - a);
    let (least, most) = steps.fold((i128::MAX, 0), |(least, most), step| (least.min(step), most.max(step)));
    most <= least.saturating_add(least / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_are_read() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-02T00:00:00Z", 86_400),
            ("1969-12-31 23:59", -60),
            ("2000-02-29 12:00:00+01:00", 951_822_000),
            ("2007-01-01 00:01:00", 1_167_609_660),
            ("2024-12-31T23:59:59-00:30", 1_735_691_399),
            // As dates of Parquet are written out.
            ("2007-01-01 00:01:00.000 +00:00", 1_167_609_660),
            ("17", 17),
            ("-2.5e1", -25),
        ] {
            assert_eq!(parse(text), Some(seconds * NANOS), "{text}");
        }
        assert_eq!(parse("1970-01-01 00:00:00.25"), Some(250_000_000));
        assert_eq!(parse("1167609660000000001"), Some(1_167_609_660_000_000_001 * NANOS));
        for text in [
            "",
            "today",
            "2001-02-29",
            "2001-13-01",
            "2001-1-1x",
            "2001-01-01 25:00",
            "2001-01-01 1",
            "nan",
            "é",
            "2001-01-0é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn steps_are_put_in_order_and_twins_are_found() {
        assert_eq!(order(&[1, 2, 5]), Order::Listed);
        assert_eq!(order(&[1, 5, 2, 3]), Order::Sorted(vec![0, 2, 3, 1], 2));
        assert_eq!(order(&[4, 5, 4]), Order::Twice(0, 2));
        let even = |stamps: &[i128]| is_even(stamps.iter().copied());
        assert!(even(&[0, 1000, 2001]) && even(&[3]) && even(&[]) && !even(&[0, 1000, 2002]));
    }
}
