#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::cli {

// What every command shares: `--help`, strict flags, one-line errors, exit codes.
//
// A command is a function of its arguments (what stands after its name) that prints results on
// stdout and returns a Status; one file a command under cli/.
struct Command {
  std::string name;     // "federation site": words as typed
  std::string summary;  // one line for the list
  std::function<base::Status(std::span<const std::string>)> run;
};

// Flags of one command. Fails with kInvalidArgument, naming the flag, for unknown, repeated or
// missing flags and values that do not parse. A value that starts with '-' is written --flag=-….
// With --help prints usage, `about` and the flags, and returns an empty optional.
struct Flags {
  std::string usage;  // "cloister quantize --model P --output F.gguf --type q8_0"
  std::string about;  // a paragraph a stranger can work from
  boost::program_options::options_description options{"Options"};
  boost::program_options::positional_options_description positional;  // none unless added
};
base::Result<std::optional<boost::program_options::variables_map>> Parse(
    Flags& flags, std::span<const std::string> arguments);

// The words of a command's name.
std::vector<std::string> SplitWords(const std::string& text);

// 0 done, 1 failed, 2 wrong usage, 3 refused (base/error.h has the mapping).
int ExitStatus(base::Code code);

// Finds the longest command name that starts the arguments, runs it, prints "error: …" on failure.
int Main(std::span<const Command> commands, const std::string& program, int argc, char** argv);

// One JSON object on a line of stdout, or where `json` is false its keys and values for a person.
void PrintResult(const nlohmann::ordered_json& result, bool json);

}  // namespace cloister::cli
