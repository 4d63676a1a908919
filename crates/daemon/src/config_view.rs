//! The configuration as the API shows it: diagnostics, contents, changes.

use api::{
    ApiError, ChangeView, ConfigCheckedView, ConfigText, ContentCount, DiagnosticView,
    FieldChangeView,
};
use config::{Change, ChangeKind, Config, Diagnostic, Diagnostics, Parsed};

/// Validates a text.
///
/// # Errors
/// [`ApiError::ConfigRefused`] with everything that is wrong with it.
pub fn check(text: &ConfigText) -> Result<(ConfigCheckedView, Parsed), ApiError> {
    let parsed = config::parse(&text.source, &text.text).map_err(|d| refused(&d))?;
    let view = ConfigCheckedView {
        source: text.source.clone(),
        warnings: parsed.warnings.iter().map(diagnostic_view).collect(),
        contents: contents(&parsed.config),
    };
    Ok((view, parsed))
}

/// Diagnostics as an error of the API.
pub fn refused(diagnostics: &Diagnostics) -> ApiError {
    ApiError::ConfigRefused { diagnostics: diagnostics.iter().map(diagnostic_view).collect() }
}

/// A diagnostic as a view.
pub fn diagnostic_view(diagnostic: &Diagnostic) -> DiagnosticView {
    DiagnosticView {
        severity: diagnostic.severity.to_string().into(),
        code: diagnostic.code.to_owned(),
        file: diagnostic.file.clone(),
        line: diagnostic.line(),
        column: diagnostic.place.column,
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
        rendered: diagnostic.render(false),
    }
}

/// What changes from one configuration to another, object by object.
pub fn changes(old: &Config, new: &Config) -> Vec<ChangeView> {
    config::diff(old, new).changes.iter().map(change).collect()
}

fn change(change: &Change) -> ChangeView {
    let fields = change.fields.iter().map(|field| FieldChangeView {
        field: field.field.to_owned(),
        before: field.old.clone(),
        after: field.new.clone(),
    });
    ChangeView {
        change: match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
            ChangeKind::Moved => "moved",
        }
        .into(),
        section: change.section.to_owned(),
        name: change.name.clone(),
        line: change.new_line.or(change.old_line).unwrap_or(0),
        fields: fields.collect(),
    }
}

fn contents(config: &Config) -> Vec<ContentCount> {
    [
        ("ports", config.ports.len()),
        ("interfaces", config.interfaces.len()),
        ("zones", config.zones.len()),
        ("virtual routers", config.virtual_routers.len()),
        ("routes", config.routes.len()),
        ("policies", config.policies.len()),
        ("local-in rules", config.local_in.len()),
        ("local-out rules", config.local_out.len()),
        ("virtual IPs", config.vips.len()),
        ("pools", config.pools.len()),
        ("central SNAT rules", config.central_snat.len()),
        ("static neighbours", config.neighbours.len()),
    ]
    .into_iter()
    .map(|(what, count)| ContentCount { what: what.into(), count: count as u64 })
    .collect()
}
