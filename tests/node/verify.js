// Verifies a copy of a Sluis log with npm's @sigstore/verify, which nobody of Sluis wrote: the signature under the
// checkpoint, and files of proof. Consistency it does not know.
//
//	NODE_PATH=target/node/node_modules node verify.js KEY DIRECTORY PROOF...
'use strict';

const crypto = require('node:crypto');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
// Not in the package's own exports, which only take whole Sigstore bundles.
const { verifyTLogInclusion } = require('@sigstore/verify/dist/tlog');
const { verifyCheckpoint } = require('@sigstore/verify/dist/tlog/checkpoint');

const [key, directory, ...proofs] = process.argv.slice(2);
const { log, origin } = authority(key);

const size = open(readFileSync(join(directory, 'checkpoint'), 'utf8')).logSize;
for (const name of proofs) {
  const entry = inclusion(name);
  verifyTLogInclusion(entry, [log]);
  // It would notice.
  for (const other of changed(entry)) {
    let refused = false;
    try {
      verifyTLogInclusion(other, [log]);
    } catch (error) {
      refused = error.code === 'TLOG_INCLUSION_PROOF_ERROR';
    }
    if (!refused) {
      fail('something else has a proof');
    }
  }
}
console.log(`${size} entries, ${proofs.length} proofs`);

// A log as Sigstore knows it, from a verifier key: name+id+base64 of the key's type and bytes.
function authority(text) {
  const [, name, id, typed] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? fail('not a key');
  const bytes = Buffer.from(typed, 'base64');
  if (bytes.length !== 33 || bytes[0] !== 1) {
    fail('not the Ed25519 key of a log');
  }
  const publicKey = crypto.createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: bytes.subarray(1).toString('base64url') },
    format: 'jwk',
  });
  return { origin: name, log: { logID: Buffer.from(id, 'hex'), baseURL: name, publicKey } };
}

// What a checkpoint says; whose it is, the library leaves to its caller.
function open(envelope) {
  const checkpoint = verifyCheckpoint({ inclusionProof: { checkpoint: { envelope } } }, [log]);
  if (checkpoint.origin !== origin) {
    fail('a checkpoint of another log');
  }
  return checkpoint;
}

// A file of proof (C2SP tlog-proof) beside its leaf, as an entry of a Sigstore bundle.
function inclusion(name) {
  // A hash has one way to be written, and Buffer takes others too: unused bits are 0.
  const file = /^c2sp\.org\/tlog-proof@v1\nindex (\d+)\n((?:[A-Za-z\d+/]{42}[AEIMQUYcgkosw048]=\n)*)\n([^]*)$/;
  const [, index, hashes, envelope] = file.exec(readFileSync(name, 'utf8')) ?? fail('not a file of proof');
  open(envelope);
  return {
    logId: { keyId: log.logID },
    canonicalizedBody: readFileSync(name.replace(/tlog-proof$/, 'leaf')),
    inclusionProof: {
      logIndex: index,
      hashes: hashes.split('\n').slice(0, -1).map((hash) => Buffer.from(hash, 'base64')),
      checkpoint: { envelope },
    },
  };
}

// The same with something else in one place: entry, place, each hash, the size that was signed.
function* changed(entry) {
  const proof = entry.inclusionProof;
  const flipped = (bytes) => Buffer.from([bytes[0] ^ 1, ...bytes.subarray(1)]);
  yield { ...entry, canonicalizedBody: flipped(entry.canonicalizedBody) };
  yield { ...entry, inclusionProof: { ...proof, logIndex: String(BigInt(proof.logIndex) ^ 1n) } };
  for (const at of proof.hashes.keys()) {
    const hashes = proof.hashes.map((hash, i) => (i === at ? flipped(hash) : hash));
    yield { ...entry, inclusionProof: { ...proof, hashes } };
  }
  const envelope = proof.checkpoint.envelope.replace(/\n(\d+)\n/, (_, size) => `\n${BigInt(size) + 1n}\n`);
  yield { ...entry, inclusionProof: { ...proof, checkpoint: { envelope } } };
}

function fail(why) {
  throw new Error(why);
}
