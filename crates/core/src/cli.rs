//! The command line that all papers share.
//!
//! Exit status: 0 done, 1 failed (also when a cell diverged or failed), 2 wrong usage. Every error is one line on
//! stderr: what is wrong, where, and what to do.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use candle_core::Device;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use comfy_table::{CellAlignment, ContentArrangement, presets};

use crate::experiment::{
    ConfigFile, Experiment, Folder, Options, Paper, Profile, Report, Status, distinct_cells, duration, io_error_text,
    read_record, replace_file, run, train_cell,
};
use crate::results::{Results, claims_csv, claims_markdown, claims_text};

/// A paper's own subcommand, beside those that all papers have.
pub struct Tool {
    /// Its name, help and arguments.
    pub command: clap::Command,
    /// What it does.
    pub run: Handler,
}

/// Runs a tool with its parsed arguments; an error is shown as one line and makes the exit status 1.
pub type Handler = Box<dyn Fn(&ArgMatches) -> Result<(), Box<dyn Error>>>;

impl Tool {
    /// A tool whose arguments are a struct that derives [`clap::Args`].
    pub fn new<A: Args>(
        name: &'static str,
        about: &'static str,
        run: impl Fn(A) -> Result<(), Box<dyn Error>> + 'static,
    ) -> Self {
        // Last, so that the doc comment of the struct does not replace it.
        let command = A::augment_args(clap::Command::new(name)).about(about);
        Self { command, run: Box::new(move |matches| run(A::from_arg_matches(matches)?)) }
    }

    /// A tool whose command is built by hand.
    pub fn from_command<E: Error + 'static>(command: clap::Command, run: fn(&ArgMatches) -> Result<(), E>) -> Self {
        Self { command, run: Box::new(move |matches| Ok(run(matches)?)) }
    }
}

/// Trains the cells, draws the figures and judges the claims of one paper. Without a subcommand it does all three; what
/// is finished already is not trained again.
#[derive(Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exit status: 0 done, 1 failed (also if a cell diverged or failed), 2 wrong usage."
)]
struct Cli {
    #[command(flatten)]
    all: RunArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Show the experiments of a profile: their cells, how many are done, and the expected time
    List(ListArguments),
    /// Train all cells of a profile that are not finished
    Run(RunArguments),
    /// Train one cell from a config file (the config.json of a finished cell, copied and edited; JSON or TOML)
    Cell(CellArguments),
    /// Draw figures and tables from finished cells
    Figures(GridArguments),
    /// Judge the claims from finished cells: a table here, and claims.csv
    Claims(ClaimsArguments),
}

#[derive(Args)]
struct PlaceArguments {
    /// How much is run
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    profile: Profile,
    /// Folder of all results
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

#[derive(Args)]
struct GridArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Number of seeds, in place of the profile's
    #[arg(long, value_name = "N")]
    seeds: Option<NonZeroUsize>,
}

#[derive(Args)]
struct ListArguments {
    #[command(flatten)]
    grid: GridArguments,
    /// Only this experiment, with each of its cells (may be repeated)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

#[derive(Args)]
struct RunArguments {
    #[command(flatten)]
    grid: GridArguments,
    /// Only this experiment (may be repeated)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Cells trained at a time [default: number of cores, 1 on a GPU]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    #[command(flatten)]
    training: TrainingArguments,
}

#[derive(Args)]
struct TrainingArguments {
    /// Threads of each cell; results do not depend on it
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Where to compute: cpu or cuda:N
    #[arg(long, value_parser = parse_device, default_value = "cpu")]
    device: DeviceChoice,
    /// Folder with the full data sets
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Seconds between checkpoints of a cell
    #[arg(long, value_name = "SECONDS", default_value_t = Options::CHECKPOINT_EVERY.as_secs_f64(), hide = true)]
    checkpoint_seconds: f64,
}

#[derive(Args)]
struct CellArguments {
    /// The config file
    config: PathBuf,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    training: TrainingArguments,
}

#[derive(Args)]
struct ClaimsArguments {
    #[command(flatten)]
    grid: GridArguments,
    /// Print a Markdown table
    #[arg(long)]
    markdown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeviceChoice {
    Cpu,
    Cuda(usize),
}

fn parse_device(text: &str) -> Result<DeviceChoice, String> {
    match (text, text.strip_prefix("cuda:").map(str::parse)) {
        ("cpu", _) => Ok(DeviceChoice::Cpu),
        ("cuda", _) => Ok(DeviceChoice::Cuda(0)),
        (_, Some(Ok(number))) => Ok(DeviceChoice::Cuda(number)),
        _ => Err("expected cpu or cuda:N, such as cuda:0".into()),
    }
}

/// Why the program ends with another status than 0.
enum Failure {
    /// Status 2.
    Usage(String),
    /// Status 1.
    Failed(String),
    /// Status 1, after everything has been said.
    Told,
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.to_string())
    }
}

/// The `main` of a paper's binary: reads the command line and does what it says.
pub fn main<P: Paper>(paper: P, tools: Vec<Tool>) -> ExitCode {
    let command = Cli::command().name(paper.id()).about(paper.title()).version(env!("CARGO_PKG_VERSION"));
    let matches = command.subcommands(tools.iter().map(|tool| tool.command.clone())).get_matches();
    let outcome = match matches.subcommand() {
        Some((name, arguments)) if tools.iter().any(|t| t.command.get_name() == name) => {
            let tool = tools.iter().find(|t| t.command.get_name() == name);
            tool.map_or(Ok(()), |t| (t.run)(arguments)).map_err(|e| Failure::Failed(e.to_string()))
        }
        _ => Cli::from_arg_matches(&matches).map_err(|e| e.exit()).and_then(|cli| dispatch(&paper, cli)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::from(1),
        Err(Failure::Failed(line)) => tell(&line, 1),
        Err(Failure::Usage(line)) => tell(&line, 2),
    }
}

fn tell(line: &str, status: u8) -> ExitCode {
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "error: {}", line.trim_end().replace('\n', " "));
    ExitCode::from(status)
}

fn dispatch<P: Paper>(paper: &P, cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Some(Command::List(arguments)) => list(paper, &arguments),
        Some(Command::Run(arguments)) => run_grid(paper, &arguments),
        Some(Command::Cell(arguments)) => run_cell(paper, &arguments),
        Some(Command::Figures(arguments)) => figures(paper, &arguments),
        Some(Command::Claims(arguments)) => claims(paper, &arguments.grid, arguments.markdown),
        None => {
            // Cells that diverged or failed do not keep the others from being judged; they count in the status.
            let trained = match run_grid(paper, &cli.all) {
                Err(Failure::Told) => Err(Failure::Told),
                other => return other.and_then(|()| judge(paper, &cli.all.grid)),
            };
            judge(paper, &cli.all.grid)?;
            trained
        }
    }
}

fn judge<P: Paper>(paper: &P, grid: &GridArguments) -> Result<(), Failure> {
    figures(paper, grid)?;
    claims(paper, grid, false)
}

impl PlaceArguments {
    fn folder<P: Paper>(&self, paper: &P) -> Folder {
        Folder::new(&self.results, self.profile, paper.id())
    }
}

impl GridArguments {
    fn experiments<P: Paper>(&self, paper: &P) -> Vec<Experiment<P::Config>> {
        paper.grid(self.place.profile, self.seeds.map(NonZeroUsize::get))
    }

    /// The experiments named, or all of them.
    fn selected<P: Paper>(&self, paper: &P, only: &[String]) -> Result<Vec<Experiment<P::Config>>, Failure> {
        let mut experiments = self.experiments(paper);
        let known: Vec<String> = experiments.iter().map(|e| e.name.clone()).collect();
        if let Some(unknown) = only.iter().find(|o| !known.iter().any(|k| k.eq_ignore_ascii_case(o))) {
            return Err(Failure::Usage(format!(
                "--only {unknown}: profile {} has no experiment of that name; it has {}",
                self.place.profile,
                known.join(", ")
            )));
        }
        experiments.retain(|e| only.is_empty() || only.iter().any(|o| o.eq_ignore_ascii_case(&e.name)));
        Ok(experiments)
    }

    /// What is on disk; an error if that is nothing.
    fn results<P: Paper>(&self, paper: &P) -> Result<(Results<P>, Folder), Failure> {
        let (profile, folder) = (self.place.profile, self.place.folder(paper));
        let results = Results::load(paper, profile, self.seeds.map(NonZeroUsize::get), &folder)?;
        let counts = results.counts();
        if counts.finished + counts.diverged == 0 {
            let (path, id) = (folder.path().display(), paper.id());
            return Err(Failure::Failed(format!(
                "{path}: no finished cell of profile {profile}; train some with `{id} run --profile {profile}`"
            )));
        }
        Ok((results, folder))
    }
}

impl TrainingArguments {
    fn options(&self, workers: Option<NonZeroUsize>) -> Result<Options, Failure> {
        let device = match self.device {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda(number) if !cfg!(feature = "cuda") => {
                return Err(Failure::Usage(format!(
                    "--device cuda:{number}: this program was built without CUDA; build it with \
                     `cargo build --release --features cuda`, or use --device cpu"
                )));
            }
            DeviceChoice::Cuda(number) => Device::new_cuda(number).map_err(|e| {
                let reason = e.to_string();
                let reason = reason.lines().next().unwrap_or_default();
                Failure::Failed(format!("--device cuda:{number}: {reason}; use another GPU or --device cpu"))
            })?,
        };
        if let Some(folder) = self.data.as_ref().filter(|folder| !folder.is_dir()) {
            let folder = folder.display();
            return Err(Failure::Usage(format!("--data {folder}: no such folder; `make data` fills data/full")));
        }
        let checkpoint_every = Duration::try_from_secs_f64(self.checkpoint_seconds)
            .map_err(|_| Failure::Usage("--checkpoint-seconds: a number of seconds, 0 or more".into()))?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let side_by_side = if device.is_cpu() { cores / self.threads } else { 1 };
        let workers = workers.or(NonZeroUsize::new(side_by_side)).unwrap_or(NonZeroUsize::MIN);
        Ok(Options { workers, threads: self.threads, device, data: self.data.clone(), checkpoint_every })
    }
}

/// Where a cell stands, in one word.
fn state<P: Paper>(paper: &P, folder: &Folder, id: &str) -> Result<&'static str, Failure> {
    let path = folder.cell(id);
    Ok(match read_record(paper, id, &path).map_err(|e| Failure::Failed(io_error_text(&path, &e)))? {
        Some(Ok(record)) => match record.status {
            Status::Done => "done",
            Status::Diverged => "diverged",
            Status::Failed => "failed",
        },
        Some(Err(_)) => "unreadable",
        None if path.join("checkpoint").exists() => "begun",
        None => "to do",
    })
}

fn list<P: Paper>(paper: &P, arguments: &ListArguments) -> Result<(), Failure> {
    let experiments = arguments.grid.selected(paper, &arguments.only)?;
    let folder = arguments.grid.place.folder(paper);
    let finished = |id: &str| Ok::<_, Failure>(matches!(state(paper, &folder, id)?, "done" | "diverged"));
    let seconds = |config: &P::Config| paper.expected_seconds(config);

    let mut overview = plain_table(["experiment", "question", "cells", "done", "expected"]);
    for experiment in &experiments {
        let cells = distinct_cells(paper, std::slice::from_ref(experiment));
        let mut done = 0;
        for (id, _) in &cells {
            done += usize::from(finished(id)?);
        }
        let expected = cells.iter().map(|(_, config)| seconds(config)).sum();
        let (count, done) = (cells.len().to_string(), done.to_string());
        overview.add_row([&experiment.name, &experiment.question, &count, &done, &duration(expected)]);
    }
    for column in 2..5 {
        overview.column_mut(column).expect("there are five").set_cell_alignment(CellAlignment::Right);
    }

    let cells = distinct_cells(paper, &experiments);
    let mut each = plain_table(["cell", "state", "expected"]);
    let (mut left, mut done) = (0.0, 0);
    for (id, config) in &cells {
        let now = state(paper, &folder, id)?;
        each.add_row([id, now, &duration(seconds(config))]);
        if finished(id)? {
            done += 1;
        } else {
            left += seconds(config);
        }
    }
    let mut text = format!(
        "{}\nprofile {}, results in {}\n",
        paper.title(),
        arguments.grid.place.profile,
        folder.path().display()
    );
    let _ = writeln!(text, "{}", overview.trim_fmt());
    if !arguments.only.is_empty() {
        let _ = writeln!(text, "{}", each.trim_fmt());
    }
    let _ = write!(text, "{} distinct cells, {done} done; about {} left on one core", cells.len(), duration(left));
    print(&text)
}

fn plain_table<const N: usize>(header: [&str; N]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(terminal_width());
    table
}

fn run_grid<P: Paper>(paper: &P, arguments: &RunArguments) -> Result<(), Failure> {
    let experiments = arguments.grid.selected(paper, &arguments.only)?;
    let options = arguments.training.options(arguments.workers)?;
    let folder = arguments.grid.place.folder(paper);
    let report = run(paper, &experiments, &folder, &options)?;
    print(&format!("{}\n{}", folder.path().display(), summary(&report)))?;
    conclude(&report)
}

fn run_cell<P: Paper>(paper: &P, arguments: &CellArguments) -> Result<(), Failure> {
    let config = ConfigFile::read(paper, &arguments.config)?;
    let options = arguments.training.options(Some(NonZeroUsize::MIN))?;
    let cell = train_cell(paper, &config, &arguments.place.folder(paper), &options)?;
    print(&format!("{}\n{}", cell.folder.display(), summary(&cell.report)))?;
    conclude(&cell.report)
}

/// `45 cells: 40 trained, 3 done before, 1 diverged, 1 failed`.
fn summary(report: &Report) -> String {
    let counts = [
        (report.trained, "trained"),
        (report.kept, "done before"),
        (report.diverged.len(), "diverged"),
        (report.failed.len(), "failed"),
    ];
    let total: usize = counts.iter().map(|(count, _)| count).sum();
    let parts: Vec<String> = counts.iter().filter(|c| c.0 > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!("{}: {}", counted(total, "cell"), parts.join(", "))
}

/// `1 table`, `2 tables`.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Tells of cells without a result; the same reason is told once.
fn conclude(report: &Report) -> Result<(), Failure> {
    let mut lines = vec![];
    for (id, text) in &report.diverged {
        lines.push(format!("diverged: {id} {text}"));
    }
    let mut reasons: Vec<(&str, Vec<&str>)> = vec![];
    for (id, reason) in &report.failed {
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, ids)) => ids.push(id),
            None => reasons.push((reason, vec![id])),
        }
    }
    for (reason, ids) in reasons {
        let others =
            if ids.len() > 1 { format!(" and {}", counted(ids.len() - 1, "more cell")) } else { String::new() };
        lines.push(format!("failed: {}{others}: {reason}; the next run tries again", ids[0]));
    }
    for line in lines {
        // With stderr gone there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{line}");
    }
    if report.is_complete() { Ok(()) } else { Err(Failure::Told) }
}

fn figures<P: Paper>(paper: &P, grid: &GridArguments) -> Result<(), Failure> {
    let (results, folder) = grid.results(paper)?;
    let mut tables = paper.tables(&results)?;
    tables.push(results.time_table()?);
    for table in &tables {
        table.save(&folder.tables())?;
    }
    let figures = paper.figures(&results)?;
    let path = folder.figures();
    if !figures.is_empty() {
        std::fs::create_dir_all(&path).map_err(|e| Failure::Failed(io_error_text(&path, &e)))?;
    }
    for (stem, figure) in &figures {
        figure.save(&path.join(stem))?;
    }
    let (counts, place) = (results.counts(), folder.path().display());
    print(&format!("{counts}; {} and {} in {place}", counted(tables.len(), "table"), counted(figures.len(), "figure")))
}

fn claims<P: Paper>(paper: &P, grid: &GridArguments, markdown: bool) -> Result<(), Failure> {
    let (results, folder) = grid.results(paper)?;
    let claims = paper.claims(&results)?;
    let path = folder.claims();
    replace_file(&path, &claims_csv(&claims)).map_err(|e| Failure::Failed(io_error_text(&path, &e)))?;
    if markdown {
        return print(claims_markdown(&claims).trim_end());
    }
    let text = claims_text(&claims, terminal_width());
    print(&format!("{}\nprofile {}: {}\n{text}", paper.title(), results.profile, results.counts()))
}

/// Of the terminal, within reason; 100 where there is none.
fn terminal_width() -> u16 {
    console::Term::stdout().size_checked().map_or(100, |(_, columns)| columns.clamp(60, 120))
}

/// To stdout. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Failed(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn devices() {
        assert_eq!(parse_device("cpu"), Ok(DeviceChoice::Cpu));
        assert_eq!(parse_device("cuda"), Ok(DeviceChoice::Cuda(0)));
        assert_eq!(parse_device("cuda:3"), Ok(DeviceChoice::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            parse_device(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_report_in_one_line() {
        let mut report = Report { trained: 1, ..Report::default() };
        assert_eq!(summary(&report), "1 cell: 1 trained");
        report.kept = 3;
        report.failed = vec![("a".into(), "why".into())];
        assert_eq!(summary(&report), "5 cells: 1 trained, 3 done before, 1 failed");
    }
}
