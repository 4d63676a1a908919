//! The API over the control socket.

use std::{
    io,
    path::{Path, PathBuf},
};

use api::{ApiError, Document, ErrorDocument, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{Method, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Nobody listens on the socket, or it may not be opened.
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The gateway answers that it cannot.
    Api {
        /// Why.
        error: ApiError,
        /// The document as it came.
        document: String,
    },
    /// The connection broke, or what came is no answer of this API.
    Protocol(String),
}

/// One connection to the gateway.
pub struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
}

/// An answer, and the text it came as.
pub struct Answer {
    /// The document as it came.
    pub document: String,
    /// What it says.
    pub response: Response,
}

impl Client {
    /// Connects to the socket.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] when nobody listens.
    pub async fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|source| Failure::Unreachable { socket: socket.to_owned(), source })?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// What the gateway answers instead, or why there is no answer.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(request)
            .map_err(|e| Failure::Protocol(format!("the request cannot be written: {e}")))?;
        let (status, mut incoming) = self.send(Method::POST, "/v1/request", body).await?;
        let bytes = (&mut incoming).collect().await.map_err(|e| broken(&e))?.to_bytes();
        read(status, &bytes)
    }

    /// Follows events; `each` gets every line as it came, and ends it by returning false.
    ///
    /// # Errors
    /// What the gateway answers instead, or why there is no answer.
    pub async fn follow_events(
        &mut self,
        since: Option<u64>,
        mut each: impl FnMut(&str) -> bool,
    ) -> Result<(), Failure> {
        let mut path = String::from("/v1/events?follow=true");
        if let Some(since) = since {
            path.push_str(&format!("&since={since}"));
        }
        let (status, mut incoming) = self.send(Method::GET, &path, Vec::new()).await?;
        let mut pending: Vec<u8> = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|e| broken(&e))?;
            let Ok(data) = frame.into_data() else { continue };
            pending.extend_from_slice(&data);
            if status != 200 {
                continue;
            }
            while let Some(end) = pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end();
                if !line.is_empty() && !each(line) {
                    return Ok(());
                }
            }
        }
        if status == 200 { Ok(()) } else { read(status, &pending).map(|_| ()) }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(u16, hyper::body::Incoming), Failure> {
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "lockgate")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| Failure::Protocol(format!("the request cannot be written: {e}")))?;
        self.sender.ready().await.map_err(|e| broken(&e))?;
        let response = self.sender.send_request(request).await.map_err(|e| broken(&e))?;
        Ok((response.status().as_u16(), response.into_body()))
    }
}

/// An answer, or the error that it is.
pub fn read(status: u16, bytes: &[u8]) -> Result<Answer, Failure> {
    let document = String::from_utf8_lossy(bytes).trim_end().to_owned();
    if status == 200 {
        return match serde_json::from_str::<Document>(&document) {
            Ok(parsed) => Ok(Answer { document, response: parsed.response }),
            Err(e) => {
                Err(Failure::Protocol(format!("the gateway's answer is not of this version: {e}")))
            }
        };
    }
    match serde_json::from_str::<ErrorDocument>(&document) {
        Ok(parsed) => Err(Failure::Api { error: parsed.error, document }),
        Err(_) => Err(Failure::Protocol(format!("the gateway answers {status}: {document}"))),
    }
}

fn broken(error: &hyper::Error) -> Failure {
    Failure::Protocol(format!("the connection to the gateway broke: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_another_version_is_said_to_be_one() {
        let Err(Failure::Protocol(message)) = read(200, br#"{"schema":9,"kind":"dreams"}"#) else {
            panic!("not an answer");
        };
        assert!(message.contains("not of this version"), "{message}");
        let error = read(404, br#"{"schema":1,"error":"not-found","message":"no session 7"}"#);
        assert!(matches!(error, Err(Failure::Api { error: ApiError::NotFound { .. }, .. })));
    }
}
