//! State folders: one process at a time, no format misread, and views that are what they should be.

use std::fs::{self, File};
use std::io::Write;

use ionflux::assemble::{Books, Options};
use ionflux::files::FileProgress;
use ionflux_ledger::BaseZone;
use ionflux_sources::files::mapping::Mapping;
use ionflux_sources::list::{Format, Opened};
use ionflux_sources::reading::Setting;

use crate::bench::{Bench, CSV, LINES, MAPPING};

fn with_books() -> Bench {
    let bench = Bench::new();
    bench.write("mapping.toml", MAPPING);
    bench.write("lines.csv", LINES);
    bench.good(&format!("replay lines.csv {CSV} --state books"));
    bench
}

#[test]
fn a_state_in_use_is_refused_with_the_process_that_has_it() {
    let bench = with_books();
    let mut lock = File::options().write(true).open(bench.path().join("books/LOCK")).unwrap();
    lock.lock().unwrap();
    lock.set_len(0).unwrap();
    lock.write_all(b"4711\n").unwrap();
    for command in [
        &format!("replay lines.csv {CSV} --state books"),
        "verify --state books",
        "faults list --state books",
        "faults replay --state books",
    ] {
        bench.refused(command, 1, &["in use by process 4711", "stop it"]);
    }
    bench.good("query --state books SELECT(1)");
    drop(lock);
    bench.good("verify --state books");
}

#[test]
fn other_formats_are_refused_and_left_alone() {
    let bench = with_books();
    for format in ["3", "0", "", "two"] {
        bench.write("books/FORMAT", format);
        for command in [
            "verify --state books",
            "query --state books SELECT(1)",
            &format!("replay lines.csv {CSV} --state books"),
        ] {
            bench.refused(command, 1, &["a state of format", "the release that made it"]);
        }
        assert_eq!(bench.read("books/FORMAT"), format);
    }
    bench.write("books/FORMAT", "2");
    assert!(bench.good("verify --state books").starts_with("equal: "));
}

#[test]
fn verify_names_every_row_on_disk_that_is_not_what_plain_loops_give() {
    let bench = with_books();
    let said = bench.good("verify --state books --workers 3");
    assert!(said.starts_with("equal: 5 views, ") && !said.contains("not compared"), "{said}");
    bench.write("other.csv", LINES.replace("10.00", "11.00"));
    bench.good(&format!("replay other.csv {CSV} --state other"));
    let current = bench.read("books/views/CURRENT");
    let theirs = bench.read("other/views/CURRENT");
    let file = |state: &str, current: &str| {
        bench.path().join(format!("{state}/views/{current}/revenue_by_day.parquet"))
    };
    fs::copy(file("other", &theirs), file("books", &current)).unwrap();
    let output = bench.run("verify --state books");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for part in ["different: ", "revenue_by_day (disk)", "day=2026-03-01", "40.00", "44.00"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let said = bench.good(&format!("replay lines.csv {CSV} --state books"));
    assert!(!said.is_empty());
    assert!(bench.good("verify --state books").starts_with("equal: "), "made again");
}

#[test]
fn what_is_lost_of_a_state_is_said_and_never_counted_as_nothing() {
    let bench = with_books();
    let current = bench.read("books/views/CURRENT");
    let view = bench.path().join(format!("books/views/{current}/metrics_hourly.parquet"));
    fs::remove_file(view).unwrap();
    let output = bench.run("verify --state books");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("metrics_hourly.parquet is missing"), "{text}");

    fs::remove_dir_all(bench.path().join("books/ledger")).unwrap();
    for command in ["verify --state books", &format!("replay lines.csv {CSV} --state books")] {
        bench.refused(command, 1, &["the ledger is empty", "put a copy"]);
    }
    // A start that was cut off before anything was there is as good as none.
    fs::create_dir(bench.path().join("begun")).unwrap();
    bench.write("begun/FORMAT.part", "");
    bench.refused("verify --state begun", 1, &["no state"]);
    bench.good(&format!("replay lines.csv {CSV} --state begun"));
}

#[test]
fn views_of_another_definition_are_made_again_and_never_mixed() {
    let bench = with_books();
    let name = format!("books/views/{}/snapshot.json", bench.read("books/views/CURRENT"));
    let text = bench.read(&name);
    assert!(text.contains("\"revenue_by_day\":1"), "{text}");
    bench.write(&name, text.replace("\"revenue_by_day\":1", "\"revenue_by_day\":0"));
    let said = bench.good("verify --state books");
    assert!(said.contains("another definition") && said.contains("revenue_by_day"), "{said}");
    bench.good(&format!("replay lines.csv {CSV} --state books"));
    assert!(!bench.good("verify --state books").contains("another definition"));
}

#[test]
fn an_interrupted_replay_goes_on_where_the_ledger_is() {
    let bench = Bench::new();
    bench.write("mapping.toml", MAPPING);
    let row = |n: usize| format!("{},mug,1,{}.00,2026-03-01T10:00:00,{}\n", n / 3, n % 5, n % 7);
    let rows: String = (0..60).map(row).collect();
    bench.write("lines.csv", format!("order,product,quantity,price,at,customer\n{rows}"));
    let path = bench.path().join("lines.csv");
    let state = bench.path().join("books");
    let mapping = Mapping::open(&bench.path().join("mapping.toml")).unwrap();
    let format = Format::Csv(Box::new(mapping));
    let options = Options { state: Some(&state), base_zone: BaseZone::Unknown, workers: 1 };
    let mut readings = Vec::new();
    for stop_after in [7, 30] {
        let mut books = Books::open(&options).unwrap();
        let mut file = FileProgress::of(&mut books, &path, "the same").unwrap();
        let setting = Setting {
            workspace: "default".into(),
            shop: Some("default".into()),
            currency: None,
            zone: ionflux_schemas::time::Zone::UTC,
            reading: file.reading(),
        };
        readings.push(file.reading());
        let records = Opened::open(&path).unwrap().records(&format, setting).unwrap();
        for decoded in records.take(stop_after) {
            if !file.counted_before() {
                books.engine.add(decoded.unwrap());
            }
        }
        file.note(&mut books.engine, false).unwrap();
        books.engine.close_epoch(None).unwrap();
        books.engine.sync().unwrap();
        // Gone without a word, as if killed.
        drop(books);
    }
    assert_eq!(readings, [1, 1], "one reading, taken up again");
    bench.good(&format!("replay lines.csv {CSV} --state books --export out"));
    bench.good(&format!("replay lines.csv {CSV} --export whole"));
    for view in ["revenue_by_day", "revenue_by_product_day", "metrics_hourly", "faults"] {
        let name = format!("{view}.csv");
        assert_eq!(bench.read(&format!("out/{name}")), bench.read(&format!("whole/{name}")));
    }
}
