#pragma once

#include <string>

#include "trainer/report/run_summary.h"

namespace cloister::trainer {

// The whole page: styles, curves as SVG, nothing from elsewhere and no script, forbidden so by its
// own content security policy. Light or dark as the reader's system is. Everything in it that is
// not this program's own text is escaped.
std::string HtmlReport(const RunSummary& summary);

}  // namespace cloister::trainer
