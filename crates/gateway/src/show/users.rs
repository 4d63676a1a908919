//! Users behind addresses: shown, and told of by the API.

use core::time::Duration;

use api::{ApiError, UserView, UsersView};
use config::is_principal;
use wire::Time;

use super::{convert::ago, rows, sessions::SCAN};
use crate::{
    Gateway,
    users::{Authority, Login, LoginError, MOST_GROUPS, Place},
};

impl Gateway {
    pub(super) fn show_users(
        &self,
        user: Option<&str>,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> UsersView {
        let from = cursor.and_then(|cursor| u32::try_from(cursor).ok()).unwrap_or(0);
        let rows = rows(limit);
        let mut view = self.users_view();
        for (scanned, (serial, place, login)) in self.users.from(from).enumerate() {
            if view.users.len() >= rows || scanned >= SCAN as usize {
                view.next = Some(serial.into());
                break;
            }
            if user.is_none_or(|name| *login.user == *name) {
                view.users.push(self.user_view(place, login, now));
            }
        }
        view
    }

    pub(super) fn user_login(
        &mut self,
        place: Place,
        user: &str,
        groups: Vec<String>,
        seconds: Option<u32>,
        now: Time,
    ) -> Result<UsersView, ApiError> {
        if let Some(bad) =
            groups.iter().map(String::as_str).chain([user]).find(|n| !is_principal(n))
        {
            return Err(ApiError::bad_request(format!(
                "\"{}\" is not the name of a user or group",
                bad.escape_debug()
            )));
        }
        if groups.len() > MOST_GROUPS {
            return Err(ApiError::bad_request(format!("more than {MOST_GROUPS} groups")));
        }
        let lifetime = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        self.log_in(place, (user, groups), Authority::Api, lifetime, now).map_err(
            |LoginError::Full(limit)| {
                ApiError::failed(format!("{limit} addresses have a user; raise `limits.users`"))
            },
        )?;
        let mut view = self.users_view();
        if let Some(login) = self.users.get(place.0, place.1) {
            view.users.push(self.user_view(&place, login, now));
        }
        Ok(view)
    }

    pub(super) fn user_logout(&mut self, place: Place, now: Time) -> Result<UsersView, ApiError> {
        let gone = self
            .log_out(place, "", now)
            .ok_or_else(|| ApiError::not_found(format!("nobody is known at {}", place.1)))?;
        let mut view = self.users_view();
        view.users.push(self.user_view(&place, &gone, now));
        Ok(view)
    }

    fn users_view(&self) -> UsersView {
        UsersView {
            total: self.users.len() as u64,
            capacity: self.config.limits.users.into(),
            ..UsersView::default()
        }
    }

    fn user_view(&self, (vr, address): &Place, login: &Login, now: Time) -> UserView {
        UserView {
            user: login.user.to_string(),
            groups: login.groups.to_vec(),
            address: *address,
            vr: self.config.virtual_router_name(*vr).to_owned(),
            by: login.by.name().into(),
            age_ms: ago(now, login.since),
            expires_ms: login.until.map(|at| at.since(now).as_millis() as u64),
        }
    }
}
