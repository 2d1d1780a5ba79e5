#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::federation::job {

// One mapping of a YAML file that a person writes, read strictly. Every problem is collected, so
// that a person mends the file in one go: keys that are not known (with the nearest right one),
// missing keys, values of a wrong kind or range. Getters that fail give a zero value.
// Files are at most 1 MiB.
class YamlMap {
 public:
  // `keys`: every key that the file's top level may have. kNotFound or kInvalidArgument when the
  // file is absent or no YAML mapping.
  static base::Result<YamlMap> ReadFile(const std::string& path,
                                        std::initializer_list<std::string_view> keys);
  static base::Result<YamlMap> Parse(const std::string& text, const std::string& name,
                                     std::initializer_list<std::string_view> keys);

  bool Has(const std::string& key) const;
  std::string Text(const std::string& key) const;
  std::int64_t Integer(const std::string& key, std::int64_t least, std::int64_t most) const;
  double Number(const std::string& key, double least, double most) const;
  std::vector<std::string> Texts(const std::string& key) const;  // at least one
  YamlMap Map(const std::string& key, std::initializer_list<std::string_view> keys) const;
  std::vector<YamlMap> Maps(const std::string& key,
                            std::initializer_list<std::string_view> keys) const;

  // Adds a problem that the caller found with the value of `key`.
  void Wrong(const std::string& key, const std::string& problem) const;
  // kInvalidArgument with every problem of the whole file, also those of inner mappings.
  base::Status Finish() const;

 private:
  struct Document;
  YamlMap(std::shared_ptr<Document> document, YAML::Node node, std::string place,
          std::vector<std::string> keys);
  std::string PlaceOf(const std::string& key) const;
  YAML::Node Find(const std::string& key) const;

  std::shared_ptr<Document> document_;
  YAML::Node node_;
  std::string place_;
  std::vector<std::string> keys_;
};

// The candidate with the smallest edit distance to `word`, empty where none is near.
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace cloister::federation::job
