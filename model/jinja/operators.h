#pragma once

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };

// Python's arithmetic, with its joining and repeating of strings and lists and its formatting by %.
// kFailedPrecondition for types that it is not defined for, for a zero divisor and for an integer
// beyond 64 bits.
base::Result<Value> Apply(Runtime& runtime, BinaryOperator op, const Value& left,
                          const Value& right);
base::Result<Value> Negated(const Value& value);
base::Result<Value> Positive(const Value& value);

}  // namespace cloister::model::jinja
