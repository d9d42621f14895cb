//! etcd beside it, where it is installed (Debian: `etcd-server`): a durable write over mutual TLS that many know.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prost::bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use sluis::tls::ClientTls;
use tokio::process::Command;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::Failed;
use crate::process::{Process, until};
use crate::world::HOST;

/// What an audited call leaves in the store, about.
const VALUE: usize = 1024;

/// `etcdserverpb.PutRequest`, as far as it is used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `etcdserverpb.PutResponse`, of which nothing is used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// Whether it is installed.
pub(crate) fn is_here() -> bool {
    program().is_some()
}

fn program() -> Option<PathBuf> {
    ["/usr/bin/etcd", "/usr/local/bin/etcd"].into_iter().map(PathBuf::from).find(|path| path.exists())
}

/// A CA and one certificate for both sides. Not those of the run: their policy has an arc of 128 bits, which the Go that
/// Debian 12 builds etcd with can't read.
fn certificates(folder: &Path) -> Result<(), Failed> {
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate()?;
    let issuer = Issuer::from_params(&root, &root_key);
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec![HOST.to_owned()])?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("anchors.pem"), root.self_signed(&root_key)?.pem())?;
    std::fs::write(folder.join("etcd.pem"), leaf.signed_by(&key, &issuer)?.pem())?;
    std::fs::write(folder.join("etcd.key"), key.serialize_pem())?;
    Ok(std::fs::set_permissions(folder.join("etcd.key"), std::fs::Permissions::from_mode(0o600))?)
}

/// How to connect.
pub(crate) fn tls(folder: &Path) -> Result<ClientTls, Failed> {
    crate::world::tls_in(&folder.join("etcd-ca"), "etcd")
}

/// Starts one node; gives its address.
pub(crate) async fn start(folder: &Path) -> Result<(Process, String), Failed> {
    let ca = folder.join("etcd-ca");
    certificates(&ca)?;
    let [client, peer] = [crate::hub::free_port()?, crate::hub::free_port()?];
    let (address, peer) = (format!("{HOST}:{client}"), format!("http://{HOST}:{peer}"));
    let own = format!("https://{address}");
    let mut command = Command::new(program().ok_or("etcd is not here")?);
    command.args(["--name", "one", "--data-dir"]).arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &own, "--advertise-client-urls", &own]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("one={peer}"), "--client-cert-auth"]);
    command.arg("--cert-file").arg(ca.join("etcd.pem")).arg("--key-file").arg(ca.join("etcd.key"));
    command.arg("--trusted-ca-file").arg(ca.join("anchors.pem"));
    command.args(["--enable-grpc-gateway=false", "--logger=zap", "--log-level", "error"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let process = Process::start(command, &folder.join("etcd.log"))?;
    let tls = tls(folder)?;
    until(|| async { put(tls.connect(&address).await?, 0).await }, Duration::from_millis(50)).await?;
    Ok((process, address))
}

/// One durable write.
pub(crate) async fn put(channel: Channel, nth: usize) -> Result<(), Failed> {
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let request = PutRequest { key: format!("/log/{nth:012}").into(), value: vec![7; VALUE].into() };
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    let codec = ProstCodec::<PutRequest, PutResponse>::default();
    client.unary(tonic::Request::new(request), path, codec).await?;
    Ok(())
}
