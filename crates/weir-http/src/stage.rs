//! Whether the instance takes clients, holds back, or lets them go. It may change its mind until it ends.

use tokio::sync::watch;

/// How welcome clients are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everybody is welcome.
    #[default]
    Serving,
    /// It says that it goes away, and still takes whom it is sent.
    Draining,
    /// New clients are turned away, and those that are here are told to go.
    Refusing,
}

/// The stage of an instance, seen by all of its requests.
#[derive(Debug)]
pub struct Stages {
    now: watch::Sender<State>,
    /// Whether an operator wants the clients gone.
    drain: watch::Sender<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    stage: Stage,
    /// The process ends, so there is no way back.
    ending: bool,
}

impl Default for Stages {
    fn default() -> Self {
        Self { now: watch::Sender::new(State::default()), drain: watch::Sender::new(false) }
    }
}

impl Stages {
    /// The stage now.
    pub fn now(&self) -> Stage {
        self.now.borrow().stage
    }

    /// Whether the process ends.
    pub fn is_ending(&self) -> bool {
        self.now.borrow().ending
    }

    /// Whether it says that it goes away.
    pub fn is_draining(&self) -> bool {
        self.now() >= Stage::Draining
    }

    /// Whether new clients are turned away.
    pub fn is_refusing(&self) -> bool {
        self.now() >= Stage::Refusing
    }

    /// In a word, for operators.
    pub(crate) fn word(&self) -> &'static str {
        match *self.now.borrow() {
            State { ending: true, .. } => "ending",
            State { stage: Stage::Serving, .. } => "serving",
            State { stage: Stage::Draining, .. } => "draining",
            State { stage: Stage::Refusing, .. } => "refusing",
        }
    }

    /// Resolves as soon as it says that it goes away.
    pub(crate) async fn draining(&self) {
        let mut seen = self.now.subscribe();
        // The sender lives as long as whoever asks here.
        let _ = seen.wait_for(|state| state.stage >= Stage::Draining).await;
    }

    /// An operator wants the clients gone; it says so at once.
    pub(crate) fn order_drain(&self) {
        self.drain.send_replace(true);
        self.advance(Stage::Draining);
    }

    /// An operator wants clients again. Resolves when they are welcome, or with `false` when somebody wants them gone again;
    /// never where the process ends meanwhile.
    pub(crate) async fn order_undrain(&self) -> bool {
        self.drain.send_replace(false);
        let (mut seen, mut orders) = (self.now.subscribe(), self.drain.subscribe());
        tokio::select! {
            _ = seen.wait_for(|state| state.stage == Stage::Serving) => true,
            _ = orders.wait_for(|drain| *drain) => false,
        }
    }

    /// What operators want, whether clients are to be gone; each order counts as a change, and so does the start.
    pub(crate) fn orders(&self) -> watch::Receiver<bool> {
        let mut orders = self.drain.subscribe();
        orders.mark_changed();
        orders
    }

    /// Everybody is welcome again.
    pub(crate) fn resume(&self) {
        self.now.send_modify(|state| state.stage = Stage::Serving);
    }

    /// Goes on towards the end.
    pub(crate) fn advance(&self, to: Stage) {
        self.now.send_modify(|state| state.stage = state.stage.max(to));
    }

    /// From here on there is no way back.
    pub(crate) fn end(&self) {
        self.now.send_modify(|state| state.ending = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_forward_and_tells_who_waits() {
        let stages = Stages::default();
        assert_eq!((stages.is_draining(), stages.is_refusing()), (false, false));
        stages.advance(Stage::Refusing);
        stages.advance(Stage::Draining);
        assert_eq!(stages.now(), Stage::Refusing);
        stages.draining().await;
        stages.resume();
        assert_eq!((stages.is_draining(), stages.is_refusing()), (false, false));
    }

    #[tokio::test]
    async fn whoever_wants_clients_again_is_told_that_somebody_does_not() {
        let stages = Stages::default();
        stages.order_drain();
        let (welcome, ()) = tokio::join!(stages.order_undrain(), async { stages.order_drain() });
        assert!(!welcome && stages.is_draining());
        let (welcome, ()) = tokio::join!(stages.order_undrain(), async { stages.resume() });
        assert!(welcome && !stages.is_draining());
    }
}
