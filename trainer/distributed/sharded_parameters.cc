#include "trainer/distributed/sharded_parameters.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "base/check.h"

namespace cloister::trainer {
namespace {

constexpr std::int64_t kOutside = -1;

// What a lane's pass is ended by; why is Run()'s to say.
struct PassEnded final : std::runtime_error {
  PassEnded() : std::runtime_error("the ranks' passes have ended") {}
};

void ClearNumbers(base::PagedMemory& memory, std::size_t begin, std::size_t end) {
  if (begin < end) memory.Clear(begin * sizeof(float), (end - begin) * sizeof(float));
}

}  // namespace

ShardedParameters::ShardedParameters(Ranks& ranks, std::shared_ptr<base::PagedMemory> values,
                                     Parts parts, Told told)
    : ranks_(ranks),
      values_(std::move(values)),
      parts_(std::move(parts)),
      told_(std::move(told)),
      shard_(ranks.Shard(values_->As<float>().size())) {}

std::span<float> ShardedParameters::sums() {
  if (!sums_) sums_.emplace(values_->bytes().size());
  return sums_->As<float>();
}

const Range& ShardedParameters::PartOf(std::int64_t layer) const {
  return layer == kOutside ? parts_.outside : parts_.layers[static_cast<std::size_t>(layer)];
}

// Forward from the first to the last, and back.
std::int64_t ShardedParameters::LayerAt(std::int64_t position) const {
  const std::int64_t step = position % WalkLength();
  return step < layers() ? step : 2 * layers() - 1 - step;
}

base::Status ShardedParameters::Run(const Passes& passes,
                                    const std::function<base::Status()>& work) {
  base::Status begun = Begin(passes);
  if (begun) End(work());
  for (std::int64_t layer = kOutside; layer < layers(); ++layer) LetGo(layer);
  running_ = false;
  CLOISTER_RETURN_IF_ERROR(std::move(begun));
  return failure_ ? own_ : failure_;
}

base::Status ShardedParameters::Begin(const Passes& passes) {
  // What somebody left there in the meantime, as who had all of them in place.
  for (std::int64_t layer = kOutside; layer < layers(); ++layer) LetGo(layer);
  own_ = failure_ = {};
  kind_ = passes.kind;
  if (kind_ == Kind::kSummed) {
    const std::size_t size = sums().size();
    ClearNumbers(*sums_, 0, size);
    gradient_.assign(shard_.size(), 0.0F);
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::int64_t> all,
                            ranks_.GatherAll(std::span(&passes.own, 1)));
  passes_ = *std::max_element(all.begin(), all.end());
  position_ = 0;
  here_.reset();
  lanes_ = passes.lanes;
  waiting_ = 0;
  running_ = true;
  return passes_ > 0 ? Fetch(kOutside) : base::Status();
}

// What is left of the walk when this rank has made its passes, or has failed in one.
void ShardedParameters::End(base::Status worked) {
  const std::lock_guard lock(mutex_);
  if (own_ && !worked) own_ = std::move(worked);
  while (failure_ && position_ < passes_ * WalkLength()) Bring();
  if (failure_ && passes_ > 0) failure_ = EndBefore(position_);
  if (failure_ && passes_ > 0 && kind_ == Kind::kSummed) failure_ = AddUp(kOutside);
}

void ShardedParameters::Enter(std::int64_t layer) {
  std::unique_lock lock(mutex_);
  if (!running_) return;
  if (failed()) throw PassEnded();
  CLOISTER_CHECK(LayerAt(position_) == layer);
  const std::int64_t before = position_;
  if (++waiting_ == lanes_) {
    Bring();
  } else {
    brought_.wait(lock, [&] { return position_ > before; });
  }
  if (failed()) throw PassEnded();
}

void ShardedParameters::Leave(base::Status own) {
  const std::lock_guard lock(mutex_);
  if (own_ && !own) own_ = std::move(own);
  if (--lanes_ > 0 && waiting_ == lanes_) Bring();
}

// The next layer of the walk, while every lane waits for it or has left.
void ShardedParameters::Bring() {
  const std::int64_t layer = LayerAt(position_);
  try {
    failure_ = EndBefore(position_);
    if (failure_ && here_ != layer) {
      if (here_) LetGo(*here_);
      here_ = layer;
      failure_ = Fetch(layer);
    }
  } catch (const std::exception& error) {  // lanes wait, whatever happens
    failure_ = base::Fail(base::Code::kInternal, error.what());
  }
  waiting_ = 0;
  ++position_;
  brought_.notify_all();
}

base::Status ShardedParameters::Fetch(std::int64_t layer) {
  CLOISTER_RETURN_IF_ERROR(ranks_.GatherRange(values_->As<float>(), PartOf(layer), own_));
  Tell(layer, true);
  return {};
}

// Where the layer before this position has had its backward pass, its gradient is whole.
base::Status ShardedParameters::EndBefore(std::int64_t position) {
  if (kind_ != Kind::kSummed || position == 0) return {};
  const bool backward = (position - 1) % WalkLength() >= layers();
  return backward ? AddUp(LayerAt(position - 1)) : base::Status();
}

base::Status ShardedParameters::AddUp(std::int64_t layer) {
  const Range& part = PartOf(layer);
  CLOISTER_RETURN_IF_ERROR(ranks_.AddRange(sums(), part, own_, gradient_));
  ClearNumbers(*sums_, part.begin, part.end);
  return {};
}

void ShardedParameters::LetGo(std::int64_t layer) {
  Tell(layer, false);
  const Range& part = PartOf(layer);
  ClearNumbers(*values_, part.begin, std::min(part.end, shard_.begin));
  ClearNumbers(*values_, std::max(part.begin, shard_.end), part.end);
}

void ShardedParameters::Tell(std::int64_t layer, bool here) {
  try {
    told_(layer, here);
  } catch (const std::exception& error) {  // out of memory
    if (own_) own_ = base::Fail(base::Code::kInternal, error.what());
  }
}

}  // namespace cloister::trainer
