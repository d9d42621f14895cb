//! Looks for values in files in every way in which they may stand there; the store's own tests do too.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// As text, in hex, and in base64 of either alphabet, wherever in the encoded text it begins.
pub(crate) fn forms(value: &str) -> Vec<String> {
    let hex = hex::encode(value);
    let mut forms = vec![value.to_owned(), hex.to_uppercase(), hex];
    for (before, mixed) in [(0, 0), (1, 2), (2, 3)] {
        let bytes = [&[0; 2][..before], value.as_bytes()].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&bytes);
            // The characters at the ends hold bits of what stands beside it.
            let end = encoded.len() - usize::from(bytes.len() % 3 != 0);
            forms.push(encoded.get(mixed..end).unwrap().to_owned());
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// Which of these values stand there, in any form.
pub(crate) fn held<'v>(bytes: &[u8], values: &[&'v str]) -> Vec<&'v str> {
    let text = String::from_utf8_lossy(bytes);
    let is_there = |value: &&str| forms(value).iter().any(|form| text.contains(form));
    values.iter().copied().filter(is_there).collect()
}

/// Files in this folder, and in those in it, that hold any of these values.
pub(crate) fn found_in(folder: &Path, values: &[&str]) -> Vec<(PathBuf, Vec<String>)> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        // A folder or file of a server that works may have gone meanwhile.
        for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let held = held(&std::fs::read(&path).unwrap_or_default(), values);
            if !held.is_empty() {
                found.push((path, held.into_iter().map(str::to_owned).collect()));
            }
        }
    }
    found
}

#[test]
fn a_value_is_found_in_every_form() {
    let value = "merkteken-7f?>~";
    for before in ["", "x", "xy", "xyz"] {
        for after in ["", "x", "xy"] {
            let whole = format!("{before}{value}{after}");
            let standing = [
                whole.clone(),
                hex::encode(&whole),
                hex::encode_upper(&whole),
                STANDARD_NO_PAD.encode(&whole),
                URL_SAFE_NO_PAD.encode(&whole),
            ];
            for text in standing {
                let bytes = [&[0xff, 0xc3][..], text.as_bytes(), &[0xe2]].concat();
                assert_eq!(held(&bytes, &["nergens-te-vinden", value]), [value], "{text}");
            }
        }
    }
}
