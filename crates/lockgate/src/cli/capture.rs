//! The command line of `capture`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `capture`.
#[derive(Clone, Debug, Args)]
pub struct CaptureArgs {
    /// Only packets of the SAs with this SPI: the ESP packets and what is inside
    #[arg(long, value_name = "SPI")]
    pub spi: Option<String>,
    /// Only packets of DTLS associations: the records and what is inside
    #[arg(long)]
    pub dtls: bool,
    /// With --dtls: only of this user's associations
    #[arg(long, value_name = "NAME", requires = "dtls")]
    pub user: Option<String>,
    /// Only packets dropped or punted for this reason
    #[arg(long, value_name = "NAME")]
    pub reason: Option<String>,
    /// Only at these points
    #[arg(long, value_name = "POINT", value_delimiter = ',', default_value = "any")]
    pub point: Vec<PointChoice>,
    /// Only where the packet's interface at the point is this one
    #[arg(long, value_name = "INTERFACE")]
    pub interface: Option<String>,
    /// End after so many packets
    #[arg(long, short, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: Option<u32>,
    /// Bytes kept of each packet; all where absent
    #[arg(long, value_name = "BYTES")]
    #[arg(value_parser = clap::value_parser!(u32).range(i64::from(api::MIN_SNAP)..=262_144))]
    pub snap: Option<u32>,
    /// Write a pcapng file, `-` for stdout, instead of a line for each packet
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which packets
    pub filter: Vec<String>,
}

/// A point of `capture --point`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PointChoice {
    /// Received by a port
    Rx,
    /// Handed to a port
    Tx,
    /// From the fast path to the slow path
    Punt,
    /// Dropped
    Drop,
    /// Out of a tunnel
    Decap,
    /// Into a tunnel
    Encap,
    /// Everywhere
    Any,
}

impl CaptureArgs {
    /// What the gateway is asked for.
    pub fn spec(self) -> api::CaptureSpec {
        let points = if self.point.contains(&PointChoice::Any) { Vec::new() } else { self.point };
        let point = |choice| match choice {
            PointChoice::Rx => Some(api::CapturePoint::Rx),
            PointChoice::Tx => Some(api::CapturePoint::Tx),
            PointChoice::Punt => Some(api::CapturePoint::Punt),
            PointChoice::Drop => Some(api::CapturePoint::Drop),
            PointChoice::Decap => Some(api::CapturePoint::Decap),
            PointChoice::Encap => Some(api::CapturePoint::Encap),
            PointChoice::Any => None,
        };
        api::CaptureSpec {
            filter: (!self.filter.is_empty()).then(|| self.filter.join(" ")),
            spi: self.spi,
            dtls: self.dtls.then(|| self.user.unwrap_or_default()),
            reason: self.reason,
            points: points.into_iter().filter_map(point).collect(),
            interface: self.interface,
            count: self.count,
            seconds: self.seconds,
            snap: self.snap,
        }
    }
}
