//! `plan`: what an engine held to a profile would take, of a file without any gateway, or of the
//! gateway that runs.

use std::path::Path;

use api::{ApiError, Document, ExitCode, PlanView, ProfileView, ProfilesView, Request, Response};
use offload::{PROFILE_NAMES, PROFILES, Profile};

use crate::{
    app::{Terminal, local, read_config, unexpected, words},
    cli::PlanArgs,
    client::{Client, Failure},
    offline,
};

/// The name that lists the profiles instead of using one.
const LIST: &str = "list";

/// Answers `plan`.
pub async fn run(args: PlanArgs, socket: &Path, terminal: &mut Terminal<'_>) -> ExitCode {
    if args.profiles || args.profile.as_deref() == Some(LIST) {
        show(Response::Profiles(profiles()), terminal);
        return ExitCode::Ok;
    }
    let profile = match args.profile.as_deref().map(named).transpose() {
        Ok(profile) => profile,
        Err(failure) => return terminal.fail(&failure),
    };
    if let Some(file) = &args.config {
        return of_file(file, profile, terminal);
    }
    match of_gateway(args, profile, socket).await {
        Ok(view) => {
            show(Response::Plan(Box::new(view)), terminal);
            ExitCode::Ok
        }
        Err(failure) => terminal.fail(&failure),
    }
}

fn of_file(
    file: &Path,
    profile: Option<&'static Profile>,
    terminal: &mut Terminal<'_>,
) -> ExitCode {
    match read_config(file).and_then(|text| daemon::check(&text).map_err(local)) {
        Ok((_, parsed)) => {
            let profile = profile.unwrap_or(parsed.config.engine.profile);
            let view = gateway::plan(&parsed.config, profile);
            show(Response::Plan(Box::new(view)), terminal);
            ExitCode::Ok
        }
        Err(failure) => offline::refused(&failure, file, terminal),
    }
}

/// All SAs and associations; all sessions counted, and as many as were asked for listed.
async fn of_gateway(
    args: PlanArgs,
    profile: Option<&'static Profile>,
    socket: &Path,
) -> Result<PlanView, Failure> {
    let mut client = Client::connect(socket).await?;
    let name = profile.map(|profile| profile.name().to_owned());
    let listed = if args.limit == 0 { u64::MAX } else { args.limit };
    let filter = words(args.filter);
    let mut view = PlanView::default();
    let (mut of_sessions, mut cursor) = (false, None);
    loop {
        let request = match of_sessions {
            false => Request::PlanSas { profile: name.clone(), limit: None, cursor },
            true => Request::PlanSessions {
                profile: name.clone(),
                filter: filter.clone(),
                limit: None,
                cursor,
            },
        };
        let Response::Plan(page) = client.ask(&request).await?.response else {
            return Err(unexpected());
        };
        view.totals.add(&page.totals);
        view.sas.extend(page.sas);
        view.associations.extend(page.associations);
        let room = listed.saturating_sub(view.sessions.len() as u64);
        view.sessions.extend(page.sessions.into_iter().take(room.min(1 << 32) as usize));
        (view.profile, view.about, view.config) = (page.profile, page.about, page.config);
        cursor = page.next;
        if cursor.is_none() {
            if of_sessions {
                return Ok(view);
            }
            of_sessions = true;
        }
    }
}

fn named(name: &str) -> Result<&'static Profile, Failure> {
    Profile::named(name).ok_or_else(|| {
        let known = PROFILE_NAMES.join(", ");
        let text = format!("there is no profile `{name}`; there are {known}, or `{LIST}`");
        local(ApiError::bad_request(text))
    })
}

fn profiles() -> ProfilesView {
    let profiles = PROFILES.iter().map(|profile| ProfileView {
        name: profile.name().into(),
        about: profile.about.into(),
        sources: profile.sources.into(),
        properties: profile
            .capabilities
            .properties()
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
    });
    ProfilesView { profiles: profiles.collect() }
}

fn show(response: Response, terminal: &mut Terminal<'_>) {
    let document = serde_json::to_string(&Document::from(response.clone())).unwrap_or_default();
    terminal.answer(&crate::client::Answer { response, document });
}
