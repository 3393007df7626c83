//! Claims of a paper, and the verdicts on them.

use std::fmt;

use comfy_table::{ColumnConstraint, ContentArrangement, Width, presets};

use super::Table;
use crate::stats::Interval;

/// What the evidence says of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule that was fixed in advance says yes.
    Supported,
    /// It says no.
    Refuted,
    /// The interval leaves both open.
    Inconclusive,
    /// This scale cannot tell, and why.
    NotTested(String),
}

impl Verdict {
    /// Supported or refuted where one of the two rules holds, inconclusive otherwise; where both do, refuted.
    pub fn of(supported: bool, refuted: bool) -> Self {
        match (supported, refuted) {
            (_, true) => Verdict::Refuted,
            (true, _) => Verdict::Supported,
            _ => Verdict::Inconclusive,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Verdict::Supported => "supported",
            Verdict::Refuted => "refuted",
            Verdict::Inconclusive => "inconclusive",
            Verdict::NotTested(_) => "not tested at this scale",
        })
    }
}

/// A claim on trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// `NQ2`.
    pub id: String,
    /// What is claimed, so that it can fail.
    pub statement: String,
    /// Section, figure, table or equation.
    pub where_in_paper: String,
    /// What the evidence says.
    pub verdict: Verdict,
    /// The number that decides.
    pub estimate: Option<f64>,
    /// Its confidence interval.
    pub interval: Option<(f64, f64)>,
    /// The rule, fixed before the run: `|K| < 0.02`.
    pub threshold: String,
    /// Independent repetitions behind the estimate.
    pub seeds: usize,
    /// Data, model and scale that the verdict speaks of.
    pub scope: String,
    /// The paper's own number, with its unit.
    pub reported: String,
    /// Why this verdict, in plain words.
    pub reason: String,
}

impl Claim {
    fn full_reason(&self) -> String {
        let not_tested = if let Verdict::NotTested(why) = &self.verdict { why.as_str() } else { "" };
        let parts: Vec<&str> = [not_tested, &self.reason].into_iter().filter(|t| !t.is_empty()).collect();
        parts.join(" ")
    }

    /// `0.014 [0.002, 0.026]`, or nothing.
    fn measured(&self) -> String {
        match (self.estimate, self.interval) {
            (Some(x), Some((low, high))) => format!("{} [{}, {}]", short(x), short(low), short(high)),
            (Some(x), None) => short(x),
            (None, Some((low, high))) => format!("[{}, {}]", short(low), short(high)),
            (None, None) => String::new(),
        }
    }

    /// `0.014 [0.002, 0.026], 3 seeds`.
    fn evidence(&self) -> String {
        let seeds = match self.seeds {
            0 => String::new(),
            1 => "1 seed".into(),
            n => format!("{n} seeds"),
        };
        [self.measured(), seeds].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// A claim before anything is known of it.
pub fn open(id: &str, statement: &str, where_in_paper: &str, threshold: &str, reported: impl Into<String>) -> Claim {
    Claim {
        id: id.into(),
        statement: statement.into(),
        where_in_paper: where_in_paper.into(),
        verdict: Verdict::Inconclusive,
        estimate: None,
        interval: None,
        threshold: threshold.into(),
        seeds: 0,
        scope: String::new(),
        reported: reported.into(),
        reason: String::new(),
    }
}

/// The claim that this scale cannot decide, and why.
pub fn not_tested(mut claim: Claim, why: impl Into<String>) -> Claim {
    claim.verdict = Verdict::NotTested(why.into());
    claim
}

/// The claim with its verdict and what it rests on.
pub fn decided(
    mut claim: Claim,
    verdict: Verdict,
    interval: Interval,
    seeds: usize,
    scope: &str,
    reason: String,
) -> Claim {
    claim.verdict = verdict;
    claim.estimate = Some(interval.estimate);
    claim.interval = Some((interval.low, interval.high));
    claim.seeds = seeds;
    claim.scope = scope.into();
    claim.reason = reason;
    claim
}

/// Supported if the whole interval lies above `least`, refuted if it lies below.
pub fn judge_above(interval: &Interval, least: f64) -> Verdict {
    Verdict::of(interval.above(least), interval.below(least))
}

/// Supported if the whole interval keeps within `margin` of 0, refuted if all of it lies beyond.
pub fn judge_within(interval: &Interval, margin: f64) -> Verdict {
    Verdict::of(interval.within(-margin, margin), interval.above(margin) || interval.below(-margin))
}

/// The verdict on a claim about several settings: the worst of theirs, the first of equals.
pub fn worst<T>(judged: impl IntoIterator<Item = (Verdict, T)>) -> Option<(Verdict, T)> {
    let severity = |verdict: &Verdict| match verdict {
        Verdict::Supported => 0,
        Verdict::Inconclusive => 1,
        Verdict::Refuted | Verdict::NotTested(_) => 2,
    };
    judged.into_iter().reduce(|a, b| if severity(&b.0) > severity(&a.0) { b } else { a })
}

/// A number to three significant digits.
pub fn short(x: f64) -> String {
    let size = x.abs();
    if !x.is_finite() || size == 0.0 {
        return format!("{x}");
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{x:.2e}");
    }
    let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
    format!("{x:.decimals$}")
}

/// The content of `claims.csv`.
pub fn claims_csv(claims: &[Claim]) -> Vec<u8> {
    let header = [
        "id",
        "statement",
        "where",
        "verdict",
        "estimate",
        "ci_low",
        "ci_high",
        "threshold",
        "seeds",
        "scope",
        "reported",
        "reason",
    ];
    let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
    let rows = claims.iter().map(|c| {
        vec![
            c.id.clone(),
            c.statement.clone(),
            c.where_in_paper.clone(),
            c.verdict.to_string(),
            number(c.estimate),
            number(c.interval.map(|i| i.0)),
            number(c.interval.map(|i| i.1)),
            c.threshold.clone(),
            c.seeds.to_string(),
            c.scope.clone(),
            c.reported.clone(),
            c.full_reason(),
        ]
    });
    Table { name: "claims".into(), header: header.map(String::from).to_vec(), rows: rows.collect() }.to_csv()
}

/// How many claims got which verdict: `13 claims: 3 supported, 10 not tested at this scale`.
fn tally(claims: &[Claim]) -> String {
    let verdicts = [Verdict::Supported, Verdict::Refuted, Verdict::Inconclusive, Verdict::NotTested(String::new())];
    let counts = verdicts.iter().filter_map(|verdict| {
        let name = verdict.to_string();
        let count = claims.iter().filter(|c| c.verdict.to_string() == name).count();
        (count > 0).then(|| format!("{count} {name}"))
    });
    format!("{} claims: {}", claims.len(), counts.collect::<Vec<_>>().join(", "))
}

/// The verdicts for a terminal of some width: the verdict under the claim's id, what was claimed, and the evidence.
pub fn claims_text(claims: &[Claim], width: u16) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(["verdict", "claim", "evidence"]);
    for claim in claims {
        let lines = [
            ("ours", claim.evidence()),
            ("paper", claim.reported.clone()),
            ("rule", claim.threshold.clone()),
            ("scope", claim.scope.clone()),
            ("", claim.full_reason()),
        ];
        let lines = lines.into_iter().filter(|(_, text)| !text.is_empty()).map(|(label, text)| match label {
            "" => text,
            label => format!("{label}: {text}"),
        });
        let place =
            if claim.where_in_paper.is_empty() { String::new() } else { format!("\n({})", claim.where_in_paper) };
        table.add_row([
            format!("{}\n{}", claim.id, claim.verdict.to_string().to_uppercase()),
            format!("{}{place}", claim.statement),
            lines.collect::<Vec<_>>().join("\n"),
        ]);
    }
    // Verdicts stay in one piece; claim and evidence share the rest as three to five.
    let rest = width.saturating_sub(18);
    table.set_constraints([
        ColumnConstraint::Absolute(Width::Fixed(16)),
        ColumnConstraint::Absolute(Width::Fixed(rest * 3 / 8)),
        ColumnConstraint::Absolute(Width::Fixed(rest - rest * 3 / 8)),
    ]);
    format!("{}\n{}", table.trim_fmt(), tally(claims))
}

/// The verdicts as a Markdown table, for a README.
pub fn claims_markdown(claims: &[Claim]) -> String {
    let mut text = String::from("| | claim | verdict | ours | paper | why |\n| --- | --- | --- | --- | --- | --- |\n");
    for c in claims {
        let place = if c.where_in_paper.is_empty() { String::new() } else { format!(" ({})", c.where_in_paper) };
        let cells = [
            c.id.clone(),
            format!("{}{place}", c.statement),
            format!("**{}**", c.verdict),
            c.evidence(),
            c.reported.clone(),
            c.full_reason(),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Vec<Claim> {
        let first = Claim {
            id: "NQ2".into(),
            statement: "Accuracy on noisy labels is a quadratic of the noise ratio with free coefficients".into(),
            where_in_paper: "abstract; Eq. 4".into(),
            verdict: Verdict::Inconclusive,
            estimate: Some(0.01432),
            interval: Some((-0.002, 0.0306)),
            threshold: "|K| < 0.02".into(),
            seeds: 3,
            scope: "MNIST 3,000, MLP 784-256-10, profile quick".into(),
            reported: "K = +0.014".into(),
            reason: "The interval of the bend reaches beyond the margin on one side, so three seeds can neither \
                     confirm a straight line nor refute it; ten would."
                .into(),
        };
        let second = Claim {
            id: "NQ13".into(),
            verdict: Verdict::NotTested("WebVision is out of scope.".into()),
            estimate: None,
            interval: None,
            threshold: String::new(),
            seeds: 0,
            reported: "65.24 %".into(),
            reason: String::new(),
            ..first.clone()
        };
        vec![first, second]
    }

    #[test]
    fn where_both_rules_hold_the_claim_is_refuted() {
        use Verdict::{Inconclusive, Refuted, Supported};
        let verdicts = [(true, false), (false, false), (false, true), (true, true)].map(|(s, r)| Verdict::of(s, r));
        assert_eq!(verdicts, [Supported, Inconclusive, Refuted, Refuted]);
    }

    #[test]
    fn the_worst_setting_decides() {
        let judged = |verdicts: &[Verdict]| worst(verdicts.iter().cloned().zip(0..)).unwrap();
        use Verdict::{Inconclusive, Refuted, Supported};
        assert_eq!(judged(&[Supported, Inconclusive, Supported]), (Inconclusive, 1));
        assert_eq!(judged(&[Inconclusive, Refuted, Refuted]), (Refuted, 1));
        assert_eq!(judged(&[Supported, Supported]), (Supported, 0));
        assert!(worst(Vec::<(Verdict, ())>::new()).is_none());
    }

    #[test]
    fn a_margin_is_kept_missed_or_open() {
        let interval = |low: f64, high: f64| Interval { estimate: (low + high) / 2., low, high, level: 0.95 };
        assert_eq!(judge_within(&interval(-0.02, 0.029), 0.03), Verdict::Supported);
        assert_eq!(judge_within(&interval(-0.05, -0.031), 0.03), Verdict::Refuted);
        assert_eq!(judge_within(&interval(-0.031, 0.), 0.03), Verdict::Inconclusive);
    }

    #[test]
    fn numbers_have_three_digits() {
        let cases = [(0.01432, "0.0143"), (84.783, "84.8"), (1234.5, "1234"), (0.0, "0"), (-0.5, "-0.500")];
        for (x, text) in cases.into_iter().chain([(1.5e-5, "1.50e-5"), (f64::NAN, "NaN")]) {
            assert_eq!(short(x), text);
        }
    }

    #[test]
    fn the_terminal_table_keeps_to_its_width_and_its_words() {
        for width in [100, 80] {
            let text = claims_text(&claims(), width);
            assert!(text.lines().all(|l| l.chars().count() <= width.into()), "{text}");
            let words = ["NQ2", "INCONCLUSIVE", "ours: 0.0143 [-0.00200, 0.0306]", "paper: K = +0.014"];
            for word in words.into_iter().chain(["rule: |K| < 0.02", "NOT TESTED AT", "THIS SCALE", "out of scope."]) {
                assert!(text.contains(word), "no `{word}` in\n{text}");
            }
            assert!(text.ends_with("2 claims: 1 inconclusive, 1 not tested at this scale"), "{text}");
        }
    }

    #[test]
    fn csv_and_markdown() {
        let csv = String::from_utf8(claims_csv(&claims())).unwrap();
        let (header, rows) = csv.split_once('\n').unwrap();
        assert_eq!(header, "id,statement,where,verdict,estimate,ci_low,ci_high,threshold,seeds,scope,reported,reason");
        assert!(rows.contains(",inconclusive,0.01432,-0.002,0.0306,|K| < 0.02,3,"), "{rows}");
        assert!(rows.contains(",not tested at this scale,,,,,0,"), "{rows}");
        let markdown = claims_markdown(&[Claim { statement: "|m| is\nsmall".into(), ..claims()[0].clone() }]);
        let row = markdown.lines().nth(2).unwrap();
        assert!(row.starts_with(r"| NQ2 | \|m\| is small (abstract; Eq. 4) | **inconclusive** | 0.0143 "), "{row}");
    }
}
