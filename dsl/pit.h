// Everything a user of pit includes: #include <pit/pit.h>.
#pragma once

#include "buffer.h"
#include "callable.h"
#include "error.h"
#include "expr.h"
#include "func.h"
#include "half.h"
#include "pipeline.h"
#include "reference.h"
#include "schedule.h"
#include "target.h"
#include "tensor.h"
#include "type.h"
#include "typed_callable.h"
