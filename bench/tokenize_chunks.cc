// Tokenizes chunks of text again and again, for bench/tokenization.py.
//
//   tokenize_chunks MODEL CHUNKS IDS RUNS   CHUNKS: a 32-bit length and the bytes, each; the ids of
//                                           all go to IDS as 32-bit integers, the seconds of each
//                                           run to stdout, a line each
//   tokenize_chunks MODEL FOLDER            writes the model's tokenizer.json and its configuration
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "model/source_model.h"
#include "model/tokenizer/tokenizer_json.h"

namespace cloister {
namespace {

std::vector<std::string_view> Chunks(std::string_view bytes) {
  std::vector<std::string_view> chunks;
  while (bytes.size() >= 4) {
    std::uint32_t size = 0;
    std::memcpy(&size, bytes.data(), 4);
    chunks.push_back(bytes.substr(4, size));
    bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 4 + std::size_t{size}));
  }
  return chunks;
}

base::Status Measure(const std::string& model, const std::string& text, const std::string& output,
                     int runs) {
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(model));
  CLOISTER_ASSIGN_OR_RETURN(const auto tokenizer, files->LoadTokenizer());
  CLOISTER_ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(text));
  const std::vector<std::string_view> chunks = Chunks(bytes);
  std::string ids;
  for (int run = 0; run < runs; ++run) {
    ids.clear();
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::vector<model::TokenId>> made;
    for (const std::string_view chunk : chunks) made.push_back(tokenizer->Encode(chunk, {}));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::cout << seconds.count() << "\n";
    for (const auto& one : made) {
      ids.append(reinterpret_cast<const char*>(one.data()), one.size() * sizeof(model::TokenId));
    }
  }
  return base::WriteFile(output, ids);
}

base::Status WriteTokenizer(const std::string& model, const std::filesystem::path& folder) {
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::SourceModel::Open(model));
  CLOISTER_ASSIGN_OR_RETURN(const auto data, files->LoadTokenizerData());
  CLOISTER_ASSIGN_OR_RETURN(const auto tokenizer, model::TokenizerJson(data));
  CLOISTER_RETURN_IF_ERROR(base::WriteFile(folder / "tokenizer.json", tokenizer.dump()));
  return base::WriteFile(folder / "tokenizer_config.json",
                         model::TokenizerConfigJson(data, "").dump());
}

}  // namespace
}  // namespace cloister

int main(int count, char** words) {
  if (count != 3 && count != 5) return 2;
  const cloister::base::Status done =
      count == 3 ? cloister::WriteTokenizer(words[1], words[2])
                 : cloister::Measure(words[1], words[2], words[3], std::stoi(words[4]));
  if (done) return 0;
  std::cerr << "error: " << done.error().message << "\n";
  return 1;
}
