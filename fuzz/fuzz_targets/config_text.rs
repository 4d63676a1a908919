//! See [`lockgate_fuzz::config_text`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockgate_fuzz::config_text(bytes);
});
