#include "trainer/report/run_report.h"

#include <system_error>

#include "base/file.h"
#include "trainer/report/html_report.h"
#include "trainer/report/model_card.h"
#include "trainer/report/run_summary.h"
#include "trainer/report/tensorboard.h"

namespace cloister::trainer {

namespace fs = std::filesystem;

base::Status WriteRunReport(const fs::path& folder, const FinishedRun& run) {
  CLOISTER_ASSIGN_OR_RETURN(const RunSummary summary, Summarize(run));
  std::error_code error;
  const fs::path board = folder / "tensorboard";
  fs::create_directory(board, error);
  if (error) {
    return base::Fail(base::Code::kUnknown, "cannot make " + board.string() + " (" +
                                                error.message() + "): choose another output");
  }
  CLOISTER_RETURN_IF_ERROR(base::WriteFile(folder / "recipe.yaml", summary.recipe_yaml));
  CLOISTER_RETURN_IF_ERROR(base::WriteFile(folder / "events.jsonl", run.events));
  CLOISTER_RETURN_IF_ERROR(
      base::WriteFile(board / kTensorBoardFile, TensorBoardEvents(summary.history)));
  if (summary.privacy) {
    CLOISTER_RETURN_IF_ERROR(base::WriteFile(folder / kEventsFile, summary.privacy->events));
  }
  CLOISTER_RETURN_IF_ERROR(base::WriteFile(folder / "report.html", HtmlReport(summary)));
  return base::WriteFile(folder / "README.md", ModelCard(summary));
}

}  // namespace cloister::trainer
