//! Decimal numbers of options and headers. The standard library's reader of floating point would be a sixtieth of the component.

/// Millionths of a plain decimal number, not below zero: digits, perhaps a point and more digits. What is finer is cut off.
pub fn millionths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let fraction = fraction.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::millionths;
    use proptest::prelude::*;

    #[test]
    fn plain_numbers_alone() {
        for (text, value) in
            [("7", 7_000_000), ("0.5", 500_000), ("007.25", 7_250_000), ("1.0000019", 1_000_001), ("0", 0)]
        {
            assert_eq!(millionths(text), Some(value), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "NaN", "inf", "1e3", "1 ", "1.2.3", "99999999999999999999", "١"]
        {
            assert_eq!(millionths(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn as_the_standard_library_reads_it(whole in 0u64..1_000_000_000, fraction in 0u32..1_000_000) {
            let text = format!("{whole}.{fraction:06}");
            let expected: f64 = text.parse().unwrap();
            prop_assert_eq!((expected * 1e6).round() as u64, millionths(&text).unwrap());
        }
    }
}
