//! Names of workspaces: they stand in the paths of doors.
//!
//! Invariant: every name that passes here is one segment of a path, written as it is or
//! percent-encoded, and reads back to itself.

/// The longest name: what a person still tells from another, and a URL carries everywhere.
const NAME_BYTES_MAX: usize = 100;

/// Checks a name.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err("a workspace needs a name of 1 to 100 bytes");
    }
    if name == "." || name == ".." {
        return Err("\".\" and \"..\" mean something else in a path");
    }
    if name.contains(['/', '\\', '?', '#', '%']) {
        return Err("the name stands in the path of its door: no / \\ ? # or %");
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err("a name has no control characters, and no spaces at its ends");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_segments_of_a_path() {
        for name in ["acme", "Acme GmbH & Co", "büro-7", "a.b", &"x".repeat(100)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a%2Fb", "a?b", "#", "a\\b", " a", "a\n", "a\0"] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check(&"x".repeat(101)).is_err());
    }
}
