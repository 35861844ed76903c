#![no_main]

#[path = "../properties/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::tenants::check(bytes));
