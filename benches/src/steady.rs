//! Whether something that is sampled over time stays as it is.

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Seconds since the first.
    pub second: f64,
    /// What was seen.
    pub value: f64,
}

/// How much the second half of the samples grew from its beginning to its end, in percent of its middle value.
///
/// The first half is warm-up: caches with a bound fill, and the allocator finds the arenas it needs. Growth is the middle of the
/// slopes between all pairs of samples (Theil and Sen), so that a few that stand out, such as a burst that a slow moment of the
/// machine made, move nothing, while a leak, which is in every pair, cannot hide. NaN of less than three samples, so that nothing is
/// proved by them.
pub fn growth_percent(samples: &[Sample]) -> f64 {
    let half = &samples[samples.len() / 2..];
    let (Some(first), Some(last), 2..) = (half.first(), half.last(), half.len()) else { return f64::NAN };
    let level = middle(half.iter().map(|sample| sample.value).collect());
    slope(half) * (last.second - first.second) / level * 100.0
}

/// Growth per second in the second half of the samples.
pub fn growth_per_second(samples: &[Sample]) -> f64 {
    slope(&samples[samples.len() / 2..])
}

fn slope(samples: &[Sample]) -> f64 {
    let pairs = samples.iter().enumerate().flat_map(|(i, a)| samples[..i].iter().map(move |b| (a, b)));
    let rise =
        pairs.filter(|(a, b)| a.second > b.second).map(|(a, b)| (a.value - b.value) / (a.second - b.second));
    middle(rise.collect())
}

/// One of the two middle values where their number is even: these are slopes by the million.
fn middle(mut values: Vec<f64>) -> f64 {
    let place = values.len() / 2;
    if values.is_empty() {
        return f64::NAN;
    }
    *values.select_nth_unstable_by(place, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute in which something grows by so much per second after a warm-up, a little noise included.
    fn minute(per_second: f64) -> Vec<Sample> {
        let noise = |n: u32| f64::from(n * 7919 % 101) / 50.0 - 1.0;
        let warm = |n: u32| 500.0 * (1.0 - (-f64::from(n) / 5.0).exp());
        let value = |n| 20_000.0 + warm(n) + 20.0 * noise(n) + per_second * f64::from(n);
        (0..60).map(|n| Sample { second: f64::from(n), value: value(n) }).collect()
    }

    #[test]
    fn warm_up_noise_and_a_burst_are_no_growth() {
        assert!(growth_percent(&minute(0.0)).abs() < 0.1, "{}", growth_percent(&minute(0.0)));
        let mut burst = minute(0.0);
        burst[50..54].iter_mut().for_each(|sample| sample.value *= 2.0);
        assert!(growth_percent(&burst).abs() < 0.2, "{}", growth_percent(&burst));
    }

    #[test]
    fn a_leak_is_growth_however_small_beside_the_noise() {
        let leak = minute(15.0);
        let growth = growth_percent(&leak);
        assert!((growth - 2.1).abs() < 0.2, "15 a second for 29 of them, of 20,500: {growth}");
        assert!((growth_per_second(&leak) - 15.0).abs() < 1.0);
    }

    #[test]
    fn too_few_samples_prove_nothing() {
        assert!(growth_percent(&minute(0.0)[..2]).is_nan());
        assert!(growth_percent(&[]).is_nan());
    }
}
