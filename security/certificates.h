#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "security/primitives.h"
#include "security/secret_bytes.h"

namespace cloister::security {

// X.509 certificates of a federation (RFC 5280): one authority of its own, one leaf for each party,
// all ECDSA over P-256 with SHA-256. Functions are thread-safe.

enum class CertificateRole {
  kServer,  // extended key usage serverAuth: a coordinator
  kClient,  // extended key usage clientAuth: a site, a submitter
};

// A certificate and its private key, both PEM text (PKCS #8 for the key).
struct CertificateAndKey {
  std::string certificate_pem;
  SecretBytes private_key_pem;
};

// A party's name: [a-z0-9-], 1 to 63 characters, no '-' at either end (one DNS label, RFC 1123).
// kInvalidArgument otherwise.
base::Status ValidatePartyName(std::string_view name);

// Self-signed, CA:TRUE with path length 0, keyUsage keyCertSign and cRLSign, common name `name`.
// `valid_days` in [1, 3650].
base::Result<CertificateAndKey> CreateAuthority(const std::string& name, int valid_days);

struct LeafRequest {
  std::string name;  // common name and DNS subject alternative name: what peers recognise it by
  CertificateRole role{};
  int valid_days = 0;  // [1, 3650]; never past the authority's own end
  // Further subject alternative names, where a server is dialled by something else than its name:
  // "localhost", "127.0.0.1", "::1", "coordinator.example.org".
  std::vector<std::string> addresses;
};
// Makes a key pair and a certificate signed by `authority`. kInvalidArgument for a bad request,
// kDataLoss for an authority that is none or whose key does not belong to it.
base::Result<CertificateAndKey> IssueCertificate(const CertificateAndKey& authority,
                                                 const LeafRequest& request);

// Writes both files, the key with mode 0600, the key first. Each appears whole or not at all.
base::Status WriteCertificateAndKey(const CertificateAndKey& pair,
                                    const std::filesystem::path& certificate_path,
                                    const std::filesystem::path& key_path);
// kNotFound for an absent file, kDataLoss (naming the file) for anything that is no PEM certificate
// or key, or a key that does not belong to the certificate.
base::Result<CertificateAndKey> ReadCertificateAndKey(const std::filesystem::path& certificate_path,
                                                      const std::filesystem::path& key_path);
// PEM text of a certificate alone, checked as above.
base::Result<std::string> ReadCertificate(const std::filesystem::path& path);

struct CertificateInfo {
  std::string name;  // common name
  bool is_authority = false;
  bool for_server = false;
  bool for_client = false;
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  Sha256Digest fingerprint{};  // SHA-256 of the DER encoding
};
// kDataLoss when `certificate_pem` is no certificate with one common name.
base::Result<CertificateInfo> InspectCertificate(std::string_view certificate_pem);

// Whether `certificate_pem` is a leaf for `role`, signed by `authority_pem` and valid at `now`,
// whose subject alternative names hold its common name. kUnauthenticated with the reason when not.
base::Status VerifyCertificate(std::string_view certificate_pem, std::string_view authority_pem,
                               CertificateRole role, std::chrono::system_clock::time_point now);

}  // namespace cloister::security
