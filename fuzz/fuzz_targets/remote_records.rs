//! See [`lockgate_fuzz::remote_records`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockgate_fuzz::remote_records(bytes);
});
