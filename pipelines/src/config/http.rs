//! The section `[http]`: where the service and the doors are, and their certificate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;
use crate::http::tls::{Files, Tls};

/// The section `[http]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// The address the service listens at.
    pub listen: SocketAddr,
    /// The file with the certificate and those that lead to its root, as PEM: then it speaks TLS.
    pub tls_certificate: Option<PathBuf>,
    /// The file with its private key, as PEM.
    pub tls_key: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        Self { listen, tls_certificate: None, tls_key: None }
    }
}

impl Http {
    /// Checks what can be checked without a look at the files.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(&self) -> Result<(), String> {
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => Err("http.tls_certificate is given without http.tls_key".into()),
            (None, Some(_)) => Err("http.tls_key is given without http.tls_certificate".into()),
            _ => Ok(()),
        }
    }

    /// Where whoever is on this machine finds it.
    #[must_use]
    pub fn own_url(&self) -> String {
        match &self.tls_certificate {
            None => format!("http://{}", self.listen),
            // A certificate is for a name: for an address that anybody has, this one.
            Some(_) if self.listen.ip().is_loopback() || self.listen.ip().is_unspecified() => {
                format!("https://localhost:{}", self.listen.port())
            }
            Some(_) => format!("https://{}", self.listen),
        }
    }

    /// TLS, if a certificate is given; `found` tells where a path of the configuration is.
    ///
    /// # Errors
    /// A usage failure that names the file that is wrong, and says how.
    pub fn tls(&self, found: impl Fn(&Path) -> PathBuf) -> Result<Option<Tls>, Failure> {
        let Some((certificate, key)) = self.tls_certificate.as_ref().zip(self.tls_key.as_ref())
        else {
            return Ok(None);
        };
        let files = Files { certificate: found(certificate), key: found(key) };
        let opened = Tls::open(files).map_err(|problem| {
            let hint = "http.tls_certificate and http.tls_key name PEM files that belong together";
            Failure::usage(problem, hint)
        })?;
        Ok(Some(opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_certificate_needs_its_key_and_files_that_are_wrong_are_named() {
        let problem = Config::parse("[http]\ntls_certificate = \"c.pem\"").unwrap_err();
        assert!(problem.contains("without http.tls_key"), "{problem}");
        let problem = Config::parse("[http]\ntls_key = \"k.pem\"").unwrap_err();
        assert!(problem.contains("without http.tls_certificate"), "{problem}");
        assert!(Http::default().tls(Path::to_path_buf).is_ok_and(|tls| tls.is_none()));

        let folder = tempfile::tempdir().unwrap();
        let text = "[http]\ntls_certificate = \"c.pem\"\ntls_key = \"k.pem\"";
        let http = Config::parse(text).unwrap().http;
        let problem = || {
            let failure = http.tls(|path| folder.path().join(path)).err().unwrap();
            assert_eq!(failure.exit_code(), 2);
            failure.problem
        };
        assert!(problem().contains("c.pem: No such file"), "{}", problem());
        std::fs::write(folder.path().join("c.pem"), "nothing").unwrap();
        std::fs::write(folder.path().join("k.pem"), "").unwrap();
        assert!(problem().contains("c.pem: holds no certificate"), "{}", problem());
        let bogus = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(folder.path().join("c.pem"), bogus).unwrap();
        assert!(problem().contains("k.pem: holds no private key"), "{}", problem());
        std::fs::write(folder.path().join("c.pem"), &bogus[..30]).unwrap();
        assert!(problem().contains("c.pem: not PEM"), "{}", problem());
    }

    #[test]
    fn an_instance_is_found_as_it_listens() {
        let url = |listen: &str, tls: &str| {
            let text = format!("[http]\nlisten = \"{listen}\"\n{tls}");
            Config::parse(&text).unwrap().http.own_url()
        };
        let tls = "tls_certificate = \"c.pem\"\ntls_key = \"k.pem\"";
        assert_eq!(url("127.0.0.1:80", ""), "http://127.0.0.1:80");
        assert_eq!(url("127.0.0.1:80", tls), "https://localhost:80");
        assert_eq!(url("0.0.0.0:80", tls), "https://localhost:80");
        assert_eq!(url("10.0.0.7:80", tls), "https://10.0.0.7:80");
    }
}
