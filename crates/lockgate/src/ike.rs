//! `trace --ike`: the messages of IKE as they come, payload by payload.
//!
//! The gateway keeps the latest of each peer without being asked, so nothing is switched on, and what led to
//! a failure is there when somebody looks for it.

use std::time::Duration;

use api::{IkeMessageView, Request, Response};

use crate::{
    app::{Terminal, unexpected},
    client::{Client, Failure},
    render,
};

/// How often the gateway is asked.
const POLL: Duration = Duration::from_millis(250);

/// Prints what is kept of all peers or one, and what comes then, up to so many messages.
pub async fn follow(
    client: &mut Client,
    t: &mut Terminal<'_>,
    peer: Option<String>,
    count: Option<u32>,
) -> Result<(), Failure> {
    let mut left = count.map_or(u64::MAX, u64::from);
    let mut last = 0;
    loop {
        let answer = client.ask(&Request::ShowIke { peer: peer.clone(), messages: true }).await?;
        let Response::Ike(view) = answer.response else { return Err(unexpected()) };
        let all =
            view.peers.iter().flat_map(|of| of.messages.iter().map(|m| (of.name.as_str(), m)));
        let mut fresh: Vec<(&str, &IkeMessageView)> =
            all.filter(|(_, message)| message.number > last).collect();
        fresh.sort_by_key(|(_, message)| message.number);
        for (peer, message) in fresh {
            last = message.number;
            t.print(&line(t, peer, message));
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn line(t: &Terminal<'_>, peer: &str, message: &IkeMessageView) -> String {
    if !t.json {
        return render::ike::message(peer, message, &t.style);
    }
    let document = serde_json::json!({
        "schema": api::SCHEMA,
        "kind": "ike-message",
        "peer": peer,
        "message": message,
    });
    format!("{document}\n")
}
