#include <openssl/err.h>

#include "base/check.h"
#include "security/openssl.h"
#include "security/primitives.h"
#include "security/random.h"

namespace cloister::security {
namespace {

constexpr std::size_t kKeySize = 32;

KeyOwner PrivateKey(const SecretBytes& private_key) {
  CLOISTER_CHECK(private_key.size() == kKeySize);
  KeyOwner key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, private_key.bytes().data(),
                                            private_key.size()));
  CLOISTER_CHECK(key != nullptr);
  return key;
}

}  // namespace

X25519KeyPair GenerateX25519() {
  X25519KeyPair pair;
  pair.private_key = RandomSecret(kKeySize);
  pair.public_key = X25519PublicFromPrivate(pair.private_key);
  return pair;
}

X25519PublicKey X25519PublicFromPrivate(const SecretBytes& private_key) {
  const KeyOwner key = PrivateKey(private_key);
  X25519PublicKey public_key{};
  std::size_t size = public_key.size();
  CLOISTER_CHECK(EVP_PKEY_get_raw_public_key(key.get(), public_key.data(), &size) == 1);
  CLOISTER_CHECK(size == public_key.size());
  return public_key;
}

base::Result<SecretBytes> X25519(const SecretBytes& private_key, const X25519PublicKey& peer) {
  const KeyOwner key = PrivateKey(private_key);
  const KeyOwner peer_key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, peer.data(), peer.size()));
  CLOISTER_CHECK(peer_key != nullptr);  // any 32 bytes are a public key
  const KeyContextOwner context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  CLOISTER_CHECK(context != nullptr && EVP_PKEY_derive_init(context.get()) == 1);
  CLOISTER_CHECK(EVP_PKEY_derive_set_peer(context.get(), peer_key.get()) == 1);
  SecretBytes shared(kKeySize);
  std::size_t size = shared.size();
  // OpenSSL refuses an all-zero secret (RFC 7748, section 6.1): the only failure input can cause.
  if (EVP_PKEY_derive(context.get(), shared.mutable_bytes().data(), &size) != 1) {
    ERR_clear_error();
    return base::Fail(base::Code::kInvalidArgument,
                      "X25519 public key has low order, key agreement: the peer must send a key "
                      "that it generated");
  }
  CLOISTER_CHECK(size == kKeySize);
  return shared;
}

}  // namespace cloister::security
