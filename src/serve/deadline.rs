//! The caller's own deadline, as gRPC sends it: `grpc-timeout`, one to eight digits and a unit.

use std::time::Duration;

use tonic::codegen::http::HeaderMap;

/// The header.
pub(crate) const HEADER: &str = "grpc-timeout";

/// The header says nothing that can be honoured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How long the caller will wait, if it says so. tonic passes over what it can't read; a caller that believes it has a
/// deadline must not wait without one.
///
/// # Errors
/// [`Malformed`].
pub(crate) fn asked(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed);
    }
    value.to_str().ok().and_then(read).map(Some).ok_or(Malformed)
}

fn read(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The smaller of two limits, where there are any.
pub(crate) fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Option<Duration>, Malformed> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        asked(&headers)
    }

    #[test]
    fn what_grpc_defines_is_read() {
        assert_eq!(of(&[]), Ok(None));
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("30m", Duration::from_millis(30)),
            ("30u", Duration::from_micros(30)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(of(&[text]), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in ["", "S", "5", "5s", "-5S", "+5S", " 5S", "5 S", "1.5S", "100000000S", "5SS", "٣S", "inf"] {
            let value = tonic::codegen::http::HeaderValue::from_bytes(text.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(HEADER.parse().unwrap(), value)]);
            assert_eq!(asked(&headers), Err(Malformed), "{text}");
        }
        assert_eq!(of(&["1S", "2S"]), Err(Malformed));
    }

    #[test]
    fn the_smaller_limit_holds() {
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(shorter(Some(one), Some(two)), Some(one));
        assert_eq!(shorter(None, Some(two)), Some(two));
        assert_eq!(shorter(None, None), None);
    }
}
