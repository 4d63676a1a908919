//! How wide the registers are that AES-GCM of our own uses, and whether this CPU has them.

/// How many blocks an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// Two: AVX2, VAES and VPCLMULQDQ.
    Bits256,
    /// Four: the same and AVX-512 (F, BW, VL).
    Bits512,
}

/// Whether the CPU has what a width takes, and the system lets it be used.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_available(width: Width) -> bool {
    let narrow = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq");
    match width {
        Width::Bits256 => narrow,
        Width::Bits512 => {
            narrow
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
        }
    }
}

/// No other CPUs than x86-64 have them.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn is_available(_: Width) -> bool {
    false
}
