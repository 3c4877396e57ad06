//! The contract's sections 3 to 5, row by row, with literal expectations.

/// Modules stand in a directory of their own, because every file beside this one is a test of its own.
mod contract {
    mod conflation;
    mod driver;
    mod held;
    mod notices;
    mod overflow;
    mod resume;
    mod snapshots;
    mod wire;
}
