//! Errors of the API as text for the terminal.

use api::ApiError;
use unicode_width::UnicodeWidthStr;

use super::style::{Style, Tone};

/// What went wrong, and what to run next. Ends in a newline.
pub fn error(error: &ApiError, style: &Style) -> String {
    let head = style.paint(Tone::Bad, "error:");
    match error {
        ApiError::BadFilter { message, filter, column, expected } => {
            let before: String = filter.chars().take(column.saturating_sub(1) as usize).collect();
            let indent = " ".repeat(before.width());
            let mut out = format!("{head} filter: {message}\n  {filter}\n  {indent}^");
            if !expected.is_empty() {
                out.push_str(&format!(" expected {expected}"));
            }
            out.push_str("\nnext: `lockgate help show sessions` lists the words\n");
            out
        }
        ApiError::ConfigRefused { diagnostics } => {
            let errors = diagnostics.iter().filter(|d| d.severity == "error").count();
            let plural = if errors == 1 { "" } else { "s" };
            format!(
                "{}{head} configuration refused, {errors} error{plural}; what ran before runs on\n\
                 next: mend the lines above, then `lockgate check FILE`\n",
                super::diagnostics(diagnostics, style)
            )
        }
        ApiError::NotFound { message } => {
            format!(
                "{head} {message}\nnext: `lockgate show sessions` or another `lockgate show …` lists what there is\n"
            )
        }
        ApiError::Busy { message } => {
            format!("{head} {message}\nnext: `lockgate show system` tells what is going on\n")
        }
        ApiError::BadRequest { message } => {
            format!("{head} {message}\nnext: `lockgate help`\n")
        }
        ApiError::Forbidden { message } => format!("{head} {message}\n"),
        ApiError::Unsupported { message } => format!("{head} {message}\n"),
        ApiError::Failed { message } => {
            format!(
                "{head} {message}\nnext: look at the log of the gateway: `journalctl -u lockgate`\n"
            )
        }
    }
}
