//! See [`lockgate_fuzz::wire_packet`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockgate_fuzz::wire_packet(bytes);
});
