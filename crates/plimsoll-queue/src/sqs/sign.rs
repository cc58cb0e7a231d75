//! Whose request it is: AWS Signature Version 4, in headers or in the query string.
//!
//! Source: AWS, "Create a signed AWS API request" (Signature Version 4).
//! Units: `now` is in seconds since the epoch.
//! Invariant: what decides the meaning of a request is signed: method, path, query, body, host and target.

use std::collections::BTreeSet;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::sqs::encoding::{form_pairs, hex, percent};
use crate::sqs::{ErrorCode, SqsError, SqsRequest};

/// How far the time of a signature in headers may be from ours, either way.
pub const SIGNATURE_AGE_SECONDS_MAX: u64 = 15 * 60;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "sqs";
const PRESIGNED_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;
const SIGNED_HEADERS_MAX: usize = 100;
const SIGNATURE_PARAMETER: &[u8] = b"X-Amz-Signature";

/// Who signed a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signer {
    /// The access key's id.
    pub access_key: String,
    /// The region that the signature is for, which the caller chose.
    pub region: String,
}

/// Who signed the request, if the signature is right. `secret_of` looks up the secret of an access key's id.
pub fn verify(
    request: &SqsRequest<'_>,
    secret_of: impl FnOnce(&str) -> Option<String>,
    now: u64,
) -> Result<Signer, SqsError> {
    let claim = match request.header("authorization") {
        Some(value) => Claim::from_header(value, request)?,
        None => Claim::from_query(request)?,
    };
    let scope = Scope::parse(&claim.credential)?;
    let signed_at = seconds(&claim.date)
        .ok_or_else(|| incomplete("X-Amz-Date must be a time as in 20260102T030405Z."))?;
    if claim.date.get(..8) != Some(scope.date.as_str()) {
        return Err(incomplete(
            "The date in Credential must be that of X-Amz-Date.",
        ));
    }
    claim.check_time(signed_at, now)?;
    claim.check_headers(request)?;
    let payload = payload_hash(request)?;
    let Some(secret) = secret_of(&scope.access_key) else {
        return Err(SqsError::new(
            ErrorCode::InvalidClientTokenId,
            "The security token included in the request is invalid.",
        ));
    };
    let canonical = canonical_request(request, &claim, &payload)?;
    let expected = scope.signature(&secret, &claim.date, &canonical);
    match verify_slices_are_equal(expected.as_bytes(), claim.signature.as_bytes()) {
        Ok(()) => Ok(Signer {
            access_key: scope.access_key,
            region: scope.region,
        }),
        Err(_) => Err(mismatch(
            "The request signature we calculated does not match the signature you provided.",
        )),
    }
}

/// What the caller says about its signature.
struct Claim {
    credential: String,
    signed_headers: Vec<String>,
    signature: String,
    date: String,
    /// How long a presigned URL is good for; `None` for a signature in headers.
    expires: Option<u64>,
}

impl Claim {
    fn from_header(value: &str, request: &SqsRequest<'_>) -> Result<Self, SqsError> {
        let Some(rest) = value.strip_prefix(ALGORITHM) else {
            return Err(incomplete(
                "Authorization must start with AWS4-HMAC-SHA256.",
            ));
        };
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let Some((name, value)) = part.trim().split_once('=') else {
                return Err(incomplete(
                    "Authorization must have Credential, SignedHeaders and Signature.",
                ));
            };
            match name {
                "Credential" => credential = Some(value),
                "SignedHeaders" => headers = Some(value),
                "Signature" => signature = Some(value),
                _ => (),
            }
        }
        let (Some(credential), Some(headers), Some(signature)) = (credential, headers, signature)
        else {
            return Err(incomplete(
                "Authorization must have Credential, SignedHeaders and Signature.",
            ));
        };
        let date = request
            .header("x-amz-date")
            .ok_or_else(|| incomplete("The request must have X-Amz-Date."))?;
        Self::new(credential, headers, signature, date, None)
    }

    fn from_query(request: &SqsRequest<'_>) -> Result<Self, SqsError> {
        let find = |name: &str| {
            let mut pairs = form_pairs(request.query.as_bytes());
            let (_, value) = pairs.find(|(key, _)| key.as_ref() == name.as_bytes())?;
            String::from_utf8(value.into_owned()).ok()
        };
        let Some(algorithm) = find("X-Amz-Algorithm") else {
            return Err(SqsError::new(
                ErrorCode::MissingAuthenticationToken,
                "The request must be signed: Authorization is missing.",
            ));
        };
        if algorithm != ALGORITHM {
            return Err(incomplete("X-Amz-Algorithm must be AWS4-HMAC-SHA256."));
        }
        let need = |name: &str| {
            find(name).ok_or_else(|| incomplete(format!("A presigned request must have {name}.")))
        };
        let expires = need("X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|seconds| (1..=PRESIGNED_SECONDS_MAX).contains(seconds));
        let expires =
            expires.ok_or_else(|| incomplete("X-Amz-Expires must be 1 to 604800 seconds."))?;
        let (credential, headers) = (need("X-Amz-Credential")?, need("X-Amz-SignedHeaders")?);
        Self::new(
            &credential,
            &headers,
            &need("X-Amz-Signature")?,
            &need("X-Amz-Date")?,
            Some(expires),
        )
    }

    fn new(
        credential: &str,
        headers: &str,
        signature: &str,
        date: &str,
        expires: Option<u64>,
    ) -> Result<Self, SqsError> {
        let signed_headers: Vec<String> = headers.split(';').map(str::to_owned).collect();
        if signed_headers.len() > SIGNED_HEADERS_MAX {
            return Err(incomplete("SignedHeaders must name at most 100 headers."));
        }
        let ordered = signed_headers
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .eq(&signed_headers);
        if !ordered
            || signed_headers
                .iter()
                .any(|name| name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()))
        {
            return Err(incomplete(
                "SignedHeaders must be in lower case, in order, and each once.",
            ));
        }
        let (credential, signature, date) =
            (credential.to_owned(), signature.to_owned(), date.to_owned());
        Ok(Self {
            credential,
            signed_headers,
            signature,
            date,
            expires,
        })
    }

    fn check_time(&self, signed_at: u64, now: u64) -> Result<(), SqsError> {
        let age_max = self.expires.unwrap_or(SIGNATURE_AGE_SECONDS_MAX);
        if signed_at > now.saturating_add(SIGNATURE_AGE_SECONDS_MAX) {
            let message = format!(
                "Signature not yet current: X-Amz-Date is {} seconds ahead.",
                signed_at - now
            );
            return Err(SqsError::new(ErrorCode::RequestExpired, message));
        }
        if now > signed_at.saturating_add(age_max) {
            let message = format!(
                "Signature expired: X-Amz-Date is {} seconds ago, {age_max} are allowed.",
                now - signed_at
            );
            return Err(SqsError::new(ErrorCode::RequestExpired, message));
        }
        Ok(())
    }

    /// The host, and where they are present the headers that change what a request means, must be signed.
    fn check_headers(&self, request: &SqsRequest<'_>) -> Result<(), SqsError> {
        for name in [
            "host",
            "x-amz-date",
            "x-amz-target",
            "x-amz-content-sha256",
            "x-amz-security-token",
        ] {
            let needed = name == "host"
                || (request.header(name).is_some()
                    && (name != "x-amz-date" || self.expires.is_none()));
            if needed && !self.signed_headers.iter().any(|signed| signed == name) {
                return Err(mismatch(format!("The header {name} must be signed.")));
            }
        }
        Ok(())
    }
}

/// `KEY/DATE/REGION/sqs/aws4_request`.
struct Scope {
    access_key: String,
    date: String,
    region: String,
}

impl Scope {
    fn parse(credential: &str) -> Result<Self, SqsError> {
        // From the right: what is left is the key's id, whatever is in it.
        let mut parts = credential.rsplitn(5, '/');
        let (end, service, region, date, key) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        );
        let (Some("aws4_request"), Some(SERVICE), Some(region), Some(date), Some(access_key)) =
            (end, service, region, date, key)
        else {
            return Err(incomplete(
                "Credential must be KEY/DATE/REGION/sqs/aws4_request.",
            ));
        };
        if access_key.is_empty() || region.is_empty() {
            return Err(incomplete(
                "Credential must be KEY/DATE/REGION/sqs/aws4_request.",
            ));
        }
        Ok(Self {
            access_key: access_key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
        })
    }

    fn signature(&self, secret: &str, date: &str, canonical: &[u8]) -> String {
        let hash = hex(digest(&SHA256, canonical).as_ref());
        let to_sign = format!(
            "{ALGORITHM}\n{date}\n{}/{}/{SERVICE}/aws4_request\n{hash}",
            self.date, self.region
        );
        let secret = [b"AWS4", secret.as_bytes()].concat();
        let parts = [
            self.date.as_str(),
            &self.region,
            SERVICE,
            "aws4_request",
            &to_sign,
        ];
        hex(&parts.iter().fold(secret, |key, part| {
            hmac::sign(&hmac::Key::new(HMAC_SHA256, &key), part.as_bytes())
                .as_ref()
                .to_vec()
        }))
    }
}

/// The hash of the body, which the header may only repeat: an unsigned body could be anybody's.
fn payload_hash(request: &SqsRequest<'_>) -> Result<String, SqsError> {
    let hash = hex(digest(&SHA256, request.body).as_ref());
    match request.header("x-amz-content-sha256") {
        Some(claimed) if claimed != hash => Err(mismatch(
            "X-Amz-Content-SHA256 must be the hash of the body.",
        )),
        _ => Ok(hash),
    }
}

fn canonical_request(
    request: &SqsRequest<'_>,
    claim: &Claim,
    payload: &str,
) -> Result<Vec<u8>, SqsError> {
    let mut canonical = Vec::with_capacity(512);
    let mut line = |parts: &[&[u8]]| {
        parts
            .iter()
            .for_each(|part| canonical.extend_from_slice(part));
        canonical.push(b'\n');
    };
    line(&[request.method.as_bytes()]);
    line(&[canonical_path(request.path).as_bytes()]);
    line(&[canonical_query(request.query).as_bytes()]);
    for name in &claim.signed_headers {
        let values = request
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let values: Vec<String> = values.map(|(_, value)| single_spaced(value)).collect();
        if values.is_empty() {
            return Err(mismatch("SignedHeaders must name headers of the request."));
        }
        line(&[name.as_bytes(), b":", values.join(",").as_bytes()]);
    }
    line(&[]);
    line(&[claim.signed_headers.join(";").as_bytes()]);
    canonical.extend_from_slice(payload.as_bytes());
    Ok(canonical)
}

/// Without dot segments and doubled slashes, and encoded once more than it was sent, as every service but S3 has it.
fn canonical_path(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => (),
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let trailing = if path.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    percent(
        format!("/{}{trailing}", segments.join("/")).as_bytes(),
        b"/",
    )
}

/// Decoded as the reader of the Query dialect does, encoded as AWS does, sorted; without the signature itself.
fn canonical_query(query: &str) -> String {
    let pairs =
        form_pairs(query.as_bytes()).filter(|(name, _)| name.as_ref() != SIGNATURE_PARAMETER);
    let mut pairs: Vec<_> = pairs
        .map(|(name, value)| (percent(&name, b""), percent(&value, b"")))
        .collect();
    pairs.sort();
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

fn single_spaced(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Seconds since the epoch of `20260102T030405Z`.
fn seconds(date: &str) -> Option<u64> {
    let digits = |from: usize, to: usize| -> Option<u64> {
        let part = date.get(from..to)?;
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    let (year, month, day) = (digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
    let (hour, minute, second) = (digits(9, 11)?, digits(11, 13)?, digits(13, 15)?);
    let shape = date.len() == 16 && date.get(8..9) == Some("T") && date.ends_with('Z');
    let real = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !shape || !real {
        return None;
    }
    // Years that start in March, so that the leap day is the last: days up to a year, then up to a month.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // From 1 March of the year 0 to the epoch.
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}

fn incomplete(message: impl Into<std::borrow::Cow<'static, str>>) -> SqsError {
    SqsError::new(ErrorCode::IncompleteSignature, message)
}

fn mismatch(message: impl Into<std::borrow::Cow<'static, str>>) -> SqsError {
    SqsError::new(ErrorCode::SignatureDoesNotMatch, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_772_600_767;
    const DATE: (&str, &str) = ("X-Amz-Date", "20260304T050607Z");
    const HOST: (&str, &str) = ("Host", "localhost:9324");
    const JSON_AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260304/eu-west-1/sqs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=4ec85d00709ff7ce45f7ddfb6fb05164d2896bced31e2fda214ca6246a4d3021";
    const JSON_HEADERS: [(&str, &str); 5] = [
        HOST,
        ("X-Amz-Target", "AmazonSQS.ListQueues"),
        ("Content-Type", "application/x-amz-json-1.0"),
        DATE,
        ("Authorization", JSON_AUTHORIZATION),
    ];
    const JSON: SqsRequest<'_> = SqsRequest {
        method: "POST",
        path: "/",
        query: "",
        headers: &JSON_HEADERS,
        body: br#"{"MaxResults": 7}"#,
    };

    fn secret_of(key: &str) -> Option<String> {
        (key == "AKIDEXAMPLE").then(|| "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned())
    }

    #[track_caller]
    fn accepted(request: SqsRequest<'_>) {
        let signer = verify(&request, secret_of, NOW).unwrap();
        assert_eq!(
            signer,
            Signer {
                access_key: "AKIDEXAMPLE".to_owned(),
                region: "eu-west-1".to_owned()
            }
        );
    }

    #[track_caller]
    fn refused(request: SqsRequest<'_>, code: ErrorCode) {
        assert_eq!(verify(&request, secret_of, NOW).unwrap_err().code, code);
    }

    /// The request in JSON with one header's value replaced, or the header removed.
    #[track_caller]
    fn refused_with(name: &str, value: Option<&str>, code: ErrorCode) {
        let others = JSON_HEADERS
            .into_iter()
            .filter(|(header, _)| *header != name);
        let headers: Vec<_> = others.chain(value.map(|value| (name, value))).collect();
        refused(
            SqsRequest {
                headers: &headers,
                ..JSON
            },
            code,
        );
    }

    // The signatures were made by an SDK of AWS's, with its clock set to `NOW`.

    #[test]
    fn a_request_in_json_is_accepted() {
        accepted(JSON);
        // The order of headers and the case of their names say nothing.
        let lower = JSON_HEADERS.map(|(name, value)| (name.to_lowercase(), value));
        let headers: Vec<_> = lower
            .iter()
            .rev()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        accepted(SqsRequest {
            headers: &headers,
            ..JSON
        });
    }

    #[test]
    fn a_form_to_the_url_of_a_queue_is_accepted() {
        let headers = [
            HOST,
            DATE,
            (
                "Content-Type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260304/eu-west-1/sqs/aws4_request,SignedHeaders=content-type;host;x-amz-date,Signature=480678c99ba0d011a1d58080e200ce587b554c4627ae883cd44bf5da0dd4dae6",
            ),
        ];
        let body = b"Action=SendMessage&MessageBody=a+b%26c&Version=2012-11-05";
        accepted(SqsRequest {
            method: "POST",
            path: "/000000000000/jobs",
            query: "",
            headers: &headers,
            body,
        });
    }

    #[test]
    fn paths_queries_and_spaces_are_made_canonical() {
        let headers = [
            HOST,
            DATE,
            ("X-Spaces", "  a   b  "),
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260304/eu-west-1/sqs/aws4_request, SignedHeaders=host;x-amz-date;x-spaces, Signature=7eef01d994d0d9753c9e63e87670ae06563c8701b2bc80840fb522884800495f",
            ),
        ];
        let path = "/000000000000/a%20b//./x/../jobs";
        let query = "Z=a%20b%2Fc~&Action=ReceiveMessage&Empty=&AttributeName.1=All";
        let request = SqsRequest {
            method: "GET",
            path,
            query,
            headers: &headers,
            body: b"",
        };
        accepted(request);
        accepted(SqsRequest {
            query: "Z=a+b%2fc%7e&Action=ReceiveMessage&Empty&AttributeName.1=All",
            ..request
        });
        assert_eq!(canonical_path(path), "/000000000000/a%2520b/jobs");
        assert_eq!(
            canonical_query("b=2&a=%7e+x&a=%2f&c"),
            "a=%2F&a=~%20x&b=2&c="
        );
        for (path, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/", "/a/"),
            ("/../..", "/"),
        ] {
            assert_eq!(canonical_path(path), canonical, "{path}");
        }
    }

    #[test]
    fn a_space_may_be_sent_as_a_plus() {
        let headers = [
            HOST,
            DATE,
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260304/eu-west-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature=bd7122f046ae4aa1094498dcbd422ae93ba7e1bf2c9bbc18039694bd7e1821c3",
            ),
        ];
        let query = "Action=SendMessage&MessageBody=a+b%2Bc~%C3%A9";
        accepted(SqsRequest {
            method: "GET",
            path: "/000000000000/jobs",
            query,
            headers: &headers,
            body: b"",
        });
    }

    #[test]
    fn a_presigned_url_is_good_until_it_expires() {
        let query = "Action=ListQueues&Version=2012-11-05&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260304%2Feu-west-1%2Fsqs%2Faws4_request&X-Amz-Date=20260304T050607Z&X-Amz-Expires=600&X-Amz-SignedHeaders=host&X-Amz-Signature=383e6ca83f825909ae6f46b6eca431cea7fc23f43402d4aac69e6a56370ccb65";
        let request = SqsRequest {
            method: "GET",
            path: "/000000000000/jobs",
            query,
            headers: &[HOST],
            body: b"",
        };
        accepted(request);
        assert!(verify(&request, secret_of, NOW + 600).is_ok());
        assert_eq!(
            verify(&request, secret_of, NOW + 601).unwrap_err().code,
            ErrorCode::RequestExpired
        );
        // A header that changes the meaning is not believed if it is not signed.
        let added = [HOST, ("X-Amz-Target", "AmazonSQS.DeleteQueue")];
        refused(
            SqsRequest {
                headers: &added,
                ..request
            },
            ErrorCode::SignatureDoesNotMatch,
        );
        let longer = query.replace("Expires=600", "Expires=601");
        refused(
            SqsRequest {
                query: &longer,
                ..request
            },
            ErrorCode::SignatureDoesNotMatch,
        );
        let endless = query.replace("Expires=600", "Expires=604801");
        refused(
            SqsRequest {
                query: &endless,
                ..request
            },
            ErrorCode::IncompleteSignature,
        );
    }

    #[test]
    fn anything_that_was_changed_is_noticed() {
        use ErrorCode::SignatureDoesNotMatch as Mismatch;
        refused(
            SqsRequest {
                body: br#"{"MaxResults": 8}"#,
                ..JSON
            },
            Mismatch,
        );
        refused(SqsRequest { path: "/x", ..JSON }, Mismatch);
        refused(
            SqsRequest {
                query: "a=b",
                ..JSON
            },
            Mismatch,
        );
        refused(
            SqsRequest {
                method: "GET",
                ..JSON
            },
            Mismatch,
        );
        refused_with("X-Amz-Target", Some("AmazonSQS.DeleteQueue"), Mismatch);
        refused_with("X-Amz-Target", None, Mismatch);
        refused_with("Host", Some("other"), Mismatch);
        refused_with(
            "Authorization",
            Some(&JSON_AUTHORIZATION.replace("4ec8", "4ec9")),
            Mismatch,
        );
        refused_with(
            "Authorization",
            Some(&JSON_AUTHORIZATION.replace("eu-west-1", "eu-west-2")),
            Mismatch,
        );
        let short = JSON_AUTHORIZATION
            .get(..JSON_AUTHORIZATION.len() - 1)
            .unwrap();
        refused_with("Authorization", Some(short), Mismatch);
        for hash in [
            "UNSIGNED-PAYLOAD",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "00",
        ] {
            refused_with("X-Amz-Content-SHA256", Some(hash), Mismatch);
        }
    }

    #[test]
    fn a_signature_is_whole_and_of_a_known_key() {
        use ErrorCode::IncompleteSignature as Incomplete;
        refused_with("Authorization", None, ErrorCode::MissingAuthenticationToken);
        refused_with(
            "Authorization",
            Some(&JSON_AUTHORIZATION.replace("AKIDEXAMPLE", "OTHER")),
            ErrorCode::InvalidClientTokenId,
        );
        refused_with("X-Amz-Date", None, Incomplete);
        for date in [
            "",
            "20260304",
            "2026-03-04T05:06:07Z",
            "20260304T05060Z",
            "20261304T050607Z",
            "20260304T050607é",
        ] {
            refused_with("X-Amz-Date", Some(date), Incomplete);
        }
        refused_with("X-Amz-Date", Some("20260305T050607Z"), Incomplete);
        for bad in [
            "",
            "Bearer x",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=x",
            &JSON_AUTHORIZATION.replace("/sqs/", "/s3/"),
            &JSON_AUTHORIZATION.replace("AKIDEXAMPLE/", ""),
            &JSON_AUTHORIZATION.replace("content-type;host", "host;content-type"),
            &JSON_AUTHORIZATION.replace("host", "HOST"),
        ] {
            refused_with("Authorization", Some(bad), Incomplete);
        }
    }

    #[test]
    fn a_signature_is_good_for_a_quarter_of_an_hour_either_way() {
        for now in [NOW - 900, NOW + 900] {
            assert!(verify(&JSON, secret_of, now).is_ok());
        }
        for now in [0, NOW - 901, NOW + 901, u64::MAX] {
            assert_eq!(
                verify(&JSON, secret_of, now).unwrap_err().code,
                ErrorCode::RequestExpired
            );
        }
        for (date, expected) in [
            ("19700101T000000Z", Some(0)),
            ("20000229T235959Z", Some(951_868_799)),
            ("20260304T050607Z", Some(NOW)),
            ("19690101T000000Z", None),
        ] {
            assert_eq!(seconds(date), expected, "{date}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn no_claim_of_any_kind_is_accepted_or_breaks_it(
            path in any::<String>(),
            (query, authorization) in (any::<String>(), any::<String>()),
            date in "[0-9]{8}T[0-9]{6}Z",
            at in any::<prop::sample::Index>(),
            now in any::<u64>(),
        ) {
            // Another method: an empty path and query would be those that were signed.
            let request = SqsRequest { method: "PUT", path: &path, query: &query, ..JSON };
            prop_assert!(verify(&request, secret_of, NOW).is_err());
            let _ = seconds(&date);
            let damaged: String = JSON_AUTHORIZATION
                .char_indices()
                .map(|(place, it)| if place == at.index(JSON_AUTHORIZATION.len()) { '\u{e9}' } else { it })
                .collect();
            for authorization in [authorization, damaged] {
                let headers = [HOST, DATE, ("Authorization", authorization.as_str())];
                let claimed = SqsRequest { headers: &headers, ..request };
                prop_assert!(verify(&claimed, secret_of, now).is_err());
            }
        }
    }
}
