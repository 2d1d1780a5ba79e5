#include <filesystem>
#include <string>

#include "base/file.h"
#include "cli/federation/commands.h"
#include "federation/rpc/tls.h"
#include "security/certificates.h"
#include "security/primitives.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;
namespace rpc = federation::rpc;

constexpr char kAuthorityKeyFile[] = "ca-key.pem";
constexpr int kMostDays = 3650;

base::Status MakeFolder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return {};
  return base::Fail(base::Code::kUnavailable, "cannot make folder " + folder.string() + " (" +
                                                  error.message() + "): check its rights");
}

// Keys are never overwritten: whoever wants a new one names a new folder.
base::Status CheckNew(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return {};
  return base::Fail(base::Code::kAlreadyExists,
                    file.string() + " is there already: name an empty folder");
}

base::Status RunInit(std::span<const std::string> arguments) {
  std::string directory;
  std::string name;
  int days = 0;
  Flags flags{
      "cloister federation ca init --directory D",
      "Makes the certificate authority of a federation: ca.pem, which every party gets, and\n"
      "ca-key.pem, which signs certificates and stays here. Keep this folder off the\n"
      "coordinator's host: whoever holds ca-key.pem can pose as any site."};
  auto add = flags.options.add_options();
  add("directory", po::value(&directory)->required(), "Folder for the authority's two files");
  add("name", po::value(&name)->default_value("cloister-federation"),
      "Name in the authority's certificate: a-z, 0-9 and '-'");
  add("days", po::value(&days)->default_value(kMostDays), "How long it is valid, at most 3650");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  const fs::path folder(directory);
  CLOISTER_RETURN_IF_ERROR(CheckNew(folder / rpc::kAuthorityFile));
  CLOISTER_RETURN_IF_ERROR(CheckNew(folder / kAuthorityKeyFile));
  CLOISTER_ASSIGN_OR_RETURN(const auto authority, security::CreateAuthority(name, days));
  CLOISTER_RETURN_IF_ERROR(MakeFolder(folder));
  return security::WriteCertificateAndKey(authority, folder / rpc::kAuthorityFile,
                                          folder / kAuthorityKeyFile);
}

struct IssueRequest {
  std::string directory;
  std::string name;
  std::string role;
  std::string output;
  std::vector<std::string> addresses;
  int days = 0;
};

base::Result<security::LeafRequest> LeafOf(const IssueRequest& request) {
  security::LeafRequest leaf;
  leaf.name = request.name;
  leaf.valid_days = request.days;
  leaf.addresses = request.addresses;
  if (request.role == "coordinator") {
    leaf.role = security::CertificateRole::kServer;
    if (leaf.addresses.empty()) leaf.addresses = {"localhost", "127.0.0.1", "::1"};
    return leaf;
  }
  if (request.role != "site" && request.role != "submitter") {
    return base::Fail(base::Code::kInvalidArgument,
                      "--role " + request.role + ": use coordinator, site or submitter");
  }
  if (!leaf.addresses.empty()) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--address is for a coordinator: nobody dials a " + request.role);
  }
  leaf.role = security::CertificateRole::kClient;
  return leaf;
}

base::Status Issue(const IssueRequest& request) {
  CLOISTER_ASSIGN_OR_RETURN(const security::LeafRequest leaf, LeafOf(request));
  const fs::path folder(request.output);
  const fs::path directory(request.directory);
  CLOISTER_ASSIGN_OR_RETURN(const auto authority,
                            security::ReadCertificateAndKey(directory / rpc::kAuthorityFile,
                                                            directory / kAuthorityKeyFile));
  const bool has_identity = request.role != "coordinator";
  for (const char* file : {rpc::kCertificateFile, rpc::kKeyFile, "identity.pem"}) {
    CLOISTER_RETURN_IF_ERROR(CheckNew(folder / file));
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto issued, security::IssueCertificate(authority, leaf));
  CLOISTER_RETURN_IF_ERROR(MakeFolder(folder));
  if (has_identity) {
    CLOISTER_RETURN_IF_ERROR(security::WriteEd25519Pem(security::GenerateEd25519(),
                                                       (folder / "identity.pem").string(),
                                                       (folder / "identity-public.pem").string()));
  }
  CLOISTER_RETURN_IF_ERROR(
      base::WriteFile(folder / rpc::kAuthorityFile, authority.certificate_pem));
  return security::WriteCertificateAndKey(issued, folder / rpc::kCertificateFile,
                                          folder / rpc::kKeyFile);
}

base::Status RunIssue(std::span<const std::string> arguments) {
  IssueRequest request;
  Flags flags{
      "cloister federation ca issue --directory D --name N --role coordinator|site|submitter "
      "--output DIR",
      "Makes one party's folder: ca.pem, certificate.pem and key.pem (TLS), and for sites and\n"
      "submitters an Ed25519 identity: identity.pem (secret) and identity-public.pem, which goes\n"
      "into jobs and policies. Hand the folder to that party alone, over a channel you trust.\n"
      "A coordinator's certificate holds the addresses under which sites dial it."};
  auto add = flags.options.add_options();
  add("directory", po::value(&request.directory)->required(), "The authority's folder (ca init)");
  add("name", po::value(&request.name)->required(),
      "The party's name, as jobs name it: a-z, 0-9 and '-'");
  add("role", po::value(&request.role)->required(), "coordinator, site or submitter");
  add("output", po::value(&request.output)->required(), "Folder for the party's files");
  add("address", po::value(&request.addresses),
      "Host name or address of the coordinator, may be repeated; without it this host alone "
      "(localhost, 127.0.0.1, ::1)");
  add("days", po::value(&request.days)->default_value(365), "How long it is valid, at most 3650");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  return Issue(request);
}

}  // namespace

Command FederationCaInitCommand() {
  return {"federation ca init", "Make a federation's certificate authority", RunInit};
}

Command FederationCaIssueCommand() {
  return {"federation ca issue", "Make a party's certificate and identity key", RunIssue};
}

}  // namespace cloister::cli
