//! From options to a running gateway, and its orderly end.

use std::{fs, path::PathBuf, str::FromStr, sync::Arc, time::Duration, time::Instant};

use config::Config;
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use wire::Time;

use crate::{
    Control, Forwarder, OpenError, Runner, StartError, config_view, http, instance::Instance,
    notify, privileges,
};

/// How long open connections may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(1);

/// What `run` needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Configuration file.
    pub config: PathBuf,
    /// Control socket; where absent, the configuration says.
    pub socket: Option<PathBuf>,
    /// What to log to stderr.
    pub log: LogLevel,
    /// Keep all capabilities after start.
    pub keep_capabilities: bool,
}

/// What to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(tracing::Level);

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "use error, warn, info, debug or trace".to_owned())
    }
}

/// Runs a gateway until SIGTERM or SIGINT. `open` opens its ports and makes the runner.
///
/// # Errors
/// Why it did not start, or that forwarding ended by itself.
pub fn run(
    options: &Options,
    open: impl FnOnce(Arc<Config>, Time) -> Result<Box<dyn Runner>, OpenError>,
) -> Result<(), StartError> {
    log_to_stderr(options.log);
    let config = Arc::new(read(&options.config)?);
    let socket = options.socket.clone().unwrap_or_else(|| config.control.socket.clone());
    let instance = Instance::acquire(&socket)?;
    privileges::check(&config)?;
    let started = Instant::now();
    let runner = open(Arc::clone(&config), Time::ZERO)?;
    ports::huge::gather_heap();
    // Sockets are made before capabilities go, and threads afterwards: capabilities are a thread's.
    let listener = instance.listen()?;
    if !options.keep_capabilities {
        privileges::drop_to_needed(&config).map_err(|e| system("dropping capabilities", e))?;
    }
    let forwarder = Forwarder::start(runner, started)
        .map_err(|e| system("starting the forwarding thread", e))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| system("starting the control thread", e))?;
    let ended = runtime.block_on(serve(options, config, forwarder, listener));
    drop(instance);
    ended
}

async fn serve(
    options: &Options,
    config: Arc<Config>,
    mut forwarder: Forwarder,
    listener: std::os::unix::net::UnixListener,
) -> Result<(), StartError> {
    let listener =
        UnixListener::from_std(listener).map_err(|e| system("listening on the socket", e))?;
    let (hangup, terminate, interrupt) = signals().map_err(|e| system("catching signals", e))?;
    let metrics_address = config.control.metrics;
    let control = Control::new(options.config.clone(), config, forwarder.handle());
    let (stop, stopped) = watch::channel(false);
    let until_stop = move || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.wait_for(|stop| *stop).await) }
    };
    let server = http::serve(listener, Arc::clone(&control), until_stop());
    let mut servers = vec![tokio::spawn(server)];
    if let Some(address) = metrics_address {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Metrics { address, source })?;
        let router = http::metrics_router(Arc::clone(&control));
        let server = axum::serve(listener, router).with_graceful_shutdown(until_stop());
        servers.push(tokio::spawn(async move { server.await }));
    }
    tracing::info!("gateway runs on {}", options.config.display());
    notify::ready();
    let ended = until_signal(&control, &mut forwarder, hangup, terminate, interrupt).await;
    notify::stopping();
    let _ = stop.send(true);
    for mut server in servers {
        if tokio::time::timeout(GRACE, &mut server).await.is_err() {
            server.abort();
        }
    }
    forwarder.stop();
    ended
}

/// Reloads at every SIGHUP until SIGTERM, SIGINT or the end of the forwarding thread.
async fn until_signal(
    control: &Arc<Control>,
    forwarder: &mut Forwarder,
    mut hangup: Signal,
    mut terminate: Signal,
    mut interrupt: Signal,
) -> Result<(), StartError> {
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                notify::reloading();
                let status = match control.reload().await {
                    Ok(view) => format!("generation {} runs", view.generation),
                    Err(error) => format!("reload refused: {error}"),
                };
                notify::ready();
                notify::status(&status);
            }
            _ = terminate.recv() => {
                tracing::info!("SIGTERM: the gateway ends");
                return Ok(());
            }
            _ = interrupt.recv() => {
                tracing::info!("SIGINT: the gateway ends");
                return Ok(());
            }
            () = forwarder.ended() => return Err(StartError::ForwardingEnded),
        }
    }
}

fn signals() -> std::io::Result<(Signal, Signal, Signal)> {
    Ok((
        signal(SignalKind::hangup())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ))
}

fn read(path: &std::path::Path) -> Result<Config, StartError> {
    let text = fs::read_to_string(path)
        .map_err(|source| StartError::ConfigUnreadable { path: path.to_owned(), source })?;
    let text = api::ConfigText { source: path.display().to_string(), text };
    match config_view::check(&text) {
        Ok((view, parsed)) => {
            for warning in &view.warnings {
                tracing::warn!("{}:{}: {}", warning.file, warning.line, warning.message);
            }
            Ok(parsed.config)
        }
        Err(api::ApiError::ConfigRefused { diagnostics }) => {
            Err(StartError::ConfigRefused { diagnostics })
        }
        Err(error) => Err(system("checking the configuration", std::io::Error::other(error))),
    }
}

fn log_to_stderr(level: LogLevel) {
    // A second gateway in one process (tests) keeps the subscriber of the first.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level.0)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .try_init();
}

fn system(what: &'static str, source: std::io::Error) -> StartError {
    StartError::System { what, source }
}
