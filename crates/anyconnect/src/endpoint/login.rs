//! Requests and logins.

use std::{net::SocketAddr, sync::Arc};

use wire::Time;

use super::{Endpoint, connection::Phase, session::Client};
use crate::{
    ClientId, ConnId, Counts, Event, LoginFailure, LoginMethod, Reason,
    auth::{Cookie, Identity, Refused},
    form::Answers,
    http::{Method, Request, Response},
    job::{Proof, Work},
    xml::{ConfigAuth, Dialect, Kind, LoginForm},
};

/// Failed logins of a connection after which it is closed.
const MAX_FAILURES: u32 = 3;
/// Characters of a name that failed that are told.
const MAX_SHOWN: usize = 64;
/// Where a tunnel is asked for.
const TUNNEL: &str = "/CSCOSSLC/tunnel";
/// Where forms go, where no group is chosen by the path.
const ACTION: &str = "/auth";
/// What somebody whose login failed is told, whatever the cause.
const FAILED: &str = "Login failed.";

/// A login that is being checked.
pub(super) struct PendingLogin {
    conn: ConnId,
    remote: SocketAddr,
    user: String,
    dialect: Dialect,
    group: Option<String>,
    path: String,
}

impl Endpoint {
    pub(super) fn request(&mut self, now: Time, id: ConnId, request: Request) {
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let keep_alive = request.keep_alive;
        self.stats.requests += 1;
        match request.method {
            Method::Connect if path == TUNNEL => {
                self.tunnel_requested(now, id, &request);
                return;
            }
            Method::Connect => self.status(id, 404),
            Method::Get => self.begin(now, id, Dialect::Form, &path, None, false),
            Method::Post => {
                let xml = request.header("content-type").is_some_and(|kind| kind.contains("xml"));
                if xml || request.body.starts_with(b"<") {
                    match ConfigAuth::parse(&request.body) {
                        Ok(ConfigAuth { kind: Kind::Init, answers, certificate_failed }) => {
                            let group = answers.group;
                            self.begin(now, id, Dialect::Xml, &path, group, certificate_failed);
                        }
                        Ok(ConfigAuth { kind: Kind::Reply, answers, .. }) => {
                            self.reply(now, id, Dialect::Xml, &path, answers);
                        }
                        Err(_) => self.status(id, 400),
                    }
                } else {
                    match Answers::from_form(&request.body) {
                        Ok(answers) => self.reply(now, id, Dialect::Form, &path, answers),
                        Err(_) => self.status(id, 400),
                    }
                }
            }
            Method::Other => self.status(id, 405),
        }
        if !keep_alive && !self.is_busy(id) {
            self.finish(now, id);
        }
    }

    fn is_busy(&self, id: ConnId) -> bool {
        let phase = self.conns.get(&id).map(|conn| &conn.phase);
        matches!(phase, Some(Phase::Http { busy: true, .. }))
    }

    /// A login begins: what the client is to do.
    fn begin(
        &mut self,
        now: Time,
        id: ConnId,
        dialect: Dialect,
        path: &str,
        group: Option<String>,
        certificate_failed: bool,
    ) {
        let Some(conn) = self.conns.get(&id) else { return };
        let certificate = conn.certificate.clone();
        let remote = conn.path.remote;
        let group = group.or_else(|| self.group_of(path));
        match (self.settings.method, certificate) {
            (LoginMethod::Certificate | LoginMethod::CertificateOrPassword, Some(user)) => {
                let name = user.to_string();
                let login = PendingLogin {
                    conn: id,
                    remote,
                    user: name,
                    dialect,
                    group,
                    path: path.to_owned(),
                };
                self.check(now, login, Proof::Certificate { user });
            }
            (LoginMethod::Certificate | LoginMethod::CertificateAndPassword, None) => {
                if dialect == Dialect::Xml && !certificate_failed {
                    self.answer(id, &Dialect::certificate_request(), None);
                    return;
                }
                let failure = LoginFailure::NoCertificate;
                self.failed("", remote, failure);
                self.answer(id, &dialect.refusal("A certificate is needed."), None);
            }
            (LoginMethod::Password | LoginMethod::CertificateOrPassword, _)
            | (LoginMethod::CertificateAndPassword, Some(_)) => {
                self.show_form(id, dialect, path, group.as_deref(), None);
            }
        }
    }

    /// A form was filled in.
    fn reply(&mut self, now: Time, id: ConnId, dialect: Dialect, path: &str, answers: Answers) {
        let Some(conn) = self.conns.get(&id) else { return };
        let remote = conn.path.remote;
        let Answers { user, password, group } = answers;
        let group = group.or_else(|| self.group_of(path));
        let certificate = conn.certificate.clone();
        let proof = match self.settings.method {
            LoginMethod::Password | LoginMethod::CertificateOrPassword => {
                Ok(Proof::Password { user: user.clone(), password })
            }
            LoginMethod::Certificate => match certificate {
                Some(user) => Ok(Proof::Certificate { user }),
                None => Err(LoginFailure::NoCertificate),
            },
            LoginMethod::CertificateAndPassword => match certificate {
                Some(name) if *name == *user => Ok(Proof::Both { user: user.clone(), password }),
                Some(_) => Err(LoginFailure::OtherCertificate),
                None => Err(LoginFailure::NoCertificate),
            },
        };
        let login = PendingLogin { conn: id, remote, user, dialect, group, path: path.to_owned() };
        match proof {
            Ok(proof) => self.check(now, login, proof),
            Err(failure) => self.login_failed(now, login, failure),
        }
    }

    /// Has a proof checked.
    fn check(&mut self, now: Time, login: PendingLogin, proof: Proof) {
        if self.logins.len() >= self.settings.limits.logins {
            self.login_failed(now, login, LoginFailure::Busy);
            return;
        }
        let address = login.remote.ip();
        if let Err(blocked) = self.lockout.begin(now, &self.settings.lockout, &login.user, address)
        {
            self.login_failed(now, login, LoginFailure::Locked { until: blocked.until });
            return;
        }
        if let Some(conn) = self.conns.get_mut(&login.conn)
            && let Phase::Http { busy, .. } = &mut conn.phase
        {
            *busy = true;
        }
        let job = self.job(Work::Login(self.settings.authenticator.clone(), proof));
        self.logins.insert(job, login);
    }

    pub(super) fn login_checked(
        &mut self,
        now: Time,
        login: PendingLogin,
        result: Result<Identity, Refused>,
    ) {
        let address = login.remote.ip();
        if let Some(conn) = self.conns.get_mut(&login.conn)
            && let Phase::Http { busy, .. } = &mut conn.phase
        {
            *busy = false;
        }
        let identity = match result {
            Ok(identity) => identity,
            Err(Refused::Credentials) => {
                let (user, remote) = (login.user.clone(), login.remote);
                self.login_failed(now, login, LoginFailure::Credentials);
                if self.lockout.is_locked(now, &user) {
                    self.stats.locked += 1;
                    let user = shown(&user);
                    self.out.events.push_back(Event::UserLocked { user, remote });
                }
                return;
            }
            Err(Refused::Unavailable(why)) => {
                self.lockout.void(&login.user, address);
                self.login_failed(now, login, LoginFailure::Unavailable(why));
                return;
            }
        };
        self.lockout.succeeded(&login.user, address);
        let Ok(group) = self.member(&identity, login.group.as_deref()) else {
            self.login_failed(now, login, LoginFailure::Group);
            return;
        };
        if self.conns.contains_key(&login.conn) {
            self.logged_in(now, login, identity, group);
        }
    }

    /// The group somebody gets: the one that was chosen, else the first of ours that is theirs. `Err` if it
    /// is not theirs.
    fn member(&self, identity: &Identity, chosen: Option<&str>) -> Result<Option<Arc<str>>, ()> {
        let mut ours = self.settings.groups.iter().map(|group| &group.name);
        let is_theirs = |name: &&Arc<str>| identity.groups.contains(name);
        if self.settings.groups.is_empty() {
            return Ok(None);
        }
        let found = match chosen {
            Some(chosen) => ours.find(|name| ***name == *chosen).filter(is_theirs),
            None => ours.find(is_theirs),
        };
        found.cloned().map(Some).ok_or(())
    }

    fn logged_in(
        &mut self,
        now: Time,
        login: PendingLogin,
        identity: Identity,
        group: Option<Arc<str>>,
    ) {
        if !self.make_room(now, &identity.user) {
            self.login_failed(now, login, LoginFailure::Full);
            return;
        }
        let id = ClientId(self.next_id());
        let (cookie, text) = Cookie::issue(&mut *self.rng);
        let address = login.remote.ip();
        let client = Client {
            user: identity.user.clone(),
            groups: identity.groups,
            group: group.clone(),
            cookie,
            bound: self.settings.bind_address.then_some(address),
            remote: login.remote,
            expires: Some(now + self.settings.cookie_lifetime),
            since: now,
            first_connected: None,
            grant: None,
            pending: None,
            tunnel: None,
            counts: Counts::default(),
            version: Arc::from(""),
            hostname: Arc::from(""),
        };
        self.by_cookie.insert(cookie.name, id);
        self.by_user.entry(identity.user.clone()).or_default().insert(id);
        self.clients.insert(id, Box::new(client));
        self.schedule(now, id);
        self.stats.logins += 1;
        let (user, remote) = (identity.user, login.remote);
        self.out.events.push_back(Event::LoginSucceeded { client: id, user, group, remote });
        let cookie = zeroize::Zeroizing::new(format!("webvpn={}; Path=/; Secure; HttpOnly", *text));
        self.answer(login.conn, &login.dialect.success(), Some(&cookie));
    }

    /// Whether there may be another client of this user; one without a tunnel gives way to it.
    fn make_room(&mut self, now: Time, user: &Arc<str>) -> bool {
        let limits = self.settings.limits;
        let theirs = self.by_user.get(user).cloned().unwrap_or_default();
        let idle = |id: &ClientId| self.clients.get(id).is_some_and(|c| c.tunnel.is_none());
        if theirs.len() >= limits.clients_per_user {
            let Some(oldest) = theirs.iter().find(|id| idle(id)).copied() else { return false };
            self.end(now, oldest, Reason::Crowded);
        }
        self.clients.len() < limits.clients
    }

    fn login_failed(&mut self, now: Time, login: PendingLogin, failure: LoginFailure) {
        let PendingLogin { conn: id, remote, user, dialect, group, path } = login;
        let busy = matches!(
            failure,
            LoginFailure::Busy | LoginFailure::Full | LoginFailure::Unavailable(_)
        );
        let locked = matches!(failure, LoginFailure::Locked { .. });
        self.failed(&user, remote, failure);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.failures += 1;
        if busy {
            let answer = Response::new(503)
                .header("X-Reason", "logins cannot be checked now")
                .header("Connection", "close");
            self.say(id, &[&answer.body("")]);
            self.finish(now, id);
        } else if locked || conn.failures >= MAX_FAILURES {
            let why = if locked { "Too many failures. Try again later." } else { FAILED };
            self.answer(id, &dialect.refusal(why), None);
            self.finish(now, id);
        } else {
            self.show_form(id, dialect, &path, group.as_deref(), Some(FAILED));
        }
    }

    fn failed(&mut self, user: &str, remote: SocketAddr, failure: LoginFailure) {
        self.stats.logins_failed += 1;
        let user = shown(user);
        self.out.events.push_back(Event::LoginFailed { user, remote, failure });
    }

    /// The group that a path chooses: `/NAME`, whatever follows.
    fn group_of(&self, path: &str) -> Option<String> {
        let first = path.split('/').nth(1)?;
        let group = self.settings.groups.iter().find(|group| *group.name == *first)?;
        Some(group.name.to_string())
    }

    fn show_form(
        &mut self,
        id: ConnId,
        dialect: Dialect,
        path: &str,
        group: Option<&str>,
        error: Option<&str>,
    ) {
        let groups: Vec<(&str, &str)> =
            self.settings.groups.iter().map(|g| (&*g.name, g.label.as_str())).collect();
        let action = if self.group_of(path).is_some() { path } else { ACTION };
        let message = &self.settings.message;
        let form =
            dialect.form(&LoginForm { action, message, error, groups: &groups, selected: group });
        self.answer(id, &form, None);
    }

    fn answer(&mut self, id: ConnId, body: &str, cookie: Option<&str>) {
        let mut answer = Response::new(200)
            .header("Content-Type", "text/xml")
            .header("X-Transcend-Version", 1)
            .header("Cache-Control", "no-store");
        if let Some(cookie) = cookie {
            answer = answer.header("Set-Cookie", cookie);
        }
        self.say(id, &[&zeroize::Zeroizing::new(answer.body(body))]);
    }

    fn status(&mut self, id: ConnId, status: u16) {
        self.say(id, &[&Response::new(status).body("")]);
    }
}

/// A name as a stranger gave it, for people to look at.
fn shown(user: &str) -> String {
    let character = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    user.chars().take(MAX_SHOWN).map(character).collect()
}
