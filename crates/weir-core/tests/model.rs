//! Random histories of a broker against a naive model: no hole, duplicate, reordering or foreign event that is not
//! announced, no false gap, and the books balance after every step.

use proptest::prelude::*;

use crate::model::op::{Plan, plan};
use crate::model::world::World;

/// Modules stand in a directory of their own, because every file beside this one is a test of its own.
mod model {
    pub(crate) mod claims;
    pub(crate) mod clients;
    pub(crate) mod naive;
    pub(crate) mod op;
    pub(crate) mod viewer;
    pub(crate) mod world;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_silently(plan in plan()) {
        let plan: Plan = plan;
        World::new(plan).run();
    }
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    ProptestConfig::default().cases.max(1000)
}
