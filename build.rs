//! Generates the gRPC code from `proto/` (with protox: no protoc needed) and the list of covenant files to embed.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    api()
}

fn api() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir("proto/sluis/v1")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("sluis.v1.descriptors"), protox::prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .bytes(".sluis.v1.PublishRecordRequest")
        .bytes(".sluis.v1.FetchRecordResponse")
        .compile_fds(descriptors)?;
    Ok(())
}
