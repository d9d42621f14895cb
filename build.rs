//! Generates the gRPC code from `proto/` (with protox: no protoc needed) and embeds the covenant's files.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const COVENANT: &str = "covenant/ret-overijssel";

fn main() -> Result<(), Box<dyn Error>> {
    api()?;
    covenant()
}

fn api() -> Result<(), Box<dyn Error>> {
    rerun_if_changed(Path::new("proto"));
    let mut files: Vec<PathBuf> =
        fs::read_dir("proto/sluis/v1")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no output directory")?);
    fs::write(out.join("sluis.v1.descriptors"), protox::prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .bytes(".sluis.v1.PublishRecordRequest")
        .bytes(".sluis.v1.FetchRecordResponse")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Writes `$OUT_DIR/covenant_files.rs`: every file of the covenant as `(path, text)`, sorted by path.
fn covenant() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest directory")?).join(COVENANT);
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let path = file.strip_prefix(&root)?.to_str().ok_or("file name is not UTF-8")?.replace('\\', "/");
        writeln!(code, "    ({path:?}, include_str!({:?})),", file.to_str().ok_or("path is not UTF-8")?)?;
    }
    code.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no output directory")?);
    fs::write(out.join("covenant_files.rs"), code)?;
    rerun_if_changed(&root);
    for file in &files {
        rerun_if_changed(file);
    }
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    rerun_if_changed(directory);
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn rerun_if_changed(path: &Path) {
    println!("cargo:rerun-if-changed={}", path.display());
}
