//! Ends instances without a word, one after the other, and starts them again where they were.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Mutex;
use tokio::time::sleep;
use weir_testkit::{DEADLINE, Instance, Signal};

use crate::setup::launch;

/// Between an instance that is back and the end of the next.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the others are alone.
const AWAY: Duration = Duration::from_secs(1);

/// Where an instance runs, again and again.
#[derive(Debug)]
pub(crate) struct Place {
    weir: String,
    address: SocketAddr,
    flags: Vec<String>,
    instance: Mutex<Instance>,
}

/// All places of a set-up.
#[derive(Debug)]
pub(crate) struct Killer {
    places: Vec<Place>,
    kills: Mutex<usize>,
}

impl Place {
    pub(crate) async fn start(weir: &str, address: SocketAddr, flags: &[String]) -> anyhow::Result<Self> {
        let instance = Mutex::new(launch(weir, address, flags).await?);
        Ok(Self { weir: weir.to_owned(), address, flags: flags.to_vec(), instance })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    async fn replace(&self) -> anyhow::Result<()> {
        let mut instance = self.instance.lock().await;
        instance.signal(Signal::KILL)?;
        instance.wait_exit(DEADLINE).await?;
        sleep(AWAY).await;
        *instance = launch(&self.weir, self.address, &self.flags).await.context("start it again")?;
        Ok(())
    }
}

impl Killer {
    pub(crate) fn of(places: Vec<Place>) -> Self {
        Self { places, kills: Mutex::new(0) }
    }

    /// Goes on until it is dropped; it ends only where an instance does not come back.
    pub(crate) async fn run(&self) -> anyhow::Error {
        for place in self.places.iter().cycle() {
            sleep(PAUSE).await;
            *self.kills.lock().await += 1;
            if let Err(error) = place.replace().await {
                return error;
            }
        }
        anyhow::anyhow!("there is nobody to end")
    }

    /// How many were ended.
    pub(crate) async fn kills(&self) -> usize {
        *self.kills.lock().await
    }
}
