//! The runner as a user meets it: the binary of a small paper (`examples/step_size.rs`), run, killed and mistreated.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The paper's binary. `cargo test` builds the examples too.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples").join("step_size");
    assert!(path.exists(), "{}: missing; `cargo test -p retrial-core` builds it", path.display());
    path
}

/// A results folder, and the paper run in it.
struct Trial {
    folder: TempDir,
}

impl Trial {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Checkpoints come with every epoch, so that there is something to resume from.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--results".as_ref(), self.folder.path().as_os_str()]);
        if matches!(arguments[0], "run" | "cell") {
            command.args(["--checkpoint-seconds", "0"]);
        }
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn paper(&self, profile: &str) -> PathBuf {
        self.folder.path().join(profile).join("step-size")
    }

    fn cell(&self, profile: &str, name: &str) -> PathBuf {
        let cells = fs::read_dir(self.paper(profile).join("cells")).unwrap().map(|e| e.unwrap().path());
        cells.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(name)).min().unwrap()
    }
}

struct Ended {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn expect(self, status: i32, words: &[&str]) -> Self {
        let all = format!("status {}\n{}{}", self.status, self.stdout, self.stderr);
        assert_eq!(self.status, status, "{all}");
        for word in words {
            assert!(all.contains(word), "no `{word}` in: {all}");
        }
        self
    }

    /// The same, with exactly one line on stderr.
    #[track_caller]
    fn expect_one_line(self, status: i32, words: &[&str]) -> Self {
        let ended = self.expect(status, words);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        ended
    }
}

/// Every file whose bytes must not depend on how it came about, by path.
fn repeatable_files(paper: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for cell in fs::read_dir(paper.join("cells")).unwrap().map(|e| e.unwrap().path()) {
        for file in fs::read_dir(&cell).unwrap().map(|e| e.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if name == "config.json" || (name.ends_with(".csv") && name != "timing.csv") {
                let path = format!("{}/{name}", cell.file_name().unwrap().to_str().unwrap());
                files.insert(path, fs::read(&file).unwrap());
            }
        }
    }
    files
}

/// What an undisturbed run of profile quick gives.
fn undisturbed() -> BTreeMap<String, Vec<u8>> {
    let trial = Trial::new();
    trial.run(&["run", "--workers", "2"]).expect(0, &["9 cells: 9 trained"]);
    let files = repeatable_files(&trial.paper("quick"));
    // Nine cells with config, epochs and final table; `small` and `edge` share three of them.
    assert_eq!(files.len(), 27);
    files
}

#[test]
fn workers_and_order_do_not_matter() {
    let expected = undisturbed();
    let one = Trial::new();
    one.run(&["run", "--workers", "1"]).expect(0, &[]);
    assert_eq!(repeatable_files(&one.paper("quick")), expected);

    // Cell by cell, from config files, in the opposite order and with two threads each.
    let single = Trial::new();
    for (path, config) in expected.iter().rev().filter(|(path, _)| path.ends_with("config.json")) {
        let file = single.folder.path().join("config.json");
        fs::write(&file, config).unwrap();
        let id = path.split('/').next().unwrap();
        single.run(&["cell", file.to_str().unwrap(), "--threads", "2"]).expect(0, &[id, "1 cell: 1 trained"]);
    }
    assert_eq!(repeatable_files(&single.paper("quick")), expected);
    // The grid finds them done.
    single.run(&["run"]).expect(0, &["9 cells: 9 done before"]);
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let expected = undisturbed();
    let mut resumed = 0;
    for round in 0..6 {
        let trial = Trial::new();
        // Killed three times at moments that differ from round to round and from machine to machine.
        for _ in 0..3 {
            let mut child = trial.start(&["run", "--workers", "2"]);
            let jitter = u64::from(std::time::SystemTime::now().elapsed().unwrap().subsec_nanos() % 50);
            sleep(Duration::from_millis(30 + 60 * round + jitter));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let last = trial.run(&["run", "--workers", "2"]).expect(0, &["9 cells: "]);
        resumed += last.stderr.matches("goes on after row").count();
        assert!(!last.stderr.contains("corrupt"), "{}", last.stderr);
        assert_eq!(repeatable_files(&trial.paper("quick")), expected, "round {round}");
        for cell in fs::read_dir(trial.paper("quick").join("cells")).unwrap() {
            let names: Vec<_> = fs::read_dir(cell.unwrap().path())
                .unwrap()
                .map(|f| f.unwrap().file_name().into_string().unwrap())
                .collect();
            assert!(!names.iter().any(|n| n == "checkpoint"), "{names:?}");
        }
    }
    assert!(resumed > 0, "no kill left a checkpoint behind: the test has tested nothing");
}

#[test]
fn a_finished_cell_is_never_trained_again() {
    let trial = Trial::new();
    trial.run(&["run", "--profile", "smoke"]).expect(0, &["3 cells: 3 trained"]);
    // The first eight digits of the SHA-256 of
    // {"config":{"epochs":40,"panic_at":null,"seed":0,"step_size":0.1},"paper":"step-size","protocol":1}
    // as `sha256sum` gives them: they are part of every stored result and must never change.
    let summary = trial.paper("smoke").join("cells/step-0.1-seed0-4542898f/summary.json");
    let before = fs::read(&summary).unwrap();
    trial.run(&["run", "--profile", "smoke", "--seeds", "2"]).expect(0, &["6 cells: 3 trained, 3 done before"]);
    assert_eq!(fs::read(&summary).unwrap(), before);
    let record: serde_json::Value = serde_json::from_slice(&before).unwrap();
    assert_eq!((&record["status"], &record["seed"]), (&"done".into(), &0.into()));
    assert_eq!((&record["device"], &record["threads"]), (&"cpu".into(), &1.into()));
    assert!(record["code_version"].as_str().unwrap().contains(" build "), "{record}");
    // The pauses take wall time, but no processor time.
    let (wall, cpu) = (record["wall_seconds"].as_f64().unwrap(), record["cpu_seconds"].as_f64().unwrap());
    assert!(wall >= 0.16 && cpu > 0.0 && cpu < wall, "{record}");
}

#[test]
fn divergence_and_panic_spare_the_other_cells() {
    let trial = Trial::new();
    let standard = ["run", "--profile", "standard", "--seeds", "1", "--workers", "2"];
    let ended = trial.run(&standard);
    let ended = ended.expect(1, &["5 cells: 3 trained, 1 diverged, 1 failed"]);
    assert!(ended.stderr.contains("diverged: step-4-seed0-"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the loss is inf"), "{}", ended.stderr);
    assert!(ended.stderr.contains("told to panic at epoch 3; the next run tries again"), "{}", ended.stderr);

    let diverged = trial.cell("standard", "step-4-").join("summary.json");
    let before = fs::read(&diverged).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&before).unwrap();
    assert_eq!(record["status"], "diverged");
    // Its rows end right before that step.
    let rows = fs::read_to_string(trial.cell("standard", "step-4-").join("epochs.csv")).unwrap().lines().count() - 1;
    assert_eq!(record["step"], rows);

    // Divergence is a result and stays; the panic is tried again. Both are still counted.
    trial.run(&standard).expect(1, &["5 cells: 3 done before, 1 diverged, 1 failed"]);
    assert_eq!(fs::read(&diverged).unwrap(), before);

    let place = ["--profile", "standard", "--seeds", "1"];
    let claims = trial.run(&[&["claims"], &place[..]].concat());
    claims.expect(0, &["3 of 5 cells finished, 1 diverged, 1 failed", "SS2", "2 claims: 2 supported"]);
    // The default is run, figures and claims: all of it happens, and the status tells of the cells without a result.
    trial
        .run(&["--profile", "standard", "--seeds", "1"])
        .expect(1, &["2 tables and 0 figures", "2 claims: 2 supported"]);
}

/// A trial of one cell that was killed with a checkpoint, and what that cell should give.
fn interrupted() -> (Trial, PathBuf, Vec<u8>) {
    let only = ["run", "--profile", "smoke", "--only", "small", "--workers", "1"];
    let whole = Trial::new();
    whole.run(&only).expect(0, &[]);
    let trial = Trial::new();
    let mut child = trial.start(&only);
    let start = Instant::now();
    let cell = loop {
        sleep(Duration::from_millis(5));
        assert!(start.elapsed() < Duration::from_secs(20), "no checkpoint came");
        let cells = trial.paper("smoke").join("cells");
        let first = fs::read_dir(cells).ok().and_then(|mut c| c.next()).map(|c| c.unwrap().path());
        if let Some(cell) = first.filter(|c| c.join("checkpoint").exists()) {
            break cell;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let name = cell.file_name().unwrap();
    let expected = fs::read(whole.paper("smoke").join("cells").join(name).join("epochs.csv")).unwrap();
    (trial, cell, expected)
}

#[test]
fn a_damaged_checkpoint_is_set_aside_and_the_cell_starts_again() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("content has changed", |cell| edit(&cell.join("checkpoint"), |bytes| *bytes.last_mut().unwrap() ^= 1)),
        ("content has changed", |cell| edit(&cell.join("checkpoint"), |bytes| bytes.truncate(bytes.len() - 3))),
        ("header is incomplete", |cell| edit(&cell.join("checkpoint"), |bytes| *bytes = b"junk".to_vec())),
        ("does not fit epochs.csv, which has changed", |cell| edit(&cell.join("epochs.csv"), |bytes| bytes[30] ^= 1)),
        ("does not fit epochs.csv, which is missing", |cell| fs::remove_file(cell.join("epochs.csv")).unwrap()),
    ];
    for (word, damage) in damages {
        let (trial, cell, expected) = interrupted();
        damage(&cell);
        let again = trial.run(&["run", "--profile", "smoke", "--only", "small"]);
        again.expect(0, &[word, "set aside as checkpoint.corrupt and the cell starts again", "2 cells: "]);
        assert_eq!(fs::read(cell.join("epochs.csv")).unwrap(), expected, "{word}");
        assert!(cell.join("checkpoint.corrupt").exists());
    }
    // The same, undamaged, goes on.
    let (trial, cell, expected) = interrupted();
    trial.run(&["run", "--profile", "smoke", "--only", "small"]).expect(0, &["goes on after row"]);
    assert_eq!(fs::read(cell.join("epochs.csv")).unwrap(), expected);
}

fn edit(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_summary_is_told_and_its_cell_trained_again() {
    let trial = Trial::new();
    trial.run(&["run", "--profile", "smoke"]).expect(0, &[]);
    let expected = repeatable_files(&trial.paper("smoke"));
    let cell = trial.cell("smoke", "step-0.5");
    edit(&cell.join("summary.json"), |bytes| bytes.truncate(100));
    let words = ["summary.json", "EOF while parsing", "trains the cell again"];
    for reader in ["figures", "claims"] {
        trial.run(&[reader, "--profile", "smoke"]).expect_one_line(1, &words);
    }
    trial.run(&["list", "--profile", "smoke", "--only", "edge"]).expect(0, &["unreadable"]);
    let again = trial.run(&["run", "--profile", "smoke"]);
    again.expect(0, &["set aside as summary.json.corrupt", "3 cells: 1 trained, 2 done before"]);
    assert_eq!(repeatable_files(&trial.paper("smoke")), expected);

    // Another cell's summary is no better.
    fs::copy(trial.cell("smoke", "step-0.1").join("summary.json"), cell.join("summary.json")).unwrap();
    trial.run(&["claims", "--profile", "smoke"]).expect_one_line(1, &["belongs to another cell, step-0.1-seed0-"]);

    // A bad row is told with its line.
    trial.run(&["run", "--profile", "smoke"]).expect(0, &[]);
    edit(&cell.join("epochs.csv"), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines[2] = "1,0.5,low";
        *bytes = lines.join("\n").into_bytes();
    });
    let words = ["epochs.csv, line 3: column `train_loss`: invalid float literal"];
    trial.run(&["figures", "--profile", "smoke"]).expect_one_line(1, &words);
}

#[test]
fn a_second_process_is_told_to_wait() {
    let trial = Trial::new();
    let mut first = trial.start(&["run", "--workers", "1"]);
    let cells = trial.paper("quick").join("cells");
    while !cells.exists() {
        sleep(Duration::from_millis(5));
        assert!(first.try_wait().unwrap().is_none(), "it ended too early");
    }
    trial.run(&["run"]).expect_one_line(1, &["quick/step-size", "another process is training there", "--results"]);
    // Looking is allowed meanwhile.
    trial.run(&["list"]).expect(0, &["9 distinct cells"]);
    assert!(first.wait().unwrap().success());
    trial.run(&["run"]).expect(0, &["9 cells: 9 done before"]);

    // Cells of a job array share the folder, each cell for itself.
    let array = Trial::new();
    let configs: Vec<PathBuf> = [0, 1].map(|seed| config_file(&array, seed, 99)).to_vec();
    let arguments = |i: usize| ["cell", configs[i].to_str().unwrap()];
    let mut both = [array.start(&arguments(0)), array.start(&arguments(1))];
    let folders = array.paper("quick").join("cells");
    while fs::read_dir(&folders).map_or(0, |f| f.count()) < 2 {
        sleep(Duration::from_millis(5));
    }
    sleep(Duration::from_millis(50));
    array.run(&arguments(0)).expect_one_line(1, &["step-0.3-seed0-", "another process is training this cell"]);
    array.run(&["run"]).expect_one_line(1, &["another process is training there"]);
    for child in &mut both {
        assert!(child.wait().unwrap().success());
    }
    array.run(&arguments(0)).expect(0, &["1 cell: 1 done before"]);
}

fn config_file(trial: &Trial, seed: u64, epochs: u64) -> PathBuf {
    let path = trial.folder.path().join(format!("{seed}.toml"));
    let text =
        format!("paper = \"step-size\"\nprotocol = 1\n[config]\nstep_size = 0.3\nseed = {seed}\nepochs = {epochs}\n");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn config_files() {
    let trial = Trial::new();
    let path = config_file(&trial, 7, 5);
    let file = path.to_str().unwrap();
    trial.run(&["cell", file]).expect(0, &["step-0.3-seed7-", "1 cell: 1 trained"]);
    // Its config.json names the same cell.
    let json = trial.cell("quick", "step-0.3-seed7").join("config.json");
    trial.run(&["cell", json.to_str().unwrap()]).expect(0, &["1 cell: 1 done before"]);

    let text = fs::read_to_string(&path).unwrap();
    let cases = [
        ("seed = 7", "seed = -7", vec!["7.toml", "line 5"]),
        ("seed = 7", "sead = 7", vec!["unknown field `sead`"]),
        ("step-size", "other", vec!["a config of the paper `other`, but this is `step-size`"]),
        ("protocol = 1", "protocol = 2", vec!["protocol 2", "now at 1"]),
        ("[config]", "[", vec!["line 3"]),
    ];
    for (from, to, words) in cases {
        fs::write(&path, text.replace(from, to)).unwrap();
        trial.run(&["cell", file]).expect_one_line(1, &words);
    }
    trial.run(&["cell", "no-such.json"]).expect_one_line(1, &["no-such.json", "No such file"]);
}

#[test]
fn wrong_usage_is_status_2() {
    let trial = Trial::new();
    let one_line = [
        (vec!["run", "--only", "smal"], vec!["--only smal", "it has small, edge"]),
        (vec!["run", "--data", "/no/such/folder"], vec!["--data /no/such/folder", "make data"]),
    ];
    for (arguments, words) in one_line {
        trial.run(&arguments).expect_one_line(2, &words);
    }
    if !cfg!(feature = "cuda") {
        trial.run(&["run", "--device", "cuda:0"]).expect_one_line(2, &["built without CUDA", "--features cuda"]);
    }
    for arguments in [["run", "--workers", "0"], ["run", "--seeds", "0"], ["run", "--device", "gpu"]] {
        trial.run(&arguments).expect(2, &[arguments[1]]);
    }
    trial.run(&["run", "--profile", "large"]).expect(2, &["smoke, quick, standard, paper"]);
    trial.run(&["train"]).expect(2, &[]);
    // Nothing was created by any of them.
    assert_eq!(fs::read_dir(trial.folder.path()).unwrap().count(), 0);
    // Nothing to read is a failure.
    trial.run(&["claims"]).expect_one_line(1, &["no finished cell of profile quick", "run --profile quick"]);
}

#[test]
fn what_a_user_reads() {
    let trial = Trial::new();
    let listed = trial.run(&["list", "--profile", "smoke"]);
    listed.expect(0, &["small", "Does it settle below 1?", "3 distinct cells, 0 done; about 0.6 s left on one core"]);
    // Without a subcommand: everything, at the profile named.
    let all = Ended::of(trial.command(&["--profile", "smoke"]).output().unwrap());
    let all = all.expect(0, &["3 cells: 3 trained", "2 tables and 0 figures", "SUPPORTED", "NOT TESTED AT"]);
    assert!(all.stdout.lines().all(|line| line.chars().count() <= 100), "{}", all.stdout);
    assert!(all.stderr.contains("[3/3] step-"), "{}", all.stderr);
    trial.run(&["list", "--profile", "smoke", "--only", "Small"]).expect(0, &["step-0.1-seed0-", "done"]);

    let paper = trial.paper("smoke");
    let table = fs::read_to_string(paper.join("tables/losses.csv")).unwrap();
    assert_eq!(table.lines().next(), Some("cell,step_size,final_loss,worst_loss"));
    let claims = fs::read_to_string(paper.join("claims.csv")).unwrap();
    assert!(claims.starts_with("id,statement,where,verdict,estimate,ci_low,"), "{claims}");
    assert!(claims.contains("\nSS2,Above 2 it diverges,Theorem 1,not tested at this scale,"), "{claims}");
    let markdown = trial.run(&["claims", "--profile", "smoke", "--markdown"]);
    markdown.expect(0, &["| SS1 | Below 2 it settles (Theorem 1) | **supported** |"]);

    // From files alone: rebuilt after being deleted, in no time.
    fs::remove_file(paper.join("claims.csv")).unwrap();
    fs::remove_dir_all(paper.join("tables")).unwrap();
    trial.run(&["figures", "--profile", "smoke"]).expect(0, &[]);
    trial.run(&["claims", "--profile", "smoke"]).expect(0, &[]);
    assert_eq!(fs::read_to_string(paper.join("tables/losses.csv")).unwrap(), table);
    assert_eq!(fs::read_to_string(paper.join("claims.csv")).unwrap(), claims);

    // The paper's own tool.
    let tool = |argument: &str| Ended::of(Command::new(binary()).args(["predict", argument]).output().unwrap());
    tool("1.5").expect(0, &["settles"]);
    tool("2.5").expect(0, &["diverges"]);
    tool("inf").expect_one_line(1, &["error: step size inf: must be a finite number"]);
    tool("fast").expect(2, &["invalid value 'fast'"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_training() {
    // A file where the folder should be.
    let trial = Trial::new();
    fs::write(trial.folder.path().join("quick"), b"").unwrap();
    trial.run(&["run"]).expect_one_line(1, &["quick/step-size"]);

    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        use std::os::unix::process::CommandExt;
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let trial = Trial::new();
        let results = trial.folder.path().join("results");
        fs::create_dir(&results).unwrap();
        // The superuser may write everywhere: as root, the binary runs as somebody else, from where they may read it.
        let runs_as_root = fs::metadata(&results).unwrap().uid() == 0;
        let copy = trial.folder.path().join("step_size");
        fs::copy(binary(), &copy).unwrap();
        mode(trial.folder.path(), 0o755);
        mode(&copy, 0o755);
        mode(&results, 0o555);
        let mut command = Command::new(&copy);
        command.arg("run").arg("--results").arg(&results).current_dir(trial.folder.path());
        if runs_as_root {
            command.uid(65534).gid(65534);
        }
        match command.output() {
            Ok(output) => drop(Ended::of(output).expect_one_line(1, &["Permission denied", "--results"])),
            Err(error) => eprintln!("skipped: the binary cannot be run as another user here ({error})"),
        }
        mode(&results, 0o755);
    }
}

/// A disk of 160 KiB of its own, in a mount namespace that ends with the shell, filled but for a little.
#[test]
fn a_full_disk_is_told_and_finished_cells_are_kept() {
    let trial = Trial::new();
    let disk = trial.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let out = trial.folder.path().join("out");
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script]);
        command.env("DISK", &disk).env("PAPER", binary()).env("OUT", &out).env_remove("RUST_BACKTRACE");
        command.output()
    };
    if !unshare("mount -t tmpfs -o size=160k tmpfs \"$DISK\"").is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: this system lets nobody mount a tmpfs in a namespace");
        return;
    }
    let script = r#"
        mount -t tmpfs -o size=160k tmpfs "$DISK" || exit 9
        "$PAPER" run --results "$DISK" --only small --seeds 1 || exit 8
        head -c 1000000 /dev/zero > "$DISK/ballast" 2>/dev/null
        "$PAPER" run --results "$DISK" --workers 2
        echo "status $?"
        rm "$DISK/ballast"
        "$PAPER" run --results "$DISK" --workers 2 --seeds 2 || exit 7
        "$PAPER" claims --results "$DISK" --seeds 2 || exit 6
        cp -r "$DISK/quick" "$OUT"
    "#;
    let ended = Ended::of(unshare(script).unwrap());
    let words = ["2 cells: 2 trained", "status 1", "6 cells: 4 trained, 2 done before", "2 claims: "];
    let ended = ended.expect(0, &words);
    let errors: Vec<&str> = ended.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && errors[0].contains("no space left on this disk"), "{}", ended.stderr);
    let expected = undisturbed();
    for (path, bytes) in repeatable_files(&out.join("step-size")) {
        assert_eq!(&bytes, &expected[&path], "{path}");
    }
}
