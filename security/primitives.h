#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "security/secret_bytes.h"

namespace cloister::security {

// Thin, misuse-resistant faces of OpenSSL 3. All functions are thread-safe.

using Sha256Digest = std::array<std::uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256();
  Sha256& Update(std::span<const std::uint8_t> bytes);
  Sha256& Update(std::string_view text);
  Sha256Digest Finish();

 private:
  void* context_;
};
Sha256Digest HashBytes(std::span<const std::uint8_t> bytes);
base::Result<Sha256Digest> HashFile(const std::string& path);
std::string Hex(std::span<const std::uint8_t> bytes);
base::Result<std::vector<std::uint8_t>> ParseHex(std::string_view text);

// HMAC-SHA-256 (RFC 2104).
Sha256Digest HmacSha256(std::span<const std::uint8_t> key, std::span<const std::uint8_t> message);

// HKDF-SHA-256 (RFC 5869), `size` at most 8160.
SecretBytes Hkdf(const SecretBytes& secret, std::span<const std::uint8_t> salt,
                 std::span<const std::uint8_t> info, std::size_t size);

// X25519 (RFC 7748).
using X25519PublicKey = std::array<std::uint8_t, 32>;
struct X25519KeyPair {
  SecretBytes private_key;  // 32 bytes
  X25519PublicKey public_key;
};
X25519KeyPair GenerateX25519();
X25519PublicKey X25519PublicFromPrivate(const SecretBytes& private_key);
// kInvalidArgument for a public key of low order (an all-zero shared secret).
base::Result<SecretBytes> X25519(const SecretBytes& private_key, const X25519PublicKey& peer);

// Ed25519 (RFC 8032).
using Ed25519PublicKey = std::array<std::uint8_t, 32>;
using Ed25519Signature = std::array<std::uint8_t, 64>;
struct Ed25519KeyPair {
  SecretBytes private_key;  // 32-byte seed
  Ed25519PublicKey public_key;
};
Ed25519KeyPair GenerateEd25519();
base::Result<Ed25519KeyPair> Ed25519FromSeed(const SecretBytes& seed);
Ed25519Signature SignEd25519(const Ed25519KeyPair& key, std::span<const std::uint8_t> message);
bool VerifyEd25519(const Ed25519PublicKey& key, std::span<const std::uint8_t> message,
                   const Ed25519Signature& signature);
// PEM files (PKCS #8, mode 0600; SubjectPublicKeyInfo), as `openssl genpkey -algorithm ed25519`
// makes.
base::Status WriteEd25519Pem(const Ed25519KeyPair& key, const std::string& private_path,
                             const std::string& public_path);
base::Result<Ed25519KeyPair> ReadEd25519PrivatePem(const std::string& path);
base::Result<Ed25519PublicKey> ReadEd25519PublicPem(const std::string& path);

// What a sealed message is bound to. A struct and not a string, so that two meanings never share an
// encoding.
struct MessageContext {
  std::vector<std::uint8_t> session;  // hash of job, round, attempt, roster
  std::string sender;
  std::string recipient;
  std::string kind;
};

// AES-256-GCM (NIST SP 800-38D). The key is used for this one message: the nonce is fixed at zero,
// so a key must never seal twice. `Seal` takes the key by value to spend it.
std::vector<std::uint8_t> SealOnce(SecretBytes key, std::span<const std::uint8_t> plaintext,
                                   const MessageContext& context);
// kDataLoss when the message was changed or belongs to another context.
base::Result<SecretBytes> Open(const SecretBytes& key, std::span<const std::uint8_t> sealed,
                               const MessageContext& context);

}  // namespace cloister::security
