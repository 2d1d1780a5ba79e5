#include "federation/job/yaml_map.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>
#include <utility>

#include "base/file.h"

namespace cloister::federation::job {
namespace {

constexpr std::size_t kLongestFile = std::size_t{1} << 20;
constexpr std::size_t kLongestShown = 80;

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string NumberText(double value) {
  std::string text = std::to_string(value);
  if (std::abs(value) < 1e-3 || std::abs(value) > 1e9) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%g", value);
    text = buffer;
  }
  return text;
}

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t distance = std::max<std::size_t>(3, word.size() / 2 + 1);
  for (const std::string& candidate : candidates) {
    const std::size_t d = EditDistance(word.substr(0, kLongestShown), candidate);
    if (d < distance) {
      distance = d;
      best = candidate;
    }
  }
  return best;
}

struct YamlMap::Document {
  std::string name;
  std::vector<std::string> problems;
};

base::Result<YamlMap> YamlMap::ReadFile(const std::string& path,
                                        std::initializer_list<std::string_view> keys) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kLongestFile));
  return Parse(text, path, keys);
}

base::Result<YamlMap> YamlMap::Parse(const std::string& text, const std::string& name,
                                     std::initializer_list<std::string_view> keys) {
  auto document = std::make_shared<Document>();
  document->name = name;
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    return base::Fail(base::Code::kInvalidArgument, name + ": no YAML: " + error.what());
  }
  if (!root.IsMap()) {
    return base::Fail(base::Code::kInvalidArgument,
                      name + ": no YAML mapping of keys and values: see the guide for an example");
  }
  return YamlMap(std::move(document), root, "", {keys.begin(), keys.end()});
}

YamlMap::YamlMap(std::shared_ptr<Document> document, YAML::Node node, std::string place,
                 std::vector<std::string> keys)
    : document_(std::move(document)),
      node_(node),
      place_(std::move(place)),
      keys_(std::move(keys)) {
  std::set<std::string> seen;
  if (!node_.IsMap()) return;
  for (const auto& item : node_) {
    const std::string key = item.first.IsScalar() ? item.first.Scalar() : "(no text)";
    if (!seen.insert(key).second) Wrong(key, "is there twice");
    if (std::find(keys_.begin(), keys_.end(), key) != keys_.end()) continue;
    const std::string nearest = Nearest(key, keys_);
    Wrong(key.substr(0, kLongestShown),
          "is no known key" + (nearest.empty() ? "" : " (did you mean '" + nearest + "'?)"));
  }
}

std::string YamlMap::PlaceOf(const std::string& key) const {
  return place_.empty() ? key : place_ + "." + key;
}

void YamlMap::Wrong(const std::string& key, const std::string& problem) const {
  document_->problems.push_back("'" + PlaceOf(key) + "' " + problem);
}

bool YamlMap::Has(const std::string& key) const {
  return node_.IsMap() && static_cast<bool>(std::as_const(node_)[key]);
}

YAML::Node YamlMap::Find(const std::string& key) const {
  if (Has(key)) return std::as_const(node_)[key];
  if (node_.IsMap()) Wrong(key, "is missing");
  return YAML::Node();
}

std::string YamlMap::Text(const std::string& key) const {
  const YAML::Node node = Find(key);
  if (node.IsScalar()) return node.Scalar();
  if (Has(key)) Wrong(key, "is no text");
  return {};
}

std::int64_t YamlMap::Integer(const std::string& key, std::int64_t least, std::int64_t most) const {
  const YAML::Node node = Find(key);
  std::int64_t value = 0;
  const bool read = node.IsScalar() && YAML::convert<std::int64_t>::decode(node, value);
  if (read && value >= least && value <= most) return value;
  if (Has(key)) {
    Wrong(key, "is no integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return least;
}

double YamlMap::Number(const std::string& key, double least, double most) const {
  const YAML::Node node = Find(key);
  double value = 0;
  const bool read = node.IsScalar() && YAML::convert<double>::decode(node, value);
  if (read && std::isfinite(value) && value >= least && value <= most) return value;
  if (Has(key)) {
    Wrong(key, "is no number from " + NumberText(least) + " to " + NumberText(most));
  }
  return least;
}

std::vector<std::string> YamlMap::Texts(const std::string& key) const {
  const YAML::Node node = Find(key);
  std::vector<std::string> texts;
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) Wrong(key, "has an entry that is no text");
      texts.push_back(item.IsScalar() ? item.Scalar() : "");
    }
  }
  if (texts.empty() && Has(key)) Wrong(key, "is no list with at least one entry");
  return texts;
}

YamlMap YamlMap::Map(const std::string& key, std::initializer_list<std::string_view> keys) const {
  const YAML::Node node = Find(key);
  if (Has(key) && !node.IsMap()) Wrong(key, "is no mapping of keys and values");
  return YamlMap(document_, node, PlaceOf(key), {keys.begin(), keys.end()});
}

std::vector<YamlMap> YamlMap::Maps(const std::string& key,
                                   std::initializer_list<std::string_view> keys) const {
  const YAML::Node node = Find(key);
  std::vector<YamlMap> maps;
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) {
      const std::string entry = key + "[" + std::to_string(maps.size()) + "]";
      if (!item.IsMap()) Wrong(entry, "is no mapping of keys and values");
      maps.push_back(YamlMap(document_, item, PlaceOf(entry), {keys.begin(), keys.end()}));
    }
  }
  if (maps.empty() && Has(key)) Wrong(key, "is no list with at least one entry");
  return maps;
}

base::Status YamlMap::Finish() const {
  if (document_->problems.empty()) return {};
  std::string all;
  for (const std::string& problem : document_->problems) all += (all.empty() ? "" : "; ") + problem;
  return base::Fail(base::Code::kInvalidArgument, document_->name + ": " + all);
}

}  // namespace cloister::federation::job
