//! `sensitivity`: when were the user's own networks most sensitive?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use retrial_core::Seed;
use retrial_core::chart::{Axis, Color, Figure, Layer, Panel};
use retrial_core::results::short;
use retrial_core::stats::{Interval, bootstrap, mean_t_interval, spearman};
use retrial_core::tool::{self, Error};

/// Draws of the bootstrap over seeds.
const DRAWS: usize = 2_000;
const COLUMNS: [&str; 4] = ["seed", "onset", "window", "accuracy"];

/// The command line of `sensitivity`.
pub fn command() -> Command {
    Command::new("sensitivity")
        .about("Find the critical period in your own runs: accuracies after a deficit that began at several epochs")
        .long_about(
            "Find the critical period in your own runs.\n\nThe file has a header and the columns seed, onset, window and \
             accuracy: one row for each run, with the epoch at which its deficit began and the number of epochs it lasted. \
             The control of a seed, without deficit, has an empty onset. Accuracies are shares (0 to 1) or per cent (0 to \
             100), not both.",
        )
        .arg(tool::file("RUNS.csv", "Columns seed,onset,window,accuracy"))
        .arg(tool::out("sensitivity.csv, sensitivity.svg and sensitivity.png"))
}

/// Reads the file, writes what was found and prints it.
///
/// # Errors
/// With file and line, if a row cannot be used.
pub fn run(arguments: &ArgMatches) -> Result<(), Error> {
    let path: &PathBuf = arguments.get_one("file").expect("required");
    let out: &PathBuf = arguments.get_one("out").expect("has a default");
    let report = Report::new(path, &tool::read(path)?)?;
    tool::write(out, "sensitivity.csv", report.csv().as_bytes())?;
    report.figure().save(&out.join("sensitivity"))?;
    tool::say(&report.text());
    Ok(())
}

/// Sensitivity at one onset: the mean paired drop in percentage points.
#[derive(Clone, Debug, PartialEq)]
pub struct Onset {
    /// Epoch at which the deficit began.
    pub onset: f64,
    /// Drops, control minus run, by seed.
    pub drops: BTreeMap<u64, f64>,
    /// Mean drop.
    pub mean: f64,
    /// 95 % interval of the mean; none with fewer than two seeds.
    pub interval: Option<Interval>,
}

/// Runs of one window length.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Epochs that the deficit lasted.
    pub length: f64,
    /// In order of the onset.
    pub onsets: Vec<Onset>,
    /// Seeds that have every onset. They alone say where the peak is and what the trend; if there are none, all do.
    pub complete: usize,
    /// Onset of the largest mean drop; none with one onset, or if all mean drops are equal.
    pub peak: Option<f64>,
    /// Its 95 % bootstrap interval over seeds; none with fewer than two seeds that have every onset.
    pub peak_interval: Option<Interval>,
    /// Spearman correlation of onset and mean drop, and its p value; none with fewer than three onsets.
    pub trend: Option<(f64, f64)>,
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// By length.
    pub windows: Vec<Window>,
    /// Seeds that have a control and no run.
    pub idle_controls: Vec<u64>,
}

impl Report {
    /// Judges the rows of a file, `text`; `path` names it in messages.
    ///
    /// # Errors
    /// With file and line, if a row cannot be used.
    pub fn new(path: &Path, text: &str) -> Result<Self, Error> {
        let rows = read(path, text)?;
        let content = |problem: &str| Error::Content { path: path.into(), problem: problem.into() };
        if rows.is_empty() {
            return Err(content("has a header and no rows; write one row for each run"));
        }
        // One scale for the whole file: what most rows look like. 0 may be either.
        let (shares, percents): (Vec<&Row>, Vec<&Row>) =
            rows.iter().filter(|row| row.accuracy > 0.).partition(|row| row.accuracy <= 1.);
        let percent = shares.len() <= percents.len() && !percents.is_empty();
        let odd = if percent { shares.first() } else { percents.first() };
        if let Some(row) = odd {
            let others = if percent { "per cent" } else { "shares" };
            let problem = format!(
                "an accuracy of {} where others are {others}; write all as shares from 0 to 1, or all from 0 to 100",
                row.accuracy
            );
            return Err(Error::Line { path: path.into(), line: row.line, problem });
        }
        let scale = if percent { 1. } else { 100. };
        let mut controls: BTreeMap<u64, f64> = BTreeMap::new();
        let mut runs: BTreeMap<(u64, u64), BTreeMap<u64, (f64, u64)>> = BTreeMap::new();
        for row in &rows {
            let duplicate = match row.window {
                None => controls.insert(row.seed, scale * row.accuracy).is_some(),
                // Positive floats are ordered as their bits.
                Some((onset, length)) => {
                    let key = (length.to_bits(), onset.to_bits());
                    runs.entry(key).or_default().insert(row.seed, (scale * row.accuracy, row.line)).is_some()
                }
            };
            if duplicate {
                let problem = format!("seed {} has this run twice; remove one of the rows", row.seed);
                return Err(Error::Line { path: path.into(), line: row.line, problem });
            }
        }
        let mut windows: Vec<Window> = vec![];
        for ((length, onset), seeds) in runs {
            let (length, onset) = (f64::from_bits(length), f64::from_bits(onset));
            let mut drops = BTreeMap::new();
            for (seed, (accuracy, line)) in seeds {
                let Some(control) = controls.get(&seed) else {
                    let problem = format!("seed {seed} has no control; add a row with this seed and an empty onset");
                    return Err(Error::Line { path: path.into(), line, problem });
                };
                drops.insert(seed, control - accuracy);
            }
            let values: Vec<f64> = drops.values().copied().collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let onset = Onset { onset, drops, mean, interval: mean_t_interval(&values, 0.95).ok() };
            match windows.last_mut().filter(|w| w.length == length) {
                Some(window) => window.onsets.push(onset),
                None => windows.push(Window {
                    length,
                    onsets: vec![onset],
                    complete: 0,
                    peak: None,
                    peak_interval: None,
                    trend: None,
                }),
            }
        }
        if windows.is_empty() {
            return Err(content("has controls only; add runs with an onset and a window"));
        }
        windows.iter_mut().for_each(Window::judge);
        let has_runs = |seed: &u64| windows.iter().flat_map(|w| &w.onsets).any(|o| o.drops.contains_key(seed));
        let idle_controls = controls.keys().copied().filter(|seed| !has_runs(seed)).collect();
        Ok(Self { windows, idle_controls })
    }

    /// `onset,window,n,mean_drop,ci95_low,ci95_high`, drops in percentage points.
    pub fn csv(&self) -> String {
        let mut text = "onset,window,n,mean_drop,ci95_low,ci95_high\n".to_string();
        for window in &self.windows {
            for o in &window.onsets {
                let limit = |of: fn(&Interval) -> f64| o.interval.as_ref().map_or(String::new(), |i| of(i).to_string());
                let (low, high) = (limit(|i| i.low), limit(|i| i.high));
                text += &format!("{},{},{},{},{low},{high}\n", o.onset, window.length, o.drops.len(), o.mean);
            }
        }
        text
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for w in &self.windows {
            let seeds: std::collections::BTreeSet<u64> =
                w.onsets.iter().flat_map(|o| o.drops.keys().copied()).collect();
            text += &format!("Window of {} epochs, {} onsets, {} seeds", w.length, w.onsets.len(), seeds.len());
            text += &match (seeds.len() - w.complete, w.complete) {
                (0, _) => ".\n".to_string(),
                (_, 0) => "; none has every onset, so each onset is the mean of its own seeds.\n".into(),
                (left, _) => format!("; {left} of them lack an onset and are left out of the peak and the trend.\n"),
            };
            text += &match (w.peak, &w.peak_interval) {
                (None, _) if w.onsets.len() == 1 => "  one onset has no peak; add runs at other onsets\n".to_string(),
                (None, _) => "  no peak: the mean drop is the same at every onset\n".into(),
                (Some(peak), Some(i)) => {
                    format!("  most sensitive at onset {peak} (95 % over seeds: {} to {})\n", i.low, i.high)
                }
                (Some(peak), None) => {
                    format!("  most sensitive at onset {peak} (no interval: fewer than two complete seeds)\n")
                }
            };
            let at = |o: &Onset| format!("{} at {}", short(o.mean), o.onset);
            let drops: Vec<String> = w.onsets.iter().map(at).collect();
            text += &format!("  mean drop in percentage points, all seeds: {}\n", drops.join(", "));
            if let Some((r, p)) = w.trend {
                text += &format!("  Spearman correlation of onset and drop: {r:.2} (p = {})\n", short(p));
            }
        }
        if !self.idle_controls.is_empty() {
            let seeds: Vec<String> = self.idle_controls.iter().map(u64::to_string).collect();
            text += &format!("Controls without any run, left out: seed {}.\n", seeds.join(", "));
        }
        text
    }

    fn figure(&self) -> Figure {
        let mut panel = Panel::new()
            .x(Axis::linear("onset of the deficit (epoch)"))
            .y(Axis::linear("loss of final accuracy (percentage points)"))
            .layer(Layer::horizontal("no loss", 0.));
        for (window, color) in self.windows.iter().zip([Color::VERMILLION, Color::BLUE, Color::GREEN].iter().cycle()) {
            let point = |o: &Onset| {
                let (low, high) = o.interval.as_ref().map_or((f64::NAN, f64::NAN), |i| (i.low, i.high));
                (o.onset, o.mean, low, high)
            };
            let name = format!("window of {} epochs", window.length);
            panel = panel.layer(Layer::band(&name, window.onsets.iter().map(point)).color(*color));
        }
        Figure::new("When were the networks most sensitive?")
            .subtitle("mean paired drop from the control; bands are 95 % intervals over seeds")
            .panel(panel)
            .heights([360.])
    }
}

impl Window {
    fn judge(&mut self) {
        let onsets: Vec<f64> = self.onsets.iter().map(|o| o.onset).collect();
        let complete: Vec<u64> = self.onsets[0]
            .drops
            .keys()
            .copied()
            .filter(|seed| self.onsets.iter().all(|o| o.drops.contains_key(seed)))
            .collect();
        self.complete = complete.len();
        let means_of = |chosen: &[usize]| -> Vec<f64> {
            let mean = |o: &Onset| chosen.iter().map(|&i| o.drops[&complete[i]]).sum::<f64>() / chosen.len() as f64;
            self.onsets.iter().map(mean).collect()
        };
        let top = |means: &[f64]| {
            let top = (0..means.len()).max_by(|&a, &b| means[a].total_cmp(&means[b]).then(b.cmp(&a)));
            top.map_or(f64::NAN, |i| onsets[i])
        };
        let all: Vec<usize> = (0..complete.len()).collect();
        let means = if all.is_empty() { self.onsets.iter().map(|o| o.mean).collect() } else { means_of(&all) };
        // Drops are differences of decimal numbers: equal ones may differ in the last bit.
        let flat = means.iter().all(|m| (m - means[0]).abs() < 1e-9);
        let peak_interval =
            bootstrap(complete.len(), DRAWS, &mut Seed(0).stream("sensitivity"), |chosen| vec![top(&means_of(chosen))]);
        let peak_interval = peak_interval.ok().and_then(|b| b.interval(0, 0.95).ok()).filter(|_| !flat);
        self.peak = (!flat).then(|| top(&means));
        self.trend = (onsets.len() >= 3).then(|| spearman(&onsets, &means).ok()).flatten().map(|c| (c.r, c.p));
        self.peak_interval = peak_interval;
    }
}

struct Row {
    line: u64,
    seed: u64,
    /// Onset and length; none for a control.
    window: Option<(f64, f64)>,
    accuracy: f64,
}

fn read(path: &Path, text: &str) -> Result<Vec<Row>, Error> {
    let at = |line: u64, problem: String| Error::Line { path: path.into(), line, problem };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| at(1, e.to_string()))?.clone();
    let mut places = [0; 4];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let mut found = header.iter().enumerate().filter(|(_, h)| *h == name).map(|(i, _)| i);
        *place = found
            .next()
            .ok_or_else(|| at(1, format!("there is no column `{name}`; the header must be {}", COLUMNS.join(","))))?;
        if found.next().is_some() {
            return Err(at(1, format!("the column `{name}` stands twice; remove one")));
        }
    }
    let mut rows = vec![];
    for record in reader.records() {
        let record = record.map_err(|e| {
            let line = tool::line(text, e.position());
            at(line, format!("it does not have the {} columns of the header", header.len()))
        })?;
        let line = tool::line(text, record.position());
        let [seed, onset, window, accuracy] = places.map(|place| &record[place]);
        let number = |name: &str, text: &str, most: f64| {
            let value: Option<f64> = text.parse().ok().filter(|x: &f64| x.is_finite() && (0. ..=most).contains(x));
            let range =
                if most.is_finite() { format!("a number from 0 to {most}") } else { "a number from 0 on".into() };
            // Minus zero would be another key than zero.
            value.map(f64::abs).ok_or_else(|| match text {
                "" => at(line, format!("the {name} is missing; write {range}")),
                _ => at(line, format!("`{text}` is no {name}; write {range}")),
            })
        };
        let seed = seed.parse().map_err(|_| at(line, format!("`{seed}` is no seed; write a whole number")))?;
        let window = match onset {
            "" => None,
            onset => Some((number("onset", onset, f64::INFINITY)?, number("window", window, f64::INFINITY)?)),
        };
        if window.is_some_and(|(_, length)| length == 0.) {
            let problem = "a window of 0 epochs is no deficit; leave the onset empty if this is the control";
            return Err(at(line, problem.into()));
        }
        rows.push(Row { line, seed, window, accuracy: number("accuracy", accuracy, 100.)? });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: &str = "seed,onset,window,accuracy\n1,,,0.90\n2,,,0.92\n1,0,4,0.86\n2,0,4,0.89\n1,4,4,0.84\n2,4,4,0.85\n\
                        1,8,4,0.90\n2,8,4,0.91\n";

    fn problem(text: &str) -> String {
        Report::new(Path::new("runs.csv"), text).expect_err("refused").to_string()
    }

    /// Drops by hand: 4 and 3, 6 and 7, 0 and 1.
    #[test]
    fn drops_are_paired_with_the_control_of_their_seed() {
        let report = Report::new(Path::new("runs.csv"), RUNS).unwrap();
        let [window] = &report.windows[..] else { panic!("one window") };
        let means: Vec<f64> = window.onsets.iter().map(|o| (o.mean * 1e9).round() / 1e9).collect();
        assert_eq!((means, window.peak), (vec![3.5, 6.5, 0.5], Some(4.)));
        assert_eq!(window.peak_interval.map(|i| (i.low, i.high)), Some((4., 4.)));
        // Two seeds: half-width t(0.975, 1) * sd / sqrt(2) = 12.706 * 0.5.
        assert!((window.onsets[0].interval.unwrap().high - 9.853).abs() < 1e-3);
        assert!((window.trend.unwrap().0 + 0.5).abs() < 1e-9);
        assert!(report.csv().starts_with("onset,window,n,mean_drop,ci95_low,ci95_high\n0,4,2,3."));
        // Per cent gives the same drops.
        let percent = RUNS.replace(",0.", ",");
        let again = Report::new(Path::new("runs.csv"), &percent).unwrap();
        assert!((again.windows[0].onsets[1].mean - 6.5).abs() < 1e-9);
    }

    /// Seed 3 alone would put the peak at onset 0.
    #[test]
    fn seeds_without_every_onset_do_not_move_the_peak() {
        let report = Report::new(Path::new("runs.csv"), &format!("{RUNS}3,,,0.90\n3,0,4,0.10\n")).unwrap();
        assert_eq!((report.windows[0].peak, report.windows[0].complete), (Some(4.), 2));
        assert!(report.text().contains("3 seeds; 1 of them lack an onset"), "{}", report.text());
    }

    /// Complete seeds rise by 1, 3, 5 pp; seed 3 alone would turn the trend to -0.5.
    #[test]
    fn seeds_without_every_onset_do_not_move_the_trend() {
        let text = "seed,onset,window,accuracy\n1,,,90\n2,,,90\n3,,,90\n1,0,4,89\n2,0,4,89\n1,4,4,87\n2,4,4,87\n\
                    1,8,4,85\n2,8,4,85\n3,0,4,50\n";
        let report = Report::new(Path::new("runs.csv"), text).unwrap();
        let window = &report.windows[0];
        assert_eq!(window.peak, Some(8.));
        assert!(window.trend.unwrap().0 > 0.999);
        assert!(report.text().contains("left out of the peak and the trend"), "{}", report.text());
    }

    #[test]
    fn one_onset_or_equal_drops_have_no_peak() {
        let of = |rows: &str| {
            let text = format!("seed,onset,window,accuracy\n1,,,0.9\n2,,,0.9\n{rows}");
            Report::new(Path::new("runs.csv"), &text).unwrap()
        };
        let one = of("1,0,4,0.8\n2,0,4,0.7\n");
        assert_eq!((one.windows[0].peak, one.windows[0].peak_interval), (None, None));
        assert!(one.text().contains("one onset has no peak"), "{}", one.text());
        let flat = of("1,0,4,0.8\n1,4,4,0.8\n2,0,4,0.7\n2,4,4,0.7\n");
        assert_eq!((flat.windows[0].peak, flat.windows[0].peak_interval), (None, None));
        assert!(flat.text().contains("same at every onset"), "{}", flat.text());
    }

    #[test]
    fn a_control_without_runs_is_named() {
        let report = Report::new(Path::new("runs.csv"), &format!("{RUNS}7,,,0.90\n")).unwrap();
        assert_eq!(report.idle_controls, [7]);
        assert!(report.text().contains("Controls without any run, left out: seed 7."), "{}", report.text());
    }

    #[test]
    fn bad_rows_are_told_with_their_line() {
        for (text, words) in [
            ("seed,onset,accuracy\n", vec!["line 1", "`window`"]),
            ("seed,onset,window,accuracy\n", vec!["no rows"]),
            ("seed,onset,window,accuracy\n1,,,0.9\n", vec!["controls only"]),
            ("seed,onset,window,accuracy\n1,,,0.9\n2,0,4,0.8\n", vec!["line 3", "seed 2 has no control"]),
            ("seed,onset,window,accuracy\n1,,,0.9\n1,0,4,0.8\n1,0,4,0.7\n", vec!["line 4", "twice"]),
            ("seed,onset,window,accuracy\n1,,,90\n1,0,4,0.8\n", vec!["line 3", "0.8", "per cent"]),
            ("seed,onset,window,accuracy\n1,,,0.9\n1,0,4,0.8\n1,4,4,1.2\n", vec!["line 4", "1.2", "others are shares"]),
            ("seed,onset,window,accuracy,accuracy\n1,,,0.9,0.9\n", vec!["line 1", "`accuracy` stands twice"]),
            ("seed,onset,window,accuracy\n1,,,0.9\n1,0,0,0.8\n", vec!["line 3", "window of 0 epochs"]),
            ("seed,onset,window,accuracy\n1,,,nan\n", vec!["line 2", "`nan`"]),
            ("seed,onset,window,accuracy\n1,,,101\n", vec!["line 2", "0 to 100"]),
            ("seed,onset,window,accuracy\nx,,,0.9\n", vec!["line 2", "`x` is no seed"]),
            ("seed,onset,window,accuracy\n1,,0.9\n", vec!["line 2", "columns"]),
            ("seed,onset,window,accuracy\n1,-2,4,0.9\n", vec!["line 2", "`-2`"]),
            (
                "seed,onset,window,accuracy\n1,inf,4,0.9\n",
                vec!["line 2", "`inf` is no onset; write a number from 0 on"],
            ),
            ("seed,onset,window,accuracy\n1,2,,0.9\n", vec!["line 2", "the window is missing; write a number"]),
        ] {
            let message = problem(text);
            for word in words {
                assert!(message.contains(word), "{word:?} is missing in: {message}");
            }
            assert!(message.starts_with("runs.csv") && !message.contains('\n'), "{message}");
        }
    }
}
