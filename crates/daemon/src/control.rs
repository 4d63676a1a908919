//! Who owns the configuration: checked, compared, applied, confirmed, taken back.
//!
//! A change is whole or not at all. With a timer, what ran before is kept and comes back by itself
//! unless somebody confirms, which is the safe way to change a gateway from afar.

use std::{fmt, path::PathBuf, sync::Arc};

use api::{
    ApiError, ChangeView, ConfigAppliedView, ConfigDiffView, ConfigStateView, ConfigText,
    DiagnosticView, ExportKeys, KeyTable, Request, Response,
};
use config::{Config, Parsed};
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{Handle, config_view, host};

/// Answers every request: those about configuration itself, the others through the forwarding
/// thread.
pub struct Control {
    file: PathBuf,
    forward: Handle,
    state: Mutex<State>,
    unix_start_ms: u64,
}

/// Who speaks on the other end of the control socket, as the kernel tells (SO_PEERCRED).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// User; absent where the kernel does not tell.
    pub uid: Option<u32>,
    /// Process.
    pub pid: Option<i32>,
}

/// `uid 0 (process 4711)`
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uid {
            Some(uid) => write!(f, "uid {uid}")?,
            None => f.write_str("nobody knows who")?,
        }
        self.pid.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

struct State {
    running: Arc<Config>,
    /// What ran before, for [`Request::ConfigRevert`].
    previous: Option<Arc<Config>>,
    generation: u64,
    applied: Instant,
    /// When the change is taken back, and the generation it is about.
    pending: Option<(Instant, u64)>,
    last_failure: Option<String>,
}

impl Control {
    /// `running` is what the gateway was opened with, read from `file`.
    pub fn new(file: PathBuf, running: Arc<Config>, forward: Handle) -> Arc<Self> {
        let state = State {
            running,
            previous: None,
            generation: 1,
            applied: Instant::now(),
            pending: None,
            last_failure: None,
        };
        let unix_start_ms = host::unix_ms().saturating_sub(forward.uptime().as_millis() as u64);
        Arc::new(Self { file, forward, state: Mutex::new(state), unix_start_ms })
    }

    /// Answers one request.
    ///
    /// # Errors
    /// What is wrong with the request, or why it cannot be answered now.
    pub async fn handle(self: &Arc<Self>, request: Request) -> Result<Response, ApiError> {
        match request {
            Request::ConfigCheck(text) => {
                config_view::check(&text).map(|(view, _)| Response::ConfigChecked(view))
            }
            Request::ConfigDiff(text) => self.diff(&text).await.map(Response::ConfigDiff),
            Request::ConfigApply { source, text, confirm_seconds } => {
                let applied = self.apply(&ConfigText { source, text }, confirm_seconds).await;
                applied.map(Response::ConfigApplied)
            }
            Request::ConfigConfirm => self.confirm().await.map(Response::ConfigApplied),
            Request::ConfigRevert => self.revert(None).await.map(Response::ConfigApplied),
            Request::ConfigReload => self.reload().await.map(Response::ConfigApplied),
            request => {
                let mut response = self.forward.ask(request).await?;
                self.complete(&mut response).await;
                Ok(response)
            }
        }
    }

    /// The keys of SAs, for root alone and only where the configuration allows it. Who asks, and
    /// what for, is logged whatever the answer.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`], or no SA is picked.
    pub async fn export_keys(&self, peer: Peer, request: ExportKeys) -> Result<KeyTable, ApiError> {
        let allowed = self.state.lock().await.running.debug.export_keys;
        let result = match (peer.uid, allowed) {
            (Some(0), true) => self.forward.export_keys(request, peer.to_string()).await,
            (Some(0), false) => Err(ApiError::forbidden(
                "keys are exported only where the configuration says `[debug]` `export-keys = true`",
            )),
            (Some(_) | None, _) => {
                Err(ApiError::forbidden(format!("only root may have keys, not {peer}")))
            }
        };
        match &result {
            Ok(table) => tracing::warn!("keys exported to {peer}: {}", table.exported.join(", ")),
            Err(error) => tracing::warn!("keys not exported to {peer}: {error}"),
        }
        result
    }

    /// Reads the file again and runs it; what ran before runs on when it is refused.
    ///
    /// # Errors
    /// Why the file is refused, or what else has to end first.
    pub async fn reload(self: &Arc<Self>) -> Result<ConfigAppliedView, ApiError> {
        let source = self.file.display().to_string();
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(e) => {
                let error = ApiError::failed(format!("{source}: {e}"));
                self.state.lock().await.last_failure = Some(error.to_string());
                return Err(error);
            }
        };
        self.apply(&ConfigText { source, text }, None).await
    }

    async fn diff(&self, text: &ConfigText) -> Result<ConfigDiffView, ApiError> {
        let (checked, parsed) = config_view::check(text)?;
        let running = Arc::clone(&self.state.lock().await.running);
        let changes = config_view::changes(&running, &parsed.config);
        Ok(ConfigDiffView { changes, warnings: checked.warnings })
    }

    async fn apply(
        self: &Arc<Self>,
        text: &ConfigText,
        confirm_seconds: Option<u32>,
    ) -> Result<ConfigAppliedView, ApiError> {
        let mut state = self.state.lock().await;
        let result = self.apply_locked(&mut state, text, confirm_seconds).await;
        state.last_failure = result.as_ref().err().map(ToString::to_string);
        match &result {
            Ok(view) => {
                tracing::info!(generation = view.generation, "configuration {}", view.outcome);
            }
            Err(error) => tracing::error!("configuration of {}: {error}", text.source),
        }
        result
    }

    async fn apply_locked(
        self: &Arc<Self>,
        state: &mut State,
        text: &ConfigText,
        confirm_seconds: Option<u32>,
    ) -> Result<ConfigAppliedView, ApiError> {
        if let Some((deadline, _)) = state.pending {
            let left = deadline.saturating_duration_since(Instant::now()).as_secs();
            return Err(ApiError::busy(format!(
                "a change waits for `lockgate confirm` or `lockgate revert`; it reverts by itself in {left}s"
            )));
        }
        let (checked, Parsed { config, .. }) = config_view::check(text)?;
        let changes = config_view::changes(&state.running, &config);
        if changes.is_empty() && *state.running == config {
            return Ok(state.view("unchanged", Vec::new(), checked.warnings));
        }
        if state.running.control != config.control {
            tracing::warn!("[control] changed: the new socket and metrics address need a restart");
        }
        self.switch(state, Arc::new(config)).await?;
        let mut view = state.view("applied", changes, checked.warnings);
        if let Some(seconds) = confirm_seconds {
            let deadline = Instant::now() + Duration::from_secs(u64::from(seconds));
            state.pending = Some((deadline, state.generation));
            view.confirm_seconds = Some(seconds);
            let (control, generation) = (Arc::clone(self), state.generation);
            tokio::spawn(async move {
                tokio::time::sleep_until(deadline).await;
                match control.revert(Some(generation)).await {
                    Ok(_) => tracing::warn!("nobody confirmed: the change is taken back"),
                    // Confirmed or taken back by hand meanwhile.
                    Err(ApiError::NotFound { .. }) => {}
                    Err(e) => tracing::error!("the change could not be taken back: {e}"),
                }
            });
        }
        Ok(view)
    }

    async fn confirm(&self) -> Result<ConfigAppliedView, ApiError> {
        let mut state = self.state.lock().await;
        match state.pending.take() {
            Some(_) => {
                tracing::info!(generation = state.generation, "configuration confirmed");
                Ok(state.view("confirmed", Vec::new(), Vec::new()))
            }
            None => Err(ApiError::not_found("no change waits for confirmation")),
        }
    }

    /// Goes back; with a generation only if that one still waits for confirmation.
    async fn revert(&self, only: Option<u64>) -> Result<ConfigAppliedView, ApiError> {
        let mut state = self.state.lock().await;
        if only.is_some() && state.pending.map(|(_, generation)| generation) != only {
            return Err(ApiError::not_found("no change waits for confirmation"));
        }
        let Some(previous) = state.previous.clone() else {
            return Err(ApiError::not_found("nothing ran before this configuration"));
        };
        let changes = config_view::changes(&state.running, &previous);
        self.switch(&mut state, previous).await?;
        state.pending = None;
        Ok(state.view("reverted", changes, Vec::new()))
    }

    async fn switch(&self, state: &mut State, next: Arc<Config>) -> Result<(), ApiError> {
        let applied = self.forward.apply(Arc::clone(&next)).await;
        applied.map_err(|e| ApiError::failed(format!("the gateway refused it: {e}")))?;
        // new keys lie where the library put them
        ports::huge::gather_heap();
        state.previous = Some(std::mem::replace(&mut state.running, next));
        state.generation += 1;
        state.applied = Instant::now();
        Ok(())
    }

    /// Fills in what only the daemon knows.
    async fn complete(&self, response: &mut Response) {
        match response {
            Response::System(view) => {
                view.busy = self.forward.busy();
                view.cpu = host::cpu();
                view.resident_bytes = host::resident_bytes();
                view.capabilities = crate::privileges::held();
                let state = self.state.lock().await;
                let now = Instant::now();
                view.config = ConfigStateView {
                    source: state.running.source.clone(),
                    generation: state.generation,
                    applied_ms: (now - state.applied).as_millis() as u64,
                    reverts_in_ms: state
                        .pending
                        .map(|(at, _)| at.saturating_duration_since(now).as_millis() as u64),
                    last_failure: state.last_failure.clone(),
                };
            }
            Response::CapturePolled(view) => {
                for packet in &mut view.packets {
                    let start = self.unix_start_ms.saturating_mul(1_000_000);
                    packet.unix_ns = Some(start.saturating_add(packet.uptime_ns));
                }
            }
            Response::Events(view) => {
                for event in &mut view.events {
                    event.unix_ms = Some(self.unix_start_ms.saturating_add(event.uptime_ms));
                }
            }
            _ => {}
        }
    }
}

impl State {
    fn view(
        &self,
        outcome: &'static str,
        changes: Vec<ChangeView>,
        warnings: Vec<DiagnosticView>,
    ) -> ConfigAppliedView {
        ConfigAppliedView {
            outcome: outcome.into(),
            generation: self.generation,
            changes,
            warnings,
            confirm_seconds: None,
        }
    }
}
