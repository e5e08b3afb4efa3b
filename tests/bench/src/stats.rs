//! Medians and spread.

/// The middle one, or the mean of the middle two. None of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The first and the third quartile; of fewer than four values the least and the largest.
pub(crate) fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let ends = if values.len() < 4 { (0.0, 1.0) } else { (0.25, 0.75) };
    Some((quantile(values, ends.0)?, quantile(values, ends.1)?))
}

/// Between two values it lies in proportion.
fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * (sorted.len().checked_sub(1)? as f64);
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    Some(sorted[below] + (sorted[above] - sorted[below]) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 8.0]), Some(3.0));
    }

    #[test]
    fn the_spread_of_few_values_is_all_of_them() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0, 1.0]), Some((1.0, 3.0)));
        assert_eq!(spread(&[1.0, 2.0, 3.0, 4.0, 100.0]), Some((2.0, 4.0)));
    }
}
