//! Why a connection to a peer is ended.

/// What is wrong with what the peer did. The words go to the peer, so they are short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemifFault {
    /// A control message that is not 128 bytes.
    #[error("a control message is not 128 bytes long")]
    MessageLength,
    /// A control message of a type that memif does not have.
    #[error("a control message of unknown type")]
    MessageType,
    /// A control message that does not belong here.
    #[error("a control message out of order")]
    MessageOrder,
    /// Another version of the protocol.
    #[error("the versions differ: memif 2.0 is spoken here")]
    Version,
    /// Another interface.
    #[error("no interface of that id here")]
    Id,
    /// IP or punt/inject mode.
    #[error("only interfaces of mode ethernet here")]
    Mode,
    /// ADD_REGION or ADD_RING without a descriptor.
    #[error("a message came without its descriptor")]
    NoDescriptor,
    /// A region out of order, or too many.
    #[error("regions are numbered from 0 on, 16 at most")]
    RegionIndex,
    /// A region of no bytes, too many, or more than its file has.
    #[error("a region is empty, larger than its file, or above 1 GiB in all")]
    RegionSize,
    /// A region that is no memory file.
    #[error("a region is no memory file (memfd)")]
    RegionKind,
    /// A region in huge pages.
    #[error("a region lies in huge pages, which may vanish; use ordinary memory")]
    RegionHuge,
    /// A region that can shrink.
    #[error("a region can shrink (no F_SEAL_SHRINK); switch zero-copy off")]
    RegionUnsealed,
    /// A ring of a number that was not offered, or a second one.
    #[error("one ring each way, number 0")]
    RingIndex,
    /// CONNECT before both rings are there.
    #[error("a ring is missing")]
    RingMissing,
    /// A ring that is not inside its region, or of a size that memif does not have.
    #[error("a ring is not inside its region")]
    RingPlace,
    /// A ring that does not start as one.
    #[error("a ring does not start with the cookie of memif")]
    RingCookie,
    /// A counter that says more than the ring holds.
    #[error("the counter of a ring ran past its size")]
    RingCounter,
    /// A buffer to fill that is not inside its region.
    #[error("a free buffer is empty or not inside its region")]
    BufferPlace,
    /// No memory of our own to share, or no descriptor to watch.
    #[error("no memory or descriptor left to connect with")]
    OwnMemory,
    /// The peer connected and then said too little for too long.
    #[error("the connection was not completed in time")]
    TooSlow,
    /// Another peer is connected.
    #[error("another peer is connected already")]
    Taken,
    /// The peer said that it ends.
    #[error("the peer ended: {0}")]
    Refused(String),
    /// The connection broke.
    #[error("the peer went without a word")]
    Gone,
}
