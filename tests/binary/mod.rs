//! A paper's real binary, run as a user runs it: what every paper must hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A built binary and the smoke experiments that stand for the paper's code paths.
pub struct Binary {
    /// Path of the executable.
    pub path: &'static str,
    /// Name of the paper.
    pub paper: &'static str,
    /// Experiments of profile smoke, small enough to run several times.
    pub only: &'static [&'static str],
}

impl Binary {
    /// The binary with arguments, writing below `results`.
    pub fn command(&self, results: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        command.args(arguments).arg("--results").arg(results);
        command
    }

    /// The binary with arguments alone, as a tool is run.
    pub fn tool(&self, arguments: &[&str]) -> Output {
        Command::new(self.path).args(arguments).output().expect("the binary starts")
    }

    fn arguments<'a>(&self, extra: &[&'a str]) -> Vec<&'a str>
    where
        Self: 'a,
    {
        let only = self.only.iter().flat_map(|&name| ["--only", name]);
        ["run", "--profile", "smoke"].into_iter().chain(only).chain(extra.iter().copied()).collect()
    }

    /// Runs the experiments.
    pub fn run(&self, results: &Path, extra: &[&str]) -> Output {
        self.command(results, &self.arguments(extra)).output().expect("the binary starts")
    }

    /// Every cell's rows, by cell id.
    pub fn rows(&self, results: &Path) -> BTreeMap<String, Vec<u8>> {
        let cells = results.join("smoke").join(self.paper).join("cells");
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.expect("an entry").path();
            let id = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(path.join("summary.json").exists(), "{id} did not finish");
            (id, std::fs::read(path.join("epochs.csv")).expect("rows"))
        };
        std::fs::read_dir(cells).expect("cells").map(read).collect()
    }

    /// The same bytes with one worker, with two, and after being killed at each of these moments and started again.
    pub fn assert_repeatable(&self, kill_after_milliseconds: &[u64]) {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, two, killed] = ["one", "two", "killed"].map(|name| folder.path().join(name));
        assert_done(&self.run(&one, &["--workers", "1"]));
        assert_done(&self.run(&two, &["--workers", "2"]));
        let expected = self.rows(&one);
        assert!(expected.len() > 1);
        assert_eq!(expected, self.rows(&two));

        for &milliseconds in kill_after_milliseconds {
            let arguments = self.arguments(&["--checkpoint-seconds", "0"]);
            let mut child = self.command(&killed, &arguments).stderr(Stdio::null()).spawn().expect("the binary starts");
            std::thread::sleep(Duration::from_millis(milliseconds));
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
        assert_done(&self.run(&killed, &[]));
        assert_eq!(expected, self.rows(&killed));
    }

    /// `figures` and `claims` work from files, leave rows alone, and every claim has a verdict. Returns the folder with
    /// `tables/` and `figures/`.
    pub fn assert_read_from_files(&self, results: &Path, claims: &[&str]) -> std::path::PathBuf {
        assert_done(&self.run(results, &[]));
        let rows = self.rows(results);
        let paper = results.join("smoke").join(self.paper);
        let mut verdicts = vec![];
        for command in ["figures", "claims", "claims"] {
            let mut command = self.command(results, &[command, "--profile", "smoke"]);
            assert_done(&command.output().expect("the binary starts"));
            verdicts.push(std::fs::read_to_string(paper.join("claims.csv")).unwrap_or_default());
        }
        assert_eq!(verdicts[1], verdicts[2]);
        for id in claims {
            assert!(verdicts[1].contains(&format!("\n{id},")), "{id} has no verdict");
        }
        assert_eq!(rows, self.rows(results));
        paper
    }

    /// Ends with this exit code, and its message has these words.
    pub fn assert_refused(&self, output: &Output, code: i32, words: &[&str]) {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is missing in: {text}");
        }
    }
}

/// The process ended well.
pub fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
