//! The errors of `wasi:http`.

use crate::http::{Failure, FieldsError};
use crate::p2::abi::{record, variant};
use crate::p2::stop::{Called, trap};

record! { Lift Lower:
    /// What a name server has answered.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct DnsErrorPayload {
        rcode: Option<String>,
        info_code: Option<u16>,
    }
}

record! { Lift Lower:
    /// What a peer has said by TLS.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct TlsAlertReceivedPayload {
        alert_id: Option<u8>,
        alert_message: Option<String>,
    }
}

record! { Lift Lower:
    /// A field that is too large.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct FieldSizePayload {
        field_name: Option<String>,
        field_size: Option<u32>,
    }
}

variant! { Lift Lower:
    /// Why a request or a response has failed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[allow(dead_code, reason = "a guest may give each of them")]
    enum ErrorCode {
        DnsTimeout(()) = 0,
        DnsError(DnsErrorPayload) = 1,
        DestinationNotFound(()) = 2,
        DestinationUnavailable(()) = 3,
        DestinationIpProhibited(()) = 4,
        DestinationIpUnroutable(()) = 5,
        ConnectionRefused(()) = 6,
        ConnectionTerminated(()) = 7,
        ConnectionTimeout(()) = 8,
        ConnectionReadTimeout(()) = 9,
        ConnectionWriteTimeout(()) = 10,
        ConnectionLimitReached(()) = 11,
        TlsProtocolError(()) = 12,
        TlsCertificateError(()) = 13,
        TlsAlertReceived(TlsAlertReceivedPayload) = 14,
        HttpRequestDenied(()) = 15,
        HttpRequestLengthRequired(()) = 16,
        HttpRequestBodySize(Option<u64>) = 17,
        HttpRequestMethodInvalid(()) = 18,
        HttpRequestUriInvalid(()) = 19,
        HttpRequestUriTooLong(()) = 20,
        HttpRequestHeaderSectionSize(Option<u32>) = 21,
        HttpRequestHeaderSize(Option<FieldSizePayload>) = 22,
        HttpRequestTrailerSectionSize(Option<u32>) = 23,
        HttpRequestTrailerSize(FieldSizePayload) = 24,
        HttpResponseIncomplete(()) = 25,
        HttpResponseHeaderSectionSize(Option<u32>) = 26,
        HttpResponseHeaderSize(FieldSizePayload) = 27,
        HttpResponseBodySize(Option<u64>) = 28,
        HttpResponseTrailerSectionSize(Option<u32>) = 29,
        HttpResponseTrailerSize(FieldSizePayload) = 30,
        HttpResponseTransferCoding(Option<String>) = 31,
        HttpResponseContentCoding(Option<String>) = 32,
        HttpResponseTimeout(()) = 33,
        HttpUpgradeFailed(()) = 34,
        HttpProtocolError(()) = 35,
        LoopDetected(()) = 36,
        ConfigurationError(()) = 37,
        InternalError(Option<String>) = 38,
    }
}

variant! { Lower:
    /// Why fields do not change.
    #[derive(Debug)]
    enum HeaderError {
        InvalidSyntax(()) = 0,
        Forbidden(()) = 1,
        Immutable(()) = 2,
    }
}

impl From<Failure> for ErrorCode {
    fn from(failure: Failure) -> Self {
        match failure {
            // In the words that Wasmtime has for it.
            Failure::NameUnresolvable => Self::DnsError(DnsErrorPayload {
                rcode: Some("address not available".into()),
                info_code: None,
            }),
            Failure::NameDenied => Self::HttpRequestDenied(()),
            Failure::AddressDenied => Self::DestinationIpProhibited(()),
            Failure::ConnectionRefused => Self::ConnectionRefused(()),
            Failure::TooManyConnections => Self::ConnectionLimitReached(()),
            Failure::ConnectTimeout => Self::ConnectionTimeout(()),
            Failure::ReadTimeout => Self::ConnectionReadTimeout(()),
            Failure::ConnectionLost => Self::ConnectionTerminated(()),
            Failure::ResponseLost => Self::HttpResponseIncomplete(()),
            Failure::Tls => Self::TlsProtocolError(()),
            Failure::Certificate => Self::TlsCertificateError(()),
            Failure::TlsAlert(number) => Self::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: Some(number),
                alert_message: None,
            }),
            Failure::Protocol => Self::HttpProtocolError(()),
            Failure::RequestBodySize(size) => Self::HttpRequestBodySize(Some(size)),
            Failure::ResponseBodySize(size) => Self::HttpResponseBodySize(Some(size)),
        }
    }
}

/// What a guest is told that changes fields. Beyond the limits it ends, as with Wasmtime.
pub(super) fn changed<T>(result: Result<T, FieldsError>) -> Called<Result<T, HeaderError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(FieldsError::InvalidSyntax) => Ok(Err(HeaderError::InvalidSyntax(()))),
        Err(FieldsError::Forbidden) => Ok(Err(HeaderError::Forbidden(()))),
        Err(FieldsError::Immutable) => Ok(Err(HeaderError::Immutable(()))),
        Err(FieldsError::TooMany) => trap("too many fields in the field map"),
        Err(FieldsError::TooLarge) => trap("total size of fields exceeds limit"),
    }
}
