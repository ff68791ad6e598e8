//! What a Kafka error means for the sink.
//!
//! Invariant: a message names the step and the broker's code; keys and values of records never get
//! here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::error::SinkError;

/// Codes that no later try gets over.
const LASTING: [Code; 13] = [
    Code::Authentication,
    Code::SaslAuthenticationFailed,
    Code::UnsupportedSASLMechanism,
    Code::TopicAuthorizationFailed,
    Code::ClusterAuthorizationFailed,
    Code::GroupAuthorizationFailed,
    Code::TransactionalIdAuthorizationFailed,
    Code::InvalidTransactionTimeout,
    Code::MessageSizeTooLarge,
    Code::UnsupportedVersion,
    Code::UnsupportedFeature,
    Code::InvalidTopic,
    Code::SecurityDisabled,
];
/// Codes that say that another producer of the same name began.
const FENCED: [Code; 3] = [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch];

/// What a client hears beside its answers: an address that refuses the login gives no answer, only
/// this.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        let refused = [Code::Authentication, Code::SaslAuthenticationFailed];
        if error.rdkafka_error_code().is_some_and(|code| refused.contains(&code)) {
            self.0.store(true, Ordering::Relaxed);
        }
        tracing::debug!(%error, reason, "Kafka");
    }
}

impl ConsumerContext for Heard {}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    /// A record that does not arrive makes the commit fail, which is told there.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

impl Heard {
    /// Whether the login was refused.
    pub(super) fn refused(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What the error of a step means.
    pub(super) fn failed(&self, step: &str, error: KafkaError) -> SinkError {
        if self.refused() {
            let what = format!("Kafka: {step}: the login is refused; check user and password");
            return SinkError::permanent(what).caused_by(error);
        }
        failed(step, error)
    }
}

/// What the error of a step means.
pub(super) fn failed(step: &str, error: KafkaError) -> SinkError {
    let code = match &error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    };
    let setting = matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_));
    let made = match code {
        Some(code) => refused(step, code),
        // What the client does not like about its own settings is not told with their values.
        None if setting => {
            return SinkError::permanent(format!("Kafka: {step}: the client refuses its settings"));
        }
        None => SinkError::transient(format!("Kafka: {step}: no answer")),
    };
    made.caused_by(error)
}

/// What the code of a step means.
pub(super) fn refused(step: &str, code: Code) -> SinkError {
    if FENCED.contains(&code) {
        let what = format!(
            "Kafka: {step}: another producer of this sink took over; run one program for each \
             topic prefix"
        );
        return SinkError::transient(what);
    }
    let what = format!("Kafka: {step}: {code:?}{}", remedy(code));
    if LASTING.contains(&code) { SinkError::permanent(what) } else { SinkError::transient(what) }
}

fn remedy(code: Code) -> &'static str {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed => "; check user and password",
        Code::TopicAuthorizationFailed => "; the user must read, write and describe the topics",
        Code::TransactionalIdAuthorizationFailed => {
            "; the user must write to the transactional id, which is prefix and sink name"
        }
        Code::InvalidTransactionTimeout => {
            "; the broker's transaction.max.timeout.ms must be answer_s or more"
        }
        Code::MessageSizeTooLarge => "; a row is larger than the broker's message.max.bytes",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Code, passing: bool, part: &str) {
        let error = refused("commit", code);
        assert_eq!(error.passing(), passing, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }

    #[test]
    fn what_passes_is_tried_again_and_the_rest_halts() {
        check(Code::ProducerFenced, true, "another producer of this sink took over");
        check(Code::InvalidProducerEpoch, true, "took over");
        check(Code::OperationTimedOut, true, "commit: OperationTimedOut");
        check(Code::BrokerTransportFailure, true, "");
        check(Code::TopicAuthorizationFailed, false, "read, write and describe");
        check(Code::MessageSizeTooLarge, false, "message.max.bytes");
    }

    #[test]
    fn a_refused_login_is_told_whatever_the_step_says() {
        let heard = Heard::default();
        let timeout = || KafkaError::Global(Code::OperationTimedOut);
        assert!(heard.failed("connect", timeout()).passing());
        heard.error(KafkaError::Global(Code::Authentication), "refused");
        assert!(!heard.failed("connect", timeout()).passing());
    }
}
