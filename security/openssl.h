#pragma once

// Inside security/ only: owners of OpenSSL objects and the conversions that several files share.

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "security/secret_bytes.h"

namespace cloister::security {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioOwner = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using BignumOwner = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using KeyOwner = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using KeyContextOwner = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using DigestContextOwner = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;
using CipherContextOwner = std::unique_ptr<EVP_CIPHER_CTX, Deleter<EVP_CIPHER_CTX_free>>;
using CertificateOwner = std::unique_ptr<X509, Deleter<X509_free>>;

// A readable BIO over `text`, which must outlive it.
BioOwner BioOver(std::string_view text);
// What was written to a memory BIO.
std::string BioText(BIO* bio);

// PKCS #8 PEM, unencrypted.
SecretBytes PrivateKeyToPem(EVP_PKEY* key);
// Null when `pem` is no unencrypted private key (never asks for a passphrase).
KeyOwner PrivateKeyFromPem(const SecretBytes& pem);

// The bytes as text, for what is written to a file. The view lives as long as `bytes`.
inline std::string_view TextView(const SecretBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.bytes().data()), bytes.size()};
}
inline std::span<const std::uint8_t> ByteView(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Overwrites a string that held key material.
void Wipe(std::string& text);

}  // namespace cloister::security
