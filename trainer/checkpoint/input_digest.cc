#include "trainer/checkpoint/input_digest.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <vector>

#include "security/primitives.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

constexpr auto kEndings =
    std::to_array<std::string_view>({".json", ".safetensors", ".jinja", ".model"});

}  // namespace

base::Result<std::string> FileDigest(const fs::path& file) {
  CLOISTER_ASSIGN_OR_RETURN(const security::Sha256Digest digest, security::HashFile(file.string()));
  return security::Hex(digest);
}

base::Result<std::string> ModelDigest(const fs::path& model) {
  std::error_code error;
  if (!fs::is_directory(model, error)) return FileDigest(model);
  std::vector<fs::path> files;
  for (auto entry = fs::directory_iterator(model, error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string ending = entry->path().extension().string();
    if (std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end()) {
      files.push_back(entry->path());
    }
  }
  if (error) {
    return base::Fail(base::Code::kUnknown, "model " + model.string() + " (" + error.message() +
                                                "): it must be readable");
  }
  std::sort(files.begin(), files.end());
  security::Sha256 all;
  for (const fs::path& file : files) {
    CLOISTER_ASSIGN_OR_RETURN(const std::string digest, FileDigest(file));
    all.Update(file.filename().string() + " " + digest + "\n");
  }
  return security::Hex(all.Finish());
}

}  // namespace cloister::trainer
