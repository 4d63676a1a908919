//! placeholder until wire::nd
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
/// x
pub enum SolicitationAction {
    /// x
    None,
}
