//! One self-contained HTML page.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{Error, Trial, Verdict};

const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 } th { text-align: left; border-bottom: 2px solid #222 }
td { vertical-align: top; border-bottom: 1px solid #ddd } td, th { padding: .3rem .6rem } td.number { white-space: nowrap }
.verdict { font-weight: 600; white-space: nowrap } .supported { color: #0072b2 } .refuted { color: #a63d00 }
.inconclusive { color: #666 } .not { color: #999; font-weight: 400; white-space: normal }
small { color: #555 } figure { margin: 1.5rem 0 } img { max-width: 100% } nav a { margin-right: 1rem }
";

/// The page.
///
/// # Errors
/// If a figure cannot be read.
pub fn page(trials: &[Trial]) -> Result<String, Error> {
    let mut sections = vec![];
    for trial in trials {
        sections.push(section(trial)?);
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Retrial: deep-learning papers on trial" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Retrial: deep-learning papers on trial" }
                p {
                    "Each claim was tried again on real data, with a rule fixed in code before the run. A verdict speaks of "
                    "the scale that it names."
                }
                (summary(trials))
                @for section in &sections { (section) }
            }
        }
    };
    Ok(page.into_string())
}

fn anchor(trial: &Trial) -> String {
    format!("{}-{}", trial.profile, trial.paper.id)
}

fn summary(trials: &[Trial]) -> Markup {
    html! {
        table {
            tr { th { "paper" } th { "profile" } th { "supported" } th { "refuted" } th { "inconclusive" } th { "not tested" } }
            @for trial in trials {
                tr {
                    td { a href={ "#" (anchor(trial)) } { (trial.paper.citation) } }
                    td { (trial.profile) }
                    @for verdict in ["supported", "refuted", "inconclusive", "not tested at this scale"] {
                        td { (trial.count(verdict)) }
                    }
                }
            }
        }
    }
}

fn section(trial: &Trial) -> Result<Markup, Error> {
    let mut figures = vec![];
    for path in &trial.figures {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        figures.push((name, BASE64_STANDARD.encode(bytes)));
    }
    Ok(html! {
        h2 id=(anchor(trial)) { (trial.paper.citation) }
        p {
            "Profile " (trial.profile) ", binary " code { (trial.paper.id) }
            @if let Some(minutes) = trial.cpu_minutes { ", " (format!("{minutes:.1}")) " processor minutes" }
            "."
        }
        table {
            tr { th { "" } th { "claim" } th { "verdict" } th { "ours" } th { "paper" } }
            @for verdict in &trial.verdicts { (row(verdict)) }
        }
        @for (name, svg) in &figures {
            figure { img alt=(name) src={ "data:image/svg+xml;base64," (svg) }; }
        }
    })
}

fn row(v: &Verdict) -> Markup {
    let class = v.verdict.split(' ').next().unwrap_or_default();
    html! {
        tr {
            td { (v.id) }
            td {
                (v.statement)
                @if !v.r#where.is_empty() { " (" (v.r#where) ")" }
                @for (label, text) in [("rule", &v.threshold), ("scope", &v.scope), ("why", &v.reason)] {
                    @if !text.is_empty() { br; small { (label) ": " (text) } }
                }
            }
            td.verdict.(class) { (v.verdict) }
            td.number {
                (v.measured())
                @if v.seeds > 0 { br; small { (v.seeds) @if v.seeds == 1 { " seed" } @else { " seeds" } } }
            }
            td { (v.reported) }
        }
    }
}
