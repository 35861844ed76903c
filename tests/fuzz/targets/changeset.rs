#![no_main]

#[path = "../properties/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod properties;

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| FOLDER.with(|folder| properties::changeset::check(bytes, folder.path())));
