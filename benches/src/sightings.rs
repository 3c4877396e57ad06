//! When a page saw which events.

use anyhow::Context;
use serde_json::Value;

/// What a page saw by one of its ways.
#[derive(Debug)]
pub struct Sightings {
    /// From the publisher's clock to the page's, in ms, in order.
    latencies: Vec<f64>,
    /// Events that were missing, came twice, or behind one with a higher id.
    pub wrong: u32,
}

impl Sightings {
    /// Of a list of `[number, ms, id]`, in the order in which they were seen, where the numbers from 0 up to `total` were published.
    ///
    /// # Errors
    /// It is no such list, or is empty.
    pub fn of(list: &Value, total: u32) -> anyhow::Result<Self> {
        let list = list.as_array().context("a list of sightings")?;
        let mut latencies = Vec::with_capacity(list.len());
        let mut seen = vec![false; total as usize];
        let (mut wrong, mut newest) = (0, None);
        for sighting in list {
            let number = sighting[0].as_u64().context("the number of an event")?;
            latencies.push(sighting[1].as_f64().context("a latency")?);
            let mark = usize::try_from(number).ok().and_then(|number| seen.get_mut(number));
            let mark = mark.with_context(|| format!("nobody published {number}"))?;
            let doubled = std::mem::replace(mark, true);
            let id = sighting[2].as_str().and_then(place).context("the id of an event")?;
            wrong += u32::from(doubled || newest > Some(id));
            newest = newest.max(Some(id));
        }
        anyhow::ensure!(!latencies.is_empty(), "the page saw nothing");
        latencies.sort_unstable_by(f64::total_cmp);
        wrong += u32::try_from(seen.iter().filter(|seen| !**seen).count())?;
        Ok(Self { latencies, wrong })
    }

    /// The latency within which this share of the sightings was.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.latencies.len() as f64).ceil() as usize;
        self.latencies[rank.clamp(1, self.latencies.len()) - 1]
    }
}

/// Where an id stands in the log.
fn place(id: &str) -> Option<(u64, u64)> {
    let (ms, seq) = id.split_once('-')?;
    Some((ms.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_counted_once_each() {
        let wrong = |list| Sightings::of(&list, 4).unwrap().wrong;
        let [a, b, c, d] = [
            json!([0, 1.0, "9-0"]),
            json!([1, 1.0, "9-1"]),
            json!([3, 1.0, "9-10"]),
            json!([2, 1.0, "10-0"]),
        ];
        assert_eq!(
            wrong(json!([a, b, c, d])),
            0,
            "in the order of the log, in which publishes may overtake each other"
        );
        assert_eq!(wrong(json!([a, b, d])), 1, "missing");
        assert_eq!(wrong(json!([a, b, b, c, d])), 1, "doubled");
        assert_eq!(wrong(json!([a, c, b, d])), 1, "out of order");
        assert!(Sightings::of(&json!([[4, 1.0, "9-0"]]), 4).is_err(), "never published");
        assert!(Sightings::of(&json!([]), 4).is_err());
    }

    #[test]
    fn quantiles_are_sightings() {
        let list: Vec<_> = (0..100_u32)
            .map(|number| json!([number, f64::from(100 - number), format!("{number}-0")]))
            .collect();
        let seen = Sightings::of(&json!(list), 100).unwrap();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| seen.quantile(share)), [1.0, 50.0, 99.0, 100.0]);
    }
}
