//! The numbers that a paper reports: `data/reported/<paper>.csv`.

use std::path::Path;

use serde::Deserialize;

use super::{Error, parse_csv};

/// One number, with where it comes from and how far it can be trusted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReportedNumber {
    /// The paper, or `external:<name>` for a number of somebody else's.
    pub paper: String,
    /// Table, figure or text it stands in.
    pub item: String,
    /// Data set.
    pub dataset: String,
    /// Architecture.
    pub model: String,
    /// Method.
    pub method: String,
    /// What is varied; column `noise_kind` or `condition`.
    #[serde(alias = "noise_kind")]
    pub condition: String,
    /// How much of it, as printed: a number or words; column `noise_level` or `level`.
    #[serde(alias = "noise_level")]
    pub level: String,
    /// What was measured, and its unit.
    pub metric: String,
    /// The number, in the metric's unit.
    pub value: f64,
    /// The spread printed beside it, if any.
    pub std: Option<f64>,
    /// How it was read: `table`, `text`, `code-readme`, `figure-read`.
    pub source_kind: String,
    /// Caveats.
    pub note: String,
}

impl ReportedNumber {
    /// The level, where it is a number.
    pub fn level(&self) -> Option<f64> {
        self.level.trim().parse().ok()
    }

    /// False for numbers that nobody has checked against a source.
    pub fn is_trusted(&self) -> bool {
        ![&self.note, &self.source_kind].iter().any(|text| text.contains("from-memory-unverified"))
    }
}

/// Reported numbers, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// The rows that are left after the filters.
    pub numbers: Vec<ReportedNumber>,
}

impl Reported {
    /// Reads a file.
    ///
    /// # Errors
    /// With file, line and column, if a row has no number where one must be.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Ok(Self { numbers: super::read_csv(path)? })
    }

    /// As [`Self::load`], from the file's text, so that a paper may carry it in its binary (`include_str!`); `name` is
    /// what errors call it.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        Ok(Self { numbers: parse_csv(Path::new(name), text.as_bytes())? })
    }

    /// The rows that satisfy a condition.
    pub fn filter(&self, keep: impl Fn(&ReportedNumber) -> bool) -> Self {
        Self { numbers: self.numbers.iter().filter(|n| keep(n)).cloned().collect() }
    }

    /// Without the rows that were written down from memory.
    pub fn trusted(&self) -> Self {
        self.filter(ReportedNumber::is_trusted)
    }

    /// Rows of a table or figure: those whose item contains `part`.
    pub fn item(&self, part: &str) -> Self {
        self.filter(|n| n.item.contains(part))
    }

    /// Rows with exactly this metric.
    pub fn metric(&self, metric: &str) -> Self {
        self.filter(|n| n.metric == metric)
    }

    /// Rows of exactly this method.
    pub fn method(&self, method: &str) -> Self {
        self.filter(|n| n.method == method)
    }

    /// Rows under exactly this condition (noise kind).
    pub fn condition(&self, condition: &str) -> Self {
        self.filter(|n| n.condition == condition)
    }

    /// The first row at a numeric level.
    pub fn at(&self, level: f64) -> Option<&ReportedNumber> {
        self.numbers.iter().find(|n| n.level().is_some_and(|l| (l - level).abs() < 1e-9))
    }

    /// Level and value of the rows with a numeric level, by rising level: the paper's own points for a chart.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let mut points: Vec<_> = self.numbers.iter().filter_map(|n| Some((n.level()?, n.value))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "paper,item,dataset,model,method,noise_kind,noise_level,metric,value,std,source_kind,note\n";

    #[test]
    fn filters_points_and_trust() {
        let text = format!(
            "{HEADER}P,Table 1,D,M,ours,symmetric,0.5,accuracy %,84.78,0.33,table,\n\
             P,Table 1,D,M,ours,symmetric,0.2,accuracy %,89.71,,table,\n\
             P,Table 1,D,M,ours,symmetric,,accuracy %,1,,table,from-memory-unverified\n\
             P,Table 1,D,M,theirs,pair,0.2,accuracy %,80,,table,\n"
        );
        let all = Reported::parse("p.csv", &text).unwrap();
        assert_eq!(all.numbers.len(), 4);
        assert_eq!(all.trusted().numbers.len(), 3);
        let ours = all.item("Table").metric("accuracy %").method("ours").condition("symmetric");
        assert_eq!(ours.points(), [(0.2, 89.71), (0.5, 84.78)]);
        assert_eq!(ours.at(0.5).unwrap().std, Some(0.33));
        assert_eq!(ours.at(0.3), None);
    }

    #[test]
    fn a_bad_row_is_told_with_its_line() {
        let text = format!("{HEADER}P,T,D,M,m,s,0.5,a,high,,table,\n");
        let error = Reported::parse("data/reported/p.csv", &text).unwrap_err().to_string();
        assert_eq!(error, "data/reported/p.csv, line 2: column `value`: invalid float literal");
    }

    /// The files that are shipped: readable, with something to compare with in each.
    #[test]
    fn the_shipped_files_are_readable() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/reported");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let reported = Reported::load(&entry.unwrap().path()).unwrap();
            assert!(!reported.trusted().numbers.is_empty());
            assert!(reported.numbers.iter().all(|n| n.value.is_finite() && !n.metric.is_empty()));
            files += 1;
        }
        assert!(files > 0);
    }
}
