//! Who is behind which address: what policies that name users or groups are asked with.
//!
//! An address has one user at most, who is in any number of groups. Remote access tells it of its clients,
//! and the API of everybody else (single sign-on). Names are resolved once, when somebody comes; a new
//! session pays for one look-up by address. When somebody comes or goes, sessions from that address are
//! asked again; a session of a user ends with the user.
//!
//! Limits: bounded by `limits.users`; nothing is kept over a restart.

use core::{fmt, hash::BuildHasher, net::IpAddr, time::Duration};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use config::model::VrId;
use wire::Time;

use crate::{
    Gateway,
    events::EventKind,
    keyed::Keyed,
    policy::{Policies, Sender},
    session::Session,
};

/// Most groups of one user.
pub const MOST_GROUPS: usize = 64;

/// An address in a virtual router.
pub(crate) type Place = (VrId, IpAddr);

/// Who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The API.
    Api,
    /// Remote access: a client that has logged in.
    RemoteAccess,
}

impl Authority {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::RemoteAccess => "remote-access",
        }
    }
}

/// A user behind an address.
#[derive(Clone, Debug)]
pub struct Login {
    /// Name.
    pub user: Arc<str>,
    /// Groups, sorted.
    pub groups: Arc<[String]>,
    /// Who said so.
    pub by: Authority,
    /// Since when.
    pub since: Time,
    /// Until when, if nobody says so again.
    pub until: Option<Time>,
    /// No other user of the address had this number, nor zero.
    serial: u32,
    sender: Sender,
}

impl Login {
    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|name| name == group)
    }
}

/// `alice (admins, staff)`
impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        if self.groups.is_empty() { Ok(()) } else { write!(f, " ({})", self.groups.join(", ")) }
    }
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// As many addresses have a user as may.
    Full(u32),
}

/// The book.
#[derive(Debug)]
pub struct Users {
    by_address: BTreeMap<Place, Login>,
    /// In the order they came.
    by_serial: BTreeMap<u32, Place>,
    deadlines: BTreeSet<(Time, Place)>,
    limit: u32,
    serial: u32,
    hasher: Keyed,
}

impl Users {
    /// A book for `limit` addresses.
    pub fn new(limit: u32, seed: u64) -> Self {
        Self {
            by_address: BTreeMap::new(),
            by_serial: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            limit,
            serial: 0,
            hasher: Keyed::new(seed.rotate_left(29)),
        }
    }

    /// How many addresses have a user.
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// The user behind an address.
    pub fn get(&self, vr: VrId, address: IpAddr) -> Option<&Login> {
        self.by_address.get(&(vr, address))
    }

    /// The user of a session.
    pub(crate) fn of(&self, session: &Session) -> Option<&Login> {
        let login = self.get(session.vr, session.original.src)?;
        (login.serial == session.login).then_some(login)
    }

    /// What policies are asked with.
    #[inline]
    pub(crate) fn sender(&self, vr: VrId, address: IpAddr) -> Sender {
        self.get(vr, address).map_or(Sender::NOBODY, |login| login.sender)
    }

    /// The number of a user's stay at an address; zero where there is none.
    #[inline]
    pub(crate) fn login(&self, vr: VrId, address: IpAddr) -> u32 {
        self.get(vr, address).map_or(0, |login| login.serial)
    }

    /// Addresses with their users in the order they came, from a number on.
    pub(crate) fn from(&self, serial: u32) -> impl Iterator<Item = (u32, &Place, &Login)> {
        let places = self.by_serial.range(serial..);
        places.filter_map(|(serial, place)| Some((*serial, place, self.by_address.get(place)?)))
    }

    /// Spreads addresses.
    pub(crate) fn hash(&self, vr: VrId, address: IpAddr) -> u64 {
        self.hasher.hash_one((vr, address))
    }

    /// When the first user has to go.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes another configuration: rules have other numbers, and virtual routers may have gone or moved.
    pub(crate) fn reload(
        &mut self,
        policies: &mut Policies,
        limit: u32,
        router: impl Fn(VrId) -> Option<VrId>,
    ) {
        self.limit = limit;
        self.deadlines.clear();
        self.by_serial.clear();
        let before = std::mem::take(&mut self.by_address);
        for ((vr, address), mut login) in before {
            let Some(vr) = router(vr) else { continue };
            login.sender = policies.enrol(&login.user, login.groups.iter().map(String::as_str));
            self.enter((vr, address), login);
        }
    }

    fn enter(&mut self, place: Place, login: Login) {
        self.deadlines.extend(login.until.map(|at| (at, place)));
        self.by_serial.insert(login.serial, place);
        self.by_address.insert(place, login);
    }

    fn remove(&mut self, place: &Place, policies: &mut Policies) -> Option<Login> {
        let login = self.by_address.remove(place)?;
        policies.discharge(login.sender);
        self.by_serial.remove(&login.serial);
        if let Some(at) = login.until {
            self.deadlines.remove(&(at, *place));
        }
        Some(login)
    }
}

impl Gateway {
    /// Who is behind which address.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// A user is behind an address from now on, for `lifetime` unless somebody says so again. Another
    /// user who was there is gone. `groups` are sorted and taken once each.
    ///
    /// # Errors
    /// [`LoginError::Full`].
    pub(crate) fn log_in(
        &mut self,
        place: Place,
        (user, mut groups): (&str, Vec<String>),
        by: Authority,
        lifetime: Option<Duration>,
        now: Time,
    ) -> Result<(), LoginError> {
        groups.sort_unstable();
        groups.dedup();
        let until = lifetime.map(|lifetime| now + lifetime);
        let full = self.users.len() >= self.users.limit as usize;
        if full && self.users.get(place.0, place.1).is_none() {
            return Err(LoginError::Full(self.users.limit));
        }
        let before = self.users.remove(&place, &mut self.policies);
        let same_user = before.as_ref().filter(|login| *login.user == *user);
        let unchanged = same_user.is_some_and(|login| *login.groups == *groups);
        let (serial, since) = match same_user {
            Some(login) => (login.serial, login.since),
            None => {
                self.users.serial = self.users.serial.wrapping_add(1).max(1);
                (self.users.serial, now)
            }
        };
        let sender = self.policies.enrol(user, groups.iter().map(String::as_str));
        let login =
            Login { user: user.into(), groups: groups.into(), by, since, until, serial, sender };
        if !unchanged {
            if let Some(gone) = before.filter(|gone| gone.serial != serial) {
                self.tell_user(EventKind::UserLogout, place, &gone, ", another user came", now);
            }
            self.tell_user(EventKind::UserLogin, place, &login, "", now);
        }
        self.users.enter(place, login);
        if !unchanged {
            self.reevaluate_sender(place.0, place.1);
        }
        Ok(())
    }

    /// Nobody is behind an address from now on. Says who was.
    pub(crate) fn log_out(&mut self, place: Place, why: &str, now: Time) -> Option<Login> {
        let gone = self.users.remove(&place, &mut self.policies)?;
        self.tell_user(EventKind::UserLogout, place, &gone, why, now);
        self.reevaluate_sender(place.0, place.1);
        Some(gone)
    }

    /// Those whose time is over go.
    pub(crate) fn expire_users(&mut self, now: Time) {
        while let Some((_, place)) =
            self.users.deadlines.first().copied().filter(|(at, _)| *at <= now)
        {
            self.log_out(place, ", the time is over", now);
        }
    }

    fn tell_user(
        &mut self,
        kind: EventKind,
        (vr, address): Place,
        login: &Login,
        why: &str,
        now: Time,
    ) {
        let router = match vr {
            VrId(0) => String::new(),
            vr => format!(" in {}", self.config.virtual_router_name(vr)),
        };
        let text = format!("{login} at {address}{router} by {}{why}", login.by.name());
        self.events.push(now, kind, text);
    }
}
