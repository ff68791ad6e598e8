//! Secrets: from the environment, or from a file of `NAME=value` lines beside the configuration.
//!
//! Invariant: a secret is never in the configuration, in a message or in a log; only its name is.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::Config;
use crate::failure::Failure;

/// The longest secrets file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where secrets are looked for: in the environment first.
#[derive(Default)]
pub struct Secrets {
    file: BTreeMap<String, String>,
}

impl Secrets {
    /// The secrets of the environment, and of a file if one is given.
    ///
    /// # Errors
    /// A usage failure when the file cannot be read, others may read it, or a line is no
    /// `NAME=value`.
    pub fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let failed = |problem: String, hint: &str| {
            Failure::usage(format!("{}: {problem}", path.display()), hint)
        };
        let found = std::fs::metadata(path).map_err(|cause| {
            failed(cause.to_string(), "secrets_file names a file of NAME=value lines")
        })?;
        if found.len() > FILE_BYTES_MAX {
            return Err(failed("too long for a file of secrets".into(), ""));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if found.permissions().mode() & 0o077 != 0 {
                let problem = "the file of secrets is open to other users".to_owned();
                return Err(failed(problem, "close it: chmod 600"));
            }
        }
        let text = std::fs::read_to_string(path).map_err(|cause| failed(cause.to_string(), ""))?;
        let mut file = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                let problem = format!("line {} is no NAME=value", at + 1);
                return Err(failed(problem, "the value is everything behind the first ="));
            };
            file.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(Self { file })
    }

    /// The secrets that a configuration, read from a file, names the place of.
    ///
    /// # Errors
    /// As [`Secrets::read`].
    pub fn of(config: &Config, file: &Path) -> Result<Self, Failure> {
        let folder = file.parent().unwrap_or(Path::new(""));
        Self::read(config.secrets_file.as_ref().map(|path| folder.join(path)).as_deref())
    }

    /// A secret by its name.
    ///
    /// # Errors
    /// A usage failure that names it and says what it is for.
    pub fn get(&self, name: &str, purpose: &str) -> Result<String, Failure> {
        let held = std::env::var(name).ok().or_else(|| self.file.get(name).cloned());
        held.filter(|secret| !secret.trim().is_empty()).ok_or_else(|| {
            let problem = format!("the secret {name} is unset or empty");
            let hint = format!(
                "it must hold {purpose}, in the environment or in the secrets_file of the \
                 configuration"
            );
            Failure::usage(problem, hint)
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_come_from_a_closed_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        std::fs::write(&path, "# ours\nA_SECRET_OF_A_TEST = a=b \nEMPTY_ONE=\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        let refused = Secrets::read(Some(&path)).err().unwrap();
        assert!(refused.problem.contains("open to other users") && refused.exit_code() == 2);
        mode(0o600);
        let secrets = Secrets::read(Some(&path)).unwrap();
        assert_eq!(secrets.get("A_SECRET_OF_A_TEST", "").unwrap(), "a=b");
        let refused = secrets.get("EMPTY_ONE", "a token").unwrap_err();
        assert!(refused.problem.contains("EMPTY_ONE") && refused.hint.contains("a token"));
    }
}
