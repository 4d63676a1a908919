//! See [`lockgate_fuzz::aead_gcm`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockgate_fuzz::aead_gcm(bytes);
});
