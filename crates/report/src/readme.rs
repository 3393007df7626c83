//! The tables of the READMEs. A block stands between `<!-- summary: PROFILE -->`, `<!-- verdicts: PROFILE/PAPER -->`,
//! `<!-- reasons: PROFILE/PAPER -->` or `<!-- table: FILE.csv: COLUMN, COLUMN -->` and `<!-- end -->`; what is between them is
//! written from results. A table's file is sought in the results folder.

use std::path::Path;

use crate::{Error, Trial};

/// The README with its blocks filled anew.
///
/// # Errors
/// With the line, if a block has no end or asks for what there is not.
pub fn filled(path: &Path, text: &str, trials: &[Trial], results: &Path) -> Result<String, Error> {
    let mut filled = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        filled.push_str(line);
        filled.push('\n');
        let Some(block) = line.strip_prefix("<!-- ").and_then(|l| l.strip_suffix(" -->")).filter(|b| *b != "end")
        else {
            continue;
        };
        let refused = |message: String| Error::Block { path: path.into(), line: number + 1, message };
        filled.push_str(&content(block, trials, results).map_err(refused)?);
        filled.push_str("<!-- end -->\n");
        if !lines.any(|(_, line)| line == "<!-- end -->") {
            return Err(refused("no `<!-- end -->` below".into()));
        }
    }
    Ok(filled)
}

fn content(block: &str, trials: &[Trial], results: &Path) -> Result<String, String> {
    match block.split_once(": ") {
        Some(("summary", profile)) => {
            let chosen: Vec<&Trial> = trials.iter().filter(|t| t.profile.name() == profile).collect();
            if chosen.is_empty() { Err(format!("no results of profile {profile}")) } else { Ok(summary(&chosen)) }
        }
        Some((kind @ ("verdicts" | "reasons"), place)) => {
            let is_there = |t: &&Trial| place == format!("{}/{}", t.profile, t.paper.id);
            let table = |t| verdicts(t, kind == "reasons");
            trials.iter().find(is_there).map(table).ok_or(format!("no results of {place}"))
        }
        Some(("table", place)) => {
            let (file, columns) = place.split_once(": ").ok_or("a table needs `FILE.csv: COLUMN, COLUMN`")?;
            table(&results.join(file), &columns.split(", ").collect::<Vec<_>>())
        }
        _ => Err(format!(
            "`{block}` is neither `summary: PROFILE` nor `verdicts: PROFILE/PAPER` nor `reasons: …` nor `table: …`"
        )),
    }
}

fn summary(trials: &[&Trial]) -> String {
    let mut text = String::from(
        "| paper | binary | supported | refuted | inconclusive | not tested | processor minutes |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for t in trials {
        let counts =
            ["supported", "refuted", "inconclusive", "not tested at this scale"].map(|v| t.count(v).to_string());
        let minutes = t.cpu_minutes.map_or(String::new(), |m| format!("{m:.1}"));
        let id = t.paper.id;
        text.push_str(&format!(
            "| {} | [`{id}`](crates/{id}) | {} | {minutes} |\n",
            t.paper.citation,
            counts.join(" | ")
        ));
    }
    text
}

/// Some columns of a CSV as they stand there.
fn table(path: &Path, columns: &[&str]) -> Result<String, String> {
    let failed = |error: csv::Error| format!("{}: {error}", path.display());
    let mut reader = csv::Reader::from_path(path).map_err(failed)?;
    let header = reader.headers().map_err(failed)?.clone();
    let place = |column: &&str| {
        let found = header.iter().position(|name| name == *column);
        found.ok_or_else(|| format!("{}: there is no column `{column}`", path.display()))
    };
    let places = columns.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = columns.iter().map(|name| name.replace('_', " ")).collect();
    let mut text = format!("| {} |\n|{}\n", names.join(" | "), " --- |".repeat(columns.len()));
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let cells: Vec<&str> = places.iter().map(|&place| record.get(place).unwrap_or_default()).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    Ok(text)
}

/// One row a claim, with or without the reasons.
fn verdicts(trial: &Trial, reasons: bool) -> String {
    let (header, rule) = if reasons { (" why |", " --- |") } else { ("", "") };
    let mut text = format!("| | claim | verdict | ours | paper |{header}\n| --- | --- | --- | --- | --- |{rule}\n");
    for v in &trial.verdicts {
        let verdict = format!("**{}**", v.verdict);
        let measured = v.measured();
        let mut cells = vec![&v.id, &v.statement, &verdict, &measured, &v.reported];
        cells.extend(reasons.then_some(&v.reason));
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}
