#include "model/huggingface/tensor_shards.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace cloister::model {
namespace {

constexpr std::size_t kMaxShards = 512;

class JoinedSinks final : public TensorSink {
 public:
  JoinedSinks(std::vector<std::unique_ptr<TensorSink>> files,
              const std::vector<TensorSpecs>& shards)
      : files_(std::move(files)) {
    CLOISTER_CHECK(files_.size() == shards.size());
    for (const TensorSpecs& shard : shards) progress_.emplace_back(shard);
  }

  base::Status Write(std::span<const std::byte> bytes) override {
    while (progress_[current_].done()) ++current_;
    progress_[current_].Add(bytes.size());
    return files_[current_]->Write(bytes);
  }

  base::Result<std::uint64_t> Commit() override {
    std::uint64_t size = 0;
    for (auto file = files_.rbegin(); file != files_.rend(); ++file) {
      CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t own, (*file)->Commit());
      size += own;
    }
    return size;
  }

 private:
  std::vector<std::unique_ptr<TensorSink>> files_;
  std::vector<TensorProgress> progress_;
  std::size_t current_ = 0;
};

}  // namespace

std::vector<TensorSpecs> CutIntoShards(TensorSpecs tensors, std::uint64_t max_bytes) {
  std::vector<TensorSpecs> shards(1);
  std::uint64_t bytes = 0;
  for (TensorSpec& tensor : tensors) {
    const std::uint64_t own = tensor.bytes();
    if (max_bytes > 0 && !shards.back().empty() && own > max_bytes - std::min(bytes, max_bytes)) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += own;
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

base::Status CheckShardCount(const std::filesystem::path& path, std::size_t count) {
  if (count <= kMaxShards) return {};
  return base::Fail(base::Code::kInvalidArgument, path.string() + " would become " +
                                                      std::to_string(count) + " files, more than " +
                                                      std::to_string(kMaxShards) +
                                                      ": allow more bytes a file");
}

std::unique_ptr<TensorSink> JoinSinks(std::vector<std::unique_ptr<TensorSink>> files,
                                      const std::vector<TensorSpecs>& shards) {
  return std::make_unique<JoinedSinks>(std::move(files), shards);
}

}  // namespace cloister::model
