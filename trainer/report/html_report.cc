#include "trainer/report/html_report.h"

#include <array>
#include <initializer_list>
#include <utility>

#include "trainer/report/chart.h"
#include "trainer/report/markup.h"

namespace cloister::trainer {
namespace {

constexpr const char* kHead = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
:root {
  --page: #fbfbfa; --card: #ffffff; --text: #1c1e21; --soft: #5b626b; --edge: #e2e4e7;
  --series-1: #2458c5; --series-2: #b8560b; --note: #f1f4fb; --note-edge: #2458c5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --card: #1d2024; --text: #e6e8eb; --soft: #a0a7b1; --edge: #33383f;
    --series-1: #7aa5ff; --series-2: #f0a35a; --note: #1c2433; --note-edge: #7aa5ff;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; }
.lead { color: var(--soft); margin: 0 0 1.6rem; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: .8rem; }
.tile, figure, table, pre { background: var(--card); border: 1px solid var(--edge);
  border-radius: 8px; }
.tile { padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .88rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: .8rem; }
figure { margin: 0; padding: .9rem 1rem .6rem; }
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .4rem; }
.key { font-weight: 400; color: var(--soft); margin-left: 1rem; }
.key::before { content: ""; display: inline-block; width: .9em; height: .22em; margin-right: .4em;
  vertical-align: middle; }
.k1::before { background: var(--series-1); } .k2::before { background: var(--series-2); }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--edge); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.dot { stroke: var(--card); stroke-width: 1.5; }
.line.s1 { stroke: var(--series-1); } .line.s2 { stroke: var(--series-2); }
.dot.s1 { fill: var(--series-1); } .dot.s2 { fill: var(--series-2); }
table { border-collapse: separate; border-spacing: 0; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .9rem;
  border-top: 1px solid var(--edge); overflow-wrap: anywhere; }
tr:first-child > * { border-top: 0; }
thead + tbody tr:first-child > * { border-top: 1px solid var(--edge); }
th { font-weight: 500; color: var(--soft); } tbody th { width: 32%; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
ul { margin: .8rem 0 0; padding: .8rem 1rem .8rem 2rem; background: var(--note);
  border-left: 3px solid var(--note-edge); border-radius: 0 8px 8px 0; }
li + li { margin-top: .4rem; }
pre { padding: .9rem 1rem; overflow-x: auto; font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono",
  monospace; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
</style>
)";

std::string Tile(const std::string& value, const std::string& label) {
  return "<div class=\"tile\"><b>" + value + "</b><span>" + HtmlText(label) + "</span></div>\n";
}

// A number with all its digits, shown with fewer.
std::string Value(const std::string& id, double value, const std::string& shown) {
  return "<data id=\"" + id + "\" value=\"" + Exact(value) + "\">" + HtmlText(shown) + "</data>";
}

// `cells` are HTML.
std::string Table(std::initializer_list<std::pair<const char*, std::string>> rows) {
  std::string html = "<table><tbody>\n";
  for (const auto& [name, cell] : rows) {
    if (cell.empty()) continue;
    html += std::string("<tr><th scope=\"row\">") + name + "</th><td>" + cell + "</td></tr>\n";
  }
  return html + "</tbody></table>\n";
}

std::string Tiles(const RunSummary& summary) {
  std::string html = "<div class=\"tiles\">\n";
  if (summary.privacy) {
    html += Tile("ε " + ReadableEpsilon(summary.privacy->epsilon),
                 "at δ " + Exact(summary.privacy->delta) + ", for a " + summary.privacy->unit +
                     ", " + summary.privacy->neighbours);
  } else {
    html += Tile("not private", "no ε holds for this run");
  }
  for (const RunSummary::Figure& figure : summary.figures) {
    if (figure.key != "held_out_loss") continue;
    html += Tile(Readable(figure.before) + " → " + Readable(figure.after), "held-out loss");
  }
  const bool cut = summary.planned_steps > summary.steps;
  html += Tile(std::to_string(summary.steps), cut ? "steps, of " +
                                                        std::to_string(summary.planned_steps) +
                                                        " planned: the target ε ended the run"
                                                  : "steps");
  return html + "</div>\n";
}

std::string Charts(const RunHistory& history) {
  const std::array<Curve, 2> losses = {Curve{"held-out", history.held_out_loss},
                                       Curve{"training", history.loss}};
  const std::string loss = history.loss.empty() ? "Loss of held-out records" : "Loss";
  std::string html = "<h2>Curves</h2>\n<div class=\"charts\">\n";
  html += ChartHtml({.title = loss}, losses);
  html += ChartHtml({.title = "ε spent", .from_zero = true},
                    std::array<Curve, 1>{Curve{"ε", history.epsilon}});
  html += ChartHtml({.title = "Learning rate", .from_zero = true},
                    std::array<Curve, 1>{Curve{"learning rate", history.learning_rate}});
  html += ChartHtml({.title = "Clip norm, noised", .from_zero = true},
                    std::array<Curve, 1>{Curve{"clip norm", history.clip_norm}});
  return html + "</div>\n";
}

std::string Privacy(const RunSummary& summary) {
  std::string html = "<h2>Privacy</h2>\n";
  if (summary.privacy) {
    const PrivacyStatement& privacy = *summary.privacy;
    html += Table(
        {{"ε", Value("epsilon", privacy.epsilon, Exact(privacy.epsilon)) + " by the accountant " +
                   HtmlText(privacy.accountant) + ", as the run printed it"},
         {"δ", Value("delta", privacy.delta, Exact(privacy.delta))},
         {"unit", HtmlText(privacy.unit)},
         {"neighbours", HtmlText(privacy.neighbours)},
         {"mechanism", HtmlText(privacy.mechanism)},
         {"checked by", "<code>" + HtmlText(privacy.command) + "</code>"}});
  }
  html += "<ul>\n";
  for (const std::string& sentence : summary.coverage) {
    html += "<li>" + HtmlText(sentence) + "</li>\n";
  }
  return html + "</ul>\n";
}

std::string Evaluation(const RunSummary& summary) {
  if (summary.figures.empty()) return {};
  std::string html =
      "<h2>Evaluation</h2>\n<table><thead><tr><th>on held-out records</th><th class=\"n\">rows</th>"
      "<th class=\"n\">before</th><th class=\"n\">after</th></tr></thead><tbody>\n";
  for (const RunSummary::Figure& figure : summary.figures) {
    html += "<tr><th scope=\"row\">" + HtmlText(figure.name) + "</th><td class=\"n\">" +
            HtmlText(figure.rows) + "</td><td class=\"n\">" +
            Value(figure.key + "-before", figure.before, Readable(figure.before)) +
            "</td><td class=\"n\">" +
            Value(figure.key + "-after", figure.after, Readable(figure.after)) + "</td></tr>\n";
  }
  return html + "</tbody></table>\n";
}

std::string Origins(const RunSummary& summary) {
  const BaseModel& base = summary.base;
  const auto code = [](const std::string& text) {
    return text.empty() ? std::string() : "<code>" + HtmlText(text) + "</code>";
  };
  const std::string unknown = "not stated";
  return "<h2>Model and data</h2>\n" +
         Table({{"base model", HtmlText(base.name)},
                {"on Hugging Face", HtmlText(base.repository)},
                {"its licence", HtmlText(base.license.empty() ? unknown : base.license)},
                {"its SHA-256", code(base.sha256)},
                {"trained", HtmlText(summary.method)},
                {"training data", HtmlText(summary.data_name)},
                {"its licence ",
                 HtmlText(summary.data_license.empty() ? unknown : summary.data_license)},
                {"its hash", code(summary.data_hash) + " " + HtmlText(summary.data_hash_kind)}});
}

}  // namespace

std::string HtmlReport(const RunSummary& summary) {
  return kHead + ("<title>" + HtmlText(summary.name) + "</title>\n</head>\n<body>\n<main>\n<h1>") +
         HtmlText(summary.name) + "</h1>\n<p class=\"lead\">" + HtmlText(summary.method) + ", on " +
         HtmlText(summary.base.name) + "</p>\n" + Tiles(summary) + Charts(summary.history) +
         Privacy(summary) + Evaluation(summary) + Origins(summary) + "<h2>Recipe</h2>\n<pre>" +
         HtmlText(summary.recipe_yaml, /*lines=*/true) + "</pre>\n</main>\n</body>\n</html>\n";
}

}  // namespace cloister::trainer
