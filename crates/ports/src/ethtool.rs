//! What the driver of a device says of itself, by the requests of `ethtool`.
//!
//! Answers are those of the network namespace that the socket belongs to, whichever thread asks.

use std::os::fd::BorrowedFd;

use crate::sys::{DeviceName, interface_ioctl};

// From linux/ethtool.h.
const GSTRINGS: u32 = 0x1b;
const GSSET_INFO: u32 = 0x37;
const GFEATURES: u32 = 0x3a;
const GCHANNELS: u32 = 0x3c;
/// The set of strings that names features, and how long each string is.
const FEATURES: u32 = 4;
const STRING_LEN: usize = 32;

/// Most features that are looked at; Linux 6.18 has 60-odd.
const MOST: usize = 256;

/// `struct ethtool_channels`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    cmd: u32,
    max: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// `struct ethtool_sset_info`, for one set.
#[repr(C)]
struct SetInfo {
    cmd: u32,
    reserved: u32,
    mask: u64,
    count: u32,
}

/// `struct ethtool_gstrings`.
#[repr(C)]
struct Strings {
    cmd: u32,
    set: u32,
    len: u32,
    data: [[u8; STRING_LEN]; MOST],
}

/// `struct ethtool_gfeatures`.
#[repr(C)]
struct Blocks {
    cmd: u32,
    size: u32,
    blocks: [Block; MOST / 32],
}

/// `struct ethtool_get_features_block`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Block {
    available: u32,
    requested: u32,
    active: u32,
    never_changed: u32,
}

/// A feature of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feature {
    /// It can be switched.
    pub(crate) available: bool,
    /// It is on.
    pub(crate) active: bool,
}

/// How many queues a device receives by, where its driver says.
pub(crate) fn receive_queues(socket: BorrowedFd<'_>, name: &DeviceName) -> Option<u32> {
    let mut channels = Channels { cmd: GCHANNELS, ..Channels::default() };
    ask(socket, name, &mut channels)?;
    Some(channels.rx + channels.combined)
}

/// The feature of this name, as `ethtool -k` calls it; `None` where the kernel knows none.
pub(crate) fn feature(socket: BorrowedFd<'_>, name: &DeviceName, wanted: &str) -> Option<Feature> {
    let mut info = SetInfo { cmd: GSSET_INFO, reserved: 0, mask: 1 << FEATURES, count: 0 };
    ask(socket, name, &mut info)?;
    // the kernel writes as many names as it has, whatever room there is
    if info.mask == 0 || info.count as usize > MOST {
        return None;
    }
    let data = [[0; STRING_LEN]; MOST];
    let mut names = Box::new(Strings { cmd: GSTRINGS, set: FEATURES, len: info.count, data });
    ask(socket, name, names.as_mut())?;
    let blocks = [Block::default(); MOST / 32];
    let mut states = Blocks { cmd: GFEATURES, size: blocks.len() as u32, blocks };
    ask(socket, name, &mut states)?;
    let is_it = |string: &[u8]| string.split(|b| *b == 0).next() == Some(wanted.as_bytes());
    let at = names.data.iter().take(info.count as usize).position(|string| is_it(string))?;
    let (block, bit) = (states.blocks.get(at / 32)?, 1 << (at % 32));
    Some(Feature {
        available: block.available & bit != 0 && block.never_changed & bit == 0,
        active: block.active & bit != 0,
    })
}

/// One request. `T` has the layout of the command that it begins with.
fn ask<T>(socket: BorrowedFd<'_>, name: &DeviceName, command: &mut T) -> Option<()> {
    let mut request = name.request();
    request.ifr_ifru.ifru_data = std::ptr::from_mut(command).cast();
    // SIOCETHTOOL writes through `ifru_data`, which points at `command`, of the layout and with the room
    // that the command has, alive for the whole call.
    interface_ioctl(socket, libc::SIOCETHTOOL, &mut request).ok()
}
