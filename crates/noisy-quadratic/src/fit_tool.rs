//! `fit`: which law do the user's own accuracies follow?

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use retrial_core::Seed;
use retrial_core::chart::{Axis, Color, Figure, Layer, Panel, Share};
use retrial_core::stats::Interval;
use retrial_core::tool::{self, Error};

use crate::fits::{self, CurveStatistics, DRAWS, PairedCurves, Statistics, Verdict, analyse, verdict};
use crate::laws::{Curve, Law, Noise, Scale, Setting};

/// The command line of `fit`.
pub fn command() -> Command {
    Command::new("fit")
        .about("Fit the laws to your own accuracies at several noise ratios")
        .long_about(
            "Fit the laws to your own accuracies at several noise ratios, and say whether they are quadratic, where, and what \
             that means.\n\nThe file has a header and the columns noise_ratio and accuracy, both from 0 to 1, and, if wanted, \
             seed (runs of one seed are paired across noise ratios) and scored_on: noisy (held-out labels with the same \
             noise; the default) or clean (true labels). Noise ratios count flips to other classes: labels redrawn over all c \
             classes with probability p have ratio p(c - 1)/c.",
        )
        .arg(tool::file("FILE.csv", "Columns noise_ratio,accuracy[,seed][,scored_on]"))
        .arg(
            Arg::new("classes")
                .long("classes")
                .value_name("C")
                .default_value("10")
                .value_parser(value_parser!(u64).range(2..=10_000))
                .help("Number of classes"),
        )
        .arg(
            Arg::new("noise")
                .long("noise")
                .default_value("symmetric")
                .value_parser(value_parser!(Noise))
                .help("Wrong labels are any other class, or always the next one"),
        )
        .arg(
            Arg::new("test-size")
                .long("test-size")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("Test samples behind each accuracy, for the binomial error [default: unknown]"),
        )
        .arg(tool::out("fit.csv, estimates.csv, fit.svg and fit.png"))
}

/// Reads the file, fits, writes the results and prints them.
pub fn run(arguments: &ArgMatches) -> Result<(), Error> {
    let path: &PathBuf = arguments.get_one("file").expect("required");
    let out: &PathBuf = arguments.get_one("out").expect("has a default");
    let classes = *arguments.get_one::<u64>("classes").expect("has a default") as usize;
    let noise = *arguments.get_one::<Noise>("noise").expect("has a default");
    let test_size = arguments.get_one::<u64>("test-size").map(|n| *n as usize);
    let report = Report::new(path, &tool::read(path)?, Setting { classes, noise }, test_size, DRAWS)?;
    report.save(out)?;
    tool::say(&report.text(out));
    Ok(())
}

/// The analysis of one file.
pub struct Report {
    name: String,
    /// What was left out of the file, and why.
    notes: Vec<String>,
    /// All statistics.
    pub statistics: Statistics,
    /// The verdict on them.
    pub verdict: Verdict,
}

impl Report {
    /// Fits the rows of a file, `text`; `path` names it in messages.
    pub fn new(
        path: &Path,
        text: &str,
        setting: Setting,
        test_size: Option<usize>,
        draws: usize,
    ) -> Result<Self, Error> {
        let rows = read(path, text)?;
        let (clean, noisy) = (Grid::new(&rows, Scale::Clean), Grid::new(&rows, Scale::Noisy));
        let mut notes = Vec::new();
        for grid in [&clean, &noisy] {
            let missing: Vec<String> = grid.incomplete.iter().map(f64::to_string).collect();
            if !missing.is_empty() {
                notes.push(format!("left out, not measured for every seed: noise ratio {}", missing.join(", ")));
            }
        }
        let of = |clean: Option<&Grid>, noisy: Option<&Grid>| {
            let either = clean.or(noisy).expect("one of them");
            let curves = PairedCurves {
                setting,
                levels: either.levels.clone(),
                clean: clean.map(|grid| grid.curves.clone()),
                noisy: noisy.map(|grid| grid.curves.clone()),
                noisy_exact: false,
                test_size,
            };
            analyse(&curves, draws, Seed(0)).map_err(|error| Error::Content {
                path: path.to_owned(),
                problem: match (error, &either.incomplete[..]) {
                    (fits::Error::Levels { counted, .. }, [_, ..]) => format!(
                        "only {counted} usable noise ratios have a value for every seed; give each seed the same ones"
                    ),
                    (error, _) => error.to_string(),
                },
            })
        };
        let statistics = match (clean.seeds.is_empty(), noisy.seeds.is_empty()) {
            (false, true) => of(Some(&clean), None)?,
            (true, false) => of(None, Some(&noisy))?,
            (false, false) if clean.seeds == noisy.seeds && clean.levels == noisy.levels => {
                of(Some(&clean), Some(&noisy))?
            }
            (false, false) => {
                notes.push(
                    "clean and noisy rows have different seeds or noise ratios: each curve is judged by itself".into(),
                );
                Statistics { noisy: of(None, Some(&noisy))?.noisy, ..of(Some(&clean), None)? }
            }
            (true, true) => {
                let problem = "has a header and no rows; write one row for each noise ratio and seed".into();
                return Err(Error::Content { path: path.to_owned(), problem });
            }
        };
        let verdict = verdict(&statistics, None, &[]);
        Ok(Report { name: path.display().to_string(), notes, statistics, verdict })
    }

    /// Writes `fit.csv`, `estimates.csv`, `fit.svg` and `fit.png`, and `fit-noisy.csv` where both curves were given.
    pub fn save(&self, out: &Path) -> Result<(), Error> {
        let primary = self.statistics.primary();
        tool::write(out, "fit.csv", fit_csv(primary).as_bytes())?;
        if let (Scale::Clean, Some(noisy)) = (primary.scale, &self.statistics.noisy) {
            tool::write(out, "fit-noisy.csv", fit_csv(noisy).as_bytes())?;
        }
        tool::write(out, "estimates.csv", self.estimates_csv().as_bytes())?;
        self.figure().save(&out.join("fit"))?;
        Ok(())
    }

    /// What is printed.
    pub fn text(&self, out: &Path) -> String {
        let s = &self.statistics;
        let curve = s.primary();
        let what = format!(
            "{}: accuracy on {} labels, {} noise ratios that count, {}, {} classes, {} noise",
            self.name,
            scale_name(curve.scale),
            s.levels.len(),
            if s.seeds == 1 { "one run each".into() } else { format!("{} seeds", s.seeds) },
            s.setting.classes,
            noise_name(s.setting.noise),
        );
        let mut text = wrapped(&what, WIDTH) + "\n";
        for note in &self.notes {
            let _ = writeln!(text, "{}", wrapped(&format!("note: {note}"), WIDTH));
        }
        let _ = writeln!(text, "{}", wrapped(curve.spread.in_words(), WIDTH));
        let _ = writeln!(text, "{}\n", model_table(curve).trim_fmt());
        if let Some(straightness) = &curve.straightness {
            let shown = if straightness.equivalent { "shown to be" } else { "not shown to be" };
            let _ = writeln!(
                text,
                "departure from the straight line   K = {}   ({shown} within {} of 0)",
                interval(&straightness.bend, 4),
                fits::MARGIN
            );
        }
        if let Some(gamma) = &curve.exponent.gamma {
            let _ = writeln!(
                text,
                "exponent of the vote               gamma = {}   (1: one neighbour){}",
                interval(gamma, 3),
                if at_search_bound(gamma) {
                    "; it ends where the search does, so the data do not bound it"
                } else {
                    ""
                }
            );
        }
        if let Some(across) = &curve.exponent.across_seeds {
            let _ = writeln!(text, "  the same, fitted seed by seed    gamma = {}", interval(across, 3));
        }
        if let Some(a0) = &curve.resampling.scaled_a0 {
            let _ = writeln!(text, "accuracy without noise             a0 = {}   (of M1)", interval(a0, 4));
        }
        let written = if self.statistics.clean.is_some() && self.statistics.noisy.is_some() {
            "fit.csv, fit-noisy.csv, estimates.csv, fit.svg and fit.png"
        } else {
            "fit.csv, estimates.csv, fit.svg and fit.png"
        };
        let _ = writeln!(text, "\n{}\n\nwritten to {}: {written}", wrapped(&self.verdict.text, WIDTH), out.display());
        text
    }

    fn estimates_csv(&self) -> String {
        let mut text = String::from("estimate,value,ci_low,ci_high,level,method\n");
        let curve = self.statistics.primary();
        let mut row = |name: &str, interval: &Interval, method: &str| {
            let Interval { estimate, low, high, level } = interval;
            let _ = writeln!(text, "{name},{estimate:.6},{low:.6},{high:.6},{level},{method}");
        };
        let of_mean = if self.statistics.seeds > 1 { "t interval over seeds" } else { "from the errors of the values" };
        let resampled =
            if curve.resampling.of_seeds { "bootstrap over seeds" } else { "resampled errors of the values" };
        if let Some(s) = &curve.straightness {
            row("K", &s.bend, of_mean);
            row("K", &s.ninety, of_mean);
        }
        for contrast in &curve.contrasts {
            row(&format!("component of degree {}", contrast.degree), &contrast.size, of_mean);
        }
        for (name, interval) in [
            ("gamma", curve.exponent.gamma),
            ("a0 of M1", curve.resampling.scaled_a0),
            ("a0 of M5", curve.resampling.sharpened_a0),
            ("k of M6", curve.resampling.votes),
        ] {
            if let Some(interval) = interval {
                let open = name == "gamma" && at_search_bound(&interval);
                let method = if open { format!("{resampled}; ends at the search bound") } else { resampled.into() };
                row(name, &interval, &method);
            }
        }
        if let Some(interval) = curve.exponent.across_seeds {
            row("gamma", &interval, "t interval over fits to single seeds");
        }
        text
    }

    /// Clean accuracy beside noisy-label accuracy, and below what the scaled law M1 leaves over.
    pub fn figure(&self) -> Figure {
        let s = &self.statistics;
        let scales: Vec<Scale> = [Scale::Clean, Scale::Noisy].into_iter().filter(|scale| self.shows(*scale)).collect();
        let curve = s.primary();
        let exponent = curve.exponent.across_seeds.or(curve.exponent.gamma);
        let caption = exponent.map_or(String::new(), |i| format!("vote exponent {}. ", interval(&i, 2)));
        Figure::new(&self.verdict.sentence)
            .subtitle(&format!(
                "{}: {} noise, {} classes; bars are 95 % intervals",
                self.name,
                noise_name(s.setting.noise),
                s.setting.classes
            ))
            .caption(&format!("{caption}Shaded: levels at which every learner looks alike; they do not count."))
            .columns(scales.len())
            .share_x(Share::Line)
            .heights([300.0, 120.0])
            .panels(scales.iter().map(|scale| self.curve_panel(*scale)))
            .panels(scales.iter().map(|scale| self.residual_panel(*scale)))
    }

    /// m does not follow from A under pair noise, nor A from m.
    fn shows(&self, scale: Scale) -> bool {
        let s = &self.statistics;
        s.setting.noise == Noise::Symmetric || if scale == Scale::Clean { s.clean.is_some() } else { s.noisy.is_some() }
    }

    /// Means with 95 % intervals on a scale, by the identity where they were measured on the other.
    fn points(&self, scale: Scale) -> Vec<(f64, f64, f64, f64)> {
        let s = &self.statistics;
        let own = if scale == Scale::Clean { &s.clean } else { &s.noisy };
        let curve = own.as_ref().unwrap_or_else(|| s.primary());
        let value = |x: f64, y: f64| match (scale, own.is_some()) {
            (_, true) => Some(y),
            (Scale::Clean, false) => s.setting.clean_from_noisy(x, y),
            (Scale::Noisy, false) => Some(s.setting.noisy_accuracy(x, y, 0.0)),
        };
        let spread = |mean: &fits::LevelMean| 1.96 * mean.se;
        let point = |mean: &fits::LevelMean| {
            let at = |y| value(mean.level, y);
            let (low, high) = (at(mean.mean - spread(mean))?, at(mean.mean + spread(mean))?);
            Some((mean.level, at(mean.mean)?, low.min(high), low.max(high)))
        };
        curve.means.iter().filter_map(point).collect()
    }

    /// Levels without a standard error, since they do not count.
    fn uncounted(&self, scale: Scale) -> Vec<(f64, f64)> {
        let value = |u: &fits::Uncounted| if scale == Scale::Clean { u.clean } else { u.noisy };
        self.statistics.uncounted.iter().filter_map(|u| Some((u.level, value(u)?))).collect()
    }

    fn law(&self, law: Law) -> Option<Curve> {
        let row = self.statistics.primary().model(law)?;
        Some(law.with(self.statistics.setting, &row.parameters))
    }

    fn line(&self, curve: &Curve, scale: Scale) -> Vec<(f64, f64)> {
        (0..=200)
            .filter_map(|i| {
                let x = f64::from(i) / 200.0;
                Some((x, curve.at(scale, x)?.0))
            })
            .collect()
    }

    fn shade(&self) -> Layer {
        let blind = self.statistics.setting.blind_level();
        Layer::x_span("", (blind - 0.1).max(0.0), (blind + 0.1).min(1.0))
    }

    fn curve_panel(&self, scale: Scale) -> Panel {
        let measured = if scale == Scale::Clean { &self.statistics.clean } else { &self.statistics.noisy };
        let computed = if measured.is_none() { " (computed)" } else { "" };
        let (title, label) = match scale {
            Scale::Clean => (format!("On clean labels{computed}: a line at best"), "accuracy m"),
            Scale::Noisy => (format!("On noisy labels{computed}: a parabola at best"), "accuracy A"),
        };
        let mut panel = Panel::new()
            .title(&title)
            .x(Axis::linear("noise ratio ε").range(0.0, 1.0))
            .y(Axis::linear(label).from(0.0).to(1.0))
            .layer(self.shade());
        let literal = Law::Literal.with(self.statistics.setting, &[]);
        panel = panel.layer(Layer::theory("Eq. 4 (M0)", self.line(&literal, scale)));
        if let Some(scaled) = self.law(Law::Scaled) {
            panel = panel
                .layer(Layer::line("scaled 1-NN (M1)", self.line(&scaled, scale)).color(Color::BLUE).markers(false));
        }
        if let Some(vote) = self.law(Law::Sharpened) {
            let vote = Layer::line("sharpened vote (M5)", self.line(&vote, scale)).color(Color::VERMILLION);
            panel = panel.layer(vote.markers(false));
        }
        let apart = self.uncounted(scale);
        if !apart.is_empty() {
            panel = panel.layer(Layer::points("does not count", apart).color(Color::SKY));
        }
        panel.layer(Layer::intervals("data", self.points(scale)).color(Color::GREEN))
    }

    fn residual_panel(&self, scale: Scale) -> Panel {
        let mut panel = Panel::new()
            .x(Axis::linear("noise ratio ε").range(0.0, 1.0))
            .y(Axis::linear("less M1"))
            .layer(self.shade())
            .layer(Layer::horizontal("", 0.0));
        let Some(scaled) = self.law(Law::Scaled) else { return panel };
        let base = |x: f64| scaled.at(scale, x).map_or(f64::NAN, |(value, _)| value);
        if let Some(vote) = self.law(Law::Sharpened) {
            let line = self.line(&vote, scale).into_iter().map(|(x, y)| (x, y - base(x)));
            panel = panel.layer(Layer::line("sharpened vote (M5)", line).color(Color::VERMILLION).markers(false));
        }
        let points =
            self.points(scale).into_iter().map(|(x, y, low, high)| (x, y - base(x), low - base(x), high - base(x)));
        panel.layer(Layer::intervals("data", points).color(Color::GREEN))
    }
}

/// A row of the file.
#[derive(Debug)]
struct Row {
    noise_ratio: f64,
    accuracy: f64,
    seed: String,
    scale: Scale,
}

/// Characters in a line of text.
const WIDTH: usize = 100;

const COLUMNS: [&str; 4] = ["noise_ratio", "accuracy", "seed", "scored_on"];

fn read(path: &Path, text: &str) -> Result<Vec<Row>, Error> {
    let wrong = |line: u64, problem: String| Error::Line { path: path.to_owned(), line, problem };
    // Read line by line, so that a message names the line that an editor shows.
    let mut lines = text
        .trim_start_matches('\u{feff}')
        .lines()
        .zip(1..)
        .map(|(line, i)| (i, line))
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let fields = |line: u64, text: &str| -> Result<Vec<String>, Error> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text.as_bytes());
        match reader.records().next() {
            Some(Ok(record)) => Ok(record.iter().map(str::to_owned).collect()),
            Some(Err(error)) => Err(wrong(line, error.source().map_or(error.to_string(), |e| e.to_string()))),
            None => Ok(Vec::new()),
        }
    };
    let expected = "the columns are noise_ratio,accuracy and, if wanted, seed and scored_on";
    let Some((first, header)) = lines.next() else {
        return Err(Error::Content { path: path.to_owned(), problem: format!("is empty; {expected}") });
    };
    let header = fields(first, header)?;
    if let Some(unknown) = header.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(wrong(first, format!("unknown column `{unknown}`; {expected}")));
    }
    let mut places = [None; COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        *place = header.iter().position(|other| other == name);
        if header.iter().filter(|other| *other == name).count() > 1 {
            return Err(wrong(first, format!("column {name} stands there twice")));
        }
    }
    let [Some(noise_ratio), Some(accuracy), seed, scored_on] = places else {
        let missing = if places[0].is_none() { COLUMNS[0] } else { COLUMNS[1] };
        return Err(wrong(first, format!("no column {missing}; {expected}")));
    };
    let mut rows = Vec::new();
    let mut seen: BTreeMap<(u64, String, bool), u64> = BTreeMap::new();
    for (line, text) in lines {
        let values = fields(line, text)?;
        if values.len() != header.len() {
            return Err(wrong(line, format!("{} values under {} columns", values.len(), header.len())));
        }
        let share = |place: usize| -> Result<f64, Error> {
            let (name, text) = (&header[place], &values[place]);
            let value: f64 = text.parse().map_err(|_| wrong(line, format!("{name} is `{text}`, not a number")))?;
            if (0.0..=1.0).contains(&value) {
                // Minus zero is zero.
                return Ok(value.abs());
            }
            let remedy = if value > 1.0 && value <= 100.0 { "; write shares, not percent" } else { "" };
            Err(wrong(line, format!("{name} is {text}, outside 0 to 1{remedy}")))
        };
        let scale = match scored_on.map(|place| values[place].as_str()) {
            None | Some("noisy" | "") => Scale::Noisy,
            Some("clean") => Scale::Clean,
            Some(other) => return Err(wrong(line, format!("scored_on is `{other}`; it is noisy or clean"))),
        };
        let row = Row {
            noise_ratio: share(noise_ratio)?,
            accuracy: share(accuracy)?,
            seed: seed.map_or(String::new(), |place| values[place].clone()),
            scale,
        };
        let key = (row.noise_ratio.to_bits(), row.seed.clone(), scale == Scale::Clean);
        if let Some(before) = seen.insert(key, line) {
            let of = if seed.is_some() { format!(" of seed `{}`", row.seed) } else { String::new() };
            let remedy = if seed.is_some() { "" } else { "; tell runs apart by a column seed" };
            let problem = format!("noise ratio {}{of} has a value on line {before} already{remedy}", row.noise_ratio);
            return Err(wrong(line, problem));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Whether an interval of the exponent ends where its search does: then the data do not bound it on that side.
fn at_search_bound(gamma: &Interval) -> bool {
    let [(low, high)] = fits::bounds(Law::Sharpened) else { return false };
    gamma.low <= *low || gamma.high >= *high
}

/// The rows of one scale as paired curves.
struct Grid {
    seeds: Vec<String>,
    levels: Vec<f64>,
    /// `[seed][level]`
    curves: Vec<Vec<f64>>,
    /// Levels that some seed lacks: they cannot be paired.
    incomplete: Vec<f64>,
}

impl Grid {
    fn new(rows: &[Row], scale: Scale) -> Self {
        // Shares are not negative, so their bits are in order.
        let mut by_seed: BTreeMap<&str, BTreeMap<u64, f64>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.scale == scale) {
            by_seed.entry(&row.seed).or_default().insert(row.noise_ratio.to_bits(), row.accuracy);
        }
        let mut all: Vec<u64> = by_seed.values().flat_map(|curve| curve.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        let (whole, part): (Vec<u64>, Vec<u64>) =
            all.into_iter().partition(|level| by_seed.values().all(|curve| curve.contains_key(level)));
        Grid {
            seeds: by_seed.keys().map(|seed| seed.to_string()).collect(),
            curves: by_seed.values().map(|curve| whole.iter().map(|level| curve[level]).collect()).collect(),
            levels: whole.into_iter().map(f64::from_bits).collect(),
            incomplete: part.into_iter().map(f64::from_bits).collect(),
        }
    }
}

fn fit_csv(curve: &CurveStatistics) -> String {
    let mut text = String::from("model,k,parameters,chi2,aicc,delta_aicc,bic,akaike_weight,loo_rmse\n");
    let optional = |value: Option<f64>| value.map_or(String::new(), |x| format!("{x:.6}"));
    for row in &curve.models {
        let _ = writeln!(
            text,
            "{},{},{},{:.6},{},{},{:.6},{},{}",
            row.law.name(),
            row.k,
            parameters(row, 6),
            row.chi2,
            optional(row.aicc),
            optional(row.delta_aicc),
            row.bic,
            optional(row.akaike_weight),
            optional(row.loo(curve.scale))
        );
    }
    text
}

/// `a0=0.9222 gamma=1.0484`
fn parameters(row: &fits::ModelRow, digits: i32) -> String {
    // Adding zero makes a minus zero a zero.
    let rounded = |value: f64| (value * 10f64.powi(digits)).round() / 10f64.powi(digits) + 0.0;
    let named = row.law.parameters().iter().zip(&row.parameters);
    named.map(|(name, value)| format!("{name}={}", rounded(*value))).collect::<Vec<_>>().join(" ")
}

/// The laws, best first.
fn model_table(curve: &CurveStatistics) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(["law", "parameters", "chi2", "d AICc", "weight", "left out"]);
    let mut rows: Vec<&fits::ModelRow> = curve.models.iter().collect();
    let rank = |row: &fits::ModelRow| row.delta_aicc.unwrap_or(f64::INFINITY);
    rows.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    for row in rows {
        let optional = |value: Option<f64>, digits: usize| value.map_or("-".into(), |x| format!("{x:.digits$}"));
        table.add_row([
            row.law.name().into(),
            parameters(row, 3),
            format!("{:.1}", row.chi2),
            optional(row.delta_aicc, 1),
            optional(row.akaike_weight, 3),
            optional(row.loo(curve.scale), 4),
        ]);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        column.set_cell_alignment(if i < 2 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

fn interval(i: &Interval, digits: usize) -> String {
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", i.estimate, i.low, i.high)
}

fn scale_name(scale: Scale) -> &'static str {
    match scale {
        Scale::Clean => "clean",
        Scale::Noisy => "noisy",
    }
}

fn noise_name(noise: Noise) -> &'static str {
    match noise {
        Noise::Symmetric => "symmetric",
        Noise::Pair => "pair",
    }
}

fn wrapped(text: &str, width: usize) -> String {
    let mut result = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            result.push('\n');
            used = 0;
        } else if used > 0 {
            result.push(' ');
            used += 1;
        }
        result.push_str(word);
        used += length;
    }
    result
}
