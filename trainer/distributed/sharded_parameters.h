#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/paged_memory.h"
#include "base/result.h"
#include "trainer/distributed/ranks.h"
#include "trainer/networks/layer_gate.h"

namespace cloister::trainer {

// The parameters of a network of which each rank keeps its Ranks::Shard() alone (ZeRO's third
// stage, Rajbhandari et al. 2020). In a pass a layer's come from the ranks that have them just
// before they are used, and go when the next layer's come: all ranks walk through the layers
// together, and as often as the one with the most passes.
//
// A rank may make several passes side by side, each on a thread of its own, "lanes", which enter a
// layer together. Passes see the parameters that a whole network would have, to the bit.
//
// Run() and what it is given are of one thread; Enter() and Leave() of the lanes'.
class ShardedParameters final : public LayerGate {
 public:
  // Of the flat vector of all parameters: what stands outside of the layers, and each layer's.
  struct Parts {
    Range outside;
    std::vector<Range> layers;
  };
  // Told, while no pass reads anything, when a layer's have come and before they go; -1 for those
  // outside.
  using Told = std::function<void(std::int64_t layer, bool here)>;

  // `values` holds all parameters, fp32, of which this rank's shard counts; `ranks` must outlive
  // this.
  ShardedParameters(Ranks& ranks, std::shared_ptr<base::PagedMemory> values, Parts parts,
                    Told told);

  enum class Kind {
    kForward,   // no gradient
    kObserved,  // a backward pass, whose gradient is somebody else's
    kSummed,    // a backward pass that adds to sums(), of which the ranks' sum is gradient()
  };
  struct Passes {
    Kind kind{};
    std::int64_t own = 0;    // of this rank, one after the other on its longest lane
    std::int64_t lanes = 1;  // that have passes
  };
  // By all ranks together, with passes of one kind: `work` makes this rank's. Its error, and what
  // stops another rank's work, is all ranks' error, where a pass is still to be made or sums are to
  // be added up; else its rank's.
  base::Status Run(const Passes& passes, const std::function<base::Status()>& work);

  // Nothing outside of Run(): whoever has all parameters in place may make passes then.
  void Enter(std::int64_t layer) override;
  // A lane of several has ended, and how.
  void Leave(base::Status own);

  // For kSummed: all parameters' gradient of this rank's passes, which are zeros before each Run()
  // and go as the layers do.
  std::span<float> sums();
  // Of this rank's shard: what Run() added up.
  std::span<const float> gradient() const { return gradient_; }

 private:
  std::int64_t layers() const { return static_cast<std::int64_t>(parts_.layers.size()); }
  const Range& PartOf(std::int64_t layer) const;
  std::int64_t LayerAt(std::int64_t position) const;
  std::int64_t WalkLength() const { return kind_ == Kind::kForward ? layers() : 2 * layers(); }
  bool failed() const { return !own_ || !failure_; }

  base::Status Begin(const Passes& passes);
  void End(base::Status worked);
  void Bring();
  base::Status Fetch(std::int64_t layer);
  base::Status EndBefore(std::int64_t position);
  base::Status AddUp(std::int64_t layer);
  void LetGo(std::int64_t layer);
  void Tell(std::int64_t layer, bool here);

  Ranks& ranks_;
  std::shared_ptr<base::PagedMemory> values_;
  Parts parts_;
  Told told_;
  Range shard_;
  std::optional<base::PagedMemory> sums_;
  std::vector<float> gradient_;

  std::mutex mutex_;  // the rest is under it
  std::condition_variable brought_;
  Kind kind_{};
  bool running_ = false;
  std::int64_t passes_ = 0;               // of the rank with the most
  std::int64_t position_ = 0;             // in the walk of all passes: layers that were brought
  std::optional<std::int64_t> here_;      // the layer whose parameters are here
  std::int64_t lanes_ = 0, waiting_ = 0;  // that have not left; that wait for a layer
  base::Status own_, failure_;            // this rank's work; all ranks'
};

}  // namespace cloister::trainer
