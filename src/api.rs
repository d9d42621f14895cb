//! The generated gRPC API (`proto/sluis/v1`). The comments in the `.proto` files are its documentation.

/// Package `sluis.v1`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("sluis.v1");
}

/// The compiled `FileDescriptorSet`, for reflection and for the tests that list every RPC.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sluis.v1.descriptors"));
