//! Captures made by hand: one packet of each kind of line.

use api::*;
use reason::{DropReason, PuntCause};

pub fn capture_started() -> Response {
    Response::CaptureStarted(CaptureStartedView { capture: 3, silence_ms: 5_000 })
}

pub fn capture_polled() -> Response {
    let tuple = |src: &str, dst: &str, proto, src_port, dst_port| {
        let address = |text: &str| text.parse().expect("an address");
        Some(TupleView { src: address(src), dst: address(dst), src_port, dst_port, proto })
    };
    let received = CapturedView {
        number: 1,
        uptime_ns: 5_000_000_000,
        unix_ns: Some(1_764_000_000_123_456_789),
        point: CapturePoint::Rx,
        interface: "wan".into(),
        tier: "".into(),
        reason: None,
        spi: Some("0x00002001".into()),
        tunnel: Some("site".into()),
        user: None,
        session: None,
        tuple: tuple("203.0.113.9", "203.0.113.2", 50, 0, 0),
        length: 134,
        unfinished: String::new(),
        data: vec![0x02, 0xff, 0x00],
    };
    let opened = CapturedView {
        number: 2,
        point: CapturePoint::Decap,
        interface: "vpn".into(),
        tier: "fast".into(),
        session: Some(7),
        tuple: tuple("10.2.0.7", "10.1.0.5", 17, 53, 4000),
        length: 78,
        ..received.clone()
    };
    let sent = CapturedView {
        number: 3,
        point: CapturePoint::Tx,
        interface: "lan".into(),
        spi: None,
        tunnel: None,
        user: None,
        length: 5_014,
        unfinished: "TCP super-packet for 5 packets of 1000 bytes each".into(),
        ..opened.clone()
    };
    let dropped = CapturedView {
        number: 4,
        point: CapturePoint::Drop,
        tier: "slow-established".into(),
        reason: Some(ReasonView::of(DropReason::EspIcvFailed)),
        ..received.clone()
    };
    let punted = CapturedView {
        number: 6,
        unix_ns: None,
        point: CapturePoint::Punt,
        tier: "fast".into(),
        reason: Some(ReasonView::of(PuntCause::NotIp)),
        spi: None,
        tunnel: None,
        user: None,
        tuple: None,
        length: 60,
        ..received.clone()
    };
    let packets = vec![received, opened, sent, dropped, punted];
    Response::CapturePolled(CapturePolledView {
        capture: 3,
        packets,
        matched: 6,
        lost: 1,
        more: false,
        done: true,
    })
}

#[test]
fn a_comment_says_what_the_columns_say() {
    let Response::CapturePolled(view) = capture_polled() else { panic!("another answer") };
    let comments: Vec<_> = view.packets.iter().map(crate::render::comment).collect();
    insta::assert_snapshot!("capture_comments.text", comments.join("\n"));
}
