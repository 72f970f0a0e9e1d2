"""The conformance suite for adapters: checks that an adapter meets `ModelAdapter`, in any test runner.

    def test_my_adapter():
        assert_adapter(MyAdapter(model), batch, prompts=prompts)

Guarantees
- `batch` and `prompts` are the caller's; the model may be tiny and random. Nothing is downloaded.
- Problems are reported per part; an exception in one part does not hide the others.
- Labels, shift and heads are checked against the model's own loss: a row of logits has a gradient exactly where the
  view has a label, and the gradient is negative at the label.
- Weights and random state are left unchanged; gradients are cleared.
"""

from tracker_logging.testing.conformance import Problem, assert_adapter, check_adapter

__all__ = ["Problem", "assert_adapter", "check_adapter"]
