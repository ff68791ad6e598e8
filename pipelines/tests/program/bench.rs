//! A folder to work in, and the program run inside it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A folder to work in, and the program run inside it.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub fn run(&self, arguments: &str) -> Output {
        let words = arguments.split_whitespace();
        self.command(&words.collect::<Vec<_>>())
    }

    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ionflux"))
            .current_dir(self.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    pub fn good(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says when it refuses, with its exit code.
    pub fn refused(&self, arguments: &str, code: i32, parts: &[&str]) {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {error}");
        for part in parts {
            assert!(error.contains(part), "{arguments}: no {part:?} in {error}");
        }
        assert!(!error.contains("panicked"), "{error}");
    }
}

pub const MAPPING: &str = r#"
currency = "USD"
[columns]
order = "order"
product = "product"
quantity = "quantity"
unit_price = "price"
time = "at"
customer = "customer"
[returns]
negative_quantity = true
"#;

pub const LINES: &str = "\
order,product,quantity,price,at,customer
1,mug,2,10.00,2026-03-01T10:00:00,7
1,mug,2,10.00,2026-03-01T10:00:00,7
2,cup,-1,4.00,2026-03-02T10:00:00,7
3,cup,1,1e400,2026-03-02T10:00:00,8
4,cup,1,NaN,2026-03-02T10:00:00,8
5,cup,1099511627776,1.00,2026-03-02T10:00:00,8
6,cup,1,1.00,yesterday,8
7,cup,3,1.255,2026-03-02T10:00:00,8
";

pub const CSV: &str = "--format csv --mapping mapping.toml";
