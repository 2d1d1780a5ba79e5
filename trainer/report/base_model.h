#pragma once

#include <filesystem>
#include <string>

namespace cloister::trainer {

// What a model's files say of themselves; empty where they do not. Texts from outside, on one line
// each and cut to a few hundred bytes.
struct BaseModel {
  std::string name;        // never empty: the file's or folder's where there is no other
  std::string repository;  // on Hugging Face, "organisation/name"
  std::string license;     // as the model states it: "apache-2.0"
  std::string sha256;      // of its files (ModelDigest)
};

// Of a GGUF file: general.name, general.license, general.source.* and general.repo_url. Of a
// folder: `license` of README.md's front matter, `_name_or_path` of config.json. What cannot be
// read counts as not stated: by now the model was trained.
BaseModel DescribeBase(const std::filesystem::path& model);

}  // namespace cloister::trainer
