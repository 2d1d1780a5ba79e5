#include "cli/command.h"

#include <signal.h>

#include <algorithm>
#include <exception>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>

#include "base/log.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

// "--flag=" as two words: the library refuses an empty value after '=', apart from the flag it is
// fine.
std::vector<std::string> WithEmptyValuesApart(std::span<const std::string> arguments) {
  std::vector<std::string> words;
  for (const std::string& word : arguments) {
    const bool empty_value = word.size() > 3 && word.starts_with("--") && word.ends_with('=') &&
                             word.find('=') == word.size() - 1;
    words.push_back(empty_value ? word.substr(0, word.size() - 1) : word);
    if (empty_value) words.emplace_back();
  }
  return words;
}

}  // namespace

base::Result<std::optional<po::variables_map>> Parse(Flags& flags,
                                                     std::span<const std::string> arguments) {
  flags.options.add_options()("help,h", "Print this text");
  const std::vector<std::string> words = WithEmptyValuesApart(arguments);
  po::variables_map values;
  try {
    using Style = po::command_line_style::style_t;
    const po::parsed_options parsed =
        po::command_line_parser(words)
            .options(flags.options)
            .positional(flags.positional)
            .style(Style::unix_style & ~Style::allow_guessing & ~Style::allow_sticky)
            .run();
    po::store(parsed, values);
    if (values.contains("help")) {
      std::cout << "usage: " << flags.usage << "\n\n" << flags.about << "\n\n" << flags.options;
      return std::optional<po::variables_map>();
    }
    po::notify(values);
  } catch (const po::error& error) {
    return base::Fail(base::Code::kInvalidArgument,
                      std::string(error.what()) + ": see --help (" + flags.usage + ")");
  }
  return std::optional(std::move(values));
}

int ExitStatus(base::Code code) {
  switch (code) {
    case base::Code::kOk:
      return 0;
    case base::Code::kInvalidArgument:
    case base::Code::kUnimplemented:
      return 2;
    case base::Code::kPermissionDenied:
    case base::Code::kResourceExhausted:
      return 3;
    default:
      return 1;
  }
}

std::vector<std::string> SplitWords(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

namespace {

void PrintCommands(std::span<const Command> commands, const std::string& program) {
  std::size_t width = 0;
  for (const Command& command : commands) width = std::max(width, command.name.size());
  std::cout << "usage: " << program << " COMMAND [FLAGS]\n\n";
  for (const Command& command : commands) {
    std::cout << "  " << command.name << std::string(width - command.name.size() + 2, ' ')
              << command.summary << "\n";
  }
  std::cout << "\n" << program << " COMMAND --help tells more of one.\n";
}

// The command with the longest name that the arguments start with.
const Command* Find(std::span<const Command> commands, const std::vector<std::string>& arguments,
                    std::size_t& name_words) {
  const Command* found = nullptr;
  name_words = 0;
  for (const Command& command : commands) {
    const std::vector<std::string> words = SplitWords(command.name);
    if (words.size() <= name_words || words.size() > arguments.size()) continue;
    if (!std::equal(words.begin(), words.end(), arguments.begin())) continue;
    found = &command;
    name_words = words.size();
  }
  return found;
}

bool IsHelp(const std::string& word) { return word == "--help" || word == "-h" || word == "help"; }

// The commands whose first word is `word`: "federation" has several.
std::vector<Command> Group(std::span<const Command> commands, const std::string& word) {
  std::vector<Command> group;
  std::copy_if(commands.begin(), commands.end(), std::back_inserter(group),
               [&](const Command& command) { return SplitWords(command.name)[0] == word; });
  return group;
}

base::Status RunCatching(const Command& command, std::span<const std::string> arguments) {
  try {
    return command.run(arguments);
  } catch (const std::bad_alloc&) {
    return base::Fail(base::Code::kInternal, "out of memory: use a smaller batch or context");
  } catch (const std::exception& error) {
    return base::Fail(base::Code::kInternal, error.what());
  }
}

}  // namespace

int Main(std::span<const Command> commands, const std::string& program, int argc, char** argv) {
  ::signal(SIGXFSZ, SIG_IGN);  // a limit on files is an error of what writes them
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty() || IsHelp(arguments[0])) {
    PrintCommands(commands, program);
    return arguments.empty() ? 2 : 0;
  }
  std::size_t name_words = 0;
  const Command* command = Find(commands, arguments, name_words);
  if (command == nullptr) {
    const std::vector<Command> group = Group(commands, arguments[0]);
    if (!group.empty() && (arguments.size() == 1 || IsHelp(arguments[1]))) {
      PrintCommands(group, program);
      return arguments.size() == 1 ? 2 : 0;
    }
    const std::string within = group.empty() ? program : program + " " + arguments[0];
    std::cerr << "error: "
              << base::OneLine(within + " has no command '" + arguments[group.empty() ? 0 : 1])
              << "': see " << within << " --help\n";
    return 2;
  }
  const base::Status status = RunCatching(*command, std::span(arguments).subspan(name_words));
  std::cout.flush();
  if (!status) {
    std::cerr << "error: " << base::OneLine(status.error().message) << "\n";
    return ExitStatus(status.error().code);
  }
  if (!std::cout) {
    std::cerr << "error: cannot write to stdout: check the disk or the pipe\n";
    return 1;
  }
  return 0;
}

void PrintResult(const nlohmann::ordered_json& result, bool json) {
  if (json) {
    std::cout << result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
              << "\n";
    return;
  }
  std::size_t width = 0;
  for (const auto& item : result.items()) width = std::max(width, item.key().size());
  for (const auto& item : result.items()) {
    const std::string value =
        item.value().is_string() ? item.value().get<std::string>() : item.value().dump();
    std::cout << item.key() << std::string(width - item.key().size() + 2, ' ') << value << "\n";
  }
}

}  // namespace cloister::cli
