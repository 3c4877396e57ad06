//! What goes on in the cluster: people who publish, and people who listen.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::listener::{Habit, Listener};
use crate::publishers::Publisher;
use crate::tally::Tally;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) clients: u32,
    /// Events a second.
    pub(crate) rate: u32,
}

/// All of it, until it is dropped.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    _tasks: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(amount: Amount, publisher: &Publisher, instances: &[SocketAddr]) -> Self {
        let mut tasks = JoinSet::new();
        for number in 0..amount.clients {
            let listener = Listener {
                number,
                habit: habit(number),
                balancer: publisher.balancer,
                direct: instances[number as usize / 150 % instances.len()],
                tally: Arc::clone(&publisher.tally),
            };
            tasks.spawn(listener.listen());
        }
        let half = amount.rate.div_ceil(2);
        tasks.spawn(publisher.clone().by_http(half));
        tasks.spawn(publisher.clone().by_xadd(amount.rate - half));
        tasks.spawn(publisher.clone().on_streams());
        Self { tally: Arc::clone(&publisher.tally), _tasks: tasks }
    }
}

/// Of twenty clients, eleven stay and five come and go. Those who nap are few: what they get late has to be less than one event in
/// a hundred, or it would be right to say that events arrive late.
fn habit(number: u32) -> Habit {
    match number % 20 {
        _ if number % 150 == 10 => Habit::Naps(8),
        0..=10 => Habit::Stays,
        11..=15 => Habit::Restless(40),
        16 | 17 => Habit::StaysForAll,
        18 => Habit::Polls,
        _ => Habit::Follows,
    }
}
