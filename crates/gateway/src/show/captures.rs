//! Captures: what was asked for, checked; what was captured, in pages.

use core::time::Duration;

use api::{ApiError, CapturePolledView, CaptureSpec, CaptureStartedView};
use reason::{Class, DropReason, PuntCause, Reason};
use wire::Time;

use super::parse;
use crate::{
    Gateway,
    capture::{MOST, SILENCE, Wanted, Whose},
    events::EventKind,
};

impl Gateway {
    pub(super) fn show_capture_start(
        &mut self,
        spec: &CaptureSpec,
        now: Time,
    ) -> Result<CaptureStartedView, ApiError> {
        let at_least = |what: &str, value: Option<u64>, least: u64| match value {
            Some(value) if value < least => {
                Err(ApiError::bad_request(format!("{what} is at least {least}")))
            }
            Some(_) | None => Ok(()),
        };
        at_least("the number of packets", spec.count, 1)?;
        at_least("the time in seconds", spec.seconds.map(u64::from), 1)?;
        at_least("what is kept of a packet", spec.snap.map(u64::from), api::MIN_SNAP.into())?;
        let wanted = Wanted {
            filter: parse(spec.filter.as_deref())?,
            spi: spec.spi.as_deref().map(spi).transpose()?,
            dtls: spec.dtls.as_deref().map(|user| match user {
                "" => Whose::Anybody,
                user => Whose::User(user.to_owned()),
            }),
            reason: spec.reason.as_deref().map(reason).transpose()?,
            points: spec.points.clone(),
            interface: match &spec.interface {
                Some(name) => Some(self.interface_named(name)?),
                None => None,
            },
            snap: spec.snap.map_or(usize::MAX, |snap| snap as usize),
        };
        let text = words(spec, &wanted);
        let until = spec.seconds.map(|seconds| now + Duration::from_secs(seconds.into()));
        let Some(capture) = self.captures.start(wanted, spec.count, until, now) else {
            return Err(ApiError::busy(format!(
                "{MOST} captures run already; one ends when its command does"
            )));
        };
        let text = format!("capture {capture}: {text}; its packets leave the gateway in clear");
        self.events.push(now, EventKind::CaptureStarted, text);
        Ok(CaptureStartedView { capture, silence_ms: SILENCE.as_millis() as u64 })
    }

    pub(super) fn show_capture_poll(
        &mut self,
        id: u64,
        now: Time,
    ) -> Result<CapturePolledView, ApiError> {
        let polled = self.captures.poll(id, now).ok_or_else(|| {
            ApiError::not_found(format!(
                "capture {id} is over: everything was fetched, or nobody asked for {}s",
                SILENCE.as_secs()
            ))
        })?;
        Ok(CapturePolledView {
            capture: id,
            packets: polled.packets,
            matched: polled.matched,
            lost: polled.lost,
            more: polled.more,
            done: polled.ended && !polled.more,
        })
    }
}

fn spi(text: &str) -> Result<u32, ApiError> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let spi = match digits {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    spi.map_err(|_| ApiError::bad_request(format!("`{text}` is no SPI; write it as 0x00001001")))
}

/// The name in the registry of a reason that a captured packet may have.
fn reason(name: &str) -> Result<&'static str, ApiError> {
    let row = reason::by_name(Class::Drop, name).or_else(|| reason::by_name(Class::Punt, name));
    row.map(|row| row.name).ok_or_else(|| {
        let known = DropReason::ALL.iter().map(|r| r.name());
        let known = known.chain(PuntCause::ALL.iter().map(|c| c.name()));
        let near: Vec<_> = known.filter(|known| known.contains(name)).take(4).collect();
        let near = match near.is_empty() {
            true => "the reference page of reasons has their names".to_owned(),
            false => format!("did you mean {}?", near.join(", ")),
        };
        ApiError::bad_request(format!("packets are not dropped or punted for `{name}`; {near}"))
    })
}

/// What was asked for, for the event.
fn words(spec: &CaptureSpec, wanted: &Wanted) -> String {
    let mut words = Vec::new();
    words.extend(wanted.spi.map(|spi| format!("spi {spi:#010x}")));
    words.extend(wanted.dtls.as_ref().map(|whose| match whose {
        Whose::Anybody => "DTLS of all".to_owned(),
        Whose::User(user) => format!("DTLS of {user}"),
    }));
    words.extend(wanted.reason.map(|reason| format!("reason {reason}")));
    words.extend(spec.interface.as_ref().map(|name| format!("interface {name}")));
    if !spec.points.is_empty() {
        let points: Vec<_> = spec.points.iter().map(|point| point.name()).collect();
        words.push(format!("at {}", points.join(", ")));
    }
    if !wanted.filter.is_everything() {
        words.push(format!("filter {}", wanted.filter));
    }
    if words.is_empty() { "every packet".into() } else { words.join(", ") }
}
