//! See [`lockgate_fuzz::filter_text`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockgate_fuzz::filter_text(bytes);
});
