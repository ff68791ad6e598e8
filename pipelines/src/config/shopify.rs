//! The section `[shopify]`: webhooks of each workspace's app.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::workspace;
use crate::failure::Failure;
use crate::secrets::Secrets;

/// The section `[shopify]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shopify {
    /// For each workspace the names of its app's client secrets, in the environment or the secrets
    /// file: several while they are being rotated.
    pub secret_variables: BTreeMap<String, Vec<String>>,
}

impl Shopify {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(&self) -> Result<(), String> {
        for (workspace, variables) in &self.secret_variables {
            let problem =
                |problem: &str| Err(format!("shopify.secret_variables.{workspace:?}: {problem}"));
            workspace::check(workspace).or_else(problem)?;
            if variables.is_empty() {
                return problem("a workspace needs at least one variable");
            }
        }
        Ok(())
    }

    /// The secrets of every workspace.
    ///
    /// # Errors
    /// A usage failure that names the secret that is missing.
    pub fn secrets(&self, secrets: &Secrets) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let purpose = "the client secret of the Shopify app that sends webhooks";
        let of = |(workspace, names): (&String, &Vec<String>)| {
            let held =
                names.iter().map(|name| secrets.get(name, purpose)).collect::<Result<_, _>>()?;
            Ok((workspace.clone(), held))
        };
        self.secret_variables.iter().map(of).collect()
    }
}
