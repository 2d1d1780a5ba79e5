#include "federation/rpc/tls.h"

#include <chrono>
#include <cstdlib>
#include <mutex>

#include "security/certificates.h"

namespace cloister::federation::rpc {

base::Result<TlsFiles> ReadTlsFiles(const std::filesystem::path& folder, Side side) {
  TlsFiles files;
  CLOISTER_ASSIGN_OR_RETURN(files.authority_pem,
                            security::ReadCertificate(folder / kAuthorityFile));
  CLOISTER_ASSIGN_OR_RETURN(
      const security::CertificateAndKey pair,
      security::ReadCertificateAndKey(folder / kCertificateFile, folder / kKeyFile));
  files.certificate_pem = pair.certificate_pem;
  const auto key = pair.private_key_pem.bytes();
  files.key_pem.assign(key.begin(), key.end());
  const auto role = side == Side::kServer ? security::CertificateRole::kServer
                                          : security::CertificateRole::kClient;
  if (auto status = security::VerifyCertificate(files.certificate_pem, files.authority_pem, role,
                                                std::chrono::system_clock::now());
      !status) {
    return base::Annotate(std::move(status), (folder / kCertificateFile).string());
  }
  CLOISTER_ASSIGN_OR_RETURN(const security::CertificateInfo info,
                            security::InspectCertificate(files.certificate_pem));
  files.name = info.name;
  return files;
}

void RequireTls13() {
  static std::once_flag once;
  std::call_once(once, [] {
    ::setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", 1);
    ::setenv("GRPC_VERBOSITY", "NONE", 0);
  });
}

}  // namespace cloister::federation::rpc
