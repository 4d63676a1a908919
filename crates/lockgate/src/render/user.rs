//! `show users`, `user login`, `user logout`.

use api::UsersView;

use super::{
    port::or_none,
    style::{Style, Tone},
    table::{Cell, Table},
    units::{count, duration},
};

pub fn users(view: &UsersView, style: &Style) -> String {
    let mut table = Table::new(&["USER", "GROUPS", "ADDRESS", "VR", "BY", ">AGE", ">ENDS IN"]);
    let elsewhere = view.users.iter().any(|user| user.vr != "default");
    for user in &view.users {
        table.row([
            Cell::new(Tone::Name, &user.user),
            user.groups.join(",").into(),
            user.address.to_string().into(),
            if elsewhere { user.vr.as_str() } else { "" }.into(),
            user.by.as_ref().into(),
            duration(user.age_ms).into(),
            user.expires_ms.map(duration).unwrap_or_default().into(),
        ]);
    }
    let mut out = or_none(table, "nobody is known", style);
    let rest = if view.next.is_some() { "; --limit shows more" } else { "" };
    let line = format!(
        "{} shown, {} of {} addresses have a user{rest}",
        view.users.len(),
        count(view.total),
        count(view.capacity)
    );
    out.push_str(&style.paint(Tone::Dim, line));
    out.push('\n');
    out
}
