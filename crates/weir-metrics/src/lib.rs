//! Every series of weir in one struct, on one registry.
