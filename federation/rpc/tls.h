#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace cloister::federation::rpc {

// A party's certificate folder, as `cloister federation ca issue` writes it.
struct TlsFiles {
  std::string authority_pem;    // ca.pem: the only authority that peers are checked against
  std::string certificate_pem;  // certificate.pem
  std::string key_pem;          // key.pem
  std::string name;             // the certificate's common name
};

inline constexpr char kAuthorityFile[] = "ca.pem";
inline constexpr char kCertificateFile[] = "certificate.pem";
inline constexpr char kKeyFile[] = "key.pem";

enum class Side { kServer, kClient };

// Reads and checks a folder: the certificate is for `side`, signed by the authority and valid now.
// kNotFound naming the file, kDataLoss for a malformed one, kUnauthenticated for a certificate that
// the authority did not sign.
base::Result<TlsFiles> ReadTlsFiles(const std::filesystem::path& folder, Side side);

// Leaves TLS 1.2 nothing to negotiate: gRPC 1.51 has no switch for the version, but takes its
// TLS 1.2 cipher suites from the environment. Takes effect only before gRPC's first use; called by
// whatever makes a channel or a server. Also keeps gRPC's own lines (one for each failed handshake,
// which any stranger can cause) off standard error unless GRPC_VERBOSITY asks for them.
// Thread-safe.
void RequireTls13();

}  // namespace cloister::federation::rpc
