//! HTTP/1.1 (RFC 9112) as a server of strangers reads it: strictly, and within limits.
//!
//! What two parsers could read in two ways is refused, because that is what requests are smuggled
//! with: bare line feeds, folded lines, more than one length, a length beside a transfer coding,
//! chunk extensions and trailers. Requests are taken one at a time; how long a client may take for
//! one is the endpoint's business.

mod request;
mod response;

pub use request::HttpError;
pub(crate) use request::{Method, Parser, Request};
pub(crate) use response::Response;
