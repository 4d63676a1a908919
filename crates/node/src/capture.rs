//! What ports and workers move, shown to the captures.
//!
//! Nothing here is called while no capture runs, except for [`Looks::is_behind`], which compares two numbers.

use api::CapturePoint;
use config::model::IfId;
use engines::soft::{Output, Tap, TapPlace, TapPoint};
use gateway::{
    Gateway,
    capture::{Place, Sight, What, Why},
    packet::Tier,
};
use ports::{Frame, PortId};
use reason::PuntCause;
use wire::Time;

/// The tier of what the slow path sends: which of its two is not known any more.
const SLOW: &str = "slow";

/// How far captures have looked at what waits to be sent.
#[derive(Default)]
pub(crate) struct Looks {
    /// Frames of each port's queue that have been shown.
    shown: Vec<usize>,
    /// [`gateway::capture::Captures::changes`] when the tap was set.
    tuned: u64,
}

impl Looks {
    /// Whether captures have come or gone since the tap was set.
    #[inline]
    pub(crate) const fn is_behind(&self, changes: u64) -> bool {
        self.tuned != changes
    }

    /// Sets the worker's tap by what the captures want now.
    pub(crate) fn tune(&mut self, gateway: &Gateway, output: &mut Output) {
        let captures = gateway.captures();
        if captures.changes() != self.tuned {
            self.tuned = captures.changes();
            output.tap = captures.sas().map(|spis| Box::new(Tap::new(spis)));
        }
    }

    /// Frames that a port has received.
    pub(crate) fn received(gateway: &mut Gateway, port: PortId, frames: &[Frame], now: Time) {
        for frame in frames {
            let what = What::Frame(frame);
            gateway.handle_sight(&Sight::new(CapturePoint::Rx, Place::Port(port), what), now);
        }
    }

    /// What the worker has copied.
    pub(crate) fn tapped(gateway: &mut Gateway, output: &mut Output, now: Time) {
        let Some(tap) = &mut output.tap else { return };
        for tapped in tap.iter() {
            let (point, why) = match tapped.point {
                TapPoint::Opened => (CapturePoint::Decap, None),
                TapPoint::Sealed => (CapturePoint::Encap, None),
                TapPoint::Dropped(reason) => (CapturePoint::Drop, Some(Why::Drop(reason))),
            };
            let place = match tapped.place {
                TapPlace::Interface(id) => Place::Interface(IfId(id)),
                TapPlace::Port(port) => Place::Port(port),
            };
            let sight = Sight::new(point, place, What::Bytes(tapped.bytes)).by(Tier::Fast.name());
            gateway.handle_sight(&Sight { reason: why, ..sight.at_sa(tapped.sa) }, now);
        }
        match tap.clear() {
            0 => {}
            lost => gateway.captures_mut().lose(lost),
        }
    }

    /// A frame that the worker hands to the slow path.
    pub(crate) fn punted(
        gateway: &mut Gateway,
        place: Place,
        frame: &Frame,
        cause: PuntCause,
        now: Time,
    ) {
        let sight = Sight::new(CapturePoint::Punt, place, What::Frame(frame));
        gateway.handle_sight(&sight.by(Tier::Fast.name()).why(Why::Punt(cause)), now);
    }

    /// What has been queued for the ports since the last look, by one tier.
    pub(crate) fn queued(
        &mut self,
        gateway: &mut Gateway,
        queues: &[Vec<Frame>],
        is_fast: bool,
        now: Time,
    ) {
        self.shown.resize(queues.len(), 0);
        let tier = if is_fast { Tier::Fast.name() } else { SLOW };
        for (port, (queue, shown)) in queues.iter().zip(&mut self.shown).enumerate() {
            for frame in queue.get(*shown..).unwrap_or_default() {
                let place = Place::Port(PortId(port as u16));
                let sight = Sight::new(CapturePoint::Tx, place, What::Frame(frame));
                gateway.handle_sight(&sight.by(tier), now);
            }
            *shown = queue.len();
        }
    }

    /// The queues are empty now.
    pub(crate) fn sent(&mut self) {
        self.shown.fill(0);
    }
}
