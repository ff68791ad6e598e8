//! Receipts: what was done about a request, and when, signed. Exports: what a person asked to see.
//!
//! ```text
//! {"statement": {...}, "algorithm": "Ed25519", "public_key": "...", "signature": "..."}
//! the signature is over the statement as compact JSON, its members in the order of their names
//! ```
//!
//! Invariant: a receipt is written after everything it says was done and is durable, and names
//! nobody: its subject is the hidden id.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ionflux_schemas::time::UtcMs;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use super::error::SubjectError;
use super::requests::{Deed, Request, names, ours};
use super::vault::Destroyed;
use super::{Subjects, keys};

/// How long an export is kept.
pub const EXPORT_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What was taken out of the ledger for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scrubbed {
    /// Dead letters of files whose bytes were emptied.
    pub letters: u64,
    /// Faults whose words were blanked.
    pub faults: u64,
}

/// What was destroyed for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Erased {
    links: u64,
    bodies: u64,
}

impl Subjects {
    /// Carries a request out to its end: destroys what there is, signs the receipt, and forgets the
    /// request itself. Asked again, it does what is left.
    ///
    /// # Errors
    /// When the disk refuses; the request stays.
    pub fn complete(&self, request: &Request, scrubbed: Scrubbed) -> Result<(), SubjectError> {
        self.carry_out(request, scrubbed, &mut Erased::default())
    }

    /// The same, adding up over several tries what was destroyed.
    ///
    /// # Errors
    /// When the disk refuses; the request stays.
    pub fn carry_out(
        &self,
        request: &Request,
        scrubbed: Scrubbed,
        erased: &mut Erased,
    ) -> Result<(), SubjectError> {
        let now = self.clock.now();
        let destroyed = match request.deed {
            Deed::Tell => Destroyed::default(),
            Deed::Forget => self.vault().forget(&self.to_forget(request), now)?,
            Deed::ForgetShop => {
                let scope = self.keys().scope(&request.workspace, &request.shop);
                self.vault().forget_shop(scope.id, now)?
            }
        };
        erased.links += destroyed.links;
        erased.bodies += self.erase(request)?;
        self.forget_exports(request)?;
        self.forget_downloads(request)?;
        let path = self.part("receipts", &format!("{}.json", request.id));
        if !path.exists() {
            let statement = self.statement(request, now, (*erased, scrubbed));
            let receipt = self.signed(&statement).to_string();
            keys::write_whole(&path, receipt.as_bytes())
                .map_err(SubjectError::of(&path, "writing"))?;
        }
        self.strike(&request.id)
    }

    fn statement(
        &self,
        request: &Request,
        now: UtcMs,
        (erased, scrubbed): (Erased, Scrubbed),
    ) -> Value {
        let scope = self.keys().scope(&request.workspace, &request.shop);
        let people = self.people(request);
        let subject = people.first().map_or(scope.id, |(sought, _)| sought.name);
        // In the order of their names, whatever keeps the order of members elsewhere.
        json!({
            "completed_at": now.to_string(),
            "dead_letters_emptied": scrubbed.letters + erased.bodies,
            "deed": request.deed,
            "faults_blanked": scrubbed.faults,
            "links_destroyed": erased.links,
            "received_at": request.received_at.to_string(),
            "request": request.id,
            "shop": request.shop,
            "subject": format!("{subject:032x}"),
            "totals_unchanged": true,
            "workspace": request.workspace,
        })
    }

    fn signed(&self, statement: &Value) -> Value {
        let signature = self.keys().sign(statement.to_string().as_bytes());
        json!({
            "statement": statement,
            "algorithm": "Ed25519",
            "public_key": STANDARD.encode(self.keys().public()),
            "signature": STANDARD.encode(signature),
        })
    }

    /// The receipt of a request, if it is done, for its workspace only.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn receipt(&self, workspace: &str, id: &str) -> Result<Option<Vec<u8>>, SubjectError> {
        let Some(bytes) = self.kept("receipts", id)? else { return Ok(None) };
        let receipt: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok((receipt["statement"]["workspace"] == workspace).then_some(bytes))
    }

    /// Keeps what a person asked to see.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_export(&self, request: &Request, orders: Vec<Value>) -> Result<(), SubjectError> {
        let path = self.part("exports", &format!("{}.json", request.id));
        let export = json!({
            "request": request.id,
            "workspace": request.workspace,
            "shop": request.shop,
            "customer": request.ids.first(),
            "known_as": request.ids,
            "made_at": self.clock.now().to_string(),
            "orders": orders,
        });
        keys::write_whole(&path, export.to_string().as_bytes())
            .map_err(SubjectError::of(&path, "writing"))
    }

    /// What a person asked to see, for its workspace only.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn export(&self, workspace: &str, id: &str) -> Result<Option<Vec<u8>>, SubjectError> {
        let Some(bytes) = self.kept("exports", id)? else { return Ok(None) };
        let export: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok((export["workspace"] == workspace).then_some(bytes))
    }

    /// Removes the exports of the people whom a request forgets.
    fn forget_exports(&self, request: &Request) -> Result<(), SubjectError> {
        if request.deed == Deed::Tell {
            return Ok(());
        }
        for id in names(&self.folder.join("exports"))? {
            let Some(bytes) = self.kept("exports", &id)? else { continue };
            let export: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let is = |name: &str, text: &str| export[name] == *text;
            let of_shop = is("shop", &request.shop) || request.shop.is_empty();
            let known = export["known_as"].as_array();
            let theirs = request.ids.iter().any(|id| {
                is("customer", id)
                    || known.is_some_and(|known| known.iter().any(|as_| *as_ == **id))
            });
            let all = request.deed == Deed::ForgetShop;
            if is("workspace", &request.workspace) && of_shop && (all || theirs) {
                let path = self.part("exports", &format!("{id}.json"));
                keys::remove(&path).map_err(SubjectError::of(&path, "removing"))?;
            }
        }
        Ok(())
    }

    /// Removes exports that were kept long enough, by when their files were written; gives how
    /// many.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn expire_exports(&self) -> Result<u64, SubjectError> {
        let mut gone = 0;
        let now = UNIX_EPOCH + Duration::from_millis(self.clock.now().0.try_into().unwrap_or(0));
        for id in names(&self.folder.join("exports"))? {
            let path = self.part("exports", &format!("{id}.json"));
            let written = fs::metadata(&path).and_then(|found| found.modified());
            let written = written.map_err(SubjectError::of(&path, "reading"))?;
            if now.duration_since(written).is_ok_and(|age| age > EXPORT_KEPT) {
                keys::remove(&path).map_err(SubjectError::of(&path, "removing"))?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    fn kept(&self, part: &str, id: &str) -> Result<Option<Vec<u8>>, SubjectError> {
        if !ours(id) {
            return Ok(None);
        }
        let path: PathBuf = self.part(part, &format!("{id}.json"));
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(SubjectError::of(&path, "reading")(cause)),
        }
    }
}

/// Whether a receipt is what was signed.
#[must_use]
pub fn verified(receipt: &[u8]) -> bool {
    let Ok(receipt) = serde_json::from_slice::<Value>(receipt) else { return false };
    let part = |name: &str| STANDARD.decode(receipt[name].as_str().unwrap_or_default());
    let (Ok(key), Ok(signature)) = (part("public_key"), part("signature")) else { return false };
    let statement = receipt["statement"].to_string();
    let key = UnparsedPublicKey::new(&ED25519, key);
    receipt["statement"].is_object() && key.verify(statement.as_bytes(), &signature).is_ok()
}
