//! What a person sees while cells train: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a running cell is mentioned where there are no bars.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// `0.4 s`, `12 s`, `4 min 10 s`, `1 h 20 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..600 => format!("{} min {} s", whole / 60, whole % 60),
        600..3600 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A cell in training, as far as the ETA is concerned.
#[derive(Clone, Copy, Debug)]
struct Running {
    /// Seconds that the paper expects of the whole cell.
    expected: f64,
    /// Part of the cell that was done when this process took it up.
    from: f64,
    /// Part that is done now.
    done: f64,
    /// Seconds since this process took it up.
    elapsed: f64,
}

/// Seconds until all cells are done: the paper's expectations, corrected by what this run has measured so far.
///
/// `pending` and `finished` are seconds (expected; expected and measured) of cells that have not begun or that this
/// run has finished.
fn remaining_seconds(pending: f64, running: &[Running], finished: (f64, f64), workers: usize) -> f64 {
    let (mut expected, mut measured) = finished;
    for cell in running.iter().filter(|c| c.done > c.from) {
        expected += cell.expected * (cell.done - cell.from);
        measured += cell.elapsed;
    }
    let pace = if expected > 0.0 && measured > 0.0 { measured / expected } else { 1.0 };
    let left = |cell: &Running| {
        if cell.done > cell.from {
            cell.elapsed * (1.0 - cell.done) / (cell.done - cell.from)
        } else {
            (cell.expected * pace * (1.0 - cell.from) - cell.elapsed).max(0.0)
        }
    };
    let longest = running.iter().map(left).fold(0.0, f64::max);
    let work: f64 = running.iter().map(left).sum::<f64>() + pending * pace;
    longest.max(work / workers as f64)
}

struct State {
    done: usize,
    total: usize,
    workers: usize,
    pending: f64,
    running: HashMap<String, (Running, Instant)>,
    finished: (f64, f64),
}

impl State {
    fn eta(&self) -> String {
        let running: Vec<Running> = self
            .running
            .values()
            .map(|(cell, since)| Running { elapsed: since.elapsed().as_secs_f64(), ..*cell })
            .collect();
        if running.is_empty() && self.pending == 0.0 {
            return String::new();
        }
        format!("about {} left", duration(remaining_seconds(self.pending, &running, self.finished, self.workers)))
    }
}

/// The progress of a grid.
pub(super) struct Progress {
    state: Mutex<State>,
    bars: Option<(MultiProgress, ProgressBar)>,
}

impl Progress {
    /// `done` of `total` cells are finished; the others are expected to take `pending` seconds together.
    pub fn new(done: usize, total: usize, pending: f64, workers: usize) -> Arc<Self> {
        let bars = std::io::stderr().is_terminal().then(|| {
            let bars = MultiProgress::new();
            let grid =
                bars.add(ProgressBar::new(total as u64).with_style(style("{bar:30} {pos}/{len} cells  {wide_msg}")));
            grid.set_position(done as u64);
            (bars, grid)
        });
        let state = State { done, total, workers, pending, running: HashMap::new(), finished: (0.0, 0.0) };
        let progress = Arc::new(Self { state: Mutex::new(state), bars });
        progress.show_eta();
        progress
    }

    /// A line for the user, above the bars.
    pub fn line(&self, text: &str) {
        match &self.bars {
            // A terminal that has gone away must not end a training.
            Some((bars, _)) => drop(bars.println(text)),
            None => eprintln!("{text}"),
        }
    }

    /// A cell begins.
    pub fn begin(self: &Arc<Self>, id: &str, expected: f64) -> CellProgress {
        {
            let mut state = self.state();
            state.pending = (state.pending - expected).max(0.0);
            state.running.insert(id.into(), (Running { expected, from: 0.0, done: 0.0, elapsed: 0.0 }, Instant::now()));
        }
        let bar = self.bars.as_ref().map(|(bars, _)| {
            let bar = bars.add(ProgressBar::no_length().with_style(style("  {wide_msg}")));
            bar.set_message(id.to_string());
            bar
        });
        CellProgress {
            grid: self.clone(),
            id: id.into(),
            bar,
            expected_rows: 0,
            last: String::new(),
            said: Instant::now(),
        }
    }

    /// All cells are done: the bars go away.
    pub fn finish(&self) {
        if let Some((bars, grid)) = &self.bars {
            grid.finish_and_clear();
            // As in `line`.
            let _ = bars.clear();
        }
    }

    fn show_eta(&self) {
        if let Some((_, grid)) = &self.bars {
            let state = self.state();
            grid.set_position(state.done as u64);
            grid.set_message(state.eta());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The progress of one cell.
pub(super) struct CellProgress {
    grid: Arc<Progress>,
    id: String,
    bar: Option<ProgressBar>,
    expected_rows: u64,
    last: String,
    said: Instant,
}

impl CellProgress {
    /// How many rows there will be.
    pub fn expect(&mut self, rows: u64) {
        self.expected_rows = rows;
        if let Some(bar) = &self.bar {
            bar.set_style(style("  {bar:20.dim} {pos:>4}/{len:4} {wide_msg}"));
            bar.set_length(rows);
        }
    }

    /// The cell goes on after some rows.
    pub fn resumed(&mut self, rows: u64) {
        let part = self.part(rows);
        if let Some((cell, _)) = self.grid.state().running.get_mut(&self.id) {
            (cell.from, cell.done) = (part, part);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(rows);
        }
    }

    /// A row was written; `text` is what it shows.
    pub fn row(&mut self, rows: u64, text: &str) {
        self.last = text.to_string();
        let part = self.part(rows);
        if let Some((cell, _)) = self.grid.state().running.get_mut(&self.id) {
            cell.done = part;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(rows);
                bar.set_message(format!("{}  {text}", self.id));
                self.grid.show_eta();
            }
            None if self.said.elapsed() >= LINE_EVERY => {
                self.said = Instant::now();
                let of = if self.expected_rows > 0 { format!("/{}", self.expected_rows) } else { String::new() };
                let eta = self.grid.state().eta();
                self.line(&format!("{}: epoch {rows}{of}  {text}, {eta}", self.id));
            }
            None => {}
        }
    }

    /// A line for the user.
    pub fn line(&self, text: &str) {
        self.grid.line(text);
    }

    /// The cell has ended; `outcome` as in `done` or `failed: why`.
    pub fn end(self, outcome: &str) {
        let line = {
            let mut state = self.grid.state();
            state.done += 1;
            let mut details = vec![];
            if let Some((cell, since)) = state.running.remove(&self.id) {
                let seconds = since.elapsed().as_secs_f64();
                state.finished.0 += cell.expected * (1.0 - cell.from);
                state.finished.1 += seconds;
                details.push(duration(seconds));
            }
            details.extend([self.last.clone(), state.eta()]);
            details.retain(|text| !text.is_empty());
            let width = state.total.to_string().len();
            format!("[{:>width$}/{}] {} {outcome} ({})", state.done, state.total, self.id, details.join(", "))
        };
        match &self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                if outcome != "done" {
                    self.line(&line);
                }
            }
            None => self.line(&line),
        }
        self.grid.show_eta();
    }

    fn part(&self, rows: u64) -> f64 {
        if self.expected_rows == 0 { 0.0 } else { (rows as f64 / self.expected_rows as f64).min(1.0) }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well formed").progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let cases = [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s")];
        let longer = [(250.0, "4 min 10 s"), (640.0, "11 min"), (4800.0, "1 h 20 min")];
        for (seconds, text) in cases.into_iter().chain(longer) {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn the_eta_learns_from_what_was_measured() {
        // Nothing measured: the paper's expectation, shared by the workers.
        assert_eq!(remaining_seconds(100.0, &[], (0.0, 0.0), 2), 50.0);
        // Finished cells took twice as long as expected.
        assert_eq!(remaining_seconds(100.0, &[], (10.0, 20.0), 2), 100.0);
        // A quarter of a cell of 40 s took 20 s: 60 s are left for it, though a second worker idles.
        let cell = Running { expected: 40.0, from: 0.0, done: 0.25, elapsed: 20.0 };
        assert_eq!(remaining_seconds(0.0, &[cell], (0.0, 0.0), 2), 60.0);
        // The same after resuming at a half: the second quarter took 20 s, one more follows.
        let resumed = Running { from: 0.5, done: 0.75, ..cell };
        assert_eq!(remaining_seconds(0.0, &[resumed], (0.0, 0.0), 1), 20.0);
        // A cell that has told nothing yet and is already late.
        let late = Running { expected: 5.0, from: 0.0, done: 0.0, elapsed: 7.0 };
        assert_eq!(remaining_seconds(0.0, &[late], (0.0, 0.0), 1), 0.0);
    }
}
