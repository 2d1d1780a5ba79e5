#include "trainer/report/base_model.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <system_error>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "model/gguf/gguf_file.h"
#include "trainer/checkpoint/input_digest.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongest = 200;
constexpr std::size_t kLargestFile = std::size_t{4} << 20;

std::string Short(const std::string& text) { return base::OneLine(text.substr(0, kLongest)); }

// "organisation/name" of an address on Hugging Face, or of such a name; else empty.
std::string Repository(std::string text) {
  const std::string host = "huggingface.co/";
  if (const std::size_t at = text.find(host); at != std::string::npos) {
    text.erase(0, at + host.size());
  }
  while (text.ends_with('/')) text.pop_back();
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.' ||
           c == '/';
  };
  const bool name = std::count(text.begin(), text.end(), '/') == 1 && !text.starts_with('/') &&
                    !text.starts_with('.') && text.size() <= 128 &&
                    std::all_of(text.begin(), text.end(), allowed);
  return name ? text : std::string();
}

void DescribeGguf(const fs::path& path, BaseModel& base) {
  const auto file = model::GgufFile::Open(path);
  if (!file) return;
  const auto text = [&](const char* key) {
    const auto value = file->String(key);
    return value && *value ? Short(**value) : std::string();
  };
  if (const std::string name = text("general.name"); !name.empty()) base.name = name;
  base.license = text("general.license");
  for (const char* const key : {"general.source.huggingface.repository", "general.source.repo_url",
                                "general.repo_url", "general.source.url"}) {
    if (base.repository.empty()) base.repository = Repository(text(key));
  }
}

// `license` of a model card.
std::string LicenseOf(const fs::path& card) {
  const auto text = base::ReadRegularFile(card, kLargestFile);
  if (!text || !text->starts_with("---")) return {};
  const std::size_t end = text->find("\n---", 3);
  if (end == std::string::npos) return {};
  try {
    const YAML::Node front = YAML::Load(text->substr(3, end - 3));
    for (const char* const key : {"license_name", "license"}) {
      if (front.IsMap() && front[key] && front[key].IsScalar()) return Short(front[key].Scalar());
    }
  } catch (const YAML::Exception&) {
    // No front matter that says a licence.
  }
  return {};
}

void DescribeFolder(const fs::path& folder, BaseModel& base) {
  base.license = LicenseOf(folder / "README.md");
  const auto text = base::ReadRegularFile(folder / "config.json", kLargestFile);
  if (!text) return;
  const auto config = base::ParseJson(*text);
  if (!config.is_object()) return;
  const auto name = config.find("_name_or_path");
  if (name != config.end() && name->is_string()) {
    base.repository = Repository(name->get<std::string>());
  }
}

}  // namespace

BaseModel DescribeBase(const fs::path& model) {
  std::error_code ignored;
  const fs::path path = model.has_filename() ? model : model.parent_path();
  BaseModel base;
  base.name = Short(path.filename().string());
  if (fs::is_directory(path, ignored)) {
    DescribeFolder(path, base);
  } else {
    DescribeGguf(path, base);
  }
  if (const auto digest = ModelDigest(path)) base.sha256 = *digest;
  return base;
}

}  // namespace cloister::trainer
