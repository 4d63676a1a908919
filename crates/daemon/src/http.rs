//! The API over HTTP: `POST /v1/request`, `POST /v1/export-keys`, `GET /v1/show/…`, `GET /v1/events`, `GET /metrics`.
//!
//! The same router serves the control socket; the optional TCP listener gets `/metrics` alone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{ApiError, Document, ErrorDocument, ExportKeys, Request, Response};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State, connect_info::Connected},
    http::{StatusCode, header},
    response::{IntoResponse, Response as HttpResponse},
    routing::{get, post},
    serve::IncomingStream,
};
use http_body_util::channel::{Channel, Sender};
use serde_json::Value;
use tokio::net::UnixListener;

use crate::{Control, Peer, metrics};

/// Largest request, which is a configuration.
const REQUEST_LIMIT: usize = 64 << 20;

/// How often a follower's events are fetched.
const EVENT_POLL: Duration = Duration::from_millis(200);

/// Everything, for the control socket.
fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/v1/request", post(request))
        .route("/v1/export-keys", post(export_keys))
        .route("/v1/show/{what}", get(show))
        .route("/v1/events", get(events))
        .route("/metrics", get(exposition))
        .fallback(async || Answer(Err(ApiError::not_found("no such path"))))
        .layer(DefaultBodyLimit::max(REQUEST_LIMIT))
        .with_state(control)
}

/// Serves everything on a socket until `stop` ends.
///
/// # Errors
/// What the kernel says when it takes the socket away.
pub async fn serve(
    listener: UnixListener,
    control: Arc<Control>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = router(control).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let known = stream.io().peer_cred().ok();
        Self { uid: known.map(|peer| peer.uid()), pid: known.and_then(|peer| peer.pid()) }
    }
}

/// `/metrics` alone, for TCP.
pub fn metrics_router(control: Arc<Control>) -> Router {
    Router::new().route("/metrics", get(exposition)).with_state(control)
}

/// A document, or an error with its status.
struct Answer(Result<Response, ApiError>);

impl IntoResponse for Answer {
    fn into_response(self) -> HttpResponse {
        let (status, text) = match self.0 {
            Ok(response) => (200, serde_json::to_string(&Document::from(response))),
            Err(error) => (error.http_status(), serde_json::to_string(&ErrorDocument::from(error))),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match text {
            Ok(text) => {
                (status, [(header::CONTENT_TYPE, "application/json")], text + "\n").into_response()
            }
            Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
        }
    }
}

async fn request(State(control): State<Arc<Control>>, body: Bytes) -> Answer {
    match serde_json::from_slice::<Request>(&body) {
        Ok(request) => Answer(control.handle(request).await),
        Err(e) => Answer(Err(ApiError::bad_request(format!("not a request: {e}")))),
    }
}

/// The answer is the file. It is sent from where it stands and wiped afterwards: hyper writes a body
/// to a socket that takes vectors without a copy of its own.
async fn export_keys(
    ConnectInfo(peer): ConnectInfo<Peer>,
    State(control): State<Arc<Control>>,
    body: Bytes,
) -> HttpResponse {
    let request = match serde_json::from_slice::<ExportKeys>(&body) {
        Ok(request) => request,
        Err(e) => {
            let error = ApiError::bad_request(format!("not a request for keys: {e}"));
            return Answer(Err(error)).into_response();
        }
    };
    match control.export_keys(peer, request).await {
        Ok(table) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            (kind, Body::from(Bytes::from_owner(table.text))).into_response()
        }
        Err(error) => Answer(Err(error)).into_response(),
    }
}

/// `GET /v1/show/sessions?filter=port+443&limit=10` is the request `show-sessions` with those fields.
async fn show(
    State(control): State<Arc<Control>>,
    Path(what): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let mut fields: serde_json::Map<String, Value> =
        query.into_iter().map(|(name, text)| (name, value(text))).collect();
    fields.insert("request".into(), format!("show-{what}").into());
    match serde_json::from_value::<Request>(Value::Object(fields)) {
        Ok(request) => Answer(control.handle(request).await),
        Err(e) => Answer(Err(ApiError::bad_request(format!("show {what}: {e}")))),
    }
}

fn value(text: String) -> Value {
    match text.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        number => number.parse::<u64>().map_or(Value::String(text), Value::from),
    }
}

#[derive(serde::Deserialize)]
struct EventQuery {
    filter: Option<String>,
    since: Option<u64>,
    #[serde(default)]
    follow: bool,
}

/// One event a line (NDJSON); with `follow` for as long as the client stays.
async fn events(
    State(control): State<Arc<Control>>,
    Query(query): Query<EventQuery>,
) -> HttpResponse {
    // The first page is fetched before the status is sent, so that a bad filter has its own.
    let first = match page(&control, &query.filter, query.since).await {
        Ok(first) => first,
        Err(error) => return Answer(Err(error)).into_response(),
    };
    let (sender, body) = Channel::<Bytes>::new(16);
    tokio::spawn(stream(control, query, first, sender));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(body)).into_response()
}

async fn stream(
    control: Arc<Control>,
    query: EventQuery,
    mut view: api::EventsView,
    mut sender: Sender<Bytes>,
) {
    loop {
        let mut lines = Vec::new();
        for event in &view.events {
            if serde_json::to_writer(&mut lines, event).is_ok() {
                lines.push(b'\n');
            }
        }
        // An empty line keeps a follower's connection alive and tells when it has gone away.
        if lines.is_empty() && query.follow {
            lines.push(b'\n');
        }
        if !lines.is_empty() && sender.send_data(lines.into()).await.is_err() {
            return;
        }
        if !view.more {
            if !query.follow {
                return;
            }
            tokio::time::sleep(EVENT_POLL).await;
        }
        view = match page(&control, &query.filter, Some(view.last)).await {
            Ok(view) => view,
            Err(error) => {
                tracing::warn!("events: {error}");
                return;
            }
        };
    }
}

async fn page(
    control: &Arc<Control>,
    filter: &Option<String>,
    since: Option<u64>,
) -> Result<api::EventsView, ApiError> {
    let request = Request::Events { filter: filter.clone(), since, limit: None };
    match control.handle(request).await? {
        Response::Events(view) => Ok(view),
        _ => Err(ApiError::failed("the gateway answers another question than was asked")),
    }
}

async fn exposition(State(control): State<Arc<Control>>) -> HttpResponse {
    let views = match metrics::collect(&control).await {
        Ok(views) => views,
        Err(error) => return Answer(Err(error)).into_response(),
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics::exposition(&views)).into_response()
}
