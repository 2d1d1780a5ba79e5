#include "trainer/audit/audit_run.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "trainer/audit/audit_data.h"
#include "trainer/audit/matched_filter.h"
#include "trainer/run/matrix_plan.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

// ε that the run's own ledger lets pass: it guards nobody, but far above this one the sampler's
// error bound would no longer fit in its share of δ.
constexpr double kBudget = 64;

tl::unexpected<base::Error> Wrong(const std::string& what) {
  return base::Fail(base::Code::kInvalidArgument, "audit: " + what);
}

// For this process's user alone; removed with what is in it.
class TemporaryFolder {
 public:
  static base::Result<TemporaryFolder> Make() {
    std::error_code error;
    const fs::path parent = fs::temp_directory_path(error);
    std::string name = (parent / "cloister-audit-XXXXXX").string();
    if (error || ::mkdtemp(name.data()) == nullptr) {
      return base::Fail(base::Code::kUnknown,
                        "cannot make a folder in " + parent.string() +
                            " for the audit's run: name one that can be written in TMPDIR");
    }
    return TemporaryFolder(name);
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

class AuditProbe final : public RunProbe {
 public:
  AuditProbe(const Recipe& recipe, const AuditOptions& options, security::AesCtrStream& random)
      : recipe_(recipe), options_(options), random_(random) {}

  base::Status Start(const PrivacyPlan& plan, std::int64_t parameters) override {
    claimed_ = {.noise_multiplier = plan.mechanism.noise_multiplier,
                .sampling_rate = plan.mechanism.sampling_rate,
                .clip_norm = plan.mechanism.clip_norm,
                .steps = plan.steps};
    if (plan.matrix) {  // all steps are one release
      claimed_.steps = 1;
      CLOISTER_ASSIGN_OR_RETURN(FixedOrderBatches order, OrderOf(recipe_, plan));
      CLOISTER_ASSIGN_OR_RETURN(const double sensitivity,
                                dp::Sensitivity(plan.matrix->encoder, plan.matrix->participation));
      filter_.emplace(plan.matrix->encoder, std::move(order), sensitivity, parameters);
    }
    const std::int64_t count = options_.canaries > 0
                                   ? options_.canaries
                                   : std::min(AuditOptions::kUsualCanaries, parameters);
    if (options_.guesses > count) {
      return Wrong("more guesses than the " + std::to_string(count) +
                   " canaries: lower --guesses or raise --canaries");
    }
    CLOISTER_ASSIGN_OR_RETURN(dp::audit::CanarySet drawn,
                              dp::audit::CanarySet::Draw(count, parameters, claimed_, random_));
    canaries_.emplace(std::move(drawn));
    return {};
  }

  std::span<const dp::audit::Canary> units() const override { return canaries_->included(); }

  void Released(std::span<const double> sum) override {
    if (filter_) {
      filter_->Observe(sum);
    } else {
      canaries_->Observe(sum);
    }
  }

  // After the run.
  base::Result<dp::audit::Verdict> Verdict(double delta) {
    if (filter_) canaries_->Observe(filter_->Matched());
    return dp::audit::Judge(*canaries_, claimed_, options_.guesses, delta, options_.confidence);
  }

 private:
  const Recipe& recipe_;
  const AuditOptions& options_;
  security::AesCtrStream& random_;
  dp::audit::ClaimedMechanism claimed_;
  std::optional<dp::audit::CanarySet> canaries_;
  std::optional<MatchedFilter> filter_;  // with matrix factorization
};

// Written so that a NaN fails.
base::Status Check(const Recipe& recipe, const AuditOptions& options) {
  if (!recipe.privacy) {
    return Wrong("the recipe has no 'privacy' section and claims nothing: give one that has");
  }
  if (options.canaries < 0 || options.guesses < 0) {
    return Wrong("canaries and guesses are counts: leave them out or give 1 or more");
  }
  if (options.records < 1 || options.records > AuditOptions::kMostRecords) {
    return Wrong("give 1 to " + std::to_string(AuditOptions::kMostRecords) + " records");
  }
  if (!(options.confidence > 0 && options.confidence < 1)) {
    return Wrong("give a confidence between 0 and 1, say 0.95");
  }
  return {};
}

// The recipe with nothing of its owner's: other records, no held-out ones, a ledger of its own.
Recipe WithoutData(const Recipe& recipe, const fs::path& folder) {
  Recipe audited = recipe;
  audited.output = folder / "output";
  audited.data.train = folder / "train.jsonl";
  audited.data.eval.reset();
  audited.data.layout = {};  // that of the records that are made
  audited.data.truncation = Truncation::kRight;
  audited.evaluation.reset();
  audited.checkpoints.reset();
  audited.privacy->ledger = folder / "ledger.sqlite";
  audited.privacy->budget_epsilon = std::max(kBudget, recipe.privacy->budget_epsilon);
  return audited;
}

}  // namespace

base::Result<AuditResult> RunAudit(const Recipe& recipe, const AuditOptions& options,
                                   const StopRequest& stop, security::AesCtrStream random) {
  CLOISTER_RETURN_IF_ERROR(Check(recipe, options));
  CLOISTER_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Make());
  const Recipe audited = WithoutData(recipe, folder.path());
  const Recipe::Privacy& privacy = *audited.privacy;
  const std::int64_t tokens = std::min(privacy.nominal_tokens, audited.data.max_tokens);
  // In a fixed order there is a slot for no more.
  const std::int64_t records =
      privacy.matrix ? std::min(options.records, privacy.nominal_units) : options.records;
  CLOISTER_RETURN_IF_ERROR(WriteRandomRecords(audited.data.train, records, tokens, random));
  AuditProbe probe(audited, options, random);
  AuditResult result;
  result.delta = privacy.delta;
  const auto listen = [&result](const nlohmann::ordered_json& event) {
    if (event["event"] != "done") return;
    result.epsilon = event["epsilon"].get<double>();
    result.steps = event["steps"].get<std::int64_t>();
  };
  base::Status ran = RunTraining(audited, listen, {.stop = stop, .probe = &probe, .resume = {}});
  if (!ran && ran.error().code == base::Code::kCancelled) {
    return base::Fail(base::Code::kCancelled,
                      "audit stopped by a signal: nothing is shown, start it again");
  }
  CLOISTER_RETURN_IF_ERROR(std::move(ran));
  CLOISTER_ASSIGN_OR_RETURN(result.verdict, probe.Verdict(privacy.delta));
  return result;
}

}  // namespace cloister::trainer
