//! A mandate as a file, to be handed over: JSON that people can read too. What counts in it is the document as it stands there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::api::v1;
use crate::seal::MandateError;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// RFC 8785 JSON in a string.
    document: String,
    signature_scheme: u32,
    /// Base64.
    signature: String,
    /// Base64 of DER, leaf first.
    certificate_chain: Vec<String>,
}

/// The text of a file.
///
/// # Errors
/// [`MandateError::Format`] for a document that is no text.
pub fn write(mandate: &v1::Mandate) -> Result<String, MandateError> {
    let file = File {
        document: String::from_utf8(mandate.document.clone()).map_err(|_| MandateError::Format)?,
        signature_scheme: mandate.signature_scheme,
        signature: STANDARD.encode(&mandate.signature),
        certificate_chain: mandate.certificate_chain.iter().map(|der| STANDARD.encode(der)).collect(),
    };
    serde_json::to_string_pretty(&file).map(|text| text + "\n").map_err(|_| MandateError::Format)
}

/// What a file holds. Nothing of it is checked but its form.
///
/// # Errors
/// [`MandateError::Format`].
pub fn read(text: &str) -> Result<v1::Mandate, MandateError> {
    let file: File = serde_json::from_str(text).map_err(|_| MandateError::Format)?;
    let decode = |text: &String| STANDARD.decode(text).map_err(|_| MandateError::Format);
    Ok(v1::Mandate {
        document: file.document.into_bytes(),
        signature_scheme: file.signature_scheme,
        signature: decode(&file.signature)?,
        certificate_chain: file.certificate_chain.iter().map(decode).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_back_and_nothing_else_does() {
        let mandate = v1::Mandate {
            document: br#"{"id":"x","version":1}"#.to_vec(),
            signature_scheme: 0x0403,
            signature: vec![1, 2, 255],
            certificate_chain: vec![vec![0x30, 0], vec![]],
        };
        let text = write(&mandate).unwrap();
        assert_eq!(read(&text), Ok(mandate.clone()));
        for other in [
            String::new(),
            "{}".to_owned(),
            text.replace("\"signature\"", "\"handtekening\""),
            text.replace("\"signature_scheme\": 1027", "\"signature_scheme\": -1"),
            text.replace("\"signature_scheme\"", "\"scope\": 1, \"signature_scheme\""),
            text.replace("AQL/", "A!L/"),
        ] {
            assert_ne!(other, text);
            assert_eq!(read(&other), Err(MandateError::Format), "{other}");
        }
        assert_eq!(write(&v1::Mandate { document: vec![0xff], ..mandate }), Err(MandateError::Format));
    }
}
