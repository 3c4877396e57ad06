//! How fast somebody may do something again.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use crate::places::Network;

/// Most of those who are remembered as they come. Of IPv6, whoever comes when so many did something within the time that their
/// bursts need to fill up again shares one burst with all of its /48.
const MOST: usize = 65_536;

/// Most who are remembered at all, so that a flood of addresses cannot take the memory. Whoever comes then shares one burst with
/// all others who do.
const MOST_IN_ALL: usize = 2 * MOST;

/// Those who have waited long enough are forgotten after so many calls at the least. Looking for them takes as long as there are
/// many, so it is done once in about as many calls.
const SWEEP: usize = 1024;

/// So many within this time, and as many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// Within which time.
    pub within: Duration,
}

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Network(Network),
    /// All networks of one site.
    Site(Network),
    Subject(Arc<str>),
}

impl Who {
    /// Who that is where there are too many to tell apart.
    fn at_large(&self) -> Self {
        match self {
            Self::Network(network) => network.site().map_or(Self::Network(*network), Self::Site),
            Self::Site(_) | Self::Subject(_) => self.clone(),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Rates<C: Clock = MonotonicClock> {
    rate: Rate,
    known: Known,
    each: Duration,
    /// Whoever is charged looks first, and nobody else meanwhile.
    charging: Mutex<()>,
    limiter: RateLimiter<Who, Known, C, NoOpMiddleware<C::Instant>>,
}

impl Rates {
    pub(crate) fn new(rate: Rate) -> Self {
        Self::by(MonotonicClock, rate)
    }
}

impl<C: Clock> Rates<C> {
    fn by(clock: C, rate: Rate) -> Self {
        let each = (rate.within / rate.count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(each).expect("a period is not 0").allow_burst(rate.count);
        let known = Known::default();
        Self {
            rate,
            known: known.clone(),
            each,
            charging: Mutex::default(),
            limiter: RateLimiter::new(quota, known, clock),
        }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Lets it pass, or says after which time it would.
    pub(crate) fn pass(&self, who: &Who) -> Result<(), Duration> {
        let passed = self.limiter.check_key(who);
        if self.known.called() {
            self.tidy();
        }
        passed.map_err(|not_until| not_until.wait_time_from(self.limiter.clock().now()))
    }

    /// What was let pass is so many more than one: whoever does it waits for these before the next. Several that were let pass
    /// side by side must not all be more than one, so it does not pass while those of another are waited for.
    pub(crate) fn charge(&self, who: &Who, more: usize) -> Result<(), Duration> {
        let Some(but_one) = more.checked_sub(1) else { return Ok(()) };
        let _alone = self.charging.lock();
        let more = match self.limiter.check_key(who) {
            Ok(()) => but_one,
            Err(not_until) => match not_until.wait_time_from(self.limiter.clock().now()) {
                // It was the last that there was room for, and owes nothing yet.
                wait if wait <= self.each => more,
                wait => return Err(wait),
            },
        };
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let debt = u64::try_from(self.each.as_nanos()).unwrap_or(u64::MAX).saturating_mul(more);
        self.known.postpone(who, debt);
        Ok(())
    }

    /// Forgets those who may do as much as if they had never come.
    pub(crate) fn tidy(&self) {
        self.limiter.retain_recent();
        self.known.swept();
    }
}

/// When each has room for its whole burst again.
#[derive(Clone, Debug, Default)]
struct Known(Arc<Mutex<States>>);

#[derive(Debug)]
struct States {
    each: HashMap<Who, Nanos>,
    /// Of all who are not remembered.
    others: Option<Nanos>,
    /// Calls until those are looked for who can be forgotten.
    until_sweep: usize,
}

impl States {
    fn of(&mut self, who: &Who) -> Option<&mut Nanos> {
        // Looked up twice, since a borrow that is handed out lasts too long to look again.
        let who = if self.each.contains_key(who) { who.clone() } else { who.at_large() };
        self.each.get_mut(&who)
    }
}

impl Default for States {
    fn default() -> Self {
        Self { each: HashMap::new(), others: None, until_sweep: SWEEP }
    }
}

impl Known {
    /// Whether this was the call after which it is time to forget.
    fn called(&self) -> bool {
        let mut states = self.0.lock();
        states.until_sweep = states.until_sweep.saturating_sub(1);
        states.until_sweep == 0
    }

    fn swept(&self) {
        let mut states = self.0.lock();
        states.until_sweep = states.each.len().max(SWEEP);
        let room = states.until_sweep;
        states.each.shrink_to(room);
    }

    fn postpone(&self, who: &Who, nanos: u64) {
        let mut states = self.0.lock();
        let later = |until: Nanos| Nanos::from(until.as_u64().saturating_add(nanos));
        match states.of(who) {
            Some(until) => *until = later(*until),
            None => states.others = states.others.map(later),
        }
    }
}

impl StateStore for Known {
    type Key = Who;

    fn measure_and_replace<T, F, E>(&self, who: &Who, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut states = self.0.lock();
        if let Some(until) = states.of(who) {
            let (passed, next) = decide(Some(*until))?;
            *until = next;
            return Ok(passed);
        }
        let known = states.each.len();
        if known < MOST_IN_ALL {
            let (passed, next) = decide(None)?;
            states.each.insert(if known < MOST { who.clone() } else { who.at_large() }, next);
            return Ok(passed);
        }
        let (passed, next) = decide(states.others)?;
        states.others = Some(next);
        Ok(passed)
    }
}

impl ShrinkableKeyedStateStore<Who> for Known {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut states = self.0.lock();
        states.each.retain(|_, until| *until >= drop_below);
    }

    fn len(&self) -> usize {
        self.0.lock().each.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn who(number: u32) -> Who {
        Who::Network(Network::of(Ipv4Addr::from(number).into()))
    }

    fn rates(count: u32, within: Duration) -> (FakeRelativeClock, Rates<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        (clock.clone(), Rates::by(clock, Rate { count: NonZeroU32::new(count).unwrap(), within }))
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn so_many_at_once_and_then_one_after_the_other() {
        let (clock, rates) = rates(3, MINUTE);
        assert!((0..3).all(|_| rates.pass(&who(1)).is_ok()));
        assert_eq!(rates.pass(&who(1)), Err(MINUTE / 3));
        assert_eq!(rates.pass(&who(2)), Ok(()));
        clock.advance(MINUTE / 3);
        assert_eq!(rates.pass(&who(1)), Ok(()));
        assert_eq!(rates.pass(&who(1)), Err(MINUTE / 3));
        clock.advance(MINUTE * 10);
        assert!((0..3).all(|_| rates.pass(&who(1)).is_ok()));
        assert!(rates.pass(&who(1)).is_err());
    }

    #[test]
    fn what_was_more_than_one_is_waited_for() {
        let (clock, rates) = rates(3, MINUTE);
        assert_eq!(rates.pass(&who(1)), Ok(()));
        assert_eq!(rates.charge(&who(1), 9), Ok(()));
        // Ten were done and three may be: seven are to be waited for, and the next.
        assert_eq!(rates.pass(&who(1)), Err(MINUTE / 3 * 8));
        clock.advance(MINUTE / 3 * 8);
        assert_eq!(rates.pass(&who(1)), Ok(()));
        assert_eq!(rates.charge(&who(2), usize::MAX), Ok(()));
    }

    #[test]
    fn of_those_who_begin_side_by_side_one_is_more_than_one() {
        let (clock, rates) = rates(3, MINUTE);
        assert!((0..3).all(|_| rates.pass(&who(1)).is_ok()));
        assert_eq!(rates.charge(&who(1), 9), Ok(()));
        assert_eq!(rates.charge(&who(1), 9), Err(MINUTE / 3 * 10));
        assert_eq!(rates.charge(&who(1), 0), Ok(()));
        clock.advance(MINUTE / 3 * 10);
        assert_eq!(rates.pass(&who(1)), Ok(()));
        assert_eq!(rates.charge(&who(1), 1), Ok(()));
        assert_eq!(rates.pass(&who(1)), Err(MINUTE / 3 * 2));
    }

    #[test]
    fn a_flood_of_addresses_is_neither_remembered_for_ever_nor_beyond_a_bound() {
        let (clock, rates) = rates(3, MINUTE);
        let most = u32::try_from(MOST_IN_ALL).unwrap();
        for number in 0..2 * most {
            // Those who find no place share one burst.
            assert_eq!(rates.pass(&who(number)).is_ok(), number < most + 3, "{number}");
        }
        assert_eq!(rates.limiter.len(), MOST_IN_ALL);
        // Whoever was there before is treated as ever.
        assert!((0..2).all(|_| rates.pass(&who(7)).is_ok()));
        assert!(rates.pass(&who(7)).is_err());
        clock.advance(MINUTE);
        rates.tidy();
        assert_eq!(rates.limiter.len(), 1);
        assert!(rates.known.0.lock().each.capacity() < MOST / 8);
        assert_eq!(rates.pass(&who(8)), Ok(()));
    }

    #[test]
    fn whoever_holds_a_large_network_puts_nobody_else_out() {
        let (_clock, rates) = rates(3, MINUTE);
        let of = |site: u16, subnet: u16| {
            Who::Network(Network::of(Ipv6Addr::new(0x2001, 0xdb8, site, subnet, 0, 0, 0, 1).into()))
        };
        assert!((0..=u16::MAX).all(|subnet| rates.pass(&of(1, subnet)).is_ok()));
        // The same once more, by another: its networks are one from here on.
        let passed = (0..=u16::MAX).filter(|subnet| rates.pass(&of(2, *subnet)).is_ok()).count();
        assert_eq!(passed, 3);
        assert_eq!(rates.charge(&of(2, 7), 5), Ok(()));
        assert_eq!(rates.charge(&of(2, 9), 5), Err(MINUTE / 3 * 6));
        for newcomer in [of(3, 1), of(4, 1), who(1), who(2)] {
            assert!((0..3).all(|_| rates.pass(&newcomer).is_ok()), "{newcomer:?}");
            assert!(rates.pass(&newcomer).is_err(), "{newcomer:?}");
        }
        assert_eq!(rates.limiter.len(), MOST + 5);
    }

    #[test]
    fn those_who_waited_are_forgotten_as_others_come() {
        let (clock, rates) = rates(1, Duration::from_secs(1));
        for number in 0..100_000 {
            clock.advance(Duration::from_millis(10));
            assert_eq!(rates.pass(&who(number)), Ok(()));
        }
        assert!(rates.limiter.len() <= 2 * SWEEP, "{}", rates.limiter.len());
    }
}
