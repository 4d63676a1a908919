//! Commands become requests, answers become text.

use std::{io::Write, path::Path, time::Duration};

use api::{ApiError, ConfigText, Document, ExitCode, Request, Response, SessionPick};

use crate::{
    capture,
    cli::{
        Clear, Command, Explain, FlowArgs, Policy, Rekey, Show, ShowNat, ShowOffload, TraceArgs,
        User,
    },
    client::{Answer, Client, Failure},
    ike, keys, packet,
    render::{self, Style},
};

/// How often a live trace asks for packets.
const TRACE_POLL: Duration = Duration::from_millis(100);

/// Packets that a live trace takes where nobody says how many.
const PACKETS: u32 = 10;

/// Sessions of a long list that are kept before they are printed, so that columns align.
const CHUNK: usize = 4096;

/// Where output goes: data to `out`, talk to `err`.
pub struct Terminal<'a> {
    /// Data.
    pub out: &'a mut dyn Write,
    /// Talk.
    pub err: &'a mut dyn Write,
    /// Colours of `out`.
    pub style: Style,
    /// Colours of `err`.
    pub err_style: Style,
    /// Print documents instead of text.
    pub json: bool,
}

/// Runs a command that talks to a gateway.
pub async fn execute(command: Command, socket: &Path, terminal: &mut Terminal<'_>) -> ExitCode {
    match run(command, socket, terminal).await {
        Ok(()) => ExitCode::Ok,
        Err(failure) => terminal.fail(&failure),
    }
}

async fn run(command: Command, socket: &Path, t: &mut Terminal<'_>) -> Result<(), Failure> {
    let request = match command {
        Command::Show(Show::Sessions { summary: false, offload, limit, filter }) => {
            return sessions(&mut Client::connect(socket).await?, t, words(filter), limit, offload)
                .await;
        }
        Command::Show(Show::Sa {
            export_keys: Some(format),
            output: Some(directory),
            pick,
            ..
        }) => {
            let request = api::ExportKeys { format: format.into(), of: api::KeysOf::Esp, pick };
            return keys::export(socket, t, &request, &directory).await;
        }
        Command::Show(Show::Ike {
            export_keys: Some(format),
            output: Some(directory),
            peer: pick,
            ..
        }) => {
            let request = api::ExportKeys { format: format.into(), of: api::KeysOf::Ike, pick };
            return keys::export(socket, t, &request, &directory).await;
        }
        Command::Show(show) => return shown(&mut Client::connect(socket).await?, t, show).await,
        Command::Trace(args) if args.ike => {
            let mut client = Client::connect(socket).await?;
            return ike::follow(&mut client, t, words(args.words), args.count).await;
        }
        Command::Trace(args) if !args.simulate => {
            return trace(&mut Client::connect(socket).await?, t, args).await;
        }
        Command::Capture(args) => {
            return capture::run(&mut Client::connect(socket).await?, t, args).await;
        }
        Command::Events { follow: true, since } => {
            let mut client = Client::connect(socket).await?;
            return client.follow_events(since, |line| t.event(line)).await;
        }
        Command::Events { follow: false, since } => {
            return events(&mut Client::connect(socket).await?, t, since).await;
        }
        Command::Trace(args) => Request::Simulate(packet::packet(&args).map_err(usage)?),
        Command::Explain(Explain::Session { pick }) => {
            return explain(&mut Client::connect(socket).await?, t, session_pick(&pick)).await;
        }
        Command::Explain(Explain::Sa { pick, limit }) => {
            let request = |limit, cursor| Request::ExplainSas {
                pick: pick.clone(),
                limit: Some(limit),
                cursor,
            };
            let client = &mut Client::connect(socket).await?;
            return pages(client, t, limit, request, render::response).await;
        }
        Command::Explain(Explain::Dtls { user, limit }) => {
            let request = |limit, cursor| Request::ExplainDtls {
                user: user.clone(),
                limit: Some(limit),
                cursor,
            };
            let client = &mut Client::connect(socket).await?;
            return pages(client, t, limit, request, render::response).await;
        }
        Command::Explain(Explain::Tunnel { name }) => Request::ExplainTunnel { name },
        Command::Explain(Explain::Flow { flow }) => Request::ExplainFlow(key(&flow)?),
        Command::Policy(Policy::Lookup { flow }) => Request::PolicyLookup(key(&flow)?),
        Command::User(User::Login { address, user, groups, vr, seconds }) => {
            Request::UserLogin { address, vr, user, groups, seconds }
        }
        Command::User(User::Logout { address, vr }) => Request::UserLogout { address, vr },
        Command::Clear(clear) => clear_request(clear),
        Command::Rekey(Rekey::Ike { peer }) => Request::RekeyIke { peer },
        Command::Rekey(Rekey::Tunnel { name }) => Request::RekeyTunnel { tunnel: name },
        Command::Diff { file } => Request::ConfigDiff(read_config(&file)?),
        Command::Apply { file, confirm } => {
            let ConfigText { source, text } = read_config(&file)?;
            Request::ConfigApply { source, text, confirm_seconds: confirm }
        }
        Command::Confirm => Request::ConfigConfirm,
        Command::Revert => Request::ConfigRevert,
        Command::Reload => Request::ConfigReload,
        Command::User(User::Add { .. } | User::List { .. } | User::Remove { .. })
        | Command::Run(_)
        | Command::Plan(_)
        | Command::Check { .. }
        | Command::Sa(_)
        | Command::Demo { .. }
        | Command::Replay { .. }
        | Command::Bench { .. }
        | Command::Completions { .. }
        | Command::Man { .. } => {
            return Err(usage("this command does not talk to a gateway".to_owned()));
        }
    };
    let answer = Client::connect(socket).await?.ask(&request).await?;
    t.answer(&answer);
    Ok(())
}

/// One answer, or a list page by page.
async fn shown(client: &mut Client, t: &mut Terminal<'_>, show: Show) -> Result<(), Failure> {
    let request = match show {
        Show::Sessions { .. } => Request::ShowSessionSummary,
        Show::Ike { detail, peer, .. } => {
            let answer = client.ask(&Request::ShowIke { peer, messages: detail }).await?;
            match (detail && !t.json, &answer.response) {
                (true, response) => t.print(&render::ike_detail(response, &t.style)),
                (false, _) => t.answer(&answer),
            }
            return Ok(());
        }
        Show::Ports => Request::ShowPorts,
        Show::Interfaces => Request::ShowInterfaces,
        Show::Nat(ShowNat::Vips) => Request::ShowNatVips,
        Show::AddressPools => Request::ShowAddressPools,
        Show::Nat(ShowNat::Pools) => Request::ShowNatPools,
        Show::Engines => Request::ShowEngines,
        Show::Offload(ShowOffload::Reasons) => Request::ShowOffloadReasons,
        Show::Counters { delta } => Request::ShowCounters { delta },
        Show::System => Request::ShowSystem,
        Show::Anomaly => Request::ShowAnomaly,
        Show::Policies { limit } => {
            let request = |limit, cursor| Request::ShowPolicies { limit: Some(limit), cursor };
            return pages(client, t, limit, request, render::response).await;
        }
        Show::RemoteAccess { limit, user } => {
            let request = |limit, cursor| Request::ShowRemoteAccess {
                user: user.clone(),
                limit: Some(limit),
                cursor,
            };
            return pages(client, t, limit, request, render::response).await;
        }
        Show::Dtls { detail, limit, user } => {
            let request = |limit, cursor| Request::ShowDtls {
                user: user.clone(),
                limit: Some(limit),
                cursor,
            };
            let text = if detail { render::dtls_detail } else { render::response };
            return pages(client, t, limit, request, text).await;
        }
        Show::Users { limit, user } => {
            let request = |limit, cursor| Request::ShowUsers {
                user: user.clone(),
                limit: Some(limit),
                cursor,
            };
            return pages(client, t, limit, request, render::response).await;
        }
        Show::Neighbours { limit } => {
            let request = |limit, cursor| Request::ShowNeighbours { limit: Some(limit), cursor };
            return pages(client, t, limit, request, render::response).await;
        }
        Show::Tunnels { limit } => {
            let request = |limit, cursor| Request::ShowTunnels { limit: Some(limit), cursor };
            return pages(client, t, limit, request, render::response).await;
        }
        Show::Sa { limit, pick, offload, detail, .. } => {
            let text = match (offload, detail) {
                (true, _) => render::sas_offload,
                (false, true) => render::sas_detail,
                (false, false) => render::response,
            };
            let request =
                |limit, cursor| Request::ShowSas { pick: pick.clone(), limit: Some(limit), cursor };
            return pages(client, t, limit, request, text).await;
        }
        Show::Routes { vr, limit, destination } => {
            let request = |limit, cursor| Request::ShowRoutes {
                vr: vr.clone(),
                destination,
                limit: Some(limit),
                cursor,
            };
            return pages(client, t, limit, request, render::response).await;
        }
    };
    t.answer(&client.ask(&request).await?);
    Ok(())
}

/// Asks for pages until `limit` rows (0: all) are there; JSON goes out page by page, text at the end.
async fn pages(
    client: &mut Client,
    t: &mut Terminal<'_>,
    limit: u64,
    request: impl Fn(u32, Option<u64>) -> Request,
    text: fn(&Response, &Style) -> String,
) -> Result<(), Failure> {
    let limit = if limit == 0 { u64::MAX } else { limit };
    let mut whole: Option<Response> = None;
    let mut cursor = None;
    let mut rows = 0;
    loop {
        let page = limit.saturating_sub(rows).min(u64::from(api::PAGE)) as u32;
        let answer = client.ask(&request(page, cursor)).await?;
        if t.json {
            t.answer(&answer);
        }
        let (count, next) = join(&mut whole, answer.response)?;
        rows = count;
        cursor = next;
        if cursor.is_none() || rows >= limit {
            break;
        }
    }
    if let Some(whole) = whole.filter(|_| !t.json) {
        t.print(&text(&whole, &t.style));
    }
    Ok(())
}

/// Adds a page to what is there; gives the rows so far and the next cursor.
fn join(whole: &mut Option<Response>, page: Response) -> Result<(u64, Option<u64>), Failure> {
    match (whole.as_mut(), page) {
        (None, page) => *whole = Some(page),
        (Some(Response::Policies(all)), Response::Policies(page)) => {
            all.policies.extend(page.policies);
            all.next = page.next;
        }
        (Some(Response::Routes(all)), Response::Routes(page)) => {
            all.routes.extend(page.routes);
            all.next = page.next;
        }
        (Some(Response::RemoteAccess(all)), Response::RemoteAccess(page)) => {
            all.clients.extend(page.clients);
            all.next = page.next;
        }
        (Some(Response::Dtls(all)), Response::Dtls(page)) => {
            all.associations.extend(page.associations);
            all.next = page.next;
        }
        (Some(Response::Users(all)), Response::Users(page)) => {
            all.users.extend(page.users);
            all.next = page.next;
        }
        (Some(Response::Neighbours(all)), Response::Neighbours(page)) => {
            all.neighbours.extend(page.neighbours);
            all.next = page.next;
        }
        (Some(Response::Tunnels(all)), Response::Tunnels(page)) => {
            all.tunnels.extend(page.tunnels);
            all.next = page.next;
        }
        (Some(Response::Sas(all)), Response::Sas(page)) => {
            all.sas.extend(page.sas);
            all.next = page.next;
        }
        (Some(Response::ExplainedSas(all)), Response::ExplainedSas(page)) => {
            all.sas.extend(page.sas);
            all.next = page.next;
        }
        (Some(Response::ExplainedDtls(all)), Response::ExplainedDtls(page)) => {
            all.clients.extend(page.clients);
            all.next = page.next;
        }
        (Some(_), _) => return Err(unexpected()),
    }
    match whole.as_ref() {
        Some(Response::Policies(all)) => Ok((all.policies.len() as u64, all.next)),
        Some(Response::Routes(all)) => Ok((all.routes.len() as u64, all.next)),
        Some(Response::RemoteAccess(all)) => Ok((all.clients.len() as u64, all.next)),
        Some(Response::Dtls(all)) => Ok((all.associations.len() as u64, all.next)),
        Some(Response::Users(all)) => Ok((all.users.len() as u64, all.next)),
        Some(Response::Tunnels(all)) => Ok((all.tunnels.len() as u64, all.next)),
        Some(Response::Sas(all)) => Ok((all.sas.len() as u64, all.next)),
        Some(Response::ExplainedSas(all)) => Ok((all.sas.len() as u64, all.next)),
        Some(Response::ExplainedDtls(all)) => Ok((all.clients.len() as u64, all.next)),
        Some(Response::Neighbours(all)) => Ok((all.neighbours.len() as u64, all.next)),
        _ => Err(unexpected()),
    }
}

async fn sessions(
    client: &mut Client,
    t: &mut Terminal<'_>,
    filter: Option<String>,
    limit: u64,
    offload: bool,
) -> Result<(), Failure> {
    let limit = if limit == 0 { u64::MAX } else { limit };
    let mut kept = api::SessionsView::default();
    let mut rows = 0;
    loop {
        let page = limit.saturating_sub(rows).min(u64::from(api::PAGE)) as u32;
        let answer = client
            .ask(&Request::ShowSessions {
                filter: filter.clone(),
                limit: Some(page),
                cursor: kept.next,
                offload,
            })
            .await?;
        if t.json {
            t.answer(&answer);
        }
        let Response::Sessions(view) = answer.response else { return Err(unexpected()) };
        rows += view.sessions.len() as u64;
        kept.sessions.extend(view.sessions);
        kept.total = view.total;
        kept.scanned += view.scanned;
        kept.next = view.next;
        if kept.next.is_none() || rows >= limit {
            break;
        }
        if t.json {
            kept.sessions.clear();
        } else if kept.sessions.len() >= CHUNK {
            t.print(&render::session_rows(&kept, &t.style));
            kept.sessions.clear();
        }
    }
    if !t.json {
        t.print(&render::sessions(&kept, rows, &t.style));
    }
    Ok(())
}

/// Looks for the session page by page, so that the gateway never walks a large table at once.
async fn explain(
    client: &mut Client,
    t: &mut Terminal<'_>,
    pick: SessionPick,
) -> Result<(), Failure> {
    let (mut id, mut others) = (pick.id, 0);
    let mut cursor = None;
    while id.is_none() {
        let request = Request::ShowSessions {
            filter: pick.filter.clone(),
            limit: None,
            cursor,
            offload: false,
        };
        let answer = client.ask(&request).await?;
        let Response::Sessions(view) = answer.response else { return Err(unexpected()) };
        id = view.sessions.first().map(|session| session.id);
        others = view.sessions.len().saturating_sub(1) as u64;
        cursor = view.next;
        if cursor.is_none() {
            break;
        }
    }
    // Where none matches, the gateway says so itself.
    let pick = id.map_or(pick, |id| SessionPick { id: Some(id), filter: None });
    let mut answer = client.ask(&Request::ExplainSession(pick)).await?;
    if let Response::Explained(view) = &mut answer.response
        && others > 0
    {
        view.others = others;
        let document = Document::from(answer.response.clone());
        answer.document = serde_json::to_string(&document).unwrap_or_default();
    }
    t.answer(&answer);
    Ok(())
}

async fn events(
    client: &mut Client,
    t: &mut Terminal<'_>,
    since: Option<u64>,
) -> Result<(), Failure> {
    let mut since = since;
    loop {
        let request = Request::Events { filter: None, since, limit: None };
        let answer = client.ask(&request).await?;
        t.answer(&answer);
        let Response::Events(view) = answer.response else { return Err(unexpected()) };
        if !view.more {
            return Ok(());
        }
        since = Some(view.last);
    }
}

async fn trace(client: &mut Client, t: &mut Terminal<'_>, args: TraceArgs) -> Result<(), Failure> {
    let count = args.count.unwrap_or(PACKETS);
    let request = Request::TraceStart { filter: words(args.words), count };
    let answer = client.ask(&request).await?;
    let Response::TraceStarted(started) = &answer.response else { return Err(unexpected()) };
    let trace = started.trace;
    if !t.json {
        t.talk(&format!("tracing the next {count} packets that match; end it with Ctrl-C\n"));
    }
    loop {
        let interrupted = tokio::select! {
            () = tokio::time::sleep(TRACE_POLL) => false,
            _ = tokio::signal::ctrl_c() => true,
        };
        let request =
            if interrupted { Request::TraceStop { trace } } else { Request::TracePoll { trace } };
        let answer = client.ask(&request).await?;
        let Response::TracePolled(polled) = &answer.response else { return Err(unexpected()) };
        let done = polled.done || interrupted;
        if !polled.packets.is_empty() || (done && (t.json || polled.lost > 0)) {
            t.answer(&answer);
        }
        if done {
            return Ok(());
        }
    }
}

impl Terminal<'_> {
    /// Prints text; a reader that went away is no fault of ours.
    pub fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Prints what is not data.
    pub fn talk(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }

    /// Prints an answer, as text or as the document it came as.
    pub fn answer(&mut self, answer: &Answer) {
        if self.json {
            self.print(&format!("{}\n", answer.document));
        } else {
            self.print(&render::response(&answer.response, &self.style));
        }
    }

    /// Prints a failure with what to run next, and says which exit code goes with it.
    pub fn fail(&mut self, failure: &Failure) -> ExitCode {
        match failure {
            Failure::Api { error, document } => {
                if self.json {
                    self.print(&format!("{document}\n"));
                } else {
                    self.talk(&render::error(error, &self.err_style));
                }
                error.exit_code()
            }
            Failure::Unreachable { socket, source } => {
                let next = match source.kind() {
                    std::io::ErrorKind::PermissionDenied => {
                        "this user may not open the socket: join its group, or use sudo"
                    }
                    _ => {
                        "start it with `lockgate run` or `systemctl start lockgate`, or name its socket with --socket"
                    }
                };
                self.talk(&format!(
                    "error: no gateway answers on {}: {source}\nnext: {next}\n",
                    socket.display()
                ));
                ExitCode::Unreachable
            }
            Failure::Protocol(message) => {
                self.talk(&format!(
                    "error: {message}\nnext: compare `lockgate --version` with `lockgate show system --json`\n"
                ));
                ExitCode::Failed
            }
        }
    }

    fn event(&mut self, line: &str) -> bool {
        let text = match serde_json::from_str::<api::EventView>(line) {
            Ok(event) if !self.json => render::event(&event, &self.style),
            _ => format!("{line}\n"),
        };
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_ok()
    }
}

/// A file of configuration; one that cannot be read is not found, or failed.
pub fn read_config(file: &Path) -> Result<ConfigText, Failure> {
    let source = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| {
        let message = format!("{source}: {e}");
        local(match e.kind() {
            std::io::ErrorKind::NotFound => ApiError::not_found(message),
            _ => ApiError::failed(message),
        })
    })?;
    Ok(ConfigText { source, text })
}

/// An error found on this side of the socket.
pub fn local(error: ApiError) -> Failure {
    let document = api::ErrorDocument::from(error.clone());
    let document = serde_json::to_string(&document).unwrap_or_default();
    Failure::Api { error, document }
}

fn usage(message: String) -> Failure {
    local(ApiError::bad_request(message))
}

/// The answer is not to the question.
pub fn unexpected() -> Failure {
    Failure::Protocol("the gateway answers another question than was asked".to_owned())
}

/// The words of a filter as one text; none where there is none.
pub fn words(words: Vec<String>) -> Option<String> {
    (!words.is_empty()).then(|| words.join(" "))
}

fn key(flow: &FlowArgs) -> Result<api::LookupKey, Failure> {
    packet::key(flow).map_err(usage)
}

fn session_pick(pick: &[String]) -> SessionPick {
    match pick {
        [word] if word.parse::<u64>().is_ok() => {
            SessionPick { id: word.parse().ok(), filter: None }
        }
        words => SessionPick { id: None, filter: Some(words.join(" ")) },
    }
}

fn clear_request(clear: Clear) -> Request {
    match clear {
        Clear::Sessions { filter, .. } => Request::ClearSessions { filter: words(filter) },
        Clear::Counters => Request::ClearCounters,
        Clear::Neighbours { interface, address } => Request::ClearNeighbours { interface, address },
        Clear::Ike { peer } => Request::ClearIke { peer },
        Clear::RemoteAccess { user } => Request::ClearRemoteAccess { user },
        Clear::Statistics { what } => Request::ClearStatistics { what: what.into() },
    }
}
