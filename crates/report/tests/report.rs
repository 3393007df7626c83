//! From files to README and page.

use std::path::Path;

use retrial_report::{compare, page, readme, trials};

const CLAIMS: &str = "id,statement,where,verdict,estimate,ci_low,ci_high,threshold,seeds,scope,reported,reason
SF1,a < b | c,Table 2,refuted,0.01432,-0.002,0.0306,rule,3,MNIST,10.9 %,because
SF2,d,,not tested at this scale,,,,,0,,,needs a GPU
";

fn results() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let paper = folder.path().join("quick/selfie");
    for sub in ["tables", "figures"] {
        std::fs::create_dir_all(paper.join(sub)).expect("a folder");
    }
    let write = |name: &str, text: &str| std::fs::write(paper.join(name), text).expect("a file");
    write("claims.csv", CLAIMS);
    write("tables/time.csv", "experiment,cells,wall_seconds,cpu_seconds\nall,4,100,90\n");
    write("figures/error.svg", "<svg/>");
    folder
}

#[test]
fn blocks_of_the_readme_are_filled_and_stay_filled() {
    let folder = results();
    let trials = trials(folder.path()).expect("verdicts");
    let fill = |text: &str| readme::filled(Path::new("README.md"), text, &trials, folder.path());
    let text =
        "# Title\n<!-- summary: quick -->\nold\n<!-- end -->\nwords\n<!-- verdicts: quick/selfie -->\n<!-- end -->\n";
    let filled = fill(text).expect("filled");
    assert!(filled.contains("[`selfie`](crates/selfie) | 0 | 1 | 0 | 1 | 1.5 |"), "{filled}");
    assert!(filled.contains("| SF1 | a < b \\| c | **refuted** | 0.0143 [-0.00200, 0.0306] | 10.9 % |"), "{filled}");
    assert!(filled.contains("# Title\n") && filled.contains("\nwords\n") && !filled.contains("old"));
    assert_eq!(filled, fill(&filled).expect("filled again"));

    let table = "<!-- table: quick/selfie/tables/time.csv: experiment, cpu_seconds -->\n<!-- end -->\n";
    let filled = fill(table).expect("filled");
    assert!(filled.contains("| experiment | cpu seconds |\n| --- | --- |\n| all | 90 |\n"), "{filled}");

    let message = |text: &str| fill(text).expect_err("refused").to_string();
    assert_eq!(message("\n<!-- summary: quick -->\n"), "README.md, line 2: no `<!-- end -->` below");
    assert!(message("<!-- verdicts: paper/selfie -->\n<!-- end -->\n").contains("no results of paper/selfie"));
    assert!(message(&table.replace("cpu_", "gpu_")).contains("time.csv: there is no column `gpu_seconds`"));
    assert!(message("<!-- verdict -->\n<!-- end -->\n").contains("neither"));
}

#[test]
fn the_page_holds_its_figures_and_escapes_text() {
    let folder = results();
    let page = page::page(&trials(folder.path()).expect("verdicts")).expect("a page");
    assert!(page.contains("a &lt; b | c") && page.contains("data:image/svg+xml;base64,PHN2Zy8+"), "{page}");
    assert!(page.contains("1.5 processor minutes"));
}

#[test]
fn an_empty_folder_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(trials(folder.path()).expect_err("nothing").to_string().contains("make reproduce-all"));
}

#[test]
fn another_run_is_compared_cell_by_cell() {
    let [ours, theirs] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let cell = |folder: &tempfile::TempDir, name: &str, rows: &str, finished: bool| {
        let cell = folder.path().join("quick/selfie/cells").join(name);
        std::fs::create_dir_all(&cell).expect("a folder");
        std::fs::write(cell.join("epochs.csv"), rows).expect("a file");
        if finished {
            std::fs::write(cell.join("summary.json"), "{}").expect("a file");
        }
    };
    let compared = || compare(ours.path(), theirs.path());
    cell(&ours, "only-here", "1", true);
    cell(&theirs, "only-there", "1", true);
    assert!(compared().expect_err("nothing shared").to_string().contains("no finished cell is in both"));
    for (name, rows, finished) in [("same", "1", true), ("other", "2", true), ("killed", "3", false)] {
        cell(&ours, name, "1", true);
        cell(&theirs, name, rows, finished);
    }
    let [comparison] = &compared().expect("compared")[..] else { panic!("one paper, one profile") };
    assert_eq!((comparison.name.as_str(), comparison.cells), ("quick/selfie", 2));
    assert_eq!(comparison.different, [theirs.path().join("quick/selfie/cells/other/epochs.csv")]);
}
