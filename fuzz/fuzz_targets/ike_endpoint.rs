//! See [`lockgate_fuzz::ike_endpoint`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockgate_fuzz::ike_endpoint(bytes);
});
