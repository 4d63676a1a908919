//! Views of large tables: no question makes the gateway walk all of one.

use api::{ApiError, Request, Response, SessionPick};
use ports::PortId;
use wire::Tuple;

use crate::bench::{Bench, tuple};

fn ask(bench: &mut Bench, request: Request) -> Result<Response, ApiError> {
    let now = bench.now;
    bench.gateway.answer(request, now)
}

#[test]
fn routes_are_paged_from_where_the_last_page_ended() {
    let routes: String = (0..200)
        .map(|n| format!("[[route]]\nto = \"198.18.{n}.0/24\"\nvia = \"192.0.2.9\"\n"))
        .collect();
    let mut bench = Bench::new(&routes);
    let page = |cursor| Request::ShowRoutes { vr: None, destination: None, limit: Some(7), cursor };
    let (mut cursor, mut seen) = (None, Vec::new());
    let total = loop {
        let Ok(Response::Routes(view)) = ask(&mut bench, page(cursor)) else { panic!("routes") };
        seen.extend(view.routes.into_iter().map(|route| route.destination));
        cursor = view.next;
        if cursor.is_none() {
            break view.total;
        }
    };
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "each once");
    assert!(count >= 200 && count as u64 <= total, "{count} of {total}");
    assert!((0..200).all(|n| seen.contains(&format!("198.18.{n}.0/24"))));
    let refused = ask(&mut bench, page(Some(1_000_000)));
    assert!(matches!(refused, Err(ApiError::BadRequest { .. })), "{refused:?}");
}

#[test]
fn a_large_session_table_is_counted_by_the_audit() {
    let mut bench = Bench::new("[limits]\nsessions = 20000\n");
    let summary = |bench: &mut Bench| match ask(bench, Request::ShowSessionSummary) {
        Ok(Response::SessionSummary(view)) => view,
        other => panic!("{other:?}"),
    };
    bench.packet(PortId(0), tuple());
    assert_eq!((summary(&mut bench).counted_ms, summary(&mut bench).not_offloaded), (Some(0), 1));
    for port in 0..9_000 {
        bench.packet(PortId(0), Tuple { src_port: 10_000 + port, ..tuple() });
    }
    assert_eq!(summary(&mut bench).counted_ms, None);
    bench.now = bench.now + bench.gateway.config().offload.audit_interval;
    bench.gateway.handle_timeout(bench.now);
    while bench.gateway.is_working() {
        bench.gateway.handle_timeout(bench.now);
    }
    let view = summary(&mut bench);
    assert_eq!((view.counted_ms, view.not_offloaded), (Some(0), 9_001));
    assert_eq!(view.by_state.iter().map(|row| row.sessions).sum::<u64>(), 9_001);

    let pick = |port| SessionPick { id: None, filter: Some(format!("src port {port}")) };
    let first = ask(&mut bench, Request::ExplainSession(pick(10_000)));
    assert!(matches!(first, Ok(Response::Explained(_))), "{first:?}");
    let last = ask(&mut bench, Request::ExplainSession(pick(18_999)));
    assert!(matches!(last, Err(ApiError::NotFound { .. })), "beyond what one call looks at");
}
