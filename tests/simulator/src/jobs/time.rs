//! Slurm's ways to write a time limit.

/// A time limit in whole minutes, rounded up as Slurm does; `Ok(None)` is no limit.
pub(crate) fn limit_minutes(text: &str) -> Result<Option<u64>, ()> {
    let text = text.trim();
    if ["-1", "INFINITE", "UNLIMITED"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (Some(number(days)?), clock),
        None => (None, text),
    };
    let parts = clock.split(':').map(number).collect::<Result<Vec<u64>, ()>>()?;
    let seconds = match (days, parts.as_slice()) {
        (None, [minutes]) => minutes.checked_mul(60),
        (None, [minutes, seconds]) => minutes.checked_mul(60).and_then(|m| m.checked_add(*seconds)),
        (Some(_), [hours]) => hours.checked_mul(3600),
        (Some(_), [hours, minutes]) => {
            hours.checked_mul(60).and_then(|h| h.checked_add(*minutes)).and_then(|m| m.checked_mul(60))
        }
        (_, [hours, minutes, seconds]) => hours
            .checked_mul(60)
            .and_then(|h| h.checked_add(*minutes))
            .and_then(|m| m.checked_mul(60))
            .and_then(|m| m.checked_add(*seconds)),
        _ => return Err(()),
    };
    let total = seconds
        .zip(days.unwrap_or(0).checked_mul(86_400))
        .and_then(|(clock, days)| clock.checked_add(days))
        .ok_or(())?;
    // Zero asks for no limit.
    Ok((total > 0).then(|| total.div_ceil(60)))
}

fn number(text: &str) -> Result<u64, ()> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    text.parse().map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let cases = [
            ("5", Some(5)),
            ("05:30", Some(6)),
            ("90", Some(90)),
            ("00:05:00", Some(5)),
            ("01:00:01", Some(61)),
            ("24:00:00", Some(1440)),
            ("1-0", Some(1440)),
            ("1-2:30", Some(1440 + 150)),
            ("2-03:04:05", Some(2 * 1440 + 185)),
            ("0-00:15:00", Some(15)),
            ("0:0:1", Some(1)),
            ("0", None),
            ("-1", None),
            ("unlimited", None),
            ("INFINITE", None),
        ];
        for (text, minutes) in cases {
            assert_eq!(limit_minutes(text), Ok(minutes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "1:2:3:4", "1-", "1-2-3", "-5", "1:", "1.5", "99999999999999999999"] {
            assert_eq!(limit_minutes(text), Err(()), "{text}");
        }
    }
}
