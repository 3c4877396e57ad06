//! Tokens of any bytes.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_fuzz::token(input));

/// Without the fuzzer: runs the files named as arguments, so that a crash can be looked at on any toolchain.
#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    weir_fuzz::replay(weir_fuzz::token)
}
